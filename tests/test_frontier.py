"""The plot of index-bench: what must be printed apart is."""

import re
import resource
from importlib.util import find_spec
from pathlib import Path

import pytest

from minitower.data import DataError
from minitower.lab.frontier import light_and_dark, write_frontier
from minitower.lab.index_bench import BACKENDS

pytestmark = pytest.mark.skipif(
    find_spec("matplotlib") is None, reason="not installed: pip install '.[cli]'"
)


def test_every_index_has_a_colour_of_its_own_and_its_ring_too(tmp_path):
    """Rings once took colours from the cycle, and the sixth line had that of the first."""
    lines = {name: [(0.1, 0.9, False), (0.2 + i, 0.99, True)] for i, name in enumerate(BACKENDS)}
    write_frontier(tmp_path / "plot.svg", lines, 100, 0.95)
    svg = (tmp_path / "plot.svg").read_text()
    colours = set(re.findall(r"stroke: (#[0-9a-f]{6}); stroke-width: 1.5", svg)) - {"#888888"}
    rings = set(re.findall(r"fill: none; stroke: (#[0-9a-f]{6})", svg))
    assert len(colours | {"#000000"}) == len(BACKENDS)
    assert colours <= rings
    for label in (
        *BACKENDS,
        "target recall",
        "chosen for the target",
        "recall@100 of the exact answer",
    ):
        assert f">{label}</text>" in svg


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_in_other_formats(tmp_path, ending):
    write_frontier(tmp_path / f"plot.{ending}", {"exact": [(0.1, 1.0, True)]}, 10, 0.95)
    assert (tmp_path / f"plot.{ending}").stat().st_size > 1000


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_a_full_disk_leaves_the_old_plot(tmp_path, ending):
    plot = tmp_path / f"plot.{ending}"
    plot.write_text("last week")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (900, before[1]))
    try:
        with pytest.raises(DataError, match=f"plot.{ending}: cannot be written: File too large"):
            write_frontier(plot, {"exact": [(0.1, 1.0, True)]}, 10, 0.95)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(plot.name, "last week")]


def luminance(color):
    """The relative luminance of WCAG 2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_dark_page_has_colors_of_its_own(tmp_path):
    lines = {f"index {i}": [(0.1 + i, 0.9, True)] for i in range(7)}
    write_frontier(tmp_path / "plot.svg", lines, 100, 0.95)
    svg = (tmp_path / "plot.svg").read_text()
    drawn = set(re.findall(r"(?:stroke|fill): (#[0-9a-f]{6})[;\"](?!\] )", svg))
    dark = dict(re.findall(r'\[style\*="stroke: (#.{6})"\] \{ stroke: (#.{6}) !important', svg))
    assert drawn <= set(dark)
    page = luminance(dark["#ffffff"])
    ink = {color: dark[color] for color in drawn - {"#ffffff", "#dddddd"}}
    assert all((luminance(color) + 0.05) / (page + 0.05) >= 4.5 for color in ink.values())
    assert len(set(ink.values())) == len(ink)


def test_the_picture_of_the_book_is_light_and_dark():
    picture = (Path(__file__).parent.parent / "docs/figures/index-bench.svg").read_bytes()
    begin, _, rest = picture.partition(b"\n@media")
    assert light_and_dark(begin + b"</style>" + rest.partition(b"</style>")[2]) == picture
