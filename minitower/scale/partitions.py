"""Process the partitions of a table with Dask (extra ``dask``), and add up the results. Chapter 21.

Dask distributes the partitions, repeats those that fail or lose their worker, and adds up the
results as a tree. A worker holds a block of rows at a time.
"""

import operator
from collections.abc import Callable, Iterable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from minitower.data.columns import Columns, read_columns
from minitower.data.errors import DataError, Place
from minitower.data.parquet import pyarrow_parquet, read_parts

Counts = TypeVar("Counts")

RETRIES = 2
"""Retries of a failed partition. A worker that dies does not count as a failure."""

_ROWS = 1 << 14  # rows of a block
_FAN = 8  # results that are added up at a time

Part = tuple[int, str, Any]
"""A partition: its number, its name, and the path of a file or a pandas frame."""


def partitions(source: Any) -> Any:
    """A Dask bag with one :data:`Part` to a partition.

    Args:
        source: a Dask dataframe, or a folder of .parquet files, in the order of their names.

    Raises:
        DataError: the source is neither, or the folder has no Parquet file.
        ModuleNotFoundError: Dask is not installed; names the extra.
    """
    dask = dask_modules()
    if isinstance(source, str | Path):
        paths = sorted(Path(source).absolute().glob("*.parquet"))
        if not paths:
            raise DataError(f"{source}: the folder has no .parquet file")
        parts = [(i, path.name, str(path)) for i, path in enumerate(paths)]
        return dask.bag.from_sequence(parts, partition_size=1)
    if not hasattr(source, "to_delayed"):
        raise DataError(
            f"expected a Dask dataframe or a folder of Parquet files, got {type(source).__name__}"
        )
    frames = enumerate(source.to_delayed())
    return dask.bag.from_delayed([dask.delayed(_numbered)(i, frame) for i, frame in frames])


def column_names(source: Any) -> list[str]:
    """The columns of a source of :func:`partitions`; of a folder, those of its first file."""
    if isinstance(source, str | Path):
        _, parquet = pyarrow_parquet()
        return list(parquet.read_schema(min(Path(source).glob("*.parquet"))).names)
    return [str(name) for name in source.columns]


def blocks(part: Part, names: list[str]) -> Iterator[Columns]:
    """Columns of a partition, a bounded number of rows at a time; errors name their rows.

    Raises:
        DataError: a column is missing, or the file is damaged.
    """
    _, name, table = part
    place, start = Place(name), 0
    for columns in _read(table, names, place):
        if len(columns):
            rows = range(start, start + len(columns))
            yield Columns(columns.arrays, place.inside(rows))
            start += len(columns)


def folded(parts: Any, client: Any, count: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """The sum of the counts of all parts; None where no part has a row."""
    return computed(parts.map(count, *args, **options).fold(_plus, split_every=_FAN), client)


def total(counts: Iterable[Counts]) -> Counts | None:
    """The sum of counts, or of tuples of counts; None without any."""
    summed: Counts | None = reduce(_plus, counts, None)
    return summed


def computed(work: Any, client: Any) -> Any:
    """The result of a Dask collection, computed by the given or the active client.

    Raises:
        ValueError: no client is active.
    """
    if client is None:
        try:
            client = dask_modules().distributed.get_client()
        except ValueError:
            raise ValueError(
                "no Dask client is active: make one, such as dask.distributed.Client()"
            ) from None
    return client.compute(work, retries=RETRIES).result()


def dask_modules() -> Any:
    """The module dask, with dask.bag and dask.distributed.

    Raises:
        ModuleNotFoundError: Dask is not installed; names the extra.
    """
    try:
        import dask.bag
        import dask.distributed
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            'partitions need Dask and its scheduler: pip install "minitower[dask]"'
        ) from None
    return dask


def _numbered(number: int, frame: Any) -> list[Part]:
    return [(number, f"partition {number}", frame)]


def _read(table: Any, names: list[str], place: Place) -> Iterator[Columns]:
    if isinstance(table, str):
        yield from (columns for columns, _ in read_parts(Path(table), 0, names))
        return
    for name in names:
        if name not in table.columns:
            known = ", ".join(map(str, table.columns))
            raise place.error(f"column '{name}' is missing; columns: {known}")
    for start in range(0, len(table), _ROWS):
        yield read_columns(table[names].iloc[start : start + _ROWS], place)


def _plus(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return tuple(map(operator.add, one, other)) if isinstance(one, tuple) else one + other
