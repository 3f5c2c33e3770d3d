"""The report: a page that needs nothing else, and a table for a terminal."""

import dataclasses
import math
import re
import resource
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from minitower.data import DataError
from minitower.lab import page, plots
from minitower.lab.page import write_page
from minitower.lab.run_report import (
    METRICS,
    Example,
    IndexPoint,
    ItemMap,
    Recalled,
    RunReport,
    System,
)
from minitower.lab.terminal_report import format_report

needs_plots = pytest.mark.skipif(not plots.can_draw(), reason="matplotlib (extra cli) is missing")

K = (10, 50, 100)
SLICES = {"new": 7, "1-9 clicks": 120, "9-80 clicks": 30}


def system(name: str, scale: float, **more) -> System:
    metrics = {f"{m}@{k}": scale * (i + 1) / 20 for m in METRICS for i, k in enumerate(K)}
    return System(
        name, metrics, {"new": math.nan, "1-9 clicks": scale / 8, "9-80 clicks": 0.5}, **more
    )


@pytest.fixture
def run_report() -> RunReport:
    return RunReport(
        data="a <small> world",
        facts={"users & items": "4,000"},
        k=K,
        systems=[
            system("this model", 1.0, losses=[3.0, 2.5], validation=[0.1, 0.2]),
            system("without logQ", 0.5, losses=[2.9, 2.4], validation=[0.1, 0.05]),
            system("most popular", 0.25),
        ],
        slice_items=SLICES,
        validation_metric="recall@20",
        exact=IndexPoint("exact", 1.0, 0.4, 0.1000),
        hnsw=[IndexPoint("ef=10", 0.91, 0.1), IndexPoint("ef=20", 0.97, 0.2, 0.0987, chosen=True)],
        example=Example(
            "user-7",
            "f · 34",
            ["Old <b>Owl</b>"],
            [Recalled("Tea & Co", "tea", 0.8), Recalled("Blue Fox", "jazz", -0.1, clicked=True)],
        ),
        map=ItemMap(
            [(0.0, 1.0), (1.0, 0.5), (2.0, 0.0)], [0, 1, -1], ["tea", "jazz"], "kind", "A plane."
        ),
        notes=["Split by time."],
    )


@pytest.fixture
def html(run_report, tmp_path) -> str:
    return write_page(run_report, tmp_path / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Open elements must be closed in order; collects names, ids and attributes."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self.attributes += attributes
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.names.append(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@needs_plots
def test_page__is_well_formed_and_self_contained(html):
    """No script, no request to anywhere: every link leads into the page itself."""
    tags = Tags(html)
    assert not {"script", "link", "img", "iframe", "object"} & set(tags.names)
    ids = {value for name, value in tags.attributes if name == "id"}
    for name, value in tags.attributes:
        if name in ("href", "xlink:href", "src"):
            assert value.removeprefix("#") in ids
    for target in re.findall(r"url\(([^)]*)\)", html):
        assert target.removeprefix("#") in ids
    assert "@import" not in html


@needs_plots
def test_page__ids_are_unique_across_plots(html):
    ids = [value for name, value in Tags(html).attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 20


@needs_plots
def test_page__plots_follow_light_and_dark(html):
    """No colour is left in a plot that the style sheet does not know in both modes."""
    light, dark = (
        set(re.findall(r"--(\w+):#", block)) for block in re.findall(r":root\{(.*?)\}", html, re.S)
    )
    used = set(re.findall(r"var\(--(\w+)\)", html)) - {"font"}
    assert used <= light == dark
    for svg in re.findall(r'<svg role="img".*?</svg>', html, re.S):
        assert not re.search(r"#[0-9a-f]{6}\b", svg)
        assert "var(--" in svg


@needs_plots
def test_page__tells_every_number(html, run_report):
    text = re.sub(r"<[^>]+>", " ", html)
    for printed in (".100", ".150", "97.0%", "4.0×", "Split by time.", "0.20 ms", "A plane."):
        assert printed in text, printed


@needs_plots
def test_page__marks_the_best_of_each_column(html):
    body = re.search(r"<tbody>(.*?)</tbody>", html, re.S)[1]
    first, second, third = body.split("</tr>")[:3]
    assert first.count("best") == len(METRICS) * len(K)
    assert "best" not in second + third


@needs_plots
def test_page__escapes_what_data_says(html):
    """Names and ids come from files; none of them may become markup."""
    assert "a &lt;small&gt; world" in html
    assert "users &amp; items" in html
    assert "Old &lt;b&gt;Owl&lt;/b&gt;" in html
    assert "Tea &amp; Co" in html


@needs_plots
def test_page__is_deterministic(run_report):
    assert page._page(run_report) == page._page(run_report)


@needs_plots
def test_page__without_validation_has_no_such_plot(run_report, html):
    bare = [dataclasses.replace(s, validation=[]) for s in run_report.systems]
    less = page._page(dataclasses.replace(run_report, systems=bare))
    assert 'aria-label="Validation' in html
    assert 'aria-label="Validation' not in less
    assert less.count("<figure") == html.count("<figure") - 1


@needs_plots
def test_validation__rings_the_best_of_the_measured_epochs(run_report, monkeypatch):
    """Validated every second epoch: the curve passes over the others."""
    rings, systems = [], list(run_report.systems)
    monkeypatch.setattr(plots, "_ring", lambda axes, x, y, color: rings.append((x, y)))
    systems[0] = dataclasses.replace(systems[0], validation=[math.nan, 0.3, math.nan, 0.2])
    svg = plots.validation(dataclasses.replace(run_report, systems=systems))
    assert rings == [(2, 0.3), (1, 0.1)]
    assert "nan" not in svg.lower()


def test_page__without_matplotlib_names_the_extra(run_report, tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "can_draw", lambda: False)
    with pytest.raises(ModuleNotFoundError, match=r"minitower\[cli\]"):
        write_page(run_report, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


@needs_plots
def test_page__a_full_disk_leaves_the_old_page(run_report, tmp_path):
    old = tmp_path / "report.html"
    old.write_text("last week")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(DataError, match=r"report.html: cannot be written: File too large"):
            write_page(run_report, old)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("report.html", "last week")]


@needs_plots
def test_slices__a_slice_that_was_not_measured_is_not_drawn(run_report):
    """NaN means that there was nothing to find; a bar of height 0 would say something else."""
    ElementTree.fromstring(plots.slices(run_report))
    printed = re.sub(r"<[^>]+>", " ", plots.slices(run_report))
    assert "1–9" in printed
    assert "new" not in printed


@needs_plots
def test_slices__bars_are_as_high_as_the_recall(run_report):
    """Read back from the drawing: the ratio of two bars of one slice is that of their values."""
    svg = plots.slices(run_report)
    heights = {}
    for colour in ("s0", "s1"):
        path = re.search(rf'<path d="([^"]+)"[^>]*style="fill: var\(--{colour}\)', svg)[1]
        y = [float(v) for v in re.findall(r"[ML] \S+ (\S+)", path)]
        heights[colour] = max(y) - min(y)
    assert heights["s0"] == pytest.approx(2 * heights["s1"], rel=1e-3)


@needs_plots
@pytest.mark.parametrize("draw", [
    plots.loss, plots.validation, plots.slices, plots.index, plots.item_map,
])  # fmt: skip
def test_plots__are_svg_elements(draw, run_report):
    root = ElementTree.fromstring(draw(run_report))
    assert root.tag.endswith("svg")
    assert root.get("aria-label")
    assert root.get("viewBox")


def test_text__tells_every_number(run_report):
    lines = format_report(run_report).splitlines()
    rows = {line.split("  ")[0]: line.split() for line in lines if line}
    assert lines[0].split("  ")[-1].strip() == "most popular"
    for k, value in zip(K, ("0.0500", "0.1000", "0.1500")):
        for label in METRICS.values():
            assert rows[f"{label}@{k}"][1] == value
    assert rows["Recall@50 1-9 clicks"][-3:] == ["0.1250", "0.0625", "0.0312"]
    assert not any("new" in line for line in lines), "nothing to find there"
    assert rows["exact"][-3:] == ["1.0000", "0.1000", "0.400"]
    assert rows["HNSW, ef=20"][-3:] == ["0.9700", "0.0987", "0.200"]


@pytest.mark.parametrize(
    "scale, word", [(0.25, "less than"), (1.0, "as much as"), (2, "more than")]
)
def test_report__says_whether_a_baseline_wins(run_report, scale, word):
    """The best of the systems without training; the page and the text say so."""
    rivals = [system("EASE", scale), system("ItemKNN", scale / 2)]
    some = dataclasses.replace(run_report, systems=[*run_report.systems[:2], *rivals])
    said = f"The best baseline, EASE, finds {word} this model: recall@50 {scale / 10:.4f} against"
    assert some.verdict == f"{said} 0.1000."
    assert some.verdict in format_report(some)
    if plots.can_draw():
        assert some.verdict in page._page(some)


def test_text__example_marks_what_was_found(run_report):
    printed = format_report(run_report)
    assert re.search(r"^ +1   \+0\.800  Tea & Co  tea$", printed, re.M)
    assert re.search(r"^ +2 ✓ -0\.100  Blue Fox  jazz$", printed, re.M)


def test_text__hostile_names_stay_on_their_line(run_report):
    name = "two\nlines\t\x1b[31m\u202e\ud800"
    example = Example(name, name, [name], [Recalled(name, name, 0.5)])
    printed = format_report(dataclasses.replace(run_report, example=example))
    assert (
        printed.count("\n") == format_report(run_report).count("\n") - 2
    )  # one item less, and no mark
    assert not set("\t\x1b\u202e\ud800") & set(printed)


@needs_plots
def test_page__half_a_surrogate_pair_is_written(run_report, tmp_path):
    example = dataclasses.replace(run_report.example, user="user \ud800")
    page = write_page(dataclasses.replace(run_report, example=example), tmp_path / "r.html")
    assert "user \\ud800" in page.read_text("utf-8")
