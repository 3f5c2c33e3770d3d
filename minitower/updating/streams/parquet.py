"""The columns of clicks in Parquet files, over :mod:`minitower.data.parquet`. Chapter 14."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.columns import as_array
from minitower.data.errors import DataError
from minitower.data.parquet import RECORD, pyarrow_parquet, read_parts
from minitower.data.values import LONGEST
from minitower.formulas.arrays import Array
from minitower.updating.streams.events import Block

_MAX_STRING_SIZE = 4 * LONGEST  # bytes in UTF-8


def read_parquet_clicks(path: Path, skip: int, names: list[str]) -> Iterator[Block]:
    """Read the rows of a click log: one short value in each column.

    Each distinct string is decoded once, so that a long one takes its memory once.

    Args:
        path: the file.
        skip: the number of rows to pass over.
        names: the columns to read; the third one is the time.

    Raises:
        DataError: as in :func:`~minitower.data.parquet.read_parts`, or a column holds
            something other than numbers and strings, or timestamps for the time.
        ModuleNotFoundError: pyarrow is not installed.
    """
    convert = partial(_click_column, path, names[2])
    cell_size = _MAX_STRING_SIZE + 16  # with the length and the index of a string
    parts = read_parts(path, skip, names, cell_size=cell_size, dictionaries=True, convert=convert)
    for columns, stop in parts:
        yield Block(columns, np.arange(stop - len(columns) + 1, stop + 1), stop)


def _click_column(path: Path, time: str, column: Any, name: str) -> Array:
    """A pyarrow column as numbers, or as objects that are str or None."""
    types, kind = pyarrow_parquet()[0].types, column.type
    if types.is_dictionary(kind) and types.is_string(kind.value_type):
        return _strings(column)
    if types.is_timestamp(kind) and name == time:
        return _seconds(column)
    is_number = types.is_integer(kind) or types.is_floating(kind)
    if is_number or types.is_boolean(kind) or types.is_null(kind):
        return as_array(column, RECORD.at(name))
    raise DataError(f"{path}, column '{name}': expected numbers or strings, got {str(kind)[:80]}")


def _seconds(column: Any) -> Array:
    """Timestamps as seconds since 1970, to the microsecond; NaN where one is missing.

    NumPy's datetime64[us] holds fewer years than a timestamp in seconds: a time that is out of
    range would become another time.
    """
    ticks = column.cast(pyarrow_parquet()[0].int64()).to_numpy(zero_copy_only=False)
    per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[column.type.unit]
    if per_second == 1e9:
        ticks, per_second = ticks // 1000, 1e6
    seconds: Array = ticks / per_second
    return seconds


def _strings(column: Any) -> Array:
    """A dictionary column of strings, each distinct one decoded once."""
    rows = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    used, inverse = np.unique(rows, return_inverse=True)
    strings = [_string(column.dictionary, int(i)) for i in used]
    decoded: Array = np.fromiter(strings, object, len(used))[inverse]
    return decoded


def _string(dictionary: Any, index: int) -> str | bytes | None:
    """One string; bytes that are not UTF-8 stay bytes.

    A string that is too long for an id is cut, and is still too long for one.
    """
    if index < 0:
        return None
    content = dictionary[index].as_buffer()
    cut: bytes = content.slice(0, min(content.size, _MAX_STRING_SIZE + 4)).to_pybytes()
    try:
        return cut.decode(errors="replace" if content.size > _MAX_STRING_SIZE else "strict")
    except UnicodeDecodeError:
        return cut
