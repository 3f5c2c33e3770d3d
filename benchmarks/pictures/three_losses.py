"""The three ways to train, as losses over the score of the clicked item.

All three are the same bend, log(1 + exp(-x)). They differ in the place where they bend.
"""

from __future__ import annotations

import numpy as np

from minitower.formulas.pairwise import triplet_logistic
from minitower.formulas.pointwise import pointwise_logistic
from minitower.formulas.softmax import listwise_softmax
from pictures.chart import Chart, Scale
from pictures.svg import Picture

OTHER, MANY, SCALE = 0.2, 20, 10.0
WAYS = (
    ("pointwise", "green", "the pair alone"),
    ("pairwise", "purple", "against one other"),
    ("listwise", "blue", f"against {MANY} others"),
)


def loss_and_pull(way: str, cosine: float) -> tuple[float, float]:
    """The loss of one example, and the pull on the clicked item's cosine."""
    if way == "pointwise":
        loss, (d_cosine, *_) = pointwise_logistic([cosine], [1], scale=SCALE)
    elif way == "pairwise":
        loss, (d_cosine, _) = triplet_logistic([cosine], [OTHER], scale=SCALE)
    else:
        others = np.full((1, MANY), OTHER)
        loss, (d_cosine, _) = listwise_softmax([cosine], others, temperature=1 / SCALE)
    return loss, -float(d_cosine[0])


def bend(way: str) -> float:
    """The cosine at which half of the pull is left, by bisection."""
    low, high = -1.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if loss_and_pull(way, middle)[1] > SCALE / 2 else (low, middle)
    return low


def draw() -> Picture:
    """The loss at the left, the pull at the right."""
    bends = ", ".join(f"{way} {bend(way):.2f}" for way, *_ in WAYS)
    picture = Picture(
        "Three ways to train: the same bend at three places",
        f"Loss and pull over the cosine of the clicked item; other items have the cosine {OTHER}. "
        f"Half of the pull is left at: {bends}.",
        380,
    )
    cosines = np.linspace(-1, 1, 81)
    curves = {way: [loss_and_pull(way, c) for c in cosines] for way, *_ in WAYS}
    panels = (
        ("loss", 0, Scale(0, 15, 310, 50), (0, 5, 10, 15)),
        ("pull on the clicked item", 1, Scale(0, SCALE, 310, 50), (0, 5, 10)),
    )
    for (title, which, y, ticks), start in zip(panels, (50, 480), strict=True):
        chart = Chart(picture, Scale(-1, 1, start, start + 330), y)
        chart.y_axis(ticks, title)
        chart.x_axis([-1, -0.5, 0, 0.5, 1], "cosine of the clicked item")
        picture.line([(chart.x(OTHER), y.start), (chart.x(OTHER), y.end)], "muted", dashes="3 4")
        for way, color, *_ in WAYS:
            chart.line(cosines, [pair[which] for pair in curves[way]], color, thickness=3)
    picture.rect(284, 58, 120, 134, "page")
    for i, (way, color, words) in enumerate(reversed(WAYS)):
        y = 72 + 44 * i
        picture.text(292, y, way, color, size=15, bold=True)
        picture.text(292, y + 18, words, color, size=13)
        x, middle = chart.x(bend(way)), chart.y(SCALE / 2)
        picture.circle(x, middle, 5, color)
        side, anchor = (-10, "end") if way == "pointwise" else (10, "start")
        words = f"{abs(bend(way)):.1f}"
        picture.text(x + side, middle - 12, words, color, size=14, bold=True, anchor=anchor)
    picture.text(chart.x(OTHER) - 6, 300, "the others' cosine", "muted", size=13, anchor="end")
    return picture
