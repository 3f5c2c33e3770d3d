"""The alias table: unequal probabilities become slots of equal height.

An item above the line fills the slots that lack something. A slot holds at most two items.
"""

from __future__ import annotations

import numpy as np

from minitower.formulas.alias_table import build_alias_table_vose, distribution
from minitower.formulas.sampling import power_law
from pictures.svg import Picture

CLICKS = (32, 16, 4, 2, 1, 1)
NAMES = "ABCDEF"
COLORS = ("blue", "orange", "purple", "green", "muted", "muted")
WIDTH, GAP, BASE, UNIT = 44, 12, 330, 100


def draw() -> Picture:
    """Bars of K times p at the left, the slots of the table at the right."""
    p = power_law(CLICKS, 0.75)
    keep, alias = build_alias_table_vose(p)
    assert np.allclose(distribution(keep, alias), p)
    k = len(p)
    slots = "; ".join(
        f"slot {NAMES[i]}: {keep[i]:.2f} {NAMES[i]}"
        + (f" and {1 - keep[i]:.2f} {NAMES[alias[i]]}" if keep[i] < 1 else "")
        for i in range(k)
    )
    picture = Picture(
        "The alias table: what is too much for one slot fills another",
        f"Draws in proportion to clicks^0.75. {slots}.",
        400,
    )
    for start, title in ((50, "what each item should get"), (476, "the table: equal slots")):
        picture.text(start - 4, 24, title, "ink", size=17, bold=True)
        end = start + k * (WIDTH + GAP) - GAP
        picture.line([(start - 10, BASE), (end + 10, BASE)], "line")
        for i in range(k):
            x = start + i * (WIDTH + GAP)
            picture.text(
                x + WIDTH / 2, BASE + 18, NAMES[i], COLORS[i], size=16, anchor="middle", bold=True
            )
            pieces = (
                [(k * p[i], i)] if start == 50 else [(keep[i], i), (1 - keep[i], int(alias[i]))]
            )
            y = BASE
            for height, item in pieces:
                if height > 1e-9:
                    y -= UNIT * height
                    picture.rect(x, y, WIDTH, UNIT * height, COLORS[item], radius=3)
                    if UNIT * height > 22:
                        picture.text(
                            x + WIDTH / 2,
                            y + UNIT * height / 2,
                            f"{height:.2f}",
                            "page",
                            size=13,
                            anchor="middle",
                        )
        line = [(start - 10, BASE - UNIT), (end + 10, BASE - UNIT)]
        picture.line(line, "ink", thickness=1.5, dashes="5 4")
    picture.line([(398, BASE - UNIT / 2), (446, BASE - UNIT / 2)], "ink", thickness=2, arrow=True)
    picture.text(50, BASE + 48, "K times the probability; the line is one slot", "muted")
    picture.text(476, BASE + 48, "to draw: pick a slot, then one of its two", "muted")
    return picture
