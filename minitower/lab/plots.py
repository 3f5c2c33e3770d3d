"""The plots of the page, drawn by matplotlib (extra ``cli``) as SVG. Chapter 16.

Colors are CSS variables of the page, so that a plot follows light and dark mode.
Matplotlib wants colors it can parse: it is given stand-ins, and the finished SVG gets
the variables in their place.
"""

import importlib.util
import io
import math
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from minitower.lab.run_report import RunReport

_INK, _MUTED, _LINE, _CARD = "#010101", "#010102", "#010103", "#010104"
_SYSTEMS = ("#010201", "#010202", "#010203", "#010204", "#010205", "#010206")
_GROUPS = ("#010301", "#010302", "#010303", "#010304", "#010305", "#010306")
_VARIABLES = {
    **dict(zip((_INK, _MUTED, _LINE, _CARD), ("ink", "muted", "line", "card"), strict=True)),
    **{color: f"s{i}" for i, color in enumerate(_SYSTEMS)},
    **{color: f"g{i}" for i, color in enumerate(_GROUPS)},
}
_LOOKS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "minitower",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.7,
    "xtick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.color": _LINE,
    "ytick.labelcolor": _MUTED,
    "ytick.major.size": 0,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
}


def can_draw() -> bool:
    """Whether there is a matplotlib to draw with."""
    return importlib.util.find_spec("matplotlib") is not None


def loss(report: RunReport) -> str:
    """Training loss by epoch, a line per trained system."""

    def draw(axes: Any) -> None:
        _by_epoch(axes, [system.losses for system in report.systems])

    return _svg("loss", "Training loss by epoch", draw)


def validation(report: RunReport) -> str:
    """The validation metric by epoch, with a ring around the best one."""

    def draw(axes: Any) -> None:
        curves = [system.validation for system in report.systems]
        _by_epoch(axes, curves)
        for color, values in zip(_SYSTEMS, curves, strict=False):
            if values:
                _ring(axes, *max(_measured(values), key=lambda point: point[1]), color)
        axes.set_ylim(bottom=0)

    return _svg("validation", f"Validation {report.validation_metric} by epoch", draw)


def slices(report: RunReport) -> str:
    """Recall by popularity slice, a group of bars per slice that was measured."""
    names = report.measured_slices
    width = 0.8 / len(report.systems)

    def draw(axes: Any) -> None:
        for i, (color, system) in enumerate(zip(_SYSTEMS, report.systems, strict=False)):
            middles = [x - 0.4 + (i + 0.5) * width for x in range(len(names))]
            values = [system.slices.get(name, math.nan) for name in names]
            axes.bar(middles, values, 0.9 * width, color=color)
            for x, value in zip(middles, values, strict=True):
                if i == 0 and not math.isnan(value):
                    _label(axes, f"{value:.2f}".removeprefix("0"), x, value, (0, 2), ha="center")
        labels = [
            f"{name.removesuffix(' clicks').replace('-', '–')}\n{report.slice_items[name]:,} items"
            for name in names
        ]
        axes.set_xticks(range(len(names)), labels, fontsize=8)
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel("training clicks of an item")
        axes.margins(x=0.02, y=0.12)

    return _svg("slices", f"Recall@{report.middle} by popularity slice", draw)


def index(report: RunReport) -> str:
    """Recall against the exact index by time per query, at every setting."""

    def draw(axes: Any) -> None:
        x = [point.milliseconds for point in report.hnsw]
        y = [point.recall for point in report.hnsw]
        axes.plot(x, y, color=_SYSTEMS[0], marker="o", markersize=4)
        for point in report.hnsw:
            if point.chosen:
                _ring(axes, point.milliseconds, point.recall, _SYSTEMS[0])
            color = _INK if point.chosen else _MUTED
            _label(axes, point.name, point.milliseconds, point.recall, (7, -11), color=color)
        exact = report.exact
        axes.axvline(exact.milliseconds, color=_MUTED, linewidth=1, linestyle=(0, (2, 3)))
        axes.plot(exact.milliseconds, exact.recall, "D", color=_INK, markersize=6)
        _label(axes, exact.name, exact.milliseconds, exact.recall, (-7, 6), ha="right")
        axes.set_xlabel("milliseconds per query")
        axes.set_xlim(left=0, right=1.15 * max(*x, exact.milliseconds))
        axes.locator_params(axis="x", nbins=6)
        axes.margins(y=0.18)

    return _svg("index", "Recall against the exact index, by milliseconds per query", draw)


def item_map(report: RunReport) -> str:
    """Item vectors in a plane, colored by group; the ungrouped lie faintly below."""
    points = report.map.points

    def draw(axes: Any) -> None:
        for group, color in ((-1, _LINE), *enumerate(_GROUPS)):
            inside = [p for p, g in zip(points, report.map.groups, strict=True) if g == group]
            if inside:
                x, y = zip(*inside, strict=True)
                axes.scatter(x, y, s=7, color=color, alpha=0.8, linewidths=0)
        axes.set_axis_off()
        axes.set_aspect("equal")

    return _svg("map", "Item vectors, projected onto a plane", draw, size=(6.4, 5.2))


def _by_epoch(axes: Any, curves: Sequence[Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    for i in reversed(range(len(curves))):  # the first system on top
        if curves[i]:
            epochs, values = zip(*_measured(curves[i]), strict=True)
            axes.plot(epochs, values, color=_SYSTEMS[i], marker="o", markersize=3.5)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.margins(x=0.03, y=0.12)


def _measured(curve: Sequence[float]) -> list[tuple[int, float]]:
    """(epoch, value) of the epochs that were measured."""
    return [(epoch, value) for epoch, value in enumerate(curve, 1) if not math.isnan(value)]


def _ring(axes: Any, x: float, y: float, color: str) -> None:
    axes.plot(
        x, y, "o", markersize=9, markerfacecolor=_CARD, markeredgecolor=color, markeredgewidth=2
    )


def _label(
    axes: Any, label: str, x: float, y: float, offset: tuple[float, float], **looks: Any
) -> None:
    axes.annotate(label, (x, y), xytext=offset, textcoords="offset points", fontsize=8, **looks)


def _svg(
    name: str, title: str, draw: Callable[[Any], None], size: tuple[float, float] = (5.2, 2.9)
) -> str:
    """An <svg> element that can stand beside others in one page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_LOOKS):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"(font: [\d.]+px )[^;\"]+", r"\1var(--font)", svg)
    # Ids are unique within a figure only.
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
