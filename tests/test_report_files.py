"""The Markdown of a report: what is in it, and that a table shows any text."""

import re

import pytest
from losses import cosine_without_zero_rule

from minitower.conformance import check
from minitower.conformance.formula import Case
from minitower.conformance.mistake import Mistake
from minitower.conformance.report import Report, Result
from minitower.conformance.report_files import as_junit, as_markdown


def hinge(positive, negative, margin, factor=1):
    short = margin + negative - positive
    active = (short > 0) / len(short)
    return factor * short.clip(0).mean(), (-active, active)


def subtracted(positive, negative, margin):
    return hinge(positive, negative, -margin)


def cells(line):
    """The cells of a row, as a reader of Markdown splits and shows them."""
    split = re.split(r"(?<!\\)\|", line)[1:-1]
    return [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in split]


def table(markdown):
    return [cells(line) for line in markdown.splitlines() if line.startswith("|")][2:]


def test_markdown__of_what_passes_has_no_table():
    markdown = as_markdown(check(hinge, formula="triplet_hinge"), "losses.py:hinge").decode()
    assert markdown == (
        "### losses.py:hinge\n\n✓ all cases pass: triplet\\_hinge (numpy, float64)\n"
    )


def test_markdown__has_the_cases_that_fail_with_the_mistake_and_the_fix():
    report = check(subtracted, formula="triplet_hinge")
    markdown = as_markdown(report, "losses.py:subtracted").decode()
    assert "✗ 5 of 6 cases fail: triplet\\_hinge" in markdown
    rows = table(markdown)
    assert [row[0] for row in rows] == [result.case.name for result in report.failed]
    for row, result in zip(rows, report.failed, strict=True):
        assert row[1:] == [result.case.why, result.failure, "margin subtracted"]
    assert markdown.count("\nFix: ") == 1


def test_markdown__has_the_numbers_where_no_mistake_is_known():
    report = check(lambda *a: hinge(*a, factor=3), formula="triplet_hinge")
    markdown = as_markdown(report, "f").decode()
    assert {row[3] for row in table(markdown)} == {""}
    assert "\n      loss is 3 times what it should be" in markdown
    assert "Fix" not in markdown


def test_markdown__names_an_allowed_choice():
    report = check(cosine_without_zero_rule, formula="cosine", allow=["zero_vectors"])
    markdown = as_markdown(report, "f").decode()
    assert "✓ all cases pass" in markdown
    assert [row[::2] for row in table(markdown)] == [["zero_vectors", "zero_vectors is allowed"]]


HOSTILE = ["a | b", "*bold* _it_", "<b>&amp;</b>", "`code`", "\\", "[x](y)", "#1 @me", "a\nb  c"]


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown__shows_any_text_in_one_cell(text):
    mistake = Mistake(text, text, lambda: None)
    result = Result(Case("one", text, {}), text, mistake=mistake)
    markdown = as_markdown(Report("f", "numpy", (result,), mistake), text).decode()
    shown = " ".join(text.split())
    assert table(markdown) == [["one", shown, shown, shown]]
    assert not re.search(r"(?<!\\)[<`]", markdown)


@pytest.mark.parametrize("text", ["\x00", "\ud800", "\x1b[31m"])
def test_files__hold_characters_that_cannot_be_written(text):
    result = Result(Case("one", "", {}), text)
    report = Report("f", "numpy", (result,), details=text)
    assert "�" in as_markdown(report, text).decode()
    assert "�" in as_junit(report, text).decode()
