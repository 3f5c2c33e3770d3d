"""Recall against time, a line for each index: the plot of ``minitower index-bench``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minitower.data.atomic_write import new_file
from minitower.data.errors import DataError

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
# Told apart without colours as well. Okabe and Ito, Color Universal Design, 2008.
_COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = "osD^vP*"
_RING: dict[str, Any] = {"s": 110, "facecolor": "none"}


def check_plot(path: Path) -> None:
    """Refuse a file that :func:`write_frontier` could not write, before the work is done.

    Raises:
        DataError: matplotlib has no such format, or there is no such folder.
    """
    from matplotlib.figure import Figure

    formats = Figure().canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in formats:
        raise DataError(f"{path}: a plot's name must end with .svg, .png, .pdf, ...")
    if not path.absolute().parent.is_dir() or (path.exists() and not path.is_file()):
        raise DataError(f"{path}: a plot cannot be written there: is it in a folder that exists?")


def write_frontier(
    path: Path, lines: Mapping[str, Sequence[tuple[float, float, bool]]], k: int, target: float
) -> None:
    """Draw with matplotlib (extra ``cli``), in the format that the name's ending says.

    Args:
        path: the file; see :func:`check_plot`.
        lines: for each index (milliseconds, recall, whether it was chosen), by effort.
        k: the list length.
        target: the recall that was asked for.

    Raises:
        DataError: the file cannot be written; the old file, if any, stays whole.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    with rc_context(_LOOKS):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.add_subplot(xscale="log")
        axes.axhline(target, color="#888888", linestyle=":", label="recall asked for")
        for i, (name, points) in enumerate(lines.items()):
            times, recalls, _ = zip(*points, strict=True)
            colour, marker = _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]
            axes.plot(times, recalls, color=colour, marker=marker, markersize=4, label=name)
            for time, recall, ring in points:
                if ring:
                    axes.scatter(time, recall, **_RING, edgecolor=colour)
        axes.scatter([], [], **_RING, edgecolor="#888888", label="chosen for that")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("milliseconds per query, asked one by one (further left is better)")
        axes.set_ylabel(f"recall@{k} of the exact answer")
        figure.legend(frameon=False, loc="outside right upper")
        kind = path.suffix.lower().removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else None
        with new_file(path) as file:
            figure.savefig(file, format=kind, metadata=metadata)
