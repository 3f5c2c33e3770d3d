"""Read a CSV file: a header, commas, quotes as in RFC 4180; all values are strings. Chapter 3.

The csv module of the standard library reads it, so that every machine reads it alike.
"""

import csv
from contextlib import suppress
from io import StringIO
from itertools import islice
from pathlib import Path

import numpy as np

from minitower.data.atomic_files import read_text
from minitower.data.columns import Columns
from minitower.data.errors import DataError, Place, show

_CHUNK = 1 << 16  # records that are turned into columns at once


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
