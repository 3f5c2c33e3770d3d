"""JSON lines and CSV: one record per line, and a line counts when its end is written.

A byte order mark in front of a record or a header, which some editors write, is no part of it.
"""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from minitower.data.columns import Columns
from minitower.data.delimited import split_fields
from minitower.data.errors import DataError
from minitower.formulas.arrays import Array
from minitower.updating.streams.blocks import BLOCK, LONGEST, RECORD, Block, Wrong, listed
from minitower.updating.streams.events import object_columns

_Parse = Callable[[str], Columns]  # of whole lines
_ERRORS = (ValueError, RecursionError, csv.Error)


def read_json_lines(path: Path, offset: int, names: list[str]) -> Iterator[Block]:
    """An object per line; empty lines are none.

    Raises:
        DataError: there is no end of line for 4 MB.
    """

    def parse(text: str) -> Columns:
        records = list(map(json.loads, text.split("\n")))
        if set(map(type, records)) != {dict}:
            raise ValueError("expected an object")
        rows = [tuple([record.get(name) for name in names]) for record in records]
        return object_columns(names, rows, RECORD)

    return _blocks(path, offset, names, parse)


def read_csv(path: Path, offset: int, names: list[str]) -> Iterator[Block]:
    """Comma-separated fields below a header; no field goes over the end of a line.

    Raises:
        DataError: the header lacks a column or has it twice, or there is no end of line
            for 4 MB.
    """
    with path.open("rb") as file:
        first = file.readline(LONGEST)
    if not first.endswith(b"\n"):
        if len(first) == LONGEST:
            raise _endless(path, 0)
        return  # still being written
    try:
        header = next(csv.reader([first.decode("utf-8-sig", "replace")]))
    except csv.Error as error:
        raise DataError(f"{path}, line 1: not the header of a CSV file: {error}") from None
    for name in names:
        if header.count(name) != 1:
            raise DataError(f"{path}, line 1: expected one column '{name}', got {listed(header)}")

    def parse(text: str) -> Columns:
        if '"' in text:
            lines = text.split("\n")
            rows = list(csv.reader(lines, strict=True))
            if len(rows) != len(lines) or set(map(len, rows)) != {len(header)}:
                raise ValueError(f"expected {len(header)} fields, got {len(rows[0])}")
            columns = object_columns(header, rows, RECORD)
        else:
            text = text.replace("\r\n", "\n").removesuffix("\r")
            columns = Columns(
                dict(zip(header, split_fields(text, ",", len(header), RECORD))), RECORD
            )
        return columns

    if offset < len(first):  # the header is read, and no record
        nothing = object_columns(names, [], RECORD)
        yield Block(nothing, np.empty(0, np.int64), len(first), len(first))
    yield from _blocks(path, max(offset, len(first)), names, parse)


def _blocks(path: Path, offset: int, names: list[str], parse: _Parse) -> Iterator[Block]:
    for content, offsets, stop in _whole_lines(path, offset):
        wrong = []
        try:
            columns = parse(content.decode())
        except _ERRORS:  # find out which line it is
            rows, kept = [], []
            for at, line in zip(offsets.tolist(), content.split(b"\n")):
                try:
                    if line.strip():
                        columns = parse(line.decode("utf-8-sig"))
                        rows.append([columns[name][0] for name in names])
                        kept.append(at)
                except _ERRORS as error:
                    wrong.append(Wrong(at, str(error), line.decode("utf-8", "backslashreplace")))
            columns = object_columns(names, rows, RECORD)
            offsets = np.array(kept, np.int64)
        yield Block(columns, offsets, stop, stop, wrong)


def _whole_lines(path: Path, offset: int) -> Iterator[tuple[bytes, Array, int]]:
    """Lines without the last end of line, where each begins, and where the next one begins."""
    with path.open("rb") as file:
        file.seek(offset)
        rest = b""
        while data := file.read(BLOCK):
            rest += data
            end = rest.rfind(b"\n") + 1
            if end:
                ends = np.flatnonzero(np.frombuffer(rest, np.uint8, end) == ord("\n"))
                starts = np.append(0, ends[:-1] + 1)
                yield rest[: end - 1], offset + starts, offset + end
                rest, offset = rest[end:], offset + end
            if len(rest) > LONGEST:
                raise _endless(path, offset)


def _endless(path: Path, offset: int) -> DataError:
    return DataError(f"{path}: no end of line for {LONGEST} bytes from byte {offset} on")
