"""Recall by popularity, with and without log q.

Each slice of items holds the same number of hidden clicks; items that training never saw are
left out. Without the correction, a model finds rare items and loses the popular ones.
"""

from __future__ import annotations

from pictures.chart import Chart, Scale, spread
from pictures.example import K, report
from pictures.svg import Picture

SYSTEMS = (
    (1.0, "with −log q", "blue"),
    (0.0, "without log q", "orange"),
    (None, "most popular", "muted"),
)


def recalls(logq_weight: float | None) -> dict[str, float]:
    """Recall by slice, rarest first."""
    parts = report(logq_weight).slices
    return {
        p.name.removesuffix(" clicks"): p.recall[K]
        for p in parts
        if p.recall[K] is not None and p.name != "new"
    }


def draw() -> Picture:
    """Lines over slices from the rarest items to the most clicked ones."""
    overall = {name: report(weight)[f"recall@{K}"] for weight, name, _ in SYSTEMS}
    slices = {name: list(recalls(weight).values()) for weight, name, _ in SYSTEMS}
    names = list(recalls(None))
    sums = "; ".join(
        f"{name}: {overall[name]:.3f} overall, by slice {', '.join(f'{v:.2f}' for v in values)}"
        for name, values in slices.items()
    )
    picture = Picture(
        "Recall by popularity: without log q, a trained model loses the popular items",
        f"Recall of {K} items, by training clicks of the hidden item. {sums}.",
        380,
    )
    top = max(max(values) for values in slices.values())
    x = Scale(0, len(names) - 1, 90, 600)
    chart = Chart(picture, x, Scale(0, 0.1 * -(-top // 0.1), 310, 50))
    chart.y_axis(
        [tick / 10 for tick in range(0, round(chart.y.high * 10) + 1, 2)],
        f"share of the hidden clicks among {K} recalled items",
    )
    chart.x_axis(
        range(len(names)),
        "training clicks of the hidden item: from rare to popular",
        [name.replace("-", "–") for name in names],
    )
    ends = spread([chart.y(values[-1]) for values in slices.values()], 44)
    for (_, name, color), end in reversed(list(zip(SYSTEMS, ends, strict=True))):
        values = slices[name]
        chart.line(range(len(values)), values, color, thickness=3)
        for px, py in chart.points(range(len(values)), values):
            picture.circle(px, py, 5, color)
        picture.text(x.end + 20, end - 9, name, color, size=16, bold=True)
        picture.text(x.end + 20, end + 10, f"{overall[name]:.2f} over all users", color, size=13)
    return picture
