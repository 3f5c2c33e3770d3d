"""Make strings of data safe for one line of a terminal, of an error or of a TSV file. Chapter 3."""

import re

_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters: line ends, tabs, escape codes
    "\u2028\u2029"  # line and paragraph separator
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # change the direction of the text
    "\ud800-\udfff]"  # half of a surrogate pair: no encoding has it
)


def printable(text: str) -> str:
    """Escape unsafe characters as Python writes them.

    Backslashes stay as they are: the result is for people and cannot be read back.

    >>> print(printable("Tea\\tfor two\\x1b[31m \\u202e茶"))
    Tea\\tfor two\\x1b[31m \\u202e茶
    """
    return _UNSAFE.sub(lambda match: repr(match[0])[1:-1], text)
