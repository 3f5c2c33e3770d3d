"""The report on a terminal. Chapter 16."""

import math

from minitower.data.errors import printable
from minitower.lab.run_report import METRICS, Example, RunReport


def format_report(report: RunReport) -> str:
    """The small table, the two indexes side by side, and the example."""
    body = _rows(report)
    left = 2 + max(len(first) for first, *_ in body)
    # The first three columns also hold the table of the indexes.
    widths = [2 + max(len(s.name), 12 if i < 3 else 6) for i, s in enumerate(report.systems)]

    def line(first: str, *values: str) -> str:
        return first.ljust(left) + "".join(v.rjust(w) for v, w in zip(values, widths))

    lines = [line("", *(s.name for s in report.systems))]
    lines += ["-" * len(lines[0]), *(line(*row) for row in body)]
    lines += [
        "",
        report.verdict,
        "",
        line("index", "of exact", f"Recall@{report.middle}", "ms per query"),
    ]
    for name, point in (
        ("exact", report.exact),
        (f"HNSW, {report.index.name}", report.index),
    ):
        found = "" if point.found is None else _number(point.found)
        lines.append(line(name, f"{point.recall:.4f}", found, f"{point.milliseconds:.3f}"))
    return "\n".join([*lines, "", *_example(report.example)])


def _example(example: Example) -> list[str]:
    lines = [f"{example.user}  ({example.about})" if example.about else example.user]
    if example.history:
        lines.append("  so far    " + " · ".join(example.history[:3]))
    for rank, item in enumerate(example.recalled, 1):
        mark = "✓" if item.clicked else " "
        lines.append(f"  {rank:>2} {mark} {item.score:+.3f}  {item.name}  {item.about}".rstrip())
    if any(item.clicked for item in example.recalled):
        lines.append("     ✓ among what this person took in the test period")
    return [printable(line) for line in lines]


def _rows(report: RunReport) -> list[tuple[str, ...]]:
    """The table's body: name of the measure, one value per system."""
    rows = []
    for name, label in METRICS.items():
        for k in report.k:
            values = [s.metrics[f"{name}@{k}"] for s in report.systems]
            rows.append((f"{label}@{k}", *map(_number, values)))
    for name in report.measured_slices:
        values = [s.slices.get(name, math.nan) for s in report.systems]
        rows.append((f"Recall@{report.middle} {name}", *map(_number, values)))
    return rows


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"
