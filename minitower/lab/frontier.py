"""Plot recall against time, one line for each index: ``minitower index-bench``. Chapter 20."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError
from minitower.data.files import new_file

_LOOKS: dict[Any, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "minitower",
}
# Colors and markers differ. Okabe and Ito, Color Universal Design, 2008.
_COLORS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = "osD^vP*"
# The same plot on a dark page: what each color becomes, so that all stay apart from the page.
_DARK = {
    "#ffffff": "#0d1117",
    "#dddddd": "#3d444d",
    "#888888": "#9198a1",
    **dict(
        zip(
            _COLORS,
            ("#e6edf3", "#58a6ff", "#ff8a4c", "#4ac286", "#f09bd0", "#ffc533", "#9ae0ff"),
            strict=True,
        )
    ),
}
_RING: dict[str, Any] = {"s": 110, "facecolor": "none"}


def check_plot(path: Path) -> None:
    """Check that :func:`write_frontier` can write a file, before the work begins.

    Raises:
        DataError: matplotlib cannot write this format, or the folder does not exist.
    """
    from matplotlib.figure import Figure

    formats = Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in formats:
        raise DataError(f"{path}: a plot's name must end with .svg, .png, .pdf, ...")
    if not path.absolute().parent.is_dir() or (path.exists() and not path.is_file()):
        raise DataError(f"{path}: cannot write the plot; name a file in an existing folder")


def write_frontier(
    path: Path, lines: Mapping[str, Sequence[tuple[float, float, bool]]], k: int, target: float
) -> None:
    """Draw with matplotlib (extra ``cli``). The suffix of the name is the format.

    Args:
        path: the file; see :func:`check_plot`.
        lines: for each index, (milliseconds, recall, chosen) by search effort.
        k: the list length.
        target: the wanted recall.

    Raises:
        DataError: the file cannot be written; an old file stays unchanged.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    with rc_context(_LOOKS):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.add_subplot(xscale="log")
        axes.axhline(target, color="#888888", linestyle=":", label="target recall")
        for i, (name, points) in enumerate(lines.items()):
            times, recalls, _ = zip(*points, strict=True)
            color, marker = _COLORS[i % len(_COLORS)], _MARKERS[i % len(_MARKERS)]
            axes.plot(times, recalls, color=color, marker=marker, markersize=4, label=name)
            for time, recall, ring in points:
                if ring:
                    axes.scatter(time, recall, **_RING, edgecolor=color)
        axes.scatter([], [], **_RING, edgecolor="#888888", label="chosen for the target")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("milliseconds per query, one query at a time (left is better)")
        axes.set_ylabel(f"recall@{k} of the exact answer")
        figure.legend(frameon=False, loc="outside right upper")
        kind = path.suffix.lower().removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else None
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, metadata=metadata)
        with new_file(path) as file:
            file.write(light_and_dark(drawn.getvalue()) if kind == "svg" else drawn.getvalue())


def light_and_dark(svg: bytes) -> bytes:
    """An SVG of matplotlib whose colors follow the page: light as drawn, dark by a media query.

    A program that does not know media queries shows the light plot.
    """
    rules = [
        f'[style*="{what}: {color}"] {{ {what}: {dark} !important }}'
        for color, dark in _DARK.items()
        for what in ("stroke", "fill")
    ]
    rules.append(f"text {{ fill: {_DARK['#000000']} }}")
    dark_page = "\n@media (prefers-color-scheme: dark) {\n" + "\n".join(rules) + "\n}\n</style>"
    return svg.replace(b"</style>", dark_page.encode(), 1)
