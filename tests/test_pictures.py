"""The pictures of the book are those that the scripts draw, and a reader can read them."""

import doctest
import importlib
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from picture_differences import differences

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"
sys.path.insert(0, str(ROOT / "benchmarks"))

from pictures import chart, svg  # noqa: E402

MAIN = ROOT / "benchmarks" / "pictures" / "__main__.py"
NAMES = re.findall(r'^    "(\w+)",$', MAIN.read_text("utf-8"), re.MULTILINE)
EXACT = {"alias_table", "hnsw_walk", "three_losses"}
"""No training and no world stands behind these: the same bytes on every machine."""
OURS = [path for path in sorted(FIGURES.glob("*.svg")) if path.name != "index-bench.svg"]
SVG = "{http://www.w3.org/2000/svg}"

file_of = lambda name: f"{name.replace('_', '-')}.svg"
stem = lambda path: path.stem


def book():
    """(alternative text, file, the paragraph below) of every image of the book."""
    for page in sorted((ROOT / "docs").glob("[0-9]*.md")):
        for paragraph, below in zip(parts := page.read_text("utf-8").split("\n\n"), parts[1:]):
            for alternative, file in re.findall(r"!\[([^]]*)\]\(figures/([^)]*)\)", paragraph):
                yield alternative, file, below


SHOWN = list(book())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """All pictures, drawn again."""
    folder = tmp_path_factory.mktemp("pictures")
    command = [sys.executable, str(MAIN.parent), "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [file_of(name) for name in NAMES]
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_picture__is_the_one_that_is_committed(name, drawn):
    committed, again = ((place / file_of(name)).read_text("utf-8") for place in (FIGURES, drawn))
    allowed = {} if name in EXACT else {"pixels": 15, "words": 0.1}
    assert differences(committed, again, **allowed) == []


def test_pictures__have_a_module_each():
    helpers = {"__init__", "__main__", "svg", "chart", "cells", "example", "tail_world"}
    assert {path.stem for path in MAIN.parent.glob("*.py")} - helpers == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_picture__is_shown_with_its_text_and_its_command(name):
    title = ElementTree.parse(FIGURES / file_of(name)).getroot().find(f"{SVG}title").text
    places = [(alt, below) for alt, file, below in SHOWN if file == file_of(name)]
    assert places
    for alternative, below in places:
        assert alternative == title
        assert re.fullmatch(r"\*[^*]+\*", below), "a caption stands below"
        assert f"`python benchmarks/pictures {name}`" in below


def test_every_image_has_an_alternative_text():
    assert [file for alternative, file, _ in SHOWN if len(alternative) < 15] == []


@pytest.mark.parametrize("path", OURS, ids=stem)
def test_picture__is_readable(path):
    """Letters have a size, lie on the page, and overlap no other words."""
    root = ElementTree.parse(path).getroot()
    assert root.get("role") == "img"
    assert len(root.find(f"{SVG}title").text) > 15
    assert len(root.find(f"{SVG}desc").text) > 40
    width, height = float(root.get("width")), float(root.get("height"))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert width == svg.WIDTH
    boxes = [text_box(node) for node in root.iter(f"{SVG}text")]
    for words, left, top, right, bottom in boxes:
        assert left >= 0, f"{words} begins left of the page"
        assert right <= width, f"{words} ends right of the page"
        assert 0 <= top < bottom <= height, f"{words} is above or below the page"
    for i, (words, *a) in enumerate(boxes):
        for others, *b in boxes[:i]:
            overlap = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            assert min(overlap) <= 1, f"{words!r} overlaps {others!r}"


def text_box(node):
    """The words of a text, and the pixels that they take, estimated."""
    size, x, y = (float(node.get(key)) for key in ("font-size", "x", "y"))
    assert size >= 12
    words = node.text
    width = size * sum(0.3 if c in " .,:;'|!()[]filjtr" else 0.55 for c in words)
    start = {"start": 0, "middle": width / 2, "end": width}[node.get("text-anchor", "start")]
    if "transform" in node.attrib:  # upward
        middle = y - 0.35 * size
        return words, x - size / 2, middle - width / 2, x + size / 2, middle + width / 2
    return words, x - start, y - 0.75 * size, x - start + width, y + 0.2 * size


@pytest.mark.parametrize("path", OURS, ids=stem)
def test_picture__stands_alone_and_follows_the_page(path):
    text = path.read_text("utf-8")
    assert len(text) < 120_000
    assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<image|<foreignObject|@import|url\(|\son\w+=", text)
    light, dark = re.search(
        r"<style>(.*?)@media\(prefers-color-scheme:dark\)\{(.*)\}</style>", text
    ).groups()
    rules = r"\.([\w-]+)\{\w+:#[0-9a-f]{6}\}"
    used = {name for names in re.findall(r'class="([^"]*)"', text) for name in names.split()}
    assert set(re.findall(rules, light)) == set(re.findall(rules, dark)) == used
    assert not re.search(r'(fill|stroke)="#', text), "colors stand in the style sheet"


def luminance(color):
    """Relative luminance of #rrggbb, WCAG 2.2."""
    linear = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    )
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", sorted(svg.COLORS.keys() - {"page", "line", "faint"}))
def test_colors__of_words_have_contrast(name, scheme):
    """4.5 to 1 on the page and on a faint box: WCAG 2.2, 1.4.3."""
    for ground in ("page", "faint"):
        bright, dim = sorted(
            (luminance(svg.COLORS[color][scheme]) for color in (name, ground)), reverse=True
        )
        assert (bright + 0.05) / (dim + 0.05) >= 4.5


def test_elements__refuse_an_unknown_color():
    with pytest.raises(KeyError, match="no color 'red'"):
        svg.Picture("a title", "a description", 10).text(0, 5, "words", "red")


def test_words__are_escaped():
    picture = svg.Picture("a < b & c", "d", 10)
    picture.text(0, 5, "1 < 2 & 3")
    root = ElementTree.fromstring(picture.svg())
    assert root.find(f"{SVG}title").text == "a < b & c"
    assert root.find(f"{SVG}text").text == "1 < 2 & 3"


@pytest.mark.parametrize("module", [svg, chart])
def test_doctests(module):
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(0.5, 30))
def test_spread__keeps_the_order_and_a_gap(places, gap):
    moved = chart.spread(places, gap)
    order = sorted(range(len(places)), key=lambda i: places[i])
    steps = [moved[b] - moved[a] for a, b in itertools.pairwise(order)]
    assert all(step >= gap - 1e-6 for step in steps)
    apart = sorted(places)
    if all(b - a >= gap for a, b in itertools.pairwise(apart)):
        assert moved == pytest.approx(places)


@given(st.lists(st.floats(-50, 150), min_size=2, max_size=12))
def test_clipped__is_the_part_of_the_line_on_the_chart(heights):
    y = chart.Scale(0, 1, 100, 0)
    line = [(10.0 * i, h) for i, h in enumerate(heights)]
    kept = chart.clipped(line, y)
    assert all(-1e-6 <= h <= 100 + 1e-6 for _, h in kept)
    inside = [point for point in line if 0 <= point[1] <= 100]
    assert all(any(abs(x - a) + abs(h - b) < 1e-6 for a, b in kept) for x, h in inside)
    if len(inside) == len(line):
        assert sum(kept, ()) == pytest.approx(sum(line, ()))


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_round_steps__lie_in_the_range(low, width):
    steps = chart.round_steps(low, low + width)
    assert 2 <= len(steps) <= 11
    assert all(low - 1e-6 * width <= step <= low + width + 1e-6 * width for step in steps)


@pytest.mark.parametrize(
    "old, new",
    [
        ('<circle r="2"/>', '<rect width="2"/>'),
        ('<circle cx="10" r="2"/>', '<circle cx="40" r="2"/>'),
        ('<circle r="2" fill-opacity="0.1"/>', '<circle r="2" fill-opacity="0.9"/>'),
        ('<circle class="fill-blue"/>', '<circle class="fill-green"/>'),
        (
            '<rect class="fill-blue" fill-opacity="0.4"/>',
            '<rect class="fill-orange" fill-opacity="0.4"/>',
        ),
        ('<text x="1">recall 0.40</text>', '<text x="1">recall 0.50</text>'),
        ('<text x="1">with log q</text>', '<text x="1">without log q</text>'),
        ('<path d="M1 1L5 5"/>', '<path d="M1 1L5 5L9 9"/>'),
    ],
)
def test_differences__are_noticed(old, new):
    page = '<svg xmlns="http://www.w3.org/2000/svg">{}</svg>'
    assert differences(page.format(old), page.format(new), pixels=15, words=0.1)
    assert differences(page.format(old), page.format(old)) == []


def test_differences__of_another_machine_are_none():
    old = '<svg><circle cx="10" fill-opacity="0.55"/><text>recall 0.401</text>{}</svg>'
    new = '<svg><circle cx="11.2" fill-opacity="0.57"/><text>recall 0.397</text>{}</svg>'
    cells = [f'<rect class="fill-{color}" fill-opacity="0.05"/>' for color in ("blue", "orange")]
    old, new = old.format(cells[0]), new.format(cells[1])
    assert differences(old, new, pixels=15, words=0.1) == []
    assert len(differences(old, new)) == 4


def test_main__names_an_unknown_picture(tmp_path):
    command = [sys.executable, str(MAIN.parent), "funel", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown picture funel; there are" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_modules__say_what_there_is_to_see():
    for name in NAMES:
        assert len(importlib.import_module(f"pictures.{name}").__doc__) > 60
