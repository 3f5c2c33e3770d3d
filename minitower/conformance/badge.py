"""A report as a badge: an SVG image, or the JSON that shields.io draws one from. Chapter 17."""

from __future__ import annotations

import json
from xml.etree import ElementTree as xml

from minitower.conformance.report import Report
from minitower.conformance.report_files import clean

_COLORS = {"brightgreen": "#4c1", "red": "#e05d44", "lightgrey": "#9f9f9f"}
_CHARACTER, _MARGIN, _HEIGHT = 7, 10, 20  # pixels


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
