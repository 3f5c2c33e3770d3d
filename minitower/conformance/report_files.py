"""A report for machines: JSON, the XML that CI servers read as JUnit's, Markdown, a badge.

Chapter 17.
"""

from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree as xml

from minitower.conformance.mistake import Mistake
from minitower.conformance.report import Report, Result

_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>|#~@])")
_COLORS = {"brightgreen": "#4c1", "red": "#e05d44", "lightgrey": "#9f9f9f"}
_CHARACTER, _MARGIN, _HEIGHT = 7, 10, 20  # pixels


def as_json(report: Report) -> dict[str, Any]:
    """A report as JSON has it: no object but dicts, lists, strings and booleans.

    The outcome of a case is "passed", "failed", "unusable" (nothing could be compared), or
    "allowed" (it differs by an allowed choice).
    """
    return {
        "formula": report.formula,
        "how": report.how,
        "passed": report.passed,
        "mistake": _words(report.mistake),
        "details": report.details,
        "cases": [_case(result) for result in report.cases],
    }


def as_junit(report: Report, name: str) -> bytes:
    """A report as a test suite in JUnit's XML.

    Args:
        name: what was checked.
    """
    suites = xml.Element("testsuites")
    broken = sum(result.unusable for result in report.failed)
    suite = xml.SubElement(suites, "testsuite", {
        "name": clean(f"minitower check {report.formula}"),
        "tests": str(len(report.cases)),
        "failures": str(len(report.failed) - broken),
        "errors": str(broken),
        "skipped": str(sum(result.allowed for result in report.cases)),
    })  # fmt: skip
    for result in report.cases:
        case = xml.SubElement(
            suite, "testcase", {"classname": clean(name), "name": result.case.name}
        )
        if result.allowed:
            xml.SubElement(case, "skipped", {"message": f"{result.case.choice} is allowed"})
        elif result.failure is not None:
            known = "" if result.mistake is None else f": {result.mistake.name}"
            what = xml.SubElement(
                case,
                "error" if result.unusable else "failure",
                {"message": clean(f"{result.failure}{known}")},
            )
            what.text = clean(report.of_case(result.case.name) or "")
    xml.indent(suites)
    return bytes(xml.tostring(suites, "utf-8", xml_declaration=True)) + b"\n"


def as_markdown(report: Report, name: str) -> bytes:
    """A report as Markdown, for a comment on a pull request: the cases that did not pass.

    Args:
        name: what was checked.
    """
    failed = len(report.failed)
    outcome = f"✗ {failed} of {len(report.cases)} cases fail" if failed else "✓ all cases pass"
    lines = [f"### {_cell(name)}", "", f"{outcome}: {_cell(report.formula)} ({report.how})"]
    rows = [result for result in report.cases if result.failure is not None or result.allowed]
    if rows:
        lines += ["", "| case | what it holds | result | known mistake |", "|---|---|---|---|"]
    for result in rows:
        outcome = f"{result.case.choice} is allowed" if result.allowed else str(result.failure)
        known = "" if result.mistake is None else result.mistake.name
        cells = (result.case.name, result.case.why, outcome, known)
        lines.append(f"| {' | '.join(map(_cell, cells))} |")
    for fix in dict.fromkeys(r.mistake.fix for r in report.failed if r.mistake is not None):
        lines += ["", f"Fix: {_cell(fix)}"]
    if failed and report.details:
        lines += ["", *(f"    {line}" for line in clean(report.details).splitlines())]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def message(report: Report) -> tuple[str, str]:
    """The words of a badge, and shields.io's name of its color."""
    cases = len(report.cases)
    if report.unusable is not None:
        return "not comparable", "lightgrey"
    if report.failed:
        return f"{len(report.failed)} of {cases} cases fail", "red"
    allowed = sum(result.allowed for result in report.cases)
    words = f"{cases - allowed} cases pass"
    return f"{words}, {allowed} allowed" if allowed else words, "brightgreen"


def as_shields(report: Report) -> bytes:
    """A report for an endpoint badge of shields.io: https://shields.io/badges/endpoint-badge."""
    words, color = message(report)
    badge = {"schemaVersion": 1, "label": report.formula, "message": words, "color": color}
    return f"{json.dumps(badge)}\n".encode()


def as_svg(report: Report) -> bytes:
    """A report as a flat badge. It names no font file and loads nothing."""
    words, color = message(report)
    label = clean(report.formula)
    left, right = (len(text) * _CHARACTER + _MARGIN for text in (label, words))
    svg = xml.Element("svg", {
        "xmlns": "http://www.w3.org/2000/svg", "width": str(left + right),
        "height": str(_HEIGHT), "role": "img", "aria-label": f"{label}: {words}",
    })  # fmt: skip
    xml.SubElement(svg, "title").text = f"{label}: {words}"
    for x, width, fill in ((0, left, "#555"), (left, right, _COLORS[color])):
        box = {"x": x, "width": width, "height": _HEIGHT, "fill": fill}
        xml.SubElement(svg, "rect", {key: str(value) for key, value in box.items()})
    for middle, text in ((left / 2, label), (left + right / 2, words)):
        xml.SubElement(svg, "text", {
            "x": f"{middle:g}", "y": "14", "fill": "#fff", "text-anchor": "middle",
            "font-family": "Verdana,DejaVu Sans,sans-serif", "font-size": "11",
        }).text = text  # fmt: skip
    return bytes(xml.tostring(svg, "utf-8")) + b"\n"


BADGES = {".svg": as_svg, ".json": as_shields}
"""The end of a file's name -> what writes it."""


def _cell(text: str) -> str:
    """A string that Markdown shows as it is, also in a table."""
    return _MARKDOWN.sub(r"\\\1", " ".join(clean(text).split()))


def _case(result: Result) -> dict[str, Any]:
    return {
        "name": result.case.name,
        "why": result.case.why,
        "outcome": result.outcome,
        "failure": result.failure,
        "mistake": _words(result.mistake),
    }


def _words(mistake: Mistake | None) -> dict[str, str] | None:
    return None if mistake is None else {"name": mistake.name, "fix": mistake.fix}


def clean(text: str) -> str:
    """A string without the characters that XML cannot hold."""
    return _NOT_IN_XML.sub("�", text)
