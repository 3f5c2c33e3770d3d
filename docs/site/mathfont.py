"""A font for formulas, cut down to the characters that formulas use.

A browser sets MathML well only with a font that has a table of mathematics, and many systems have
none. The package ziamath brings STIX Two Math (SIL Open Font License). The site takes its part.
"""

from __future__ import annotations

import logging
from importlib.resources import files
from pathlib import Path

BLOCKS = (
    (0x20, 0x7E), (0xA0, 0xFF), (0x300, 0x338), (0x391, 0x3F6), (0x2010, 0x203E), (0x2061, 0x2064),
    (0x2100, 0x2135), (0x2190, 0x21FF), (0x2200, 0x22FF), (0x2308, 0x230B), (0x27E8, 0x27EB),
    (0x1D400, 0x1D467), (0x1D538, 0x1D56B), (0x1D6A4, 0x1D71B),
)  # fmt: skip
"""Unicode's letters, Greek, arrows, operators, brackets and the alphabets of mathematics."""


def write(path: Path) -> None:
    """Write the font as WOFF 2."""
    from fontTools.subset import Options, Subsetter, load_font, save_font

    logging.getLogger("fontTools").setLevel(logging.ERROR)
    options = Options(flavor="woff2", layout_features=["ssty", "dtls", "flac"], notdef_outline=True)
    font = load_font(str(files("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf"), options)
    cut = Subsetter(options)
    cut.populate(unicodes=[code for first, last in BLOCKS for code in range(first, last + 1)])
    cut.subset(font)
    save_font(font, str(path), options)
