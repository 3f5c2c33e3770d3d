"""The source pages of the site: README.md and docs/, as Sphinx wants them.

GitHub and Sphinx read two dialects. What changes on the way: a README becomes the index of its
folder, formulas in code quotes lose the quotes, headings skip no level.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import figures
import listings
import mathfont
import notebooks
import reference

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def for_sphinx(text: str) -> str:
    """A page in the dialect of Sphinx.

    >>> for_sphinx("[home](../README.md#start): $`a\\\\,b`$")
    '[home](../index.md#start): $a\\\\,b$'
    """
    parts = FENCE.split(text)
    for i in range(0, len(parts), 2):  # what is between the code blocks
        parts[i] = listings.leaving(parts[i])
        parts[i] = re.sub(r"(\]\([^)\s]*)README\.md", r"\1index.md", parts[i])
        parts[i] = re.sub(r"\$`([^`]+)`\$", r"$\1$", parts[i])
        if not re.search(r"^## ", text, re.MULTILINE):
            parts[i] = re.sub(r"^#(##+ )", r"\1", parts[i], flags=re.MULTILINE)
    for i in range(1, len(parts), 2):  # the empty line after the last example
        parts[i] = re.sub(r"\n\n```$", "\n```", parts[i])
    return "".join(parts)


def with_download(text: str, path: Path) -> str:
    """A page with a link to its notebook below the title."""
    words = "本章的 notebook" if path.parent.name == "zh" else "This chapter as a notebook"
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{{download}}`{words} <{path.stem}.ipynb>`\n{rest}"


def contents(caption: str, names: list[str]) -> str:
    """A table of contents that is shown in the margin only."""
    head = ["", "```{toctree}", ":hidden:", f":caption: {caption}", ""]
    return "\n".join([*head, *names, "```", ""])


def chapters(folder: Path) -> list[str]:
    """The names of the chapters of a folder, without their ending."""
    return [path.stem for path in sorted(folder.glob("[0-9][0-9]-*.md"))]


def write(source: Path) -> None:
    """Write all pages below a new folder, and what they need beside them."""
    left_out = shutil.ignore_patterns("*.py", "__pycache__", "site")
    shutil.copytree(DOCS, source / "docs", ignore=left_out)
    shutil.copy(ROOT / "README.md", source)
    for path in sorted(source.rglob("*.md")):
        text = for_sphinx(path.read_text("utf-8"))
        path.unlink()
        path = path.with_name(path.name.replace("README", "index"))
        path.write_text(text, "utf-8")
        if path.name[0].isdigit() and notebooks.write(path):
            path.write_text(with_download(text, path), "utf-8")
    public, side_by_side = reference.write(source)
    with (source / "index.md").open("a", encoding="utf-8") as index:
        english = ["docs/index", *(f"docs/{name}" for name in chapters(DOCS))]
        chinese = ["index", "glossary", *chapters(DOCS / "zh")]
        index.write(contents("The book", english))
        index.write(contents("中文", [f"docs/zh/{name}" for name in chinese]))
        index.write(contents("Formulas side by side", side_by_side))
        index.write(contents("Reference", public))
    listings.write(source)
    (source / "_static").mkdir()
    mathfont.write(source / "_static" / "math.woff2")
    figures.write(source / "_static")
