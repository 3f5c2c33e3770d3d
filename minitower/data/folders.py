"""The files of a folder and of the folders in it, such as the partitions of a table. Chapter 3.

Spark, Hive and others write a table as a folder of files, often with a folder for each value of a
key: ``clicks/day=2022-05-01/part-0.parquet``. Files of different folders may have one name, so a
file is named by its path below the table.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from minitower.data.errors import DataError


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
