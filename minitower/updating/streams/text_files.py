"""JSON lines and CSV: one record per line. Chapter 14.

A byte order mark at the beginning of a record or a header is ignored; some editors write it.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minitower.data.errors import DataError, listed
from minitower.data.parquet import RECORD
from minitower.formulas.arrays import Array
from minitower.updating.streams.events import (
    BLOCK_SIZE,
    MAX_RECORD_SIZE,
    BadRecord,
    Block,
    object_columns,
)

_Values = list[list[Any]]
"""The values of each column."""

_ERRORS = (ValueError, RecursionError, csv.Error)


def read_json_lines(path: Path, skip: int, names: list[str]) -> Iterator[Block]:
    """One object per line; empty lines are skipped.

    Args:
        path: the file.
        skip: the number of records to pass over.
        names: the columns to read; None stands for a missing value.

    Raises:
        DataError: a line has more than 4 MB.
    """

    def parse(lines: list[str]) -> _Values:
        records = list(map(json.loads, lines))
        if set(map(type, records)) != {dict}:
            raise ValueError("expected an object")
        return [[record.get(name) for record in records] for name in names]

    with path.open("rb") as file:
        yield from _blocks(file, skip, names, parse)


def read_csv(path: Path, skip: int, names: list[str]) -> Iterator[Block]:
    """Comma-separated fields below a header; a quoted field ends on its line.

    One line is one record, so that a stray quote costs one record and not the file.

    Args:
        path, skip, names: as in :func:`read_json_lines`.

    Raises:
        DataError: the header lacks a column or has it twice, or a line has more than 4 MB.
    """
    with path.open("rb") as file:
        header = _header(path, file.readline(MAX_RECORD_SIZE + 1))
        if not header:
            return
        for name in names:
            if header.count(name) != 1:
                raise DataError(
                    f"{path}, line 1: expected one column '{name}', got {listed(header)}"
                )
        width, places = len(header), list(map(header.index, names))

        def parse(lines: list[str]) -> _Values:
            values: list[str] = []  # of all rows: a list of rows takes twice the time
            for row in csv.reader(lines, strict=True):
                if len(row) != width:
                    raise ValueError(f"expected {width} fields, got {len(row)}")
                values += row
            if len(values) != width * len(lines):
                raise ValueError("a quoted field goes on behind the end of its line")
            return [values[place::width] for place in places]

        yield from _blocks(file, skip, names, parse)


def write_json_lines(file: BinaryIO, columns: Mapping[str, Array]) -> None:
    """One object per row; NaN is left out."""
    for row in zip(*(column.tolist() for column in columns.values())):
        record = {name: value for name, value in zip(columns, row) if value == value}
        file.write(json.dumps(record).encode() + b"\n")


def write_csv(file: BinaryIO, columns: Mapping[str, Array]) -> None:
    """A header and one line per row; NaN is an empty field.

    Raises:
        DataError: an id has an end of line.
    """
    text = TextIOWrapper(file, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*(column.tolist() for column in columns.values())):
        if any(isinstance(value, str) and ("\n" in value or "\r" in value) for value in row):
            raise DataError("an id has an end of line, but a CSV record is one line; use .jsonl")
        writer.writerow([value if value == value else "" for value in row])
    text.detach()  # flushes; the file stays open


def _header(path: Path, line: bytes) -> list[str]:
    """The column names of a CSV file; none of an empty file."""
    if len(line) > MAX_RECORD_SIZE:
        raise _too_long(str(path), 1)
    try:
        return next(csv.reader([line.decode("utf-8-sig", "replace")]), [])
    except csv.Error as error:
        raise DataError(f"{path}, line 1: not the header of a CSV file: {error}") from None


def _blocks(
    file: BinaryIO, skip: int, names: list[str], parse: Callable[[list[str]], _Values]
) -> Iterator[Block]:
    """The records of the remaining lines of a file."""
    stop = 0
    for lines in _lines(file):
        start, stop = stop, stop + len(lines)
        lines = lines[max(0, skip - start) :]
        if not lines:
            continue
        numbers = np.arange(stop - len(lines) + 1, stop + 1)
        bad: list[BadRecord] = []
        try:
            columns = parse([line.decode() for line in lines])
        except _ERRORS:  # find the bad lines
            columns, good = [[] for _ in names], []
            for row, line in enumerate(lines):
                try:
                    if line.strip():
                        for column, value in zip(columns, parse([line.decode("utf-8-sig")])):
                            column += value
                        good.append(row)
                except _ERRORS as error:
                    content = line.decode("utf-8", "backslashreplace")
                    bad.append(BadRecord(int(numbers[row]), str(error), content))
            numbers = numbers[good]
        yield Block(object_columns(names, columns, RECORD), numbers, stop, bad)


def _lines(file: BinaryIO) -> Iterator[list[bytes]]:
    """Lines without their ends, about BLOCK_SIZE bytes at once."""
    count, rest = 0, b""
    while data := file.read(BLOCK_SIZE):
        *lines, rest = (rest + data).split(b"\n")
        count += len(lines)
        if len(rest) > MAX_RECORD_SIZE:
            raise _too_long(file.name, count + 1)
        yield lines
    if rest:
        yield [rest]


def _too_long(name: str, number: int) -> DataError:
    return DataError(f"{name}: record {number} has more than {MAX_RECORD_SIZE} bytes")
