"""The report as one HTML file that needs nothing else."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from minitower.data.atomic_write import write_file
from minitower.lab import plots
from minitower.lab.run_report import METRICS, Example, RunReport


def write_page(report: RunReport, path: Path) -> Path:
    """Write the report as one self-contained HTML file, and return its path.

    Raises:
        ModuleNotFoundError: there is no matplotlib; the message names the extra.
        DataError: the file cannot be written; the old file, if any, stays whole.
    """
    if not plots.can_draw():
        raise ModuleNotFoundError('the plots need matplotlib: pip install "minitower[cli]"')
    write_file(path, _page(report).encode("utf-8", "backslashreplace"))
    return path


def _page(report: RunReport) -> str:
    k = report.middle
    ours, theirs = (report.systems[i].metrics[f"recall@{k}"] for i in (0, -1))
    baseline = escape(report.systems[-1].name)
    return _PAGE.format(
        style=_STYLE,
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
        groups=_legend("g", report.map.names),
        caption=escape(report.map.caption),
        table=_table(report),
        example=_example(report.example),
        notes="".join(f"<li>{escape(note)}</li>" for note in report.notes),
    )


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
                "By epoch, on what training has not seen. A ring marks the epoch kept.",
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
            "What a better answer costs",
            plots.index(report),
            "HNSW against the exact index; ef is how far it looks around, the ring how it was "
            "built." + ("" if pays else " With so few items, looking at all of them is as fast."),
        ),
    ]
    return "".join(
        f"<figure><h3>{escape(title)}</h3>{svg}<figcaption>{escape(caption)}</figcaption></figure>"
        for title, svg, caption in figures
    )


def _legend(family: str, names: Sequence[str]) -> str:
    return "".join(
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
                text = f"{value:.3f}".lstrip("0") if value < 1 else "1"
                classes = " ".join(["first"] * (i == 0) + ["best"] * best)
                cells.append(f'<td class="{classes}">{text}</td>')
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


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>minitower – {title}</title>
<style>{style}</style>
</head>
<body>
<header>
<p class=brand><svg viewBox="0 0 20 20" aria-hidden="true"><path
d="M2 19V6l4-4 4 4v13zM12 19v-9l3-3 3 3v9z"/></svg>minitower <i>/</i> {title}</p>
<h1>{headline}</h1>
<p class=facts>{facts}</p>
</header>
<main>
<section class=tiles>{tiles}</section>
<section><div class=head><h2>How it went</h2><p class=legend>{legend}</p></div>
<div class=figures>{figures}</div></section>
<section><h2>What the item tower learned</h2>
<figure class=map>{map}<figcaption><p>Each dot is an item, where the item tower put it: the nearer \
two items, the more alike the people they are recalled for.</p><p>{caption}</p>
<p class=legend>{groups}</p></figcaption></figure></section>
<section><h2>Every number</h2><div class=scroll>{table}</div></section>
<section><h2>One person</h2><div class=example>{example}</div></section>
</main>
<footer><h2>How it was measured</h2><ul>{notes}</ul></footer>
</body>
</html>
"""

_STYLE = """
:root{--font:"Inter",system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
--page:#f6f4ef;--card:#fffefb;--ink:#1c1d21;--muted:#6d6e75;--line:#e5e1d8;
--s0:#3355d1;--s1:#e08a2e;--s2:#5b8f6b;--s3:#a9a69e;--hit:#1c7f52;--hitback:#e1f1e7;
--g0:#3355d1;--g1:#d9602b;--g2:#1f9079;--g3:#a24ab0;--g4:#c79a12;--g5:#4fa3d8}
@media(prefers-color-scheme:dark){:root{--page:#121316;--card:#1a1c20;--ink:#ecebe7;--muted:#9a9ba2;
--line:#2e3036;--s0:#8ea8ff;--s1:#f0a75a;--s2:#7fc596;--s3:#6f7079;--hit:#74d3a2;--hitback:#1d3329;
--g0:#8ea8ff;--g1:#f08a5d;--g2:#5fcfb4;--g3:#d08ae0;--g4:#e8c65a;--g5:#86cdf5}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1080px;padding:3.2rem 1.5rem 4rem;background:var(--page);
color:var(--ink);font:16px/1.5 var(--font);font-variant-numeric:tabular-nums;
-webkit-font-smoothing:antialiased}
h1,h2,h3,h4,p,ul,ol,figure{margin:0;padding:0}ul,ol{list-style:none}
.brand{color:var(--muted);font-size:.9rem;display:flex;gap:.45em;align-items:center}
.brand svg{width:1.15em;fill:var(--s0)}.brand i,.facts i{font-style:normal;opacity:.6}
h1{font-size:clamp(1.7rem,4.2vw,2.9rem);line-height:1.14;letter-spacing:-.025em;font-weight:680;
max-width:21em;margin:1.1rem 0 1.3rem;text-wrap:balance}
h1 em{font-style:normal;color:var(--s0)}h1 span{color:var(--muted);font-weight:500}
.facts{color:var(--muted);font-size:.92rem}.facts b{color:var(--ink);font-weight:600}
h2{font-size:1.15rem;letter-spacing:-.01em;margin:0 0 .9rem}
section{margin-top:2.8rem}
.head{display:flex;flex-wrap:wrap;justify-content:space-between;align-items:baseline;gap:0 2rem}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.3rem;font-size:.88rem;color:var(--muted);
margin-bottom:.9rem}
.legend i,tbody th i{display:inline-block;width:.7em;height:.7em;border-radius:.2em;
margin-right:.5em}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(210px,1fr));gap:1rem}
.tile,figure,.scroll,.example{background:var(--card);border:1px solid var(--line);
border-radius:14px}
.tile{padding:1rem 1.25rem 1.1rem}.tile b,.tile span{display:block}
.tile b{font-size:2rem;font-weight:680;letter-spacing:-.03em;line-height:1.25}
.tile span{font-size:.9rem;font-weight:600}
.tile p{color:var(--muted);font-size:.86rem;line-height:1.35}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(430px,100%),1fr));gap:1rem}
figure{padding:1.15rem 1.25rem 1rem}figure h3{font-size:.98rem;margin-bottom:.5rem}
figure svg{display:block;width:100%;height:auto;overflow:visible}
.map{display:grid;grid-template-columns:minmax(0,1.7fr) minmax(0,1fr);gap:2rem;align-items:center}
.map figcaption{font-size:.95rem;line-height:1.5}.map p{margin-bottom:.9rem}
.map .legend{flex-direction:column}
figcaption{color:var(--muted);font-size:.84rem;line-height:1.4;margin-top:.6rem}
.scroll{overflow-x:auto;padding:.7rem 1.1rem}
table{border-collapse:collapse;width:100%;font-size:.84rem}
th{font-weight:550;text-align:right;white-space:nowrap}td{text-align:right}
thead th{color:var(--muted);font-weight:500;padding:.2rem .3rem}
thead th[colspan]{text-align:left;color:var(--ink);font-weight:600;padding:.3rem .3rem .1rem 1.1rem}
tbody th{text-align:left;padding-right:.6rem}tbody td,tbody th{border-top:1px solid var(--line);
padding-top:.5rem;padding-bottom:.5rem}tbody td{padding-left:.3rem;padding-right:.3rem}
th.first,td.first{padding-left:1.1rem}td.best{font-weight:700}td:not(.best){color:var(--muted)}
.example{display:grid;grid-template-columns:minmax(200px,1fr) minmax(0,2.4fr)}
.person{padding:1.4rem;border-right:1px solid var(--line)}
.person h3{font-size:1.25rem;letter-spacing:-.01em}.person p{color:var(--muted);font-size:.9rem}
.person h4{font-size:.78rem;font-weight:600;color:var(--muted);margin:1.1rem 0 .3rem}
.person ul{font-size:.88rem;line-height:1.75}
.recalled{padding:.7rem 1.4rem;counter-reset:rank}
.recalled li{counter-increment:rank;display:grid;align-items:center;gap:0 1rem;padding:.5rem 0;
grid-template-columns:1.4rem minmax(0,1fr) 5.5rem 2.6rem}
.recalled li+li{border-top:1px solid var(--line)}
.recalled li::before{content:counter(rank);color:var(--muted);text-align:right}
.name{font-weight:570}.about{display:block;color:var(--muted);font-size:.83rem}
.hit{font-size:.74rem;font-weight:600;color:var(--hit);background:var(--hitback);
border-radius:99px;padding:.1rem .55rem;margin-left:.6rem;white-space:nowrap}
.score{height:.42rem;border-radius:99px;background:var(--line);overflow:hidden}
.score i{display:block;height:100%;border-radius:99px;background:var(--s0)}
.value{color:var(--muted);font-size:.84rem;text-align:right}
footer{margin-top:3rem;color:var(--muted);font-size:.88rem}
footer h2{color:var(--ink);font-size:1rem;margin-bottom:.5rem}
footer li{padding-left:1rem;text-indent:-1rem;max-width:60em}
footer li::before{content:"– "}
@media(max-width:680px){.map{grid-template-columns:1fr;gap:0}.example{grid-template-columns:1fr}
.person{border-right:0;border-bottom:1px solid var(--line)}
.recalled li{grid-template-columns:1.4rem minmax(0,1fr) 2.6rem}.score{display:none}}
@media print{body{background:none;padding:0}figure,.tile,.example{break-inside:avoid}}
"""
