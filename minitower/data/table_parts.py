"""The files of a table: one file, or a folder of CSV files, or of Parquet files. Chapter 3.

Spark, Hive and others write a table as a folder of files, often with a folder for each value of a
key: ``clicks/day=2022-05-01/part-0.parquet``. All files below the folder belong to the table, in
the order of their paths. Where the folder has partitions such as ``day=2022-05-01``, only these
do. The key of a partition is no column. Files of different folders may have one name, so a file is
named by its path below the table.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from minitower.data.columns import Columns
from minitower.data.csv_files import read_csv
from minitower.data.errors import DataError, Place, listed
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


def table_paths(
    data: Path, users: Path | None = None, items: Path | None = None
) -> dict[str, Path]:
    """The files of plain tables: "interactions", and perhaps "users" and "items".

    Args:
        data: a folder, or the file of interactions. A table may be a folder of files, too.
        users, items: files; None: those of the folder, where it has them.

    Returns:
        Empty where the folder has no plain table of interactions.

    Raises:
        DataError: the folder has a table twice, or a file is of another kind.
    """
    found: dict[str, Path] = {}
    if data.is_file():
        found["interactions"] = data
    for name in ("interactions", "users", "items") if data.is_dir() else ():
        paths = [data / f"{name}{suffix}" for suffix in (*READERS, "")]
        paths = [path for path in paths if path.is_file() or path.is_dir()]
        if len(paths) > 1:
            raise DataError(f"{data}: has {paths[0].name} and {paths[1].name}; leave one of them")
        if paths:
            found[name] = paths[0]
    if "interactions" not in found:
        if not data.is_dir() or not _partitions(data):
            return {}
        found["interactions"] = data
    found |= {n: path for n, path in (("users", users), ("items", items)) if path is not None}
    for path in found.values():
        if path.suffix not in READERS and not path.is_dir():
            raise DataError(f"{path}: expected a file whose name ends with .csv or .parquet")
    return found


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


def read_table(path: Path) -> Columns:
    """The columns of a table.

    Raises:
        DataError: a file is wrong, or has other columns than the first one; names the file.
    """
    files = part_files(path)
    read = [READERS[file.suffix](file) for file in files]
    first = read[0]
    if not path.is_dir():
        return first
    for part in read[1:]:
        if part.arrays.keys() != first.arrays.keys():
            raise part.place.error(
                f"expected the columns of {files[0]}, {listed(first.arrays)}; got "
                f"{listed(part.arrays)}"
            )
    arrays = {name: _joined([part[name] for part in read if len(part)]) for name in first.arrays}
    starts = np.cumsum([0, *map(len, read[:-1])]).tolist()
    place = PlaceInParts(str(path), starts=starts, places=[part.place for part in read])
    return Columns(arrays, place, first.is_csv)


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


def is_ignored(name: str) -> bool:
    """Names of files and folders that hold no data, or no data yet."""
    return name.startswith((".", "_")) or name.endswith(".tmp")


def files_below(folder: Path) -> list[Path]:
    """All that is no folder in a folder and below it, in the order of the paths.

    Names that :func:`is_ignored` are left out, with all that is in such a folder.

    Raises:
        DataError: the folder is missing or cannot be read, or a link leads back to a folder above.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: the folder is missing")
    return sorted(_walk(folder, ()))


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        raise DataError(f"{folder}: a link to a folder above it; remove the link")
    try:
        paths = [path for path in folder.iterdir() if not is_ignored(path.name)]
        folders = [path for path in paths if path.is_dir()]
    except FileNotFoundError:  # deleted since it was listed
        return
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}") from None
    yield from set(paths) - set(folders)
    for inner in folders:
        yield from _walk(inner, (*above, real))


def name_below(folder: Path, path: Path) -> str:
    """The name of a file: its path below a folder. Partitions at the end of the folder count, too.

    So a file has the same name, whether the table is read or one of its partitions.

    >>> name_below(Path("/clicks"), Path("/clicks/day=1/part-0.csv"))
    'day=1/part-0.csv'
    >>> name_below(Path("/clicks/day=1"), Path("/clicks/day=1/part-0.csv"))
    'day=1/part-0.csv'
    """
    partitions: list[str] = []
    for part in reversed(folder.absolute().parts):
        if not is_partition(part):
            break
        partitions.insert(0, part)
    return "/".join([*partitions, path.relative_to(folder).as_posix()])


def is_partition(name: str) -> bool:
    """Whether a folder of this name is a partition, such as day=2022-05-01."""
    key, equals, _ = name.partition("=")
    return bool(key and equals)
