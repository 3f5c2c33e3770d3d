"""Formulas as MathML, which browsers set without a script and without a network."""

from __future__ import annotations

import re
from typing import Any

from docutils.nodes import SkipNode
from latex2mathml.converter import convert

SPACING = (
    # a thin space between the name of a function and its argument
    (r"(?<!sub>)(?<!der>)(?<!sup>)(<mi>(?:log|exp|cos|sin|max|min)</mi>)(?=<m[^o])",
     r'\1<mspace width="0.17em"/>'),
    # a minus sign that begins a term
    (r"(<mo[^>]*>(?:=|&#x0003D;|,|&#x0002C;)</mo>)<mo>(&#x02212;|\u2212)</mo>",
     r'\1<mo form="prefix">\2</mo>'),
    # a slash between two letters
    (r"<mo>(/|&#x0002F;)</mo>", r'<mo lspace="0" rspace="0">\1</mo>'),
    # the bars of a norm, as high as a letter
    (r"<mo>(&#x02016;|‖)</mo>", r'<mo stretchy="false" lspace="0" rspace="0">\1</mo>'),
)  # fmt: skip
"""What the converter leaves to the browser and TeX does otherwise."""


def mathml(latex: str, display: str = "inline") -> str:
    """The formula.

    >>> mathml("a/b").count('lspace="0"')
    1
    """
    found = convert(latex, display=display)
    for pattern, replacement in SPACING:
        found = re.sub(pattern, replacement, found)
    return found


def inline(writer: Any, node: Any) -> None:
    """A formula in a sentence."""
    writer.body.append(mathml(node.astext()))
    raise SkipNode


def block(writer: Any, node: Any) -> None:
    """A formula on lines of its own. A wide one scrolls by itself; the page does not."""
    writer.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>\n')
    raise SkipNode
