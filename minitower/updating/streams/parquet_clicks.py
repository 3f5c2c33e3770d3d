"""Clicks in Parquet: each column has one short value per row."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.columns import as_array
from minitower.data.errors import DataError
from minitower.data.values import LONGEST
from minitower.formulas.arrays import Array
from minitower.updating.streams.blocks import RECORD, Block
from minitower.updating.streams.parquet import pyarrow_parquet, read_parquet

_LONGEST = 4 * LONGEST  # bytes of a text in UTF-8
_CELL = _LONGEST + 16  # with its length and its index


def read_parquet_clicks(path: Path, offset: int, names: list[str]) -> Iterator[Block]:
    """As :func:`read_parquet`; the third name is the time.

    Texts are read as dictionaries: memory holds a long one once, however many rows have it.

    Raises:
        DataError: the file is damaged, lacks a column or has it twice; a column holds
            something other than numbers and strings, or timestamps for the time; or its
            values are too long.
        ModuleNotFoundError: pyarrow is not installed; says how to.
    """
    convert = partial(_values, path, names[2])
    yield from read_parquet(path, offset, names, cell=_CELL, dictionaries=True, convert=convert)


def _values(path: Path, time: str, column: Any, name: str) -> Array:
    """A pyarrow column as numbers, or objects that are str or None."""
    arrow, _ = pyarrow_parquet()
    is_a, kind = arrow.types, column.type
    if is_a.is_dictionary(kind) and is_a.is_string(kind.value_type):
        return _texts(column)
    if is_a.is_timestamp(kind) and name == time:
        return _seconds(column)
    numeric = is_a.is_integer(kind) or is_a.is_floating(kind)
    if numeric or is_a.is_boolean(kind) or is_a.is_null(kind):
        return as_array(column, RECORD.at(name))
    raise DataError(f"{path}, column '{name}': expected numbers or strings, got {str(kind)[:80]}")


def _seconds(column: Any) -> Array:
    """Timestamps as seconds since 1970, NaN where one is missing; nanoseconds are cut off."""
    arrow, _ = pyarrow_parquet()
    ticks = column.cast(arrow.int64()).to_numpy(zero_copy_only=False)
    per_second = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[column.type.unit]
    if per_second == 1e9:
        ticks, per_second = ticks // 1000, 1e6
    seconds: Array = ticks / per_second
    return seconds


def _texts(column: Any) -> Array:
    """A dictionary column of texts; one that is too long is cut, and still too long.

    Bytes that are no UTF-8 stay bytes.
    """
    rows = column.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    used, inverse = np.unique(rows, return_inverse=True)
    texts = np.fromiter((_text(column.dictionary, int(i)) for i in used), object, len(used))
    found: Array = texts[inverse]
    return found


def _text(dictionary: Any, index: int) -> str | bytes | None:
    if index < 0:
        return None
    content = dictionary[index].as_buffer()
    cut: bytes = content.slice(0, min(content.size, _LONGEST + 4)).to_pybytes()
    try:
        return cut.decode(errors="replace" if content.size > _LONGEST else "strict")
    except UnicodeDecodeError:
        return cut
