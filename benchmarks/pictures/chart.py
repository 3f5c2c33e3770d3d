"""Axes: from values to pixels, with grid lines, tick labels, and names written on the lines."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pictures.svg import Picture, Point


@dataclass(frozen=True)
class Scale:
    """Maps values from `low` to `high` to pixels from `start` to `end`, or their logarithms."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value. A logarithmic scale needs positive values."""
        f = math.log if self.logarithmic else float
        share = (f(value) - f(self.low)) / (f(self.high) - f(self.low))
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class Chart:
    """Two scales on a picture. The y scale starts at its lower end, that is at the larger pixel."""

    picture: Picture
    x: Scale
    y: Scale

    def y_axis(
        self, ticks: Iterable[float], label: str, labels: Sequence[str] | None = None
    ) -> None:
        """Grid lines with numbers at the left, and the name of the axis above them."""
        ticks = list(ticks)
        for tick, words in zip(ticks, labels or map(signed, ticks), strict=True):
            y = self.y(tick)
            self.picture.line([(self.x.start, y), (self.x.end, y)], "line")
            self.picture.text(self.x.start - 8, y, words, "muted", size=13, anchor="end")
        self.picture.text(self.x.start, self.y.end - 20, label, "muted", size=13)

    def x_axis(
        self, ticks: Iterable[float], label: str, labels: Sequence[str] | None = None
    ) -> None:
        """Numbers below the chart, and the name of the axis below them."""
        ticks = list(ticks)
        for tick, words in zip(ticks, labels or map(signed, ticks), strict=True):
            x = self.x(tick)
            self.picture.line([(x, self.y.start), (x, self.y.start + 5)], "line")
            self.picture.text(x, self.y.start + 17, words, "muted", size=13, anchor="middle")
        middle = (self.x.start + self.x.end) / 2
        self.picture.text(middle, self.y.start + 40, label, "muted", size=13, anchor="middle")

    def points(self, xs: Iterable[float], ys: Iterable[float]) -> list[Point]:
        """Pixels of pairs of values."""
        return [(self.x(x), self.y(y)) for x, y in zip(xs, ys, strict=True)]

    def line(
        self,
        xs: Iterable[float],
        ys: Iterable[float],
        color: str,
        *,
        thickness: float = 2.5,
        dashes: str = "",
    ) -> None:
        """A line through pairs of values; what lies below the chart is cut off."""
        pixels = self.points(xs, ys)
        self.picture.line(clipped(pixels, self.y), color, thickness=thickness, dashes=dashes)


def signed(value: float) -> str:
    """A number with a real minus sign.

    >>> signed(-1.5), signed(20.0)
    ('−1.5', '20')
    """
    return f"{value:g}".replace("-", "−")


def round_steps(low: float, high: float, about: int = 5) -> list[float]:
    """The multiples of a round step within a range, roughly as many as wanted.

    >>> round_steps(0.13, 0.42)
    [0.15, 0.2, 0.25, 0.3, 0.35, 0.4]
    """
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda m: abs(math.log(m * power / rough)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 1 - math.floor(math.log10(step))) for i in range(first, last + 1)]


def clipped(points: Sequence[Point], y: Scale) -> list[Point]:
    """The part of a line from left to right that a scale holds, with the ends on its border."""
    top, bottom = min(y.start, y.end), max(y.start, y.end)
    kept: list[Point] = []
    for (x0, y0), (x1, y1) in pairwise(points):
        within = top <= y0 <= bottom, top <= y1 <= bottom
        piece = [(x0, y0)] if within[0] else []
        crossings = [
            (edge - y0) / (y1 - y0) for edge in (top, bottom) if (edge - y0) * (edge - y1) < 0
        ]
        piece += [(x0 + share * (x1 - x0), y0 + share * (y1 - y0)) for share in sorted(crossings)]
        piece += [(x1, y1)] if within[1] else []
        kept += piece[1:] if kept and piece and kept[-1] == piece[0] else piece
    return kept


def spread(places: Sequence[float], gap: float) -> list[float]:
    """Move places apart until neighbors keep a gap, each as little as its group allows.

    >>> spread([10, 12, 40], gap=10)
    [6.0, 16.0, 40.0]
    """
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[tuple[float, list[int]]] = []  # (the middle, its members)
    for i in order:
        middle, members = places[i], [i]
        while (
            groups
            and groups[-1][0] + gap * len(groups[-1][1]) / 2 > middle - gap * len(members) / 2
        ):
            members = groups.pop()[1] + members
            middle = sum(places[j] for j in members) / len(members)
        groups.append((middle, members))
    moved = [0.0] * len(places)
    for middle, members in groups:
        for rank, i in enumerate(members):
            moved[i] = float(middle + gap * (rank - (len(members) - 1) / 2))
    return moved
