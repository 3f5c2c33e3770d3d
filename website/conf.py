"""The settings of Sphinx. `python website` reads them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import docstrings
import jieba
import mathml

import minitower

jieba.setLogLevel(logging.WARNING)

project = "minitower"
author = project_copyright = "the minitower authors"
version = release = minitower.__version__
language = "en"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
root_doc = "index"

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
add_module_names = False
python_use_unqualified_type_names = True
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "minitower"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/icon.svg"
html_copy_source = False
html_show_sphinx = False
html_search_language = "zh"  # English words and Chinese ones


def plain_docstring(app: Any, what: str, name: str, thing: Any, options: Any, lines: Any) -> None:
    """Give Sphinx the docstring in its own dialect."""
    lines[:] = docstrings.restructured("\n".join(lines))


def setup(app: Any) -> None:
    """What no setting of Sphinx does."""
    app.config.html_search_options = {"dict": str(Path(app.srcdir) / "words.txt")}
    app.config.html_static_path.append(str(Path(app.srcdir) / "_static"))
    app.connect("autodoc-process-docstring", plain_docstring)
    app.add_html_math_renderer("mathml", (mathml.inline, None), (mathml.block, None))
