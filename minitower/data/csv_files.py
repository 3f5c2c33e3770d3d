"""Read a CSV file: a header, commas, quotes as in RFC 4180. Chapter 3.

The csv module of the standard library reads it, so that every machine reads it alike. All values
are strings, some of which stand for integers, numbers or booleans.
"""

import csv
import re
from contextlib import suppress
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.atomic_files import read_text
from minitower.data.columns import Columns, numbers
from minitower.data.errors import DataError, Place, show
from minitower.data.feature_encoder import FeatureEncoder
from minitower.data.schema import Categorical
from minitower.data.values import is_missing
from minitower.formulas.arrays import Array

# Records that are turned into columns at once. Thousands of lists that live together are searched
# by Python's garbage collector again and again, which took a third of the time.
_CHUNK = 256
_INTEGER = re.compile("0|-?[1-9][0-9]{0,18}")
_WORDS = {"true": True, "false": False}


def read_csv(path: Path) -> Columns:
    """The columns of a CSV file, objects of type str; a missing value is "".

    Raises:
        DataError: a record has too few or too many fields, a quote is bad, or a byte is not
            UTF-8; names the file and the line.
    """
    text = read_text(path)
    reader = csv.reader(StringIO(text, newline="\n"), strict=True)
    try:
        names = [name.strip() for name in next(reader)]
        if not names:
            raise DataError(f"{path}, line 1: the header is empty")
        if len(names) == 1 and (found := set(names[0]) & set(";\t|")):
            raise DataError(
                f"{path}, line 1: expected commas between columns, got {show(found.pop())}"
            )
        columns: list[list[str]] = [[] for _ in names]
        while records := list(islice(reader, _CHUNK)):
            if set(map(len, records)) != {len(names)}:
                row = next(r for r, record in enumerate(records) if len(record) != len(names))
                raise _place(path, text).error(
                    f"expected {len(names)} fields, got {len(records[row])}", len(columns[0]) + row
                )
            for column, values in zip(columns, zip(*records)):
                column += values
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: no CSV: {error}") from None
    place = Place(str(path), first_line=2)
    if reader.line_num != len(columns[0]) + 1:  # a quoted value goes over several lines
        place = _place(path, text)
    for name in names:
        if names.count(name) > 1:
            raise Place(str(path), name, first_line=1).error("the column occurs twice", 0)
    arrays = {
        name: np.fromiter(values, object, len(values)) for name, values in zip(names, columns)
    }
    return Columns(arrays, place, is_csv=True)


def _place(path: Path, text: str) -> Place:
    """The place of a file with the first line of every record."""
    reader = csv.reader(StringIO(text, newline="\n"), strict=True)
    ends = []
    with suppress(csv.Error):  # the records before it are those that matter
        ends += [reader.line_num for _ in reader]
    return Place(str(path), first_line=2, rows=[end - 1 for end in ends])


def integers_of(column: Array) -> Array | None:
    """The integers that strings stand for; None unless all of them are written plainly.

    "007", "+7" and "7.0" are not: as integers they would be one value with "7".

    >>> integers_of(np.array(["7", "12"], object)), integers_of(np.array(["7", "07"], object))
    (array([ 7, 12]), None)
    """
    values = column.tolist()
    distinct = set(values)
    if not all(type(value) is str and _INTEGER.fullmatch(value) for value in distinct):
        return None
    found = {value: int(value) for value in distinct}
    if not all(-(2**63) <= number < 2**63 for number in found.values()):
        return None
    return np.fromiter(map(found.__getitem__, values), np.int64, len(values))


def plain_values(column: Array) -> Array:
    """A column of strings as integers, numbers or booleans, where all of its values are such.

    Missing values do not count. Strings stay strings as soon as one value is something else.
    """
    if column.dtype != object:
        return column
    if set(map(type, column.tolist())) == {str}:
        missing = ~column.astype(bool)  # ""
    else:
        missing = np.fromiter(map(is_missing, column.tolist()), bool, len(column))
    present = column[~missing]
    if set(map(type, present.tolist())) != {str}:
        return column
    found, distinct = integers_of(present), set(present.tolist())
    if found is None and {value.lower() for value in distinct} <= _WORDS.keys():
        found = np.array([_WORDS[value.lower()] for value in present])
    if found is None and not any(map(_has_leading_zero, distinct)):
        try:
            found = numbers(present, Place(""))
        except DataError:
            return column
        if np.isnan(found).any():  # the string "nan" is a word
            return column
    if found is None or not missing.any():
        return column if found is None else found
    if found.dtype.kind == "f":
        holes = np.full(len(column), np.nan)
    else:
        holes = np.full(len(column), None, object)
    holes[~missing] = found.tolist()
    return holes


def as_fitted(columns: Columns, encoder: FeatureEncoder) -> Columns:
    """Categories with the type of a fitted vocabulary: integers, or strings.

    A string that stands for no integer is unknown to a vocabulary of integers: it is missing.

    Args:
        columns: of a CSV file.
        encoder: of the side.
    """
    names = [f.name for f in encoder.fields if isinstance(f, Categorical) and f.name in columns]
    kinds = {name: encoder.vocabulary(name).values.dtype.kind for name in names}
    return columns.updated({name: _of_kind(columns[name], kind) for name, kind in kinds.items()})


def _of_kind(column: Array, kind: str) -> Array:
    if kind == "U":
        values: list[Any] = [
            None if is_missing(v) else v if isinstance(v, str) else str(v) for v in column
        ]
    elif column.dtype != object:
        return column
    else:
        values = [_integer(v) if isinstance(v, str) else v for v in column]
    return np.fromiter(values, object, len(column))


def _integer(value: str) -> int | None:
    word = _WORDS.get(value.lower())
    return int(value) if _INTEGER.fullmatch(value) else None if word is None else int(word)


def _has_leading_zero(value: str) -> bool:
    return len(value) > 1 and value[0] == "0" and value[1].isdigit()
