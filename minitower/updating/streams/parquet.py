"""Parquet: rows below a footer, which is written last and never changes."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.columns import Columns, as_array
from minitower.data.errors import DataError, show
from minitower.formulas.arrays import Array
from minitower.updating.streams.blocks import RECORD, Block, listed
from minitower.updating.streams.parquet_footer import uncompressed_sizes

_MAGIC = b"PAR1"
_ROWS = 1 << 14  # of a block
_SLACK = 1 << 20  # bytes of a column beside its values


def read_parquet(
    path: Path,
    offset: int,
    names: list[str],
    *,
    cell: int = 1 << 16,
    dictionaries: bool = False,
    convert: Callable[[Any, str], Array] | None = None,
) -> Iterator[Block]:
    """The rows from `offset` on, once the file is complete; checksums of pages are checked.

    Args:
        path, offset, names: the file, the first row, and the columns to read.
        cell: bytes of a value, on average over the rows of a group. A column that claims more
            is refused before it is decoded.
        dictionaries: read texts as dictionaries, each different one once.
        convert: makes an array of a pyarrow column and its name; None: by
            :func:`columns.as_array`, and datetimes where a column holds timestamps.

    Raises:
        DataError: the file is damaged, lacks a column or has it twice, or has values that
            are too long.
        ModuleNotFoundError: pyarrow is not installed; says how to.
    """
    arrow, parquet = pyarrow_parquet()
    convert = convert or _array
    if not is_complete(path):
        return  # still being written
    size = path.stat().st_size
    try:
        schema = parquet.read_schema(path)
        _check_names(path, schema.names, names)
        texts = [n for n in names if dictionaries and _is_text(schema.field(n).type)]
        with parquet.ParquetFile(
            path, page_checksum_verification=True, read_dictionary=texts
        ) as file:
            if not file.metadata.num_rows:
                nothing = {name: np.empty(0, object) for name in names}
                yield Block(Columns(nothing, RECORD), np.empty(0, np.int64), 0, size)
            start = 0  # of a group of rows
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if offset < start + rows:
                    _check_sizes(path, file, group, names, cell)
                    at = start
                    for batch in file.iter_batches(_ROWS, row_groups=[group], columns=names):
                        part = batch.slice(max(0, offset - at))
                        at += batch.num_rows
                        if part.num_rows:
                            try:
                                arrays = {n: convert(part.column(n), n) for n in names}
                            except DataError as error:
                                raise DataError(f"{path}: {error}") from None
                            offsets = np.arange(at - part.num_rows, at)
                            yield Block(Columns(arrays, RECORD), offsets, at, size)
                start += rows
    except DataError:
        raise
    except (arrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: damaged, or no Parquet: {show(str(error))}") from None


def is_complete(path: Path) -> bool:
    """Whether a file has its footer, and so all of its rows."""
    size = path.stat().st_size
    with path.open("rb") as raw:
        raw.seek(max(0, size - len(_MAGIC)))
        return size > 2 * len(_MAGIC) and raw.read() == _MAGIC


def write_parquet(path: Path, columns: Mapping[str, Array]) -> None:
    """One file, with checksums."""
    arrow, parquet = pyarrow_parquet()
    parquet.write_table(arrow.table(dict(columns)), path, write_page_checksum=True)


def _check_names(path: Path, known: list[str], names: list[str]) -> None:
    for name in names:
        found = known.count(name)
        if found != 1:
            many = "is no" if not found else "is more than one"
            raise DataError(f"{path}: there {many} column '{name}'; columns: {listed(known)}")


def _check_sizes(path: Path, file: Any, group: int, names: list[str], cell: int) -> None:
    """Refuse a group of rows that would take far more memory than its rows can need."""
    rows = file.metadata.row_group(group).num_rows
    longest = rows * cell + _SLACK
    if file.metadata.row_group(group).total_byte_size <= longest:
        return  # as in nearly every file: the footer is not read again
    for name, size in uncompressed_sizes(path, group):
        if name in names and size > longest:
            raise DataError(
                f"{path}, column '{name}': {size:,} bytes in {rows:,} rows, expected at most "
                f"{cell:,} a row"
            )


def _is_text(kind: Any) -> bool:
    arrow, _ = pyarrow_parquet()
    kind = kind.value_type if arrow.types.is_dictionary(kind) else kind
    is_a = arrow.types
    return any(f(kind) for f in (is_a.is_string, is_a.is_large_string, is_a.is_string_view))


def _array(column: Any, name: str) -> Array:
    arrow, _ = pyarrow_parquet()
    if arrow.types.is_timestamp(column.type):  # a missing one becomes NaT
        times: Array = column.to_numpy(zero_copy_only=False)
        return times
    return as_array(column, RECORD.at(name))


def pyarrow_parquet() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet.

    Raises:
        ModuleNotFoundError: pyarrow is not installed; says how to.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'Parquet needs pyarrow: pip install "minitower[streams]"'
        ) from None
    return pyarrow, pyarrow.parquet
