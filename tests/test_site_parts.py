"""What makes the pages of the site: dialects, docstrings, formulas, signatures, notebooks."""

import ast
import doctest
import importlib
import inspect
import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import minitower

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
NEEDED = ("sphinx", "myst_parser", "furo", "jieba", "latex2mathml", "ziamath", "fontTools")
SLOW = ("00", "04", "17")
"""Chapters that train for long, or run programs: the tests run their examples, not their cells."""

needs_kernel = pytest.mark.skipif(
    not all(map(find_spec, ("nbclient", "ipykernel"))),
    reason="needs what is not installed: pip install '.[docs-test]'",
)
pytestmark = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)), reason="needs what is not installed: pip install '.[docs]'"
)


@pytest.fixture(scope="module")
def part():
    """Imports a module of the folder `docs/site`."""
    folder = str(ROOT / "docs" / "site")
    sys.path.insert(0, folder)
    yield importlib.import_module
    sys.path.remove(folder)


@pytest.mark.parametrize(
    "name", ["docstrings", "listings", "mathml", "notebooks", "pages", "reference", "search"]
)
def test_doctests(part, name):
    result = doctest.testmod(part(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_pages__change_no_code(part):
    text = "```sh\necho $`date`$ [x](README.md)\n```\n"
    assert part("pages").for_sphinx(text) == text


def test_pages__skip_no_level(part):
    for_sphinx = part("pages").for_sphinx
    assert for_sphinx("# a\n### b\n#### c\n") == "# a\n## b\n### c\n"
    assert for_sphinx("# a\n## b\n### c\n") == "# a\n## b\n### c\n"


@pytest.mark.parametrize(
    "latex, wanted",
    [
        (r"-\log q", '<mi>log</mi><mspace width="0.17em"/>'),
        (r"\log_2 n", "<msub><mi>log</mi><mn>2</mn></msub>"),
        ("x = -1", '<mo form="prefix">'),
        (r"\frac{1}{n}", "<mfrac>"),
    ],
)
def test_mathml__of(part, latex, wanted):
    assert wanted in part("mathml").mathml(latex)


def all_maths():
    """The formulas of the book."""
    for path in sorted(DOCS.rglob("*.md")):
        text = re.sub(r"^```(?!math).*?^```$", "", path.read_text("utf-8"), flags=re.M | re.S)
        text = re.sub(r"\$`([^`]+)`\$", r"$\1$", text)
        text = re.sub(r"(?<!\$)`[^`\n]+`", "", text)
        yield from re.findall(r"\$\$(.+?)\$\$", text, re.DOTALL)
        yield from re.findall(r"^```math\n(.*?)^```$", text, re.M | re.S)
        yield from re.findall(r"(?<![$\\])\$([^$\n]+)\$(?!\$)", text)


def test_mathml__knows_every_command_of_the_book(part):
    """A command that the converter does not know would stand on the page by its name."""
    mathml = part("mathml").mathml
    formulas = set(all_maths())
    assert len(formulas) > 200
    assert [one for one in formulas if re.search(r"\\[a-zA-Z]", mathml(one))] == []
    assert r"\unknowncommand" in mathml(r"\unknowncommand")


def test_docstrings__fold_properties_and_raises(part):
    text = "Add.\n\nRaises ValueError: x is not\n    finite.\nProperties: a_b, c_d\n"
    lines = part("docstrings").restructured(text)
    assert [line.strip() for line in lines if "<summary>" in line] == [
        "<details><summary>Raises</summary>",
        "<details><summary>Properties: each is a test</summary>",
    ]
    assert "``ValueError``: x is not" in lines


def test_docstrings__keep_formulas_as_they_are(part):
    lines = part("docstrings").restructured("Mean.\n\n    p_j = (a * b) / K_\n\nThen.")
    assert lines[2:5] == [".. code-block:: text", "", "   p_j = (a * b) / K_"]
    assert part("docstrings").restructured("Mean.\n\n    x / n")[2] == ".. code-block:: text"


def test_docstrings__lose_no_word(part):
    """Every word of a docstring of the formulas is on the page."""
    restructured = part("docstrings").restructured
    for module in part("reference").modules():
        for name in part("reference").public_functions(module):
            text = inspect.getdoc(getattr(module, name)) or ""
            kept = set(re.findall(r"\w+", "\n".join(restructured(text)).replace("\\", "")))
            assert set(re.findall(r"\w+", text)) - kept - {"Args"} == set(), name


def roles():
    """(file, kind, name, class around) of every role in the docstrings of the package."""
    package = Path(minitower.__file__).parent
    for path in sorted(package.rglob("*.py")):
        module = ".".join(path.relative_to(package.parent).with_suffix("").parts)
        module = module.removesuffix(".__init__")
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for kind, name in re.findall(r":(\w+):`~?([\w.]+)`", node.value):
                    if name.startswith("minitower."):
                        yield module, kind, name


def exists(name):
    """Whether a dotted name is a module or stands in one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            if not hasattr(found, attribute) and attribute not in getattr(
                found, "__annotations__", {}
            ):
                return False
            found = getattr(found, attribute, None)
        return True
    return False


def test_docstrings__name_what_exists():
    found = list(roles())
    assert len(found) > 100
    assert [role for role in found if not exists(role[2])] == []
    assert not exists("minitower.formulas.softmax.in_batch_softmacks")


def test_code__is_shown_without_its_docstring(part):
    from minitower.formulas.logq import Correction, yi

    code = part("reference").code
    assert code(yi).startswith("def yi(")
    assert '"""' not in code(yi)
    assert "correction = logq_weight * log_q" in code(yi)
    assert "__post_init__" in code(Correction)


def test_signatures__are_short(part):
    from minitower import api

    for name in api.__all__:
        thing = getattr(api, name)
        if inspect.isfunction(thing) or (inspect.isclass(thing) and "__init__" in vars(thing)):
            text = part("reference").signature(thing, beside_code=False)
            assert not re.search(r"Option\(|ndarray\[| at 0x|minitower\.", text), name


def chapter_notebook(part, path):
    return part("notebooks").notebook(
        part("pages").for_sphinx(path.read_text("utf-8")), path.parent
    )


def test_notebook__has_every_example_and_what_it_prints(part):
    for path in sorted(DOCS.rglob("[0-9]*.md")):
        examples = doctest.DocTestParser().get_examples(
            re.sub(r"^```$", "", path.read_text("utf-8"), flags=re.MULTILINE)
        )
        made = chapter_notebook(part, path)
        if made is None:
            assert examples == []
            continue
        cells = [cell for cell in made["cells"] if cell["cell_type"] == "code"]
        text = "\n".join(cell["source"] for cell in cells)
        assert all(example.source.strip() in text for example in examples), path.name
        printed = [cell for cell in cells if cell["outputs"]]
        assert len(printed) == sum(bool(example.want) for example in examples), path.name


def test_notebook__takes_its_pictures_along(part):
    made = chapter_notebook(part, DOCS / "04-training-in-batches.md")
    prose = [cell for cell in made["cells"] if "batch-matrix.svg" in cell["source"]]
    assert "(attachment:batch-matrix.svg)" in prose[0]["source"]
    assert "image/svg+xml" in prose[0]["attachments"]["batch-matrix.svg"]
    assert not any("](05-" in cell["source"] for cell in made["cells"])


def chapters_that_run():
    return [
        path
        for path in sorted(DOCS.glob("[0-9]*.md"))
        if path.name[:2] not in SLOW and ">>>" in path.read_text("utf-8")
    ]


@needs_kernel
@pytest.mark.parametrize("path", chapters_that_run(), ids=lambda path: path.stem)
def test_notebook__runs_from_top_to_bottom(part, path, tmp_path):
    file = tmp_path / "chapter.ipynb"
    file.write_text(json.dumps(chapter_notebook(part, path)), "utf-8")
    program = (
        "import sys, nbformat\n"
        "from nbclient import NotebookClient\n"
        "notebook = nbformat.read(sys.argv[1], 4)\n"
        "nbformat.validate(notebook)\n"
        "NotebookClient(notebook, timeout=300, kernel_name='python3').execute()\n"
    )
    command = [sys.executable, "-c", program, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
