"""The figure of a claim: a dot for each seed, the mean of an arm, and its interval."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))  # for the package `pictures`

from pictures.chart import Scale, round_steps
from pictures.svg import WIDTH, Picture

FIGURES = {
    "attained@50": "expected clicks on 50 recalled items, over the most that any 50 would get",
    "attained@50 at": "expected clicks on 50 recalled items, over the most possible at that hour",
    "attained@50 on day": "expected clicks on 50 recalled items, over the most possible that day",
    "recall@20": "share of the hidden clicks among 20 recalled items",
    "tail": "share of the hidden clicks on rare items that is found",
    "accuracy": "share of clicks and negatives on the right side of the threshold",
    "recalls": "cost of one recall, in recalls from stored vectors",
}
"""Plain words for the figures that decide."""

TASKS = {
    "funnel": "simulated funnel",
    "living": "simulated funnel, day by day",
    "ml-1m-split": "MovieLens-1M",
    "gowalla-split": "Gowalla",
    "yelp": "Yelp",
}
ROW, HEAD, FOOT, KEY = 24, 44, 58, 40


@dataclass(frozen=True)
class Row:
    """One line of a panel: its values by seed, their mean, and a 95% interval (or NaN)."""

    label: str
    values: Sequence[float]
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Panel:
    """The rows of one data set, and what is measured there."""

    task: str
    figure: str
    rows: Sequence[Row]


def draw(says: str, panels: Sequence[Panel], against: str = "") -> Picture:
    """Panels one below the other, with one column of labels.

    Args:
        says: the sentence of the claim.
        panels: the data sets.
        against: the arm whose values are subtracted, seed by seed; "": none is.
    """
    foot = FOOT + (18 if against else 0)
    height = sum(HEAD + ROW * len(panel.rows) + foot for panel in panels) + KEY
    told = "; ".join(
        f"{TASKS.get(panel.task, panel.task)}, {panel.figure}: "
        + ", ".join(f"{row.label} {row.mean:.3g}" for row in panel.rows)
        for panel in panels
    )
    over = f"difference from '{against}' with the same seed"
    picture = Picture(says, f"Means{', ' + over if against else ''}. {told}.", height)
    longest = max(len(row.label) for panel in panels for row in panel.rows)
    left, top = 24 + 6.9 * longest, 0.0
    for panel in panels:
        values = [v for row in panel.rows for v in (*row.values, row.low, row.high)]
        values = [v for v in values if not math.isnan(v)] + ([0.0] if against else [])
        low, high = min(values), max(values)
        pad = 0.04 * (high - low or 1)
        x = Scale(low - pad, high + pad, left, WIDTH - 24)
        bottom = top + HEAD + ROW * len(panel.rows)
        picture.text(x.start, top + 24, TASKS.get(panel.task, panel.task), size=15, bold=True)
        for tick in round_steps(x.low, x.high):
            looks = ("muted", 1.5) if against and tick == 0 else ("line", 1)
            picture.line([(x(tick), top + HEAD), (x(tick), bottom)], looks[0], thickness=looks[1])
            picture.text(x(tick), bottom + 14, f"{tick:g}", "muted", size=13, anchor="middle")
        words = [FIGURES.get(panel.figure, panel.figure), *([over] if against else [])]
        for i, line in enumerate(words):
            y = bottom + 36 + 18 * i
            picture.text((x.start + x.end) / 2, y, line, "muted", size=13, anchor="middle")
        for i, row in enumerate(panel.rows):
            _row(picture, x, top + HEAD + ROW * (i + 0.5), row)
        top = bottom + foot
    _key(picture, left, top + 14)
    return picture


def _row(picture: Picture, x: Scale, y: float, row: Row) -> None:
    picture.text(x.start - 12, y, row.label, size=13, anchor="end")
    if not math.isnan(row.low):
        picture.line([(x(row.low), y), (x(row.high), y)], "blue", thickness=1.5)
    for value in row.values:
        picture.circle(x(value), y, 3.5, "blue", opacity=0.55)
    picture.circle(x(row.mean), y, 5, "blue")


def _key(picture: Picture, left: float, y: float) -> None:
    """What dots and bars are."""
    picture.circle(left + 4, y, 3.5, "blue", opacity=0.55)
    picture.text(left + 14, y, "one seed", "muted", size=13)
    picture.circle(left + 96, y, 5, "blue")
    picture.text(left + 108, y, "mean", "muted", size=13)
    picture.line([(left + 164, y), (left + 194, y)], "blue", thickness=1.5)
    picture.text(left + 202, y, "95% interval of the mean", "muted", size=13)
