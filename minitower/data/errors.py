"""DataError: the one error for bad input, and the place that it names. Chapter 3."""

import re
import reprlib
import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

LONGEST_ERROR = 499
"""Characters of an error, fewer than 500."""


class DataError(ValueError):
    """Bad input: one line that says what is wrong, where, and what to do.

    Unsafe characters are escaped (:func:`printable`). A message that is too long
    loses its middle: the place stands at its beginning and the advice at its end.
    """

    def __init__(self, message: str) -> None:
        super().__init__(shorten(printable(message), LONGEST_ERROR))


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


def warn_caller(message: str) -> None:
    """Warn of something, at the line that called the package."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("minitower."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def shorten(text: str, longest: int) -> str:
    """Cut the middle out of a string that is longer than `longest` characters.

    >>> shorten("abcdefghijkl", 9)
    'abc...jkl'
    """
    if len(text) <= longest:
        return text
    tail = (longest - 3) // 2
    return f"{text[: longest - 3 - tail]}...{text[len(text) - tail :]}"


def listed(names: Iterable[Any], most: int = 5) -> str:
    """The first names, each shortened, and the number of the others; "none" without names.

    >>> listed(f"column{i}" for i in range(1000))
    'column0, column1, column2, column3, column4 and 995 more'
    """
    names = list(names)
    first = ", ".join(shorten(printable(str(name)), 40) for name in names[:most])
    rest = len(names) - most
    return f"{first} and {rest:,} more" if rest > 0 else first or "none"


def show(value: Any) -> str:
    """A value as a person would write it, on one line, shortened where it is long.

    >>> import numpy as np
    >>> show(np.float64(1.5)), show(np.str_("x")), show("long" * 99)[-7:]
    ('1.5', "'x'", 'long...')
    """
    text = _REPR.repr(
        value.item() if hasattr(value, "item") and not getattr(value, "ndim", 0) else value
    )
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:77]}..."


_REPR = reprlib.Repr()  # nested lists, however deep, do not exhaust the stack
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 200
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = 40


@dataclass(frozen=True)
class Place:
    """Where values came from, so that an error can point at one of them.

    Args:
        table: the name of the table ("items") or of the file ("ml-1m.item").
        column: the column, where it is known.
        first_line: the line of row 0 when the table is a file, counted from 1.
        single: the table has one row, so errors give no row number.
        rows: the row of each value, where one row holds several values.

    >>> print(Place("ml-1m.item", "year", first_line=2).error("missing value", row=3))
    ml-1m.item, line 5, column 'year': missing value
    >>> print(Place("items", "year").error("missing value", row=3))
    items, row 3, column 'year': missing value
    """

    table: str
    column: str | None = None
    first_line: int | None = None
    single: bool = False
    rows: Sequence[int] | None = None

    def error(self, message: str, row: int | None = None) -> DataError:
        """An error about this place, or about one row of it (counted from 0)."""
        where = shorten(printable(self.table), 120)
        if row is not None and not self.single:
            row = row if self.rows is None else int(self.rows[row])
            first = self.first_line
            where += f", row {row}" if first is None else f", line {first + row}"
        if self.column is not None:
            where += f", column '{shorten(printable(self.column), 60)}'"
        return DataError(f"{where}: {message}")

    def refuse(self, bad: Any, message: str | Callable[[int], str]) -> None:
        """Raise an error about the first row for which a mask (n,) holds, if there is one.

        Args:
            bad: a boolean array.
            message: the message, or the message by the row.

        Raises:
            DataError: the mask holds for a row.
        """
        if bad.any():
            row = int(bad.argmax())
            raise self.error(message if isinstance(message, str) else message(row), row)

    def at(self, column: str) -> "Place":
        """The same table, one column of it."""
        return replace(self, column=column)

    def inside(self, rows: Sequence[int]) -> "Place":
        """The same column with several values a row: `rows` is the row of each value."""
        return replace(self, rows=rows if self.rows is None else [self.rows[row] for row in rows])
