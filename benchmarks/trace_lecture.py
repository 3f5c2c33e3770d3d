"""Link what chapter 19 names: functions and tests to their lines, claims to their comparisons.

    python benchmarks/trace_lecture.py

Rewrites the page in place. `tests/test_book.py` fails where the page and the source disagree:
run this after moving a function.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").glob("**/19-formulas-of-the-lecture.md"))
LINK = re.compile(r"\[(`[\w.:*]+`)\]\([./]*(?:minitower|tests)/[^)]*\)")
ROOMS = "data|evaluation|formulas|lab|scale|search|store|towers|training|updating"
FUNCTION = re.compile(rf"`((?:{ROOMS})(?:\.\w+)+)`")
CLAIM = re.compile(r"\[claim (\d+): [^]]*\]\([^)]*\)")
MEASURED = re.compile(r"^\| \[(\d+)\]\(([^)]*)\) \| [^|]* \| ([^|]*) \|$", re.MULTILINE)
TEST = re.compile(r"`(test_\w+)::(test_[\w*]+)`")
CHAPTER = re.compile(r"\[(\d+)\]\((?:\.\./)?(\d\d-[\w-]+\.md)\)")


def linked(page: Path) -> str:
    """The text of a page, each name a link to where it stands today."""
    up = "../" * (len(page.relative_to(ROOT).parts) - 1)
    text = CLAIM.sub(r"claim \1", LINK.sub(r"\1", page.read_text("utf-8")))
    text = re.sub(r"\bclaim (\d+)", lambda found: _to_claim(up[3:], found[1]), text)
    text = FUNCTION.sub(lambda found: _to(up, found[0], *_function(found[1])), text)
    text = TEST.sub(lambda found: _to(up, found[0], *_test(found[1], found[2])), text)
    return CHAPTER.sub(lambda found: _to_chapter(page, found[1], found[2]), text)


def _to(up: str, name: str, file: str, line: int) -> str:
    return f"[{name}]({up}{file}#L{line})"


def _to_chapter(page: Path, number: str, file: str) -> str:
    """A chapter in the language of the page, or else in English."""
    return f"[{number}]({file if (page.parent / file).exists() else f'../{file}'})"


def _to_claim(up: str, number: str) -> str:
    """A claim by its result, linked to its comparisons, as chapter 18 has them."""
    link, result = _claims()[number]
    return f"[claim {number}: {result}]({up}{link})"


@cache
def _claims() -> dict[str, tuple[str, str]]:
    page = (ROOT / "docs" / "18-what-is-true.md").read_text("utf-8")
    return {number: (link, result) for number, link, result in MEASURED.findall(page)}


@cache
def _function(dotted: str) -> tuple[str, int]:
    """File and line of a function or class below the package."""
    module, _, name = dotted.rpartition(".")
    found: Any = getattr(importlib.import_module(f"minitower.{module}"), name)
    return f"{found.__module__.replace('.', '/')}.py", inspect.getsourcelines(found)[1]


@cache
def _test(module: str, pattern: str) -> tuple[str, int]:
    """File and line of the first test that a pattern names."""
    file = f"tests/{module}.py"
    nodes = ast.parse((ROOT / file).read_text("utf-8")).body
    lines = (n.lineno for n in nodes if isinstance(n, ast.FunctionDef) and fnmatch(n.name, pattern))
    return file, next(lines)


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(linked(page), "utf-8")
