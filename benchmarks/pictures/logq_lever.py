"""log q as a lever: the learned score over clicks, for three weights of log q.

A model that is trained with weight beta learns log p(item | user) - (1 - beta) log q.
"""

from __future__ import annotations

import numpy as np

import minitower as mt
from pictures.chart import Chart, Scale, spread
from pictures.example import TEMPERATURE, data, trained
from pictures.svg import Picture

WEIGHTS = (
    (0.0, "orange", "no log q"),
    (0.25, "purple", "a quarter of it"),
    (1.0, "blue", "the whole log q"),
)


def mean_scores(logq_weight: float) -> np.ndarray:
    """The mean logit of each item over all users, shifted to the mean 0 over clicked items."""
    model = trained(logq_weight)
    users = mt.encode(model.user, data().users).mean(axis=0)
    scores = mt.encode(model.item, data().items) @ users / TEMPERATURE
    return scores - scores[data().item_counts > 0].mean()


def draw() -> Picture:
    """A dot for each item, and the line of least squares through the dots of each weight."""
    counts = data().item_counts
    known = counts > 0
    clicks = counts[known]
    scores = {weight: mean_scores(weight)[known] for weight, *_ in WEIGHTS}
    slopes = {w: np.polyfit(np.log(clicks), s, 1) for w, s in scores.items()}
    told = ", ".join(f"{slopes[w][0]:+.2f} for weight {w:g}" for w, *_ in WEIGHTS)
    picture = Picture(
        "The weight of log q is a lever: it turns the learned score towards popular items",
        f"Mean score of {len(clicks)} items over their clicks. Slope by log clicks: {told}.",
        420,
    )
    low = np.floor(min(s.min() for s in scores.values()))
    high = np.ceil(max(s.max() for s in scores.values()))
    chart = Chart(
        picture, Scale(1, float(clicks.max()), 80, 600, logarithmic=True), Scale(low, high, 350, 50)
    )
    chart.y_axis(np.arange(low, high + 1, 2), "learned score of the item, mean over all users")
    chart.x_axis([1, 3, 10, 30, 100], "training clicks of the item")
    ends = [chart.y(np.polyval(slopes[w], np.log(clicks.max()))) for w, *_ in WEIGHTS]
    for (weight, color, words), label in zip(WEIGHTS, spread(ends, 44), strict=True):
        picture.dots(chart.points(clicks, scores[weight]), 2, color, opacity=0.35)
        chart.line(
            [1, clicks.max()],
            np.polyval(slopes[weight], np.log([1, clicks.max()])),
            color,
            thickness=3,
        )
        picture.text(620, label - 9, f"β = {weight:g}", color, size=17, bold=True)
        picture.text(620, label + 10, f"{words}: slope {slopes[weight][0]:.2f}", color, size=13)
    return picture
