"""The package speaks plainly: no word of a private language, no long sentence, one spelling.

The rules hold for docstrings, comments, messages, the help of the commands, and the English pages
of the book.
"""

import ast
import io
import re
import textwrap
import tokenize
from pathlib import Path

import pytest

import minitower
from minitower.conformance import FORMULAS

PACKAGE = Path(minitower.__file__).parent
ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
LONGEST = 25  # words of a sentence

BANNED = {
    "told": "said, recorded, given",
    "mend(s|ed|ing)?": "fix",
    "by lot": "at random",
    "(of|to|for) whom": "name the noun",
    "(is|are) none": "say what is missing",
    "whole numbers?": "integer",
    "truth values?": "boolean",
    "put by": "stored",
    "must not come": "excluded",
    "who(m)?ever": "every user",
    "dearer": "more expensive",
    "so many": "a number of",
    "afresh|anew": "again, new",
    "have met|had met|has met|they met": "saw",
    "taken off|takes off|take off": "subtracted",
    "there is no(ne)?|there are no(ne)?": "is missing, without",
    "catalogue of versions": "version log",
    "verdict": "result",
}
BRITISH = (
    r"\b(colour|behaviour|favour|neighbour|normalis|standardis|minimis|maximis|initialis"
    r"|optimis|organis|recognis|summaris|penalis|regularis|factoris|vectoris|labelled|modelled"
    r"|cancelled|centre|grey|catalogued|analys(e|ed|es)\b)"
)
ALLOWED = {"standardise", "bucketise"}  # values of options that stores hold

PUBLISHED = {
    *(formula.summary for formula in FORMULAS.values()),
    *(case.why for formula in FORMULAS.values() for case in formula.cases),
}
"""Words of the golden vectors: they change with the vectors' version."""


def prose(path: Path) -> list[tuple[int, str]]:
    """The docstrings, messages and comments of a file, with their lines."""
    source = path.read_text("utf-8")
    found = [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    ]
    block: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            block.append(token.string.lstrip("# "))
        elif token.type != tokenize.NL and block:
            found.append((token.start[0] - 1, " ".join(block)))
            block = []
    return found


def sentences(text: str) -> list[str]:
    """The sentences of a docstring or a message, without doctests, formulas and tables."""
    found: list[str] = []
    if not re.search(r"[.,:;]", text):
        return []  # a list of words
    for paragraph in re.split(r"\n\s*\n", textwrap.dedent(text)):
        lines = paragraph.splitlines()
        if any(">>>" in line for line in lines) or any(re.search(r"\S {2,}\S", x) for x in lines):
            continue  # a doctest, a formula or a table
        entries = re.split(
            r"\n(?=\s*(?:[*\w, ]{1,40}: |[-*] |Args|Raises|Returns|Attr))", paragraph
        )
        for entry in entries:
            entry = re.sub(r"^\s*[*\w, ]{1,40}: ", "", entry)
            found += re.split(r"(?<=[.!?;:])\s+", " ".join(entry.split()))
    return found


def page_paragraphs(page: str) -> list[str]:
    """The prose of a page of Markdown: without blocks, tables, formulas, code and addresses."""
    for pattern, instead in (
        (r"^```.*?^```$", ""),
        (r"^\|.*$", ""),
        (r"\$\$.*?\$\$", "\n\n"),
        (r"\$`.*?`\$|\$[^$\n]+\$", "formula"),
        (r"`[^`]*`", "code"),
        (r"\[([^\]]*)\]\([^)]*\)", r"\1"),
    ):
        page = re.sub(pattern, instead, page, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(x.split()) for x in re.split(r"\n\s*\n|\n(?=\s*(?:[*-]|\d+\.) )", page)]


def page_problems(page: str) -> list[str]:
    """What is wrong with the words of a page, sentence by sentence."""
    found = []
    for paragraph in page_paragraphs(page):
        for sentence in re.split(r"(?<=[.!?;:])[*]*\s+", paragraph):
            if len(sentence.split()) > LONGEST:
                found.append(f"{len(sentence.split())} words: {sentence}")
            for word, instead in BANNED.items():
                if re.search(rf"\b({word})\b", sentence, re.IGNORECASE):
                    found.append(f"'{word}' (say: {instead}): {sentence}")
            british = re.search(BRITISH, sentence.lower())
            if british:
                found.append(f"British '{british[0]}': {sentence}")
    return found


def problems(text: str) -> list[str]:
    """What is wrong with the words of a text."""
    found = []
    for sentence in sentences(text) if text not in PUBLISHED else ():
        words = re.sub(r"``.*?``|`.*?`", "code", sentence).split()
        if len(words) > LONGEST:
            found.append(f"{len(words)} words: {sentence}")
        for word, instead in BANNED.items():
            if re.search(rf"\b({word})\b", sentence, re.IGNORECASE):
                found.append(f"'{word}' (say: {instead}): {sentence}")
        british = re.search(BRITISH, sentence.lower())
        if british and not any(word in sentence for word in ALLOWED):
            found.append(f"British '{british[0]}': {sentence}")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_words__of_a_file(path):
    found = [f"line {line}: {p}" for line, text in prose(path) for p in problems(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.name)
def test_words__of_a_page(path):
    found = page_problems(path.read_text("utf-8"))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page, problem", [
    ("# T\n\nA *choice*\nby lot.\n", "'by lot'"),
    ("* One.\n* The colour.\n", "British 'colour'"),
    ("word `a b` " * 12 + "and so.", "26 words"),
])  # fmt: skip
def test_words__finds_on_a_page(page, problem):
    assert any(problem in found for found in page_problems(page))


@pytest.mark.parametrize("page", [
    "```python\n# told\n```\n",
    "| told |\n",
    "[Here](by-lot.md) and `told`.",
    "$$told$$",
])  # fmt: skip
def test_words__lets_pass_on_a_page(page):
    assert not page_problems(page)


@pytest.mark.parametrize("text, problem", [
    ("None is told.", "'told'"),
    ("A choice by lot.", "'by lot'"),
    ("The colour.", "British 'colour'"),
    (" ".join(["word"] * 26) + ".", "26 words"),
    ("Args:\n    k: " + " ".join(["word"] * 26) + ".", "26 words"),
])  # fmt: skip
def test_words__finds(text, problem):
    assert any(problem in found for found in problems(text))


@pytest.mark.parametrize("text", [
    "Twelve words stand here. " * 9,
    "Example:\n\n    >>> told",
    "x  =  " + "a b " * 30,
])  # fmt: skip
def test_words__lets_pass(text):
    assert not problems(text)
