"""The pytest plugin in a project of its own: one test a case, named mistakes, known failures."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from minitower.conformance import FORMULAS

TESTS = """
import numpy as np
import pytest

def hinge(positive, negative, margin):
    short = margin - positive + negative
    active = (short > 0) / len(short)
    return short.clip(0).mean(), (-active, active)

calls = []

def subtracted(positive, negative, margin):
    calls.append(margin)
    return hinge(positive, negative, -margin)

@pytest.mark.minitower("triplet_hinge")
def test_right(golden):
    golden.check(hinge)

@pytest.mark.minitower("triplet_hinge")
def test_wrong(golden):
    golden.check(subtracted)

def test_ran_once():
    assert len(calls) == 6

@pytest.mark.minitower("triplet_hinge", given={"p": "positive", "n": "negative"}, dtype="float32")
@pytest.mark.parametrize("power", [1])
def test_options(golden, power):
    golden.check(lambda p, n, margin: hinge(p, n, margin ** power))

@pytest.mark.minitower("sampler")
def test_sampler(golden):
    golden.check(lambda p, size, rng: rng.integers(len(p), size=size))
"""


@pytest.fixture
def project(tmp_path):
    """Runs pytest in a folder with a test file; returns the exit status and what was printed."""

    def run(source, *arguments):
        (tmp_path / "test_losses.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "minitower.pytest_plugin",
                   "-p", "no:cacheprovider", "--strict-markers", *arguments]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
        return done.returncode, done.stdout + done.stderr

    run.folder = tmp_path
    return run


def outcomes(printed):
    """Name of a test -> what became of it."""
    lines = (line.split() for line in printed.splitlines())
    words = ("PASSED", "FAILED", "XFAIL", "ERROR")
    return {
        line[1].partition("::")[2]: line[0] for line in lines if len(line) > 1 and line[0] in words
    }


def test_one_test_a_case_with_the_mistake_in_its_failure(project):
    status, printed = project(TESTS)
    became = outcomes(printed)
    names = [case.name for case in FORMULAS["triplet_hinge"].cases]
    assert status == 1
    assert [became[f"test_right[{name}]"] for name in names] == ["PASSED"] * len(names)
    wrong = [became[f"test_wrong[{name}]"] for name in names]
    assert wrong.count("FAILED") == 5
    assert became["test_wrong[separated]"] == "PASSED", "all leads are far beyond the margin"
    assert became["test_ran_once"] == "PASSED"
    assert became["test_options[plain-1]"] == became["test_options[extreme-1]"] == "PASSED"
    assert became["test_sampler[skewed]"] == "FAILED"
    assert became["test_sampler[one_item]"] == "PASSED"
    assert 'matches the known mistake "margin subtracted"' in printed
    assert "fix: negative - positive + margin" in printed
    assert 'matches the known mistake "uniform draws"' in printed
    assert "Traceback" not in printed


def test_an_unknown_mistake_is_shown_in_numbers(project):
    _, printed = project(TESTS.replace("hinge(positive, negative, -margin)", "hinge(2 * positive, "
                                       "negative, margin)"), "-k", "test_wrong")  # fmt: skip
    assert "matches no known mistake" in printed
    assert "the smallest failing case is one" in printed


def test_known_failures_stand_in_a_file(project):
    known = project.folder / "known.txt"
    known.write_text("# margin\ntest_losses.py::test_wrong  # all cases\n\n"
                     "test_losses.py::test_sampler[skewed]\n")  # fmt: skip
    status, printed = project(TESTS, "--minitower-xfail", "known.txt", "-k", "wrong or sampler")
    became = outcomes(printed)
    assert became["test_wrong[plain]"] == "XFAIL"
    assert became["test_wrong[separated]"] == "FAILED", "a known failure that passes"
    assert became["test_sampler[skewed]"] == "XFAIL"
    assert became["test_sampler[uniform]"] == "PASSED"
    assert (status, "stands in known.txt" in printed) == (1, True)


@pytest.mark.parametrize(
    "source, message",
    [
        ('@pytest.mark.minitower("hinge")\ndef test_x(golden): pass', "no formula 'hinge'"),
        ('@pytest.mark.minitower("recall")\ndef test_x(): pass', "and the argument golden"),
        ("@pytest.mark.minitower()\ndef test_x(golden): pass", "expected @pytest.mark.minitower("),
    ],
)
def test_usage_errors_are_said(project, source, message):
    status, printed = project(f"import pytest\n{source}\n")
    assert status != 0
    assert message in printed


def test_a_missing_file_of_known_failures(project):
    status, printed = project("def test_x(): pass", "--minitower-xfail", "nowhere.txt")
    assert (status, "--minitower-xfail nowhere.txt: cannot be read" in printed) == (4, True)


def test_a_project_without_marks_loads_no_checker(project):
    source = "import sys\ndef test_x(): assert 'minitower.conformance' not in sys.modules\n"
    assert project(source)[0] == 0


def test_the_plugin_is_an_entry_point():
    pyproject = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))
    assert pyproject["project"]["entry-points"]["pytest11"] == {
        "minitower.pytest_plugin": "minitower.pytest_plugin"
    }
