"""The site in a browser: no error, no sideways scroll, search, sliders, barriers for nobody."""

import functools
import os
import re
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
AXE = Path(os.environ.get("MINITOWER_AXE") or "axe.min.js")
"""axe.min.js of the npm package axe-core; `.ci/run` installs it."""
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ABORTED = "net::ERR_ABORTED"
"""A request that a page had not finished when the next page was opened."""
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}

pytestmark = [
    pytest.mark.skipif(
        not all(map(find_spec, ("sphinx", "furo", "playwright"))),
        reason="needs what is not installed: pip install '.[docs,docs-test]'",
    ),
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]


class Quiet(SimpleHTTPRequestHandler):
    """A plain file server."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(built_site):
    """The address of the site on a file server."""
    handler = functools.partial(Quiet, directory=str(built_site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A page of a new window; the test fails if its console has an error or it asks elsewhere."""
    context = browser.new_context(viewport=DESKTOP, base_url=address)
    page = context.new_page()
    troubles = watched(page, address)
    yield page
    context.close()
    assert troubles == []


def watched(page, address):
    """The list that grows with the errors of a page and its requests to other hosts."""
    troubles = []
    page.on("console", lambda m: troubles.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("requestfailed", lambda r: None if r.failure == ABORTED else troubles.append(r.url))
    page.on(
        "request",
        lambda r: None if r.url.startswith((address, "data:")) else troubles.append(r.url),
    )
    return troubles


def names_of(site):
    """All pages but the listings of source, of which two stand for all."""
    pages = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    sources = [name for name in pages if name.startswith("_modules/minitower/formulas/")]
    return [name for name in pages if not name.startswith("_modules/")] + sources[:2]


def test_pages__load_without_an_error_and_fit_a_phone(browser, address, built_site):
    context = browser.new_context(viewport=PHONE, base_url=address)
    page = context.new_page()
    troubles = watched(page, address)
    names = names_of(built_site)
    assert len(names) > 60
    for name in names:
        page.goto(name)
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"], f"{name} is {width} pixels wide"
        assert troubles == [], name
    context.close()


def test_a_page_that_is_too_wide_or_has_an_error_is_noticed(browser, address):
    page = browser.new_page(viewport=PHONE)
    troubles = watched(page, address)
    page.goto(address + "nothing.html")
    assert any("404" in trouble for trouble in troubles)
    page.set_content("<div style='width: 500px'>wide</div>")
    assert page.evaluate("document.documentElement.scrollWidth") > PHONE["width"]
    page.close()


@pytest.mark.skipif(not AXE.is_file(), reason="needs npm's axe-core, named by MINITOWER_AXE")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages__keep_nobody_out(browser, address, built_site, scheme):
    """axe-core finds no serious and no critical violation; on some dark pages: of contrast."""
    context = browser.new_context(viewport=DESKTOP, color_scheme=scheme, base_url=address)
    page = context.new_page()
    names = names_of(built_site)
    found = {}
    for name in names if scheme == "light" else names[::8]:
        page.goto(name)
        if violations := run_axe(page, ALL if scheme == "light" else CONTRAST):
            found[name] = violations
    context.close()
    assert found == {}


ALL = "{resultTypes: ['violations']}"
CONTRAST = "{runOnly: ['color-contrast'], resultTypes: ['violations']}"


def run_axe(page, rules=ALL):
    """The serious and critical violations, with the first place of each."""
    page.add_script_tag(path=str(AXE))
    return page.evaluate(
        f"""axe.run(document, {rules}).then(done => done.violations
            .filter(v => ['serious', 'critical'].includes(v.impact))
            .map(v => v.id + ' ' + v.nodes.length + ': ' + v.nodes[0].html.slice(0, 120)))"""
    )


@pytest.mark.skipif(not AXE.is_file(), reason="needs npm's axe-core, named by MINITOWER_AXE")
def test_a_page_that_keeps_somebody_out_is_noticed(browser):
    page = browser.new_page()
    page.set_content("<html lang=en><title>t</title><p style='color:#bbb;background:#fff'>pale</p>")
    assert [violation.split()[0] for violation in run_axe(page)] == ["color-contrast"]
    page.close()


def test_formulas__are_set_as_mathematics(page):
    page.goto("docs/09-correcting-the-batch.html")
    fraction = page.locator("mfrac").first
    top, bottom = (fraction.locator(":scope > *").nth(i).bounding_box() for i in (0, 1))
    assert top["y"] + top["height"] <= bottom["y"] + 2, "the numerator stands above"
    assert page.evaluate(
        "document.fonts.ready.then(() => document.fonts.check('16px \"Site Math\"'))"
    )
    loaded = page.evaluate("[...document.fonts].map(font => font.status)")
    assert loaded == ["loaded"]


@pytest.mark.parametrize(
    "words, wanted",
    [
        ("logQ", "09-correcting-the-batch.html"),
        ("纠偏", "zh/09-correcting-the-batch.html"),
        ("困难负样本", "zh/08-hard-negatives-and-the-funnel.html"),
        ("全量更新和增量更新的区别", "zh/13-full-and-incremental-updates.html"),
        ("双塔模型为什么不能用精排的特征", "zh/02-the-two-towers.html"),
        ("InBatchSoftmax", "reference/training.html"),
    ],
)
def test_search__finds(page, words, wanted):
    page.goto("docs/index.html")
    box = page.locator("input[name=q]").first
    box.fill(words)
    box.press("Enter")
    title = "document.querySelector('#search-results h2')?.innerText"
    page.wait_for_function(f"{title} === 'Search Results'")
    links = page.locator(".search li a").evaluate_all("all => all.map(one => one.href)")
    assert any(wanted in link for link in links)


def test_switch__of_light_and_dark_changes_page_and_pictures(page):
    page.emulate_media(color_scheme="light")
    page.goto("docs/04-training-in-batches.html")
    ground = "getComputedStyle(document.body).backgroundColor"
    scheme = "getComputedStyle(document.querySelector('article img')).colorScheme"
    seen = set()
    for _ in range(3):
        page.locator("button.theme-toggle:visible").first.click()
        seen.add((page.evaluate(ground), page.evaluate(scheme)))
    assert len({light for light, _ in seen}) == 2
    assert {"light", "dark"} <= {one for _, one in seen}


def slider(page, name):
    """The figure of a name, its slider in focus."""
    figure = page.locator(f"figure[data-figure={name}]")
    figure.wait_for()
    figure.locator("input").focus()
    return figure


def numbers_of(figure):
    """The numbers that a figure says."""
    words = figure.locator(".says").inner_text()
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", words)]


@pytest.mark.parametrize("where", ["docs/", "docs/zh/"])
def test_slider__of_the_temperature(page, where):
    """What the figure shows and says is what the package computes, at every step."""
    from minitower.formulas.logq import uncorrected
    from minitower.formulas.softmax import in_batch_softmax

    page.goto(f"{where}04-training-in-batches.html")
    figure = slider(page, "temperature")
    data = page.evaluate("minitowerFigures.temperature")
    scores = np.array(data["scores"])
    none, n = uncorrected(np.arange(len(scores))), len(scores)
    shown = set()
    page.keyboard.press("Home")
    for _ in range(13):
        temperature = float(figure.locator("output").inner_text().split("=")[1])
        loss, gradient = in_batch_softmax(scores, none, temperature=temperature)
        shares = gradient * n * temperature + np.eye(n)
        pushed = np.where(np.eye(n, dtype=bool), 0, shares)
        said = [
            loss,
            100 * shares.diagonal().mean(),
            100 * pushed.max(axis=1).sum() / pushed.sum(),
            100 * pushed[:, data["popular"]].sum() / pushed.sum(),
        ]
        assert numbers_of(figure) == pytest.approx(said, abs=0.051)
        assert float(figure.locator("svg").get_attribute("data-loss")) == pytest.approx(
            loss, abs=1e-5
        )
        drawn = [
            float(one.get_attribute("fill-opacity") or -1)
            for one in figure.locator("svg rect[fill-opacity]").all()
        ]
        assert drawn == pytest.approx(shares.ravel(), abs=1e-4)
        shown.add(temperature)
        page.keyboard.press("ArrowRight")
    assert (len(shown), min(shown), max(shown)) == (13, 0.02, 5)


@pytest.mark.parametrize("where", ["docs/", "docs/zh/"])
def test_slider__of_the_weight_of_log_q(page, where):
    page.goto(f"{where}09-correcting-the-batch.html")
    figure = slider(page, "logq-weight")
    data = page.evaluate("minitowerFigures.logq_weight")
    logs = np.log(data["clicks"])
    page.keyboard.press("Home")
    slopes = []
    for weight, scores in zip(data["weights"], data["scores"], strict=True):
        slopes.append(float(figure.locator("svg").get_attribute("data-slope")))
        assert slopes[-1] == pytest.approx(np.polyfit(logs, scores, 1)[0], abs=1e-5)
        said = [weight, slopes[-1], 10 ** slopes[-1]]
        numbers = numbers_of(figure)
        assert numbers[:1] + numbers[-2:] == pytest.approx(said, abs=0.051)
        dots = figure.locator("svg .dot")
        heights = dots.evaluate_all("all => all.map(one => +one.getAttribute('cy'))")
        assert np.corrcoef(heights, scores)[0, 1] == pytest.approx(-1, abs=1e-4)
        page.keyboard.press("ArrowRight")
    words = figure.locator(".says").inner_text()
    assert len(slopes) == 9
    assert slopes[0] < 0.3
    assert slopes[-1] > 1
    assert np.corrcoef(slopes, range(9))[0, 1] > 0.95
    assert bool(re.search("[\u4e00-\u9fff]", words)) == ("zh" in where)


def test_slider__of_ef(page):
    page.goto("docs/05-recall.html")
    figure = slider(page, "effort")
    data = page.evaluate("minitowerFigures.effort")
    page.keyboard.press("Home")
    seen = []
    for ef, walk in zip(data["efforts"], data["walks"], strict=True):
        right = len(set(walk["found"]) & set(data["exact"]))
        seen.append((len(set(walk["scored"])), right))
        assert numbers_of(figure) == [ef, seen[-1][0], len(data["points"]), right, 5]
        for kind, count in (("scored", seen[-1][0]), ("found", right), ("missed", 5 - right)):
            assert figure.locator(f"svg .{kind}").count() == count
        assert figure.locator("input").get_attribute("aria-valuetext") == f"ef = {ef}"
        page.keyboard.press("ArrowRight")
    assert seen == sorted(seen)
    assert (seen[0][1], seen[-1][1], ef) == (1, 5, 30)
    assert seen[-1][0] < len(data["points"])


def test_pictures__stay_without_a_script(browser, address):
    context = browser.new_context(java_script_enabled=False, base_url=address)
    page = context.new_page()
    page.goto("docs/05-recall.html")
    assert page.locator("img[src$='hnsw-walk.svg']").is_visible()
    assert page.locator("figure.interactive").count() == 0
    context.close()
