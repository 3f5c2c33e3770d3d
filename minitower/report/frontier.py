"""Recall against time, a line for each index: the plot of ``minitower index-bench``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_LOOKS: dict[Any, Any] = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "minitower",
}


def write_frontier(
    path: Path, lines: Mapping[str, Sequence[tuple[float, float, bool]]], k: int
) -> None:
    """Draw with matplotlib (extra ``cli``), in the format that the name's ending says.

    Args:
        path: the file.
        lines: for each index (milliseconds, recall, whether it was chosen), by effort.
        k: the list length.

    Raises:
        ValueError: matplotlib knows no such format.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_LOOKS):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        for name, points in lines.items():
            times, recalls, _ = zip(*points, strict=True)
            (line,) = axes.plot(times, recalls, marker="o", markersize=3.5, label=name)
            for time, recall, ring in points:
                if ring:
                    axes.plot(time, recall, "o", markersize=9, mfc="none", mec=line.get_color())
        axes.set_xscale("log")
        axes.set_xlabel("milliseconds per query, asked one by one")
        axes.set_ylabel(f"recall@{k} of the exact answer")
        axes.legend(frameon=False)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
