"""Plot recall against time, one line for each index: ``minitower index-bench``. Chapter 20."""

from collections.abc import Mapping, Sequence
from io import BytesIO
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
_RING: dict[str, Any] = {"s": 110, "facecolor": "none"}
_DARK = {
    "fill: #ffffff": "fill:#0d1117",
    "fill: #000000": "fill:#e6edf3",
    "stroke: #000000": "stroke:#e6edf3",
    "stroke: #dddddd": "stroke:#30363d",
    "stroke: #0072b2": "stroke:#4493f8",
    "fill: #0072b2": "fill:#4493f8",
}
"""What matplotlib writes in a style -> what a dark page shows instead."""


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
        drawn = BytesIO()
        figure.savefig(drawn, format=kind, metadata=metadata)
        with new_file(path) as file:
            file.write(_follow_the_page(drawn.getvalue()) if kind == "svg" else drawn.getvalue())


def _follow_the_page(svg: bytes) -> bytes:
    """Add the colors of dark pages to an SVG of matplotlib."""
    rules = "".join(f'[style*="{light}"]{{{dark}!important}}' for light, dark in _DARK.items())
    style = f"@media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}{rules}}}"
    return svg.replace(b"</style>", style.encode() + b"</style>", 1)
