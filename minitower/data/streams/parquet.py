"""Parquet: rows below a footer, which is written last and never changes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.columns import Columns, as_array
from minitower.data.errors import DataError, Place
from minitower.data.ragged import Array
from minitower.data.streams.blocks import RECORD, Block

_MAGIC = b"PAR1"
_ROWS = 1 << 14  # of a block


def read_parquet(path: Path, offset: int, names: list[str]) -> Iterator[Block]:
    """The rows from `offset` on, once the file is complete; checksums of pages are checked.

    Raises:
        DataError: the file is damaged, or lacks a column or has it twice.
        ModuleNotFoundError: pyarrow is not installed; says how to.
    """
    arrow, parquet = pyarrow_parquet()
    if not is_complete(path):
        return  # still being written
    size = path.stat().st_size
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            for name in names:
                found = file.schema_arrow.names.count(name)
                if found != 1:
                    known = ", ".join(file.schema_arrow.names)
                    many = "is no" if not found else "is more than one"
                    raise DataError(f"{path}: there {many} column '{name}'; columns: {known}")
            if not file.metadata.num_rows:
                nothing = {name: np.empty(0, object) for name in names}
                yield Block(Columns(nothing, RECORD), np.empty(0, np.int64), 0, size)
            start = 0  # of a group of rows
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if offset < start + rows:
                    at = start
                    for batch in file.iter_batches(_ROWS, row_groups=[group], columns=names):
                        part = batch.slice(max(0, offset - at))
                        at += batch.num_rows
                        if part.num_rows:
                            arrays = {n: _array(part.column(n), RECORD.at(n)) for n in names}
                            offsets = np.arange(at - part.num_rows, at)
                            yield Block(Columns(arrays, RECORD), offsets, at, size)
                start += rows
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged, or no Parquet: {error}") from None


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


def _array(column: Any, place: Place) -> Array:
    arrow, _ = pyarrow_parquet()
    if arrow.types.is_timestamp(column.type):  # a missing one becomes NaT
        times: Array = column.to_numpy(zero_copy_only=False)
        return times
    return as_array(column, place)


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
