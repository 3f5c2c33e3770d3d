"""What benchmarks write: figures with the same bytes every time, and pages between marks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STYLE = {"svg.hashsalt": "minitower", "svg.fonttype": "none", "font.size": 9}


@contextmanager
def svg(path: Path, figsize: tuple[float, float]) -> Iterator[Any]:
    """A matplotlib figure to draw on; it is written as SVG at the end, without date."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context(STYLE):
        figure = pyplot.figure(figsize=figsize, layout="constrained")
        try:
            yield figure
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, metadata={"Date": None, "Creator": None})
        finally:
            pyplot.close(figure)


def put_between_marks(page: Path, name: str, made: str) -> None:
    """Replace what a script has made on a page.

    Args:
        page: holds the marks ``<!-- made by NAME: begin -->`` and ``<!-- end -->``; a page that
            does not exist is made of the marks alone.
        name: of the script.
        made: Markdown.
    """
    begin, end = f"<!-- made by {name}: begin -->", "<!-- end -->"
    text = page.read_text("utf-8") if page.exists() else ""
    marked = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    whole = f"{begin}\n\n{made}\n\n{end}"
    if not page.exists():
        text = whole + "\n"
    elif not marked.search(text):
        raise SystemExit(f"{page}: found no place for the tables, between {begin} and {end}")
    page.write_text(marked.sub(lambda match: whole, text), "utf-8")
