"""minitower check and minitower vectors, as a user runs them."""

import json
import sys
from xml.etree import ElementTree

import pytest

from minitower.cli import main
from minitower.conformance import FORMULAS, MISTAKES, VERSION

LOSSES = """
import numpy as np
from helper import lead

def hinge(positive, negative, margin):
    short = margin - lead(positive, negative)
    active = (short > 0) / len(short)
    return short.clip(0).mean(), (-active, active)

def subtracted(positive, negative, margin):
    return hinge(positive, negative, -margin)

def nan(positive, negative, margin):
    return float("nan"), (positive, negative)

def raises(positive, negative, margin):
    raise RuntimeError("out of triples")

def leaves(positive, negative, margin):
    raise SystemExit(0)

def shapes(positive, negative, margin):
    return 0.0, (positive[:1], negative)

class Losses:
    hinge = staticmethod(hinge)

def uniform(p, size, rng):
    return rng.integers(len(p), size=size)

def unlike(a, b):
    return 0.0

def other_words(neg, pos, m, sign=1):
    return hinge(pos, neg, sign * m)

seven = 7
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "helper.py").write_text("lead = lambda p, n: p - n\n")
    path = tmp_path / "my_losses.py"
    path.write_text(LOSSES)
    return path


@pytest.fixture
def run(capsys):
    """Run a command; returns its exit status, its stdout and its stderr."""

    def run(*args):
        status = main([str(arg) for arg in args])
        return status, *capsys.readouterr()

    return run


def checked(run, file, name, *more, formula="triplet_hinge"):
    return run("check", f"{file}:{name}", "--formula", formula, *more)


@pytest.mark.parametrize("name", ["hinge", "Losses.hinge"])
def test_a_right_loss_exits_0(run, file, name):
    assert checked(run, file, name) == (
        0, "triplet_hinge   6 cases   all passed   (numpy, float64)\n", ""
    )  # fmt: skip
    assert checked(run, file, name, "--dtype", "float32")[0] == 0


def test_the_formula_is_guessed_and_the_guess_is_said(run, file):
    assert run("check", f"{file}:hinge") == (
        0, "triplet_hinge   6 cases   all passed   (numpy, float64)\n",
        "checked as triplet_hinge: its arguments are positive, negative, margin\n",
    )  # fmt: skip


def test_parameters_are_mapped(run, file):
    given = ["--with", "pos=positive", "neg=negative", "m=margin"]
    status, out, _ = checked(run, file, "other_words", *given)
    assert (status, out.split()[3:5]) == (0, ["all", "passed"])
    status, out, _ = checked(run, file, "other_words", *given, "--with", "sign=-1")
    assert (status, "margin subtracted" in out) == (1, True)
    assert checked(run, file, "hinge", "--with", "margin=0.5")[0] == 0
    for wrong in ("margin", "=1", "a b=1", "margin="):
        status, out, err = checked(run, file, "hinge", "--with", wrong)
        assert (status, out) == (2, "")
        assert "expected PARAMETER=VALUE" in err


def test_json(run, file):
    status, out, _ = checked(run, file, "subtracted", "--json")
    report = json.loads(out)
    assert (status, report["formula"], report["passed"]) == (1, "triplet_hinge", False)
    assert report["mistake"]["name"] == "margin subtracted"
    assert [case["name"] for case in report["cases"]] == [
        case.name for case in FORMULAS["triplet_hinge"].cases
    ]
    by_name = {case["name"]: case for case in report["cases"]}
    assert by_name["plain"]["outcome"] == "failed"
    assert by_name["plain"]["mistake"] == report["mistake"]
    assert by_name["separated"]["outcome"] == "passed"
    assert by_name["separated"]["mistake"] is by_name["separated"]["failure"] is None
    status, out, err = checked(run, file, "nan", "--json")
    assert (status, err.count("\n")) == (2, 1)
    assert {case["outcome"] for case in json.loads(out)["cases"]} == {"unusable"}
    assert json.loads(checked(run, file, "hinge", "--json")[1])["passed"]


def test_junit(run, file, tmp_path):
    path = tmp_path / "report.xml"
    status, out, _ = checked(run, file, "subtracted", "--junit", path)
    assert (status, out.splitlines()[0][:13]) == (1, "triplet_hinge")
    suite = ElementTree.parse(path).getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("6", "5", "0")
    failure = suite.find("testcase[@name='plain']/failure")
    assert "margin subtracted" in failure.get("message")
    assert "fix: negative - positive + margin" in failure.text
    assert suite.find("testcase[@name='separated']")[:] == []
    assert checked(run, file, "raises", "--junit", path)[0] == 2
    assert ElementTree.parse(path).getroot()[0].get("errors") == "6"
    status, _, err = checked(run, file, "hinge", "--junit", tmp_path / "no" / "folder.xml")
    assert (status, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("name, status", [("hinge", 0), ("subtracted", 1), ("raises", 2)])
def test_reports_are_written_whatever_the_exit_status(run, file, tmp_path, name, status):
    paths = [tmp_path / end for end in ("report.md", "badge.svg", "badge.json")]
    markdown, svg, shields = paths
    target = f"{file}:{name}"
    command = ("check", target, "--formula", "triplet_hinge", "--markdown", markdown)
    assert run(*command, "--badge", svg)[0] == status
    assert run(*command, "--badge", shields)[0] == status
    assert markdown.read_text("utf-8").startswith("### ")
    words = json.loads(shields.read_text("utf-8"))["message"]
    assert ElementTree.parse(svg).getroot().get("aria-label") == f"triplet_hinge: {words}"
    expected = {0: "6 cases pass", 1: "5 of 6 cases fail", 2: "not comparable"}
    assert words == expected[status]


def test_a_badge_of_another_kind_is_refused_before_the_check(run, file, tmp_path):
    markdown = tmp_path / "report.md"
    for name in ("badge.png", "badge"):
        path = tmp_path / name
        status, out, err = checked(run, file, "hinge", "--badge", path, "--markdown", markdown)
        assert (status, out) == (2, "")
        assert err == (
            f"minitower: error: --badge {path}: expected a name that ends in .svg or .json\n"
        )
    assert not markdown.exists()
    status, _, err = checked(run, file, "hinge", "--markdown", tmp_path / "no" / "folder.md")
    assert (status, err.count("\n")) == (2, 1)


def test_junit_holds_any_message(run, file, tmp_path):
    file.write_text(LOSSES.replace("out of triples", "\\x00 \\ud800 <&> \\x1b"))
    assert checked(run, file, "raises", "--junit", tmp_path / "report.xml")[0] == 2
    suite = ElementTree.parse(tmp_path / "report.xml").getroot()[0]
    assert "RuntimeError: \ufffd \ufffd <&> \ufffd" in suite[0][0].get("message")


def test_allowed_choices(run, tmp_path):
    path = tmp_path / "losses.py"
    path.write_text("""
import numpy as np

def cosine(users, items, pull):
    with np.errstate(all="ignore"):
        a, b = (np.linalg.norm(x, axis=1, keepdims=True) for x in (users, items))
        u, v = users / a, items / b
        cos = (u * v).sum(axis=1, keepdims=True)
        p = pull[:, None]
        return pull @ cos[:, 0], (p * (v - u * cos) / a, p * (u - v * cos) / b)
""")
    status, out, _ = run("check", f"{path}:cosine")
    assert (status, "--allow zero_vectors accepts it" in out) == (1, True)
    allowed = run("check", f"{path}:cosine", "--allow", "zero_vectors", "--junit", tmp_path / "x")
    assert (allowed[0], "all passed, zero_vectors allowed" in allowed[1]) == (0, True)
    case = ElementTree.parse(tmp_path / "x").getroot()[0].find("testcase[@name='zero_vectors']")
    assert case[0].get("message") == "zero_vectors is allowed"
    status, out, _ = run("check", f"{path}:cosine", "--allow", "zero_vectors", "--json")
    assert [c["name"] for c in json.loads(out)["cases"] if c["outcome"] == "allowed"] == [
        "zero_vectors"
    ]
    assert run("check", f"{path}:cosine", "--allow", "nothing")[0] == 2


PACKAGE = {
    "__init__.py": "",
    "sub/__init__.py": "",
    "sub/losses.py": """
from __future__ import annotations
from dataclasses import dataclass
from ..lead import lead

@dataclass
class Hinge:
    margin: float

    def __call__(self, positive, negative):
        short = self.margin - lead(positive, negative)
        active = (short > 0) / len(short)
        return short.clip(0).mean(), (-active, active)
""",
    "lead.py": "lead = lambda p, n: p - n\n",
}


@pytest.mark.parametrize("target", ["my_package/sub/losses.py", "my_package.sub.losses"])
def test_dataclasses_and_relative_imports(run, tmp_path, monkeypatch, target):
    for name, source in PACKAGE.items():
        path = tmp_path / "my_package" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.startswith("my_package")]:
        monkeypatch.delitem(sys.modules, name)
    assert run("check", f"{target}:Hinge")[0] == 0
    assert run("check", "my_package.nothing:f")[2].count("ModuleNotFoundError") == 1


def test_another_package_of_the_same_name(run, tmp_path, monkeypatch):
    for folder in ("one", "other"):
        path = tmp_path / folder / "same_name" / "losses.py"
        path.parent.mkdir(parents=True)
        (path.parent / "__init__.py").touch()
        path.write_text(LOSSES.replace("from helper import lead", "lead = lambda p, n: p - n"))
    assert run("check", f"{tmp_path}/one/same_name/losses.py:hinge")[0] == 0
    status, _, err = run("check", f"{tmp_path}/other/same_name/losses.py:hinge")
    assert (status, "Python imports same_name.losses from" in err) == (2, True)


def test_a_dataclass_in_a_file(run, tmp_path):
    path = tmp_path / "losses.py"
    path.write_text(PACKAGE["sub/losses.py"].replace("from ..lead import", "from lead import"))
    (tmp_path / "lead.py").write_text(PACKAGE["lead.py"])
    assert run("check", f"{path}:Hinge")[0] == 0


def test_a_wrong_loss_exits_1_and_names_the_mistake(run, file):
    status, out, err = checked(run, file, "subtracted")
    assert status == 1
    assert out.startswith("triplet_hinge   6 cases   ")
    assert 'matches the known mistake "margin subtracted"' in out
    assert "  ✗ plain" in out
    assert err == f"minitower: error: {file}:subtracted is not triplet_hinge\n"


@pytest.mark.parametrize(
    "name, message",
    [
        ("nan", "triplet_hinge, case plain: returned NaN in loss"),
        ("raises", "triplet_hinge, case plain: raised RuntimeError: out of triples"),
        ("leaves", "triplet_hinge, case plain: raised SystemExit: 0"),
        ("shapes", "triplet_hinge, case plain: returned d_positive of shape (1,), expected (5,)"),
    ],
)
def test_what_cannot_be_compared_exits_2(run, file, name, message):
    status, _, err = checked(run, file, name)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"minitower: error: {message}")


def test_samplers_are_checked_too(run, file):
    status, out, _ = checked(run, file, "uniform", formula="sampler")
    assert status == 1
    assert 'the known mistake "uniform draws"' in out


@pytest.mark.parametrize(
    "target, formula, message",
    [
        ("nowhere.py:f", "triplet_hinge", "nowhere.py: the file is missing"),
        ("{}", "triplet_hinge", "expected FILE.py:FUNCTION"),
        ("{}:", "triplet_hinge", "expected FILE.py:FUNCTION"),
        ("{}:missing", "triplet_hinge", "has no missing"),
        ("{}:seven", "triplet_hinge", "is int, which cannot be called"),
        ("{}:hinge", "hinge", "no formula 'hinge'; there are in_batch_softmax, "),
    ],
)
def test_usage_errors_exit_2_with_one_line(run, file, target, formula, message):
    status, out, err = run("check", target.format(file), "--formula", formula)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.parametrize(
    "source, message",
    [
        ("def f(:\n", "raised SyntaxError when it was run"),
        ("import no_such_package\n", "raised ModuleNotFoundError when it was run: No module named"),
        ("raise SystemExit(3)\n", "raised SystemExit when it was run"),
    ],
)
def test_a_file_that_does_not_run(run, tmp_path, source, message):
    path = tmp_path / "broken.py"
    path.write_text(source)
    status, out, err = checked(run, path, "f")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"{path}: {message}" in err


def test_a_file_that_is_not_python(run, tmp_path):
    path = tmp_path / "loss.txt"
    path.write_text("loss")
    assert "expected a Python file" in checked(run, path, "f")[2]


def test_a_framework_that_is_not_installed(run, file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jax", None)
    status, _, err = checked(run, file, "hinge", "--framework", "jax")
    assert status == 2
    assert "pip install jax" in err


def test_without_a_target_or_a_formula(run, file):
    for args in ([], ["--formula", "triplet_hinge"]):
        status, out, err = run("check", *args)
        assert (status, out) == (2, "")
        assert "expected FILE.py:FUNCTION" in err
    status, out, err = run("check", f"{file}:uniform")
    assert (status, err.splitlines()[0]) == (
        1, "checked as sampler: its arguments are p, size, rng"
    )  # fmt: skip
    assert "say which it is with --formula NAME" in run("check", f"{file}:unlike")[2]


def test_list_names_every_formula(run):
    status, out, err = run("check", "--list")
    assert (status, err) == (0, "")
    names = [line.split()[0] for line in out.splitlines()]
    assert names == [*FORMULAS, "sampler"]


CLIPPED = {
    "in_batch_softmax", "in_batch_softmax_cosine", "in_batch_softmax_log_sum",
    "in_batch_softmax_weighted", "calibrated_softmax", "cross_batch_softmax",
    "listwise_softmax_log_q",
}  # fmt: skip


@pytest.mark.parametrize("name", FORMULAS)
def test_explain_shows_formula_shapes_reference_cases_and_mistakes(run, name):
    status, out, _ = run("check", "--explain", name)
    formula = FORMULAS[name]
    assert status == 0
    assert formula.reference in out
    assert all(f"{a.name} {a.shape}" in out or a.shape == "()" for a in formula.arguments)
    assert all(case.name in out for case in formula.cases)
    assert all(mistake.fix in out for mistake in MISTAKES[name])
    assert ("  q clipped at c" in out) == (name in CLIPPED)


def test_explain_a_sampler_and_what_is_unknown(run):
    assert "draw(p, size, rng)" in run("check", "--explain", "sampler")[1]
    assert run("check", "--explain", "nothing")[0] == 2


def test_the_search_path_is_as_it_was(run, file):
    before = list(sys.path)
    checked(run, file, "hinge")
    assert sys.path == before


def test_vectors(run, tmp_path):
    folder = tmp_path / "golden"
    assert run("vectors", "--out", folder) == (0, f"{folder}\n", "")
    assert {path.name for path in folder.iterdir()} == {
        "vectors.json", "vectors.npz", "README.md", "vectors.schema.json", "protocol.schema.json"
    }  # fmt: skip
    assert json.loads((folder / "vectors.json").read_text("utf-8"))["version"] == VERSION


def test_vectors_into_a_file(run, tmp_path):
    path = tmp_path / "file"
    path.touch()
    status, _, err = run("vectors", "--out", path)
    assert status == 2
    assert "is a file, expected a folder" in err


def test_vectors_needs_a_folder(run):
    assert run("vectors")[0] == 2
