"""A table in one file, or in many: a folder of CSV files, or of Parquet files. Chapter 3.

All files below the folder belong to the table, in the order of their paths. Where the folder has
partitions such as ``day=2022-05-01``, only these do. The key of a partition is no column.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minitower.data.columns import Columns
from minitower.data.csv_files import read_csv
from minitower.data.errors import DataError, Place, listed
from minitower.data.folders import files_below, is_ignored, is_partition
from minitower.data.parquet import read_parquet
from minitower.formulas.arrays import Array

READERS = {".csv": read_csv, ".parquet": read_parquet}


@dataclass(frozen=True)
class PlaceInParts(Place):
    """The place of a table in many files; an error about a row names the file of that row.

    Args:
        starts: the row of the table at which each file begins.
        places: of the files.
    """

    starts: Sequence[int] = ()
    places: Sequence[Place] = ()

    def error(self, message: str, row: int | None = None) -> DataError:
        """As that of :class:`Place`."""
        if row is None:
            return super().error(message)
        row = row if self.rows is None else int(self.rows[row])
        part = bisect_right(self.starts, row) - 1
        place = replace(self.places[part], column=self.column)
        return place.error(message, row - self.starts[part])


def is_partitioned(folder: Path) -> bool:
    """Whether a folder has partitions, and so is a table itself."""
    return any(_partitions(folder))


def part_files(path: Path) -> list[Path]:
    """The files of a table: the file itself, or those of a folder without the empty ones.

    Raises:
        DataError: the folder has no file, files of both kinds or of another kind.
    """
    if not path.is_dir():
        return [path]
    roots = _partitions(path) or [path]
    files = [file for root in roots for file in files_below(root)]
    for file in files:
        if file.suffix not in READERS:
            raise DataError(f"{file}: expected a file whose name ends with .csv or .parquet")
    files = [file for file in files if file.stat().st_size]
    if len({file.suffix for file in files}) != 1:
        problem = "has CSV and Parquet files; leave one kind" if files else "has no file with rows"
        raise DataError(f"{path}: {problem}")
    return files


def read_table(path: Path) -> tuple[Columns, bool]:
    """The columns of a table, and whether they are strings of CSV files.

    Raises:
        DataError: a file is wrong, or has other columns than the first one; names the file.
    """
    files = part_files(path)
    is_csv = files[0].suffix == ".csv"
    read = [READERS[file.suffix](file) for file in files]
    first = read[0]
    if not path.is_dir():
        return first, is_csv
    for part in read[1:]:
        if part.arrays.keys() != first.arrays.keys():
            raise part.place.error(
                f"expected the columns of {files[0]}, {listed(first.arrays)}; got "
                f"{listed(part.arrays)}"
            )
    arrays = {name: _joined([part[name] for part in read if len(part)]) for name in first.arrays}
    starts = np.cumsum([0, *map(len, read[:-1])]).tolist()
    return Columns(arrays, PlaceInParts(str(path), None, starts=starts,
                                        places=[part.place for part in read])), is_csv  # fmt: skip


def _joined(columns: list[Array]) -> Array:
    """One column; of different types, such as integers and missing values, it holds objects."""
    if len({column.dtype for column in columns}) > 1:
        columns = [column.astype(object) for column in columns]
    return np.concatenate(columns or [np.empty(0, object)])


def _partitions(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if is_partition(path.name) and not is_ignored(path.name) and path.is_dir()
    )
