"""Badges: their words, their color, and files that others read."""

import json
from xml.etree import ElementTree

import pytest
from losses import cosine_without_zero_rule

from minitower.conformance import check
from minitower.conformance.formula import Case
from minitower.conformance.report import Report, Result
from minitower.conformance.report_files import BADGES, as_shields, as_svg, message


def hinge(positive, negative, margin, sign=1):
    short = margin + sign * (negative - positive)
    active = sign * (short > 0) / len(short)
    return short.clip(0).mean(), (-active, active)


RIGHT = check(hinge, formula="triplet_hinge")
WRONG = check(hinge, formula="triplet_hinge", given={"sign": -1})
PARTLY = check(lambda p, n, margin: hinge(p, n, -margin), formula="triplet_hinge")
UNUSABLE = check(lambda positive, negative, margin: None, formula="triplet_hinge")
ALLOWED = check(cosine_without_zero_rule, formula="cosine", allow=["zero_vectors"])


@pytest.mark.parametrize("report, words, color", [
    (RIGHT, "6 cases pass", "brightgreen"),
    (WRONG, "6 of 6 cases fail", "red"),
    (PARTLY, "5 of 6 cases fail", "red"),
    (UNUSABLE, "not comparable", "lightgrey"),
    (ALLOWED, f"{len(ALLOWED.cases) - 1} cases pass, 1 allowed", "brightgreen"),
])  # fmt: skip
def test_message(report, words, color):
    assert message(report) == (words, color)


def test_shields__is_what_an_endpoint_has_to_return():
    """https://shields.io/badges/endpoint-badge: schemaVersion is 1; label and message stand."""
    assert json.loads(as_shields(WRONG)) == {
        "schemaVersion": 1, "label": "triplet_hinge", "message": "6 of 6 cases fail",
        "color": "red",
    }  # fmt: skip


@pytest.mark.parametrize("report", [RIGHT, WRONG, UNUSABLE, ALLOWED])
def test_svg__shows_label_and_message_side_by_side(report):
    svg = ElementTree.fromstring(as_svg(report))
    space = "{http://www.w3.org/2000/svg}"
    label, words = svg.findall(f"{space}text")
    left, right = svg.findall(f"{space}rect")
    assert (label.text, words.text) == (report.formula, message(report)[0])
    assert svg.get("aria-label") == f"{label.text}: {words.text}"
    assert int(left.get("width")) == int(right.get("x"))
    assert int(left.get("width")) + int(right.get("width")) == int(svg.get("width"))
    for box, text in ((left, label), (right, words)):
        middle = int(box.get("x")) + int(box.get("width")) / 2
        assert float(text.get("x")) == middle
        assert 6 * len(text.text) < int(box.get("width"))


def test_svg__colors_differ():
    fills = {as_svg(report).split(b'fill="')[2][:7] for report in (RIGHT, WRONG, UNUSABLE)}
    assert len(fills) == 3


def test_svg__holds_any_text():
    report = Report("<&\x00>", "numpy", (Result(Case("one", "", {}), None),))
    svg = ElementTree.fromstring(as_svg(report))
    assert svg[0].text == "<&�>: 1 cases pass"


def test_badges__by_the_end_of_a_name():
    assert {".svg": as_svg, ".json": as_shields} == BADGES
