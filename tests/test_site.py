"""The site is whole: every link arrives, every formula is set, nothing comes from a network."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parent.parent
MEBIBYTE = 1 << 20
NEEDED = ("sphinx", "myst_parser", "furo", "jieba", "latex2mathml", "ziamath", "fontTools")

pytestmark = pytest.mark.skipif(
    not all(map(find_spec, NEEDED)), reason="needs what is not installed: pip install '.[docs]'"
)


class Page(HTMLParser):
    """What a page shows and where it leads."""

    CODE = ("code", "pre", "script", "style", "math", "dt")
    VOID = ("img", "link", "meta", "input", "br", "hr", "source", "path", "circle", "rect", "line")

    def __init__(self, html):
        super().__init__()
        self.ids, self.links, self.resources, self.words = set(), [], [], []
        self.language, self.formulas, self._open = None, 0, []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.language = found.get("lang") if tag == "html" else self.language
        self.formulas += tag == "math"
        self.ids |= {found["id"]} if "id" in found else set()
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag in ("img", "script", "iframe", "source") and "src" in found:
            self.resources.append(found["src"])
        elif tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload"):
            self.resources.append(found["href"])
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        while tag in self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if not set(self._open) & set(self.CODE):
            self.words.append(data)


def is_outside(link):
    return bool(urlsplit(link).scheme or urlsplit(link).netloc)


def target(page, link):
    """The file that a link of a page leads to."""
    path = unquote(urlsplit(link).path)
    return (page.parent / path).resolve() if path else page


def dead_links(pages):
    """(page, link) of every link whose file or whose anchor does not exist."""
    for path, page in pages.items():
        for link in page.links:
            if is_outside(link):
                continue
            file, anchor = target(path, link), unquote(urlsplit(link).fragment)
            anchors = pages[file].ids | {""} if file in pages else {anchor}
            if not file.is_file() or anchor not in anchors:
                yield path.name, link


@pytest.fixture(scope="module")
def site(built_site):
    return built_site


@pytest.fixture(scope="module")
def pages(site):
    """{path: page} of the whole site."""
    return {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}


@pytest.fixture(scope="module")
def chapters(pages, site):
    """The pages that are made of Markdown of the book."""
    return {path: page for path, page in pages.items() if path.parent.parts[-1] in ("docs", "zh")}


def test_pages__are_those_of_the_book(chapters, pages, site):
    book = {path.stem.replace("README", "index") for path in (ROOT / "docs").glob("*.md")}
    chinese = {path.stem.replace("README", "index") for path in (ROOT / "docs/zh").glob("*.md")}
    assert {path.stem for path in chapters if path.parent.name == "docs"} == book
    assert {path.stem for path in chapters if path.parent.name == "zh"} == chinese
    assert site / "index.html" in pages
    assert site / "reference" / "formulas" / "logq.html" in pages


def test_links__arrive(pages):
    assert sum(len(page.links) for page in pages.values()) > 5000
    assert list(dead_links(pages)) == []


def test_links__that_are_dead_are_noticed(tmp_path):
    html = '<a href="b.html">b</a> <a href="#here">h</a> <a href="a.html#there">t</a> <p id="here">'
    path = tmp_path / "a.html"
    path.write_text(html, "utf-8")
    found = dead_links({path: Page(html)})
    assert list(found) == [("a.html", "b.html"), ("a.html", "a.html#there")]


def test_resources__come_from_the_site(pages, site):
    """The pages, the style sheets and the scripts ask no other host for anything."""
    for path, page in pages.items():
        assert [x for x in page.resources if is_outside(x) and not x.startswith("data:")] == []
        assert all(target(path, x).is_file() for x in page.resources if not is_outside(x))
    for path in [*site.rglob("*.css"), *site.rglob("*.js")]:
        text = path.read_text("utf-8")
        assert not re.search(r"(?:url\(|@import |fetch\(|src *= *)['\"]?https?://", text), path.name


def test_formulas__are_set(chapters):
    assert sum(page.formulas for page in chapters.values()) > 400
    for path, page in chapters.items():
        words = " ".join(page.words)
        assert not re.search(r"\$|\\(?:frac|log|sum|text)\b", words), path.name


def test_formulas__that_are_not_set_are_noticed():
    assert re.search(r"\$", " ".join(Page(r"<p>with $\log q$ off</p>").words))
    assert Page("<p><code>$HOME</code> <math>x</math></p>").words == [" "]


def test_pages__weigh_less_than_a_mebibyte(pages, site):
    font = (site / "_static" / "math.woff2").stat().st_size
    data = (site / "_static" / "figures-data.js").stat().st_size
    for path, page in pages.items():
        files = {target(path, x) for x in page.resources if not is_outside(x)}
        weight = path.stat().st_size + sum(file.stat().st_size for file in files) + font + data
        assert weight < MEBIBYTE, f"{path.name}: {weight:,} bytes"


def test_pages__say_their_language(pages):
    for path, page in pages.items():
        assert page.language == ("zh-CN" if path.parent.name == "zh" else "en"), path


def test_chapters__of_both_languages_link_to_each_other(chapters, site):
    for path, page in chapters.items():
        if path.parent.name == "zh" and path.stem != "glossary":
            english = site if path.stem == "index" else site / "docs"
            other = english / path.name
            assert other in {target(path, x) for x in page.links}, path.name
            assert path in {target(other, x) for x in Page(other.read_text("utf-8")).links}


def test_reference__has_every_public_name_with_its_source(pages, site):
    from minitower import api

    ids = set().union(
        *(page.ids for path, page in pages.items() if path.parent.name == "reference")
    )
    assert [name for name in api.__all__ if f"minitower.{name}" not in ids] == []
    training = pages[site / "reference" / "training.html"]
    sources = [link for link in training.links if "_modules/minitower/training/" in link]
    assert len(sources) > 20
    html = (site / "reference" / "training.html").read_text("utf-8")
    assert "<details><summary>Raises</summary>" in html


def test_formulas_page__has_formula_prose_and_code(site):
    html = (site / "reference" / "formulas" / "pairwise.html").read_text("utf-8")
    assert "<math" in html
    assert "Triplet hinge loss" in html
    assert re.search(
        r'<span class="k">def</span>.{0,40}<span class="nf">triplet_hinge</span>', html
    )
    assert "<details><summary>Properties: each is a test</summary>" in html


def test_build__names_what_is_missing(tmp_path):
    """One clear line without the extra."""
    program = (
        "import importlib.util, runpy, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'furo' else find(name)\n"
        f"sys.argv = ['site', '--out', {str(tmp_path)!r}]\n"
        f"runpy.run_path({str(ROOT / 'docs' / 'site')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install '.[docs]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
