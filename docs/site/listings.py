"""Source files that the pages link to, as pages of the site with an anchor at each line.

On GitHub a link such as ../tests/test_logq.py#L49 shows that line. Sphinx knows no such file, so
such a link leaves for an address that stands for the listings. The finished page brings it back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
ELSEWHERE = "https://listings.invalid/"
LINK = re.compile(r"\]\((?:\.\./)+((?:minitower|tests|benchmarks)/[\w/.-]+\.\w+)(#L\d+)?\)")


def leaving(text: str) -> str:
    """A page whose links to source files leave for the listings.

    >>> leaving("[`yi`](../minitower/formulas/logq.py#L73)")
    '[`yi`](https://listings.invalid/minitower/formulas/logq.py#L73)'
    """
    return LINK.sub(rf"]({ELSEWHERE}\1\2)", text)


def returning(html: str, path_to: Callable[[str], str]) -> str:
    """A finished page whose links to source files arrive at the listings.

    >>> link = 'class="reference external" href="https://listings.invalid/a/b.py#L7"'
    >>> returning(link, lambda page: f"../{page}.html")
    'class="reference internal" href="../listings/a/b.py.html#L-7"'
    """

    def back(found: re.Match[str]) -> str:
        anchor = f"#L-{found[2]}" if found[2] else ""
        return f'class="reference internal" href="{path_to("listings/" + found[1])}{anchor}"'

    pattern = rf'class="reference external" href="{re.escape(ELSEWHERE)}([^"#]+)(?:#L(\d+))?"'
    return re.sub(pattern, back, html)


def write(source: Path) -> None:
    """Write a listing of each file that a page below a folder links to."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_for_filename

    pages = [path.read_text("utf-8") for path in source.rglob("*.md")]
    for name in sorted({x for page in pages for x in re.findall(rf"{ELSEWHERE}([^)#]+)", page)}):
        text = (ROOT / name).read_text("utf-8")
        code = highlight(text, get_lexer_for_filename(name), HtmlFormatter(linespans="L"))
        page = source / "listings" / f"{name}.md"
        page.parent.mkdir(parents=True, exist_ok=True)
        head = ["---", "orphan: true", "hide-toc: true", "---", f"# {name}", "", "````{raw} html"]
        page.write_text("\n".join([*head, code, "````", ""]), "utf-8")
