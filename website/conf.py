"""The settings of Sphinx. `python website` reads them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import jieba
import mathml

import minitower

jieba.setLogLevel(logging.WARNING)

project = "minitower"
author = project_copyright = "the minitower authors"
version = release = minitower.__version__
language = "en"
extensions = ["myst_parser"]
root_doc = "index"

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
html_math_renderer = "mathml"

html_theme = "furo"
html_title = "minitower"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/icon.svg"
html_copy_source = False
html_show_sphinx = False
html_search_language = "zh"  # English words and Chinese ones


def setup(app: Any) -> None:
    """What no setting of Sphinx does."""
    app.config.html_search_options = {"dict": str(Path(app.srcdir) / "words.txt")}
    app.config.html_static_path.append(str(Path(app.srcdir) / "_static"))
    app.add_html_math_renderer("mathml", (mathml.inline, None), (mathml.block, None))
