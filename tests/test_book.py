"""The book keeps its promises: what it names exists, and nothing is left out."""

import ast
import importlib
import inspect
import re
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from minitower.conformance import FORMULAS
from minitower.lab.index_bench import BACKENDS

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import trace_lecture as trace  # noqa: E402

DOCS = ROOT / "docs"
CHAPTERS = sorted(DOCS.glob("[0-9][0-9]-*.md"))
TRACE = DOCS / "19-formulas-of-the-lecture.md"
MODULES = sorted((ROOT / "minitower" / "formulas").glob("*.py"))
HELPERS = {"corrected_logits", "check_batch", "log_or_minus_inf", "normalized"}

name = lambda path: path.name


def trace_rows(text):
    """(id or "", statement, chapter, functions, tests, shown) of every row that traces."""
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4:
            cells = ["", *cells, ""]
        if len(cells) == 6 and cells[2] not in ("chapter", "章") and set(cells[1]) != {"-"}:
            functions, tests = (re.findall(r"`([^`]+)`", cell) for cell in cells[3:5])
            yield *cells[:3], functions, tests, cells[5]


def chapters_named(source):
    """The chapters that a module's docstring names, at the end of its first or last paragraph."""
    paragraphs = (ast.get_docstring(ast.parse(source)) or "").split("\n\n")
    ends = re.compile(r"(?:^|\.\s)Chapters? ([\d, and]+)\.$")
    found = ends.search(paragraphs[0]) or ends.search(paragraphs[-1])
    return [int(number) for number in re.findall(r"\d+", found[1])] if found else []


def function(dotted):
    """What stands at a dotted name below the package."""
    module, _, attribute = dotted.rpartition(".")
    return getattr(importlib.import_module(f"minitower.{module}"), attribute)


def matching_tests(pattern):
    """The tests that ``module::test_name`` names, where * is any ending."""
    module, _, wanted = pattern.partition("::")
    tree = ast.parse((ROOT / "tests" / f"{module}.py").read_text("utf-8"))
    found = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return [test for test in found if test.startswith("test_") and fnmatch(test, wanted)]


def unsafe_maths(text):
    """Backslashes before punctuation that GitHub would eat: all but those in code and in fences."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text, flags=re.DOTALL)
    return re.findall(r".{0,20}\\[!-/:-@\[-`{-~]+.{0,20}", text)


def dead_links(path):
    """Links of a page to files that do not exist."""
    targets = re.findall(r"\]\(([^)\s#]+)[^)]*\)", path.read_text("utf-8"))
    return [x for x in targets if "://" not in x and not (path.parent / x).exists()]


ROWS = list(trace_rows(TRACE.read_text("utf-8")))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1][:40]}")
def test_trace__names_what_exists(row):
    _, said, chapter, functions, tests, _ = row
    assert said
    assert re.fullmatch(r"\[(\d+)\]\(0?\1-[a-z-]+\.md\)", chapter)
    assert functions
    assert all(callable(function(dotted)) for dotted in functions)
    assert tests
    assert all(matching_tests(pattern) for pattern in tests)


@pytest.mark.parametrize("page", trace.PAGES, ids=lambda page: page.parent.name)
def test_trace__links_each_name_to_where_it_is(page):
    """After a function has moved: python benchmarks/trace_lecture.py."""
    assert trace.linked(page) == page.read_text("utf-8")


def test_trace__is_linked_from_each_chapter_that_follows_the_lecture():
    headings = re.findall(r"^## (.*)", TRACE.read_text("utf-8"), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    link = re.compile(rf"^\*\[The lecture\]\({TRACE.name}#([^)]+)\), section", re.MULTILINE)
    linked = {path.name: link.findall(path.read_text("utf-8")) for path in CHAPTERS}
    assert {name: found[0] in anchors for name, found in linked.items() if found} == {
        path.name: True for path in CHAPTERS if "*[The lecture](" in path.read_text("utf-8")
    }
    assert sum(map(bool, linked.values())) >= 12


def test_trace__has_every_section_of_the_lecture():
    headings = " ".join(re.findall(r"^## (.*)", TRACE.read_text("utf-8"), re.MULTILINE))
    sections = ("ection 1", "ection 2.1", "ections 2.2 to 2.4", "ection 3", "ection 4", "ection 5")
    assert [section for section in sections if section not in headings] == []
    assert len(ROWS) > 100


SECTIONS = """
    1  2.1.1 2.1.2 2.1.3 2.2 2.3 2.4 2.5  3  4.1 4.2 4.3 4.4  5 5.1 5.2 5.3
"""


def test_trace__numbers_the_statements_of_each_section():
    sections = SECTIONS.split()
    ids = [row[0].rpartition(".") for row in ROWS if row[0]]
    assert list(dict.fromkeys(section for section, _, _ in ids)) == [f"L{x}" for x in sections]
    for section in sections:
        numbers = [int(number) for name, _, number in ids if name == f"L{section}"]
        assert numbers == list(range(1, len(numbers) + 1))


def test_trace__every_claim_and_picture_of_the_lecture_has_a_statement():
    shown = " ".join(row[5] for row in ROWS)
    assert {int(number) for number in re.findall(r"\[claim (\d+): ", shown)} == set(range(1, 22))
    pictures = {path.stem for path in (DOCS / "figures").glob("[!c]*.svg")}
    assert {picture for picture in pictures if f"(figures/{picture}.svg)" not in shown} == set()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "minitower").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_trace__the_way_back_each_module_names_its_chapters(path):
    chapters = chapters_named(path.read_text("utf-8"))
    assert chapters
    assert chapters == sorted(set(chapters) & {int(page.name[:2]) for page in CHAPTERS})
    module = ".".join(path.relative_to(ROOT / "minitower").with_suffix("").parts)
    assert {
        int(re.findall(r"\d+", chapter)[0])
        for _, _, chapter, functions, _, _ in ROWS
        if any(dotted.rpartition(".")[0] == module for dotted in functions)
    } <= set(chapters)


def test_trace__a_module_without_a_chapter_is_noticed():
    assert chapters_named('"""Plain. Chapters 4, 6 and 9.\n\nMore."""') == [4, 6, 9]
    assert chapters_named('"""Plain.\n\nMore. Chapter 4.\n"""') == [4]
    assert chapters_named('"""Plain.\n\nChapter 3 says so."""') == []


def test_trace__a_stale_name_is_noticed():
    with pytest.raises(AttributeError):
        function("formulas.similarity.cosin")
    with pytest.raises(ModuleNotFoundError):
        function("formulas.similarities.cosine")
    assert not matching_tests("test_similarity::test_cosine__was_renamed")
    with pytest.raises(FileNotFoundError):
        matching_tests("test_similarities::test_cosine__*")


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_trace__has_every_public_formula(path):
    if path.stem in ("__init__", "arguments", "arrays", "blas", "threads"):
        return
    module = importlib.import_module(f"minitower.formulas.{path.stem}")
    public = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }
    traced = {dotted for _, _, _, functions, _, _ in ROWS for dotted in functions}
    assert public
    assert {f"formulas.{path.stem}.{key}" for key in public - HELPERS} <= traced


def test_every_chapter_is_listed_in_order():
    listed = re.findall(
        r"^(\d+)\. \[(.+)\]\((.+)\)$", (DOCS / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert [file for _, _, file in listed] == [chapter.name for chapter in CHAPTERS]
    for number, title, file in listed:
        assert file.startswith(f"{int(number):02d}-")
        assert (DOCS / file).read_text("utf-8").startswith(f"# {number}. {title}\n")


def test_the_ways_through_the_book_reach_every_chapter():
    ways = (DOCS / "README.md").read_text("utf-8").partition("\n## The chapters\n")[0]
    reached = {int(number) for number in re.findall(r"\[(\d+)\]\(", ways)}
    assert {int(page.name[:2]) for page in CHAPTERS} - reached <= {28}  # chapter 18 leads there


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=name)
def test_links_resolve(path):
    assert dead_links(path) == []


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=name)
def test_maths_survive_github(path):
    assert unsafe_maths(path.read_text("utf-8")) == []


@pytest.mark.parametrize("text", [r"$a\,b$", r"0.72\% of it", "$$\na\\\\b\n$$", r"`x` $\{1\}$ `y`"])
def test_maths_that_github_eats_are_noticed(text):
    assert unsafe_maths(text)


@pytest.mark.parametrize("text", [r"$`a\,b`$", "```math\na\\,b\n```", r"$\lVert x\rVert$"])
def test_maths_that_github_keeps_pass(text):
    assert unsafe_maths(text) == []


def test_every_figure_is_shown():
    book = "".join(chapter.read_text("utf-8") for chapter in CHAPTERS)
    figures = sorted((DOCS / "figures").iterdir())
    assert figures
    assert [figure.name for figure in figures if f"(figures/{figure.name})" not in book] == []


def test_the_table_of_indexes_and_its_figure_are_of_all_backends():
    page = (DOCS / "20-choosing-an-index.md").read_text("utf-8")
    made = page.partition("choosing.py: begin -->")[2].partition("<!-- end -->")[0]
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]]
                      for line in made.splitlines() if line.startswith("|"))  # fmt: skip
    assert [row[0] for row in rows] == list(BACKENDS)
    assert all(float(row[head.index("recall@100")]) >= 0.95 for row in rows)
    figure = (DOCS / "figures" / "index-bench.svg").read_text("utf-8")
    assert [backend for backend in BACKENDS if f">{backend}</text>" not in figure] == []


def test_python_without_a_prompt_is_where_the_book_says():
    """All other Python of the book is run: by doctest, which reads prompts."""
    silent = {
        path.name[:2]
        for path in CHAPTERS
        for block in re.findall(r"^```python\n(.*?)^```", path.read_text("utf-8"), re.M | re.S)
        if ">>>" not in block
    }
    assert silent - {"24"} == {"00", "20"}


OPERATING = {"15", "20"}
"""Chapters that cite the lecture, and are about running what it describes."""
FOLLOW = [
    path
    for path in CHAPTERS
    if "\n*[The lecture](" in path.read_text("utf-8") or path.name[:2] in {"00", "01", "26"}
    if path.name[:2] not in OPERATING
]


@pytest.mark.parametrize("path", FOLLOW, ids=name)
def test_a_chapter_of_the_lecture_ends_with_three_sentences_and_two_exercises(path):
    _, summary = path.read_text("utf-8").split("\n## In three sentences\n")
    summary, exercises = summary.split("\n## Two exercises\n")
    assert len(FOLLOW) == 14
    said = re.split(r"(?<=\.)\s+", summary.strip())
    assert len(said) == 3
    assert all(len(sentence.split()) <= 25 for sentence in said)
    _, *both = re.split(r"^\*\*\d\.\*\* ", exercises, flags=re.MULTILINE)
    assert len(both) == 2
    for exercise in both:
        judged = re.findall(r"^minitower check \S+ --formula (\w+)$", exercise, re.MULTILINE)
        assert all(formula in {*FORMULAS, "sampler"} for formula in judged)
        assert judged or ">>> judge(" in exercise


def test_a_dead_link_is_noticed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("[here](page.md) [gone](gone.md#part) [far](https://example.org/x)")
    assert dead_links(page) == ["gone.md"]
