"""Parquet files, over pyarrow: tables of columns of any kind. Chapter 3.

Checksums of pages are checked. A column that would take far more memory than its rows can need
is refused before it is decoded: its size stands in the footer, a Thrift struct in the compact
protocol, its length (4 bytes, little-endian), and "PAR1". The footer is read here and not by
pyarrow, which ends the process over the metadata of a damaged column.

Reference: apache/parquet-format, parquet.thrift; apache/thrift, thrift-compact-protocol.md.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.columns import Columns, as_array
from minitower.data.errors import DataError, Place, listed, show
from minitower.formulas.arrays import Array

RECORD = Place("record", single=True)
"""The place in the reason of a bad record; file and number stand beside the reason."""

_MAGIC = b"PAR1"
_BLOCK_ROWS = 1 << 14
_COLUMN_OVERHEAD = 1 << 20  # bytes of a column beside its values
_ROW_GROUPS, _COLUMNS, _META_DATA, _PATH, _UNCOMPRESSED = 4, 1, 3, 3, 6  # ids of fields


def read_parquet(path: Path) -> Columns:
    """All columns of a file.

    Raises:
        DataError, ModuleNotFoundError: as :func:`read_parts`.
    """
    try:
        parts = [columns for columns, _ in read_parts(path, 0, None)]
        names = pyarrow_parquet()[1].read_schema(path).names
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    nothing = [np.empty(0, object)]
    arrays = {n: np.concatenate([p[n] for p in parts] if parts else nothing) for n in names}
    return Columns(arrays, Place(str(path)))


def read_parts(
    path: Path,
    skip: int,
    names: list[str] | None,
    *,
    cell_size: int = 1 << 16,
    dictionaries: bool = False,
    convert: Callable[[Any, str], Array] | None = None,
) -> Iterator[tuple[Columns, int]]:
    """Read the rows of a file: columns of some rows, and the number of the last of them.

    Args:
        path: the file.
        skip: the number of rows to pass over.
        names: the columns to read; None: all.
        cell_size: the largest mean size of a value in a row group, in bytes.
        dictionaries: decode each distinct string once.
        convert: makes an array of a pyarrow column and its name. By default
            :func:`~minitower.data.columns.as_array`, with datetimes for timestamps.

    Raises:
        DataError: the file is not complete or damaged, lacks a column or has it twice, or
            has values that are too long.
        ModuleNotFoundError: pyarrow is not installed.
    """
    arrow, parquet = pyarrow_parquet()
    convert = convert or _any_column
    _check_complete(path)
    try:
        schema = parquet.read_schema(path)
        names = list(schema.names) if names is None else names
        _check_names(path, schema.names, names)
        strings = [n for n in names if dictionaries and _is_string(schema.field(n).type)]
        with parquet.ParquetFile(
            path, page_checksum_verification=True, read_dictionary=strings
        ) as file:
            stop = 0  # the number of the last row
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if stop + rows <= skip:
                    stop += rows
                    continue
                _check_sizes(path, file, group, names, cell_size)
                for batch in file.iter_batches(_BLOCK_ROWS, row_groups=[group], columns=names):
                    part = batch.slice(max(0, skip - stop))
                    stop += batch.num_rows
                    if part.num_rows:
                        try:
                            arrays = {name: convert(part.column(name), name) for name in names}
                        except DataError as error:
                            raise DataError(f"{path}: {error}") from None
                        yield Columns(arrays, RECORD), stop
    except DataError:
        raise
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: damaged, or no Parquet: {show(str(error))}") from None


def write_parquet(file: Any, columns: Mapping[str, Array]) -> None:
    """Write one file, with checksums of pages; `file` is a path or a binary file."""
    arrow, parquet = pyarrow_parquet()
    parquet.write_table(arrow.table(dict(columns)), file, write_page_checksum=True)


def pyarrow_parquet() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'Parquet needs pyarrow: pip install "minitower[streams]"'
        ) from None
    return pyarrow, pyarrow.parquet


def _check_complete(path: Path) -> None:
    """The footer is written last; without it the file is not finished."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - len(_MAGIC)))
        if size <= 2 * len(_MAGIC) or file.read() != _MAGIC:
            raise DataError(
                f"{path}: not complete: it has no footer; write a Parquet file under a temporary "
                "name and rename it"
            )


def _check_names(path: Path, known: list[str], names: list[str]) -> None:
    for name in names:
        found = known.count(name)
        if found != 1:
            problem = "is missing" if not found else "occurs more than once"
            raise DataError(f"{path}: column '{name}' {problem}; columns: {listed(known)}")


def _check_sizes(path: Path, file: Any, group: int, names: list[str], cell_size: int) -> None:
    """Refuse a row group with a column of far too many bytes for its rows."""
    rows = file.metadata.row_group(group).num_rows
    limit = rows * cell_size + _COLUMN_OVERHEAD
    if file.metadata.row_group(group).total_byte_size <= limit:
        return  # the usual case: no column can be larger
    for name, size in uncompressed_sizes(path, group):
        if name in names and size > limit:
            raise DataError(
                f"{path}, column '{name}': {size:,} bytes in {rows:,} rows, expected at most "
                f"{cell_size:,} a row"
            )


def _is_string(kind: Any) -> bool:
    types = pyarrow_parquet()[0].types
    kind = kind.value_type if types.is_dictionary(kind) else kind
    return any(f(kind) for f in (types.is_string, types.is_large_string, types.is_string_view))


def _any_column(column: Any, name: str) -> Array:
    if pyarrow_parquet()[0].types.is_timestamp(column.type):  # a missing one becomes NaT
        times: Array = column.to_numpy(zero_copy_only=False)
        return times
    return as_array(column, RECORD.at(name))


def uncompressed_sizes(path: Path, group: int) -> Iterator[tuple[str, int]]:
    """The name and the uncompressed bytes of every column in a group of rows.

    A column with parts, such as a list, comes once for each of them.

    Raises:
        ValueError: the footer is damaged.
    """
    with path.open("rb") as file:
        file.seek(-8, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, 2)
        content = file.read(length)
    try:
        chunks = _Compact(content).struct()[_ROW_GROUPS][group][_COLUMNS]
        for metadata in (chunk[_META_DATA] for chunk in chunks):
            yield metadata[_PATH][0].decode(), metadata[_UNCOMPRESSED]
    except (AttributeError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise ValueError(f"damaged footer: {error}") from None


class _Compact:
    """Reads values of the compact protocol: a struct is a dict by the ids of its fields."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (1, 2, 3):  # in a list, a boolean is a byte
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind in (7, 8):
            length = 8 if kind == 7 else self._varint()
            self._at += length
            return self._content[self._at - length : self._at]
        if kind in (9, 10):
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15) for _ in range(size)]
        if kind == 12:
            return self.struct()
        raise IndexError(f"no type {kind} in a footer")

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value, shift = value | (byte & 127) << shift, shift + 7
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
