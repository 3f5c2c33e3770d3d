"""The settings of Sphinx. `python docs/site` reads them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import docstrings
import listings
import mathml
import reference
import search

import minitower

project = "minitower"
author = project_copyright = "the minitower authors"
version = release = minitower.__version__
language = "en"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "index"
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
add_module_names = False
maximum_signature_line_length = 80
toc_object_entries = False
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "minitower"
html_static_path = ["static"]
html_css_files = ["colors.css", "site.css"]
html_js_files = ["scrolling.js", "figures.js"]
html_favicon = "static/icon.svg"
html_copy_source = False
html_show_sphinx = False
html_search_language = "book"


def plain_docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: Any) -> None:
    """Give Sphinx the docstring in its own dialect."""
    lines[:] = docstrings.restructured("\n".join(lines))


def short_signature(app: Any, what: str, name: str, thing: Any, *rest: Any) -> Any:
    """Give Sphinx a signature with short types."""
    if what not in ("class", "exception", "function", "method"):
        return None
    try:
        return reference.signature(thing, beside_code=name.startswith("minitower.formulas.")), None
    except ValueError:  # an exception of Python has none
        return None


def finish_page(app: Any, page: str, template: str, context: Any, doctree: Any) -> None:
    """Say in which language a page is written, and repair what screen readers stumble over."""
    if page.startswith("docs/zh/"):
        context["language"] = "zh-CN"
    tree = context.get("furo_navigation_tree", "")
    tree = tree.replace('role="heading"', 'role="heading" aria-level="2"')
    before, caption, chinese = tree.partition(CHINESE)
    if page.startswith("docs/zh/") and caption:  # this language first
        chinese, end, after = chinese.partition("</ul>")
        tree = caption + chinese + end + before + after
    context["furo_navigation_tree"] = tree
    body = PARAMETERS.sub(
        lambda found: f'<div class="parameters">{found[1]}</div>'.replace("dd>", "div>"),
        context.get("body", ""),
    )
    context["body"] = listings.returning(body, context["pathto"])


CHINESE = (
    '<p class="caption" role="heading" aria-level="2"><span class="caption-text">中文</span></p>'
)
PARAMETERS = re.compile(r"<dl>\s*((?:<dd>.*?</dd>\s*)+)</dl>", re.DOTALL)
"""A list of definitions without terms, which Sphinx makes of a long signature."""


def setup(app: Any) -> None:
    """What no setting of Sphinx does."""
    app.add_search_language(search.BookSearch)
    app.config.html_static_path.append(str(Path(app.srcdir) / "_static"))
    app.connect("autodoc-process-docstring", plain_docstring)
    app.connect("autodoc-process-signature", short_signature)
    app.connect("html-page-context", finish_page, priority=900)  # after the theme
    app.add_html_math_renderer("mathml", (mathml.inline, None), (mathml.block, None))
