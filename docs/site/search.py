"""The words that the search knows: English ones by their stem, Chinese ones by jieba."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import jieba
from sphinx.search.zh import SearchChinese

GLOSSARY = Path(__file__).parents[2] / "docs" / "zh" / "glossary.md"


def terms() -> set[str]:
    """The Chinese terms of the glossary.

    >>> sorted(terms() & {"纠偏", "困难负样本"})
    ['困难负样本', '纠偏']
    """
    rows = re.findall(r"^\|[^|]*\|([^|]*)\|", GLOSSARY.read_text("utf-8"), re.MULTILINE)
    return {word for row in rows for word in re.findall("[\u4e00-\u9fff]+", row)}


class BookSearch(SearchChinese):
    """Splits a page into words. A term of the glossary stays in one piece."""

    lang = "book"
    language_name = "English"  # the stemmer that the browser runs on a query
    js_splitter_code = Path(__file__).with_name("splitter.js").read_text("utf-8")

    def __init__(self, options: dict[str, str]) -> None:
        jieba.setLogLevel(logging.WARNING)
        super().__init__({**options, "dict": ""})
        for word in terms():
            jieba.add_word(word, freq=100_000)
