"""The report as one HTML file that needs nothing else. Chapter 16."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from minitower.data.files import write_file
from minitower.lab import plots
from minitower.lab.run_report import METRICS, Example, RunReport


def write_page(report: RunReport, path: Path) -> Path:
    """Write the report as one self-contained HTML file, and return its path.

    Raises:
        ModuleNotFoundError: matplotlib is missing; the message names the extra.
        DataError: the file cannot be written; the old file, if any, stays intact.
    """
    if not plots.can_draw():
        raise ModuleNotFoundError('the plots need matplotlib: pip install "minitower[cli]"')
    write_file(path, _page(report).encode("utf-8", "backslashreplace"))
    return path


def _page(report: RunReport) -> str:
    k = report.middle
    ours, theirs = (report.systems[i].metrics[f"recall@{k}"] for i in (0, -1))
    baseline = escape(report.systems[-1].name)
    return _template("page.html").format(
        style="\n" + _template("page.css"),
        title=escape(report.data),
        headline=f"{k} guesses per person find <em>{ours:.0%}</em> of what comes next. "
        f"<span>“{baseline.capitalize()}” finds {theirs:.0%}.</span>",
        facts=" <i>·</i> ".join(
            f"<b>{escape(value)}</b> {escape(name)}" for name, value in report.facts.items()
        ),
        tiles=_tiles(report, ours, theirs),
        legend=_legend("s", [system.name for system in report.systems]),
        figures=_figures(report),
        map=plots.item_map(report),
        groups=_legend("g", report.map.names, report.map.field),
        caption=escape(report.map.caption),
        verdict=escape(report.verdict),
        table=_table(report),
        example=_example(report.example),
        notes="".join(f"<li>{escape(note)}</li>" for note in report.notes),
    )


def _template(name: str) -> str:
    return files("minitower.lab").joinpath(name).read_text("utf-8")


def _tiles(report: RunReport, ours: float, theirs: float) -> str:
    k, index = report.middle, report.index
    coverage = report.systems[0].metrics[f"coverage@{k}"]
    tiles = [
        (f"{ours:.1%}", f"recall@{k}", f"of what a person took later is among their {k}"),
        (
            f"{ours / theirs:.1f}×" if theirs else "–",
            f"“{report.systems[-1].name}”",
            "which is the same list for everybody",
        ),
        (f"{coverage:.0%}", f"coverage@{k}", f"of all items are among the {k} of somebody"),
        (
            f"{index.recall:.1%}",
            "of the exact answer",
            f"through HNSW, in {index.milliseconds:.2f} ms per query; the exact index takes "
            f"{report.exact.milliseconds:.2f} ms",
        ),
    ]
    return "".join(
        f"<div class=tile><b>{escape(value)}</b><span>{escape(name)}</span>"
        f"<p>{escape(what)}</p></div>"
        for value, name, what in tiles
    )


def _figures(report: RunReport) -> str:
    figures = [
        (
            "Training loss",
            plots.loss(report),
            "By epoch, the main loss alone. Of two objectives compare the bend, not the height.",
        )
    ]
    if any(system.validation for system in report.systems):
        figures.append(
            (
                f"Validation {report.validation_metric}",
                plots.validation(report),
                "By epoch, on data that training has not seen. A ring marks the chosen epoch.",
            )
        )
    pays = report.index.milliseconds < report.exact.milliseconds
    figures += [
        (
            f"Recall@{report.middle} by popularity",
            plots.slices(report),
            "Rare items left, popular items right; each slice holds an equal share of what there "
            "is to find, and items new since training stand apart.",
        ),
        (
            "Cost of a better result",
            plots.index(report),
            "HNSW against the exact index; ef is how far it looks around, the ring how it was "
            "built." + ("" if pays else " With so few items, looking at all of them is as fast."),
        ),
    ]
    return "".join(
        f"<figure><h3>{escape(title)}</h3>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
        for title, svg, caption in figures
    )


def _legend(family: str, names: Sequence[str], title: str = "") -> str:
    return (f"<span>{escape(title)}:</span>" if title else "") + "".join(
        f'<span><i style="background:var(--{family}{i})"></i>{escape(name)}</span>'
        for i, name in enumerate(names)
    )


def _table(report: RunReport) -> str:
    """Systems down, measures across; the best of each column in bold."""
    groups = "".join(
        f"<th colspan={len(report.k)} scope=colgroup>{label}</th>" for label in METRICS.values()
    )
    cuts = "".join(
        f"<th scope=col{' class=first' if i == 0 else ''}>@{k}</th>"
        for _ in METRICS
        for i, k in enumerate(report.k)
    )
    body = []
    for row, system in enumerate(report.systems):
        cells = []
        for name in METRICS:
            for i, k in enumerate(report.k):
                key = f"{name}@{k}"
                value = system.metrics[key]
                best = value >= max(s.metrics[key] for s in report.systems)
                shown = f"{value:.3f}".lstrip("0") if value < 1 else "1"
                classes = " ".join(["first"] * (i == 0) + ["best"] * best)
                cells.append(f'<td class="{classes}">{shown}</td>')
        mark = f'<i style="background:var(--s{row})"></i>'
        body.append(f"<tr><th scope=row>{mark}{escape(system.name)}</th>{''.join(cells)}</tr>")
    return (
        f"<table><thead><tr><td></td>{groups}</tr><tr><td></td>{cuts}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table>"
    )


def _example(example: Example) -> str:
    history = "".join(f"<li>{escape(name)}</li>" for name in example.history)
    top = max((item.score for item in example.recalled), default=1.0)
    rows = []
    for item in example.recalled:
        share = max(item.score / top, 0.0) if top > 0 else 0.0
        hit = (
            '<b class=hit title="among what this person took in the test period">found</b>'
            if item.clicked
            else ""
        )
        rows.append(
            f"<li><div><span class=name>{escape(item.name)}</span>{hit}"
            f"<span class=about>{escape(item.about)}</span></div>"
            f'<div class=score title="score {item.score:+.3f}"><i style="width:{share:.1%}"></i>'
            f"</div><span class=value>{item.score:.2f}</span></li>"
        )
    return (
        f"<div class=person><h3>{escape(example.user)}</h3><p>{escape(example.about)}</p>"
        f"<h4>so far</h4><ul>{history}</ul></div><ol class=recalled>{''.join(rows)}</ol>"
    )
