"""A folder of logs: how a log is written and read, which were read before, what is new. Chapter 14.

Folders in the folder are read, too. The name of a log is its path below the folder
(:func:`~minitower.data.table_parts.name_below`), so logs of two partitions may have one file name.

A log never changes once its name stands in the folder: writers write under a temporary name and
rename. So a log is known by its content, the SHA-256 of the file. A new name with known
content is the same log, renamed or copied. A known name with other content is refused.
"""

import hashlib
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any, BinaryIO

import numpy as np

from minitower.data.columns import read_columns
from minitower.data.errors import DataError, Place, show
from minitower.data.files import new_file
from minitower.data.parquet import write_parquet
from minitower.data.table_parts import files_below, name_below
from minitower.formulas.arrays import Array
from minitower.updating.streams.cursor import FileMark
from minitower.updating.streams.events import Block, EventFields
from minitower.updating.streams.parquet import read_parquet_clicks
from minitower.updating.streams.text_files import (
    read_csv,
    read_json_lines,
    write_csv,
    write_json_lines,
)
from minitower.updating.streams.tfrecord import read_tfrecord, write_tfrecord

READERS: dict[str, Callable[[Path, int, list[str]], Iterator[Block]]] = {
    ".jsonl": read_json_lines,
    ".json": read_json_lines,
    ".csv": read_csv,
    ".parquet": read_parquet_clicks,
    ".tfrecord": read_tfrecord,
}
WRITERS: dict[str, Callable[[BinaryIO, Mapping[str, Array]], None]] = {
    ".jsonl": write_json_lines,
    ".json": write_json_lines,
    ".csv": write_csv,
    ".parquet": write_parquet,
    ".tfrecord": write_tfrecord,
}


@dataclass(frozen=True)
class PollOptions:
    """How to wait for new logs.

    Args:
        interval: seconds between two looks into the folder, > 0.
        emit_every: seconds after which a batch is emitted in any case, if necessary with
            fewer events or none. The first one is emitted when all logs in the folder are
            read. None: only full batches.
        idle: seconds without new records after which to stop; None: never.
        stop: set it, from another thread or a signal handler, to stop.
    """

    interval: float = 1.0
    emit_every: float | None = None
    idle: float | None = None
    stop: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        if not self.interval > 0:
            raise ValueError(f"interval must be positive, got {self.interval}")


class FolderReader:
    """Reads what is new in a folder of logs.

    Cost: at the first look every log in the folder is read once to hash it, also the finished
    ones; later only logs of another size, time or inode. Size and time alone would miss a
    finished log that was replaced between two runs. Finished logs can be moved away to save
    this time: their marks stay.

    Args:
        folder: of logs.
        names: the columns to read.
        files: the marks of a cursor.

    Attributes:
        files: the marks, moved on behind every block.
        recognized: new names with known content -> the name of that log.
    """

    def __init__(self, folder: Path, names: list[str], files: Mapping[str, FileMark]) -> None:
        self.folder, self.names = folder, names
        self.files = dict(files)
        self.recognized: dict[str, str] = {}
        self._by_content = {mark.content: name for name, mark in files.items()}
        self._seen: dict[str, tuple[int, ...]] = {}

    def look(self) -> Iterator[tuple[Path, Block]]:
        """Read the new records of all logs; yields each path with its blocks.

        A log with known content yields one block without records.

        Raises:
            DataError: the folder does not exist; a file is no log, cannot be read or was
                changed.
        """
        # Logs that were begun come first: their copies must not be read from the beginning.
        for path in sorted(log_files(self.folder), key=lambda at: self.name(at) not in self.files):
            try:
                yield from self._read(path)
            except FileNotFoundError:  # deleted since it was listed
                if path.is_symlink():
                    raise _link_to_nowhere(path) from None
            except OSError as error:
                raise DataError(f"{path}: {error.strerror or error}") from None

    def name(self, path: Path) -> str:
        """The name of a log of the folder."""
        return name_below(self.folder, path)

    def _read(self, path: Path) -> Iterator[tuple[Path, Block]]:
        status, name = _status(path), self.name(path)
        if self._seen.get(name) == status:
            return
        n_recognized = len(self.recognized)
        mark = self._identify(path)
        if len(self.recognized) > n_recognized:
            yield path, Block.empty(self.names)
        if mark.records is not None:
            for block in READERS[path.suffix](path, mark.records, self.names):
                if _status(path) != status:
                    raise DataError(
                        f"{path}: changed while it was read; write a log under a temporary name "
                        "such as .log.tmp and rename it"
                    )
                self.files[name] = FileMark(mark.content, block.stop)
                self._by_content[mark.content] = name
                yield path, block
            if name in self.files:  # it has records
                self.files[name] = FileMark(mark.content)
        self._seen[name] = status

    def _identify(self, path: Path) -> FileMark:
        """The mark of a file by its name and its content.

        Raises:
            DataError: a known name has other content.
        """
        content, name = content_hash(path), self.name(path)
        mark = self.files.get(name)
        if mark is not None:
            if mark.content not in (content, f"{path.stat().st_size} bytes"):
                raise DataError(
                    f"{path}: its content is not the one that was read under this name; restore "
                    "the log, and put new clicks into a log of a new name; or, if another folder "
                    "has that log, name the folder above both"
                )
            mark = self.files[name] = replace(mark, content=content)
            self._by_content[content] = name
            return mark
        known = self._by_content.get(content)
        if known is None:
            return FileMark(content, 0)
        mark = self.files[name] = self.files[known]
        self.recognized[name] = known
        if mark.records is not None:  # reading goes on under the new name only
            del self.files[known]
            self._by_content[content] = name
        return mark


def write_events(path: str | Path, columns: Any, fields: EventFields | None = None) -> None:
    """Write a click log for a :class:`ClickStream`; it appears complete or not at all.

    Args:
        path: the new file; the suffix .jsonl (or .json), .csv, .parquet or .tfrecord decides
            on the format.
        columns: anything table-like; only the columns of the fields are written.
        fields: the columns of the log.

    Raises:
        DataError: the file exists already, since a log never changes; the suffix is unknown;
            the file cannot be written; or a value is no part of an event.
    """
    path, fields = Path(path), fields or EventFields()
    if path.suffix not in WRITERS:
        raise DataError(f"{path}: expected a name that ends with {', '.join(WRITERS)}")
    if path.exists():
        raise DataError(f"{path}: already there; a log never changes, choose a new name")
    events = fields.events(read_columns(columns, Place("events")))
    times = events.timestamps
    fractions = times % 1 != 0
    if path.suffix == ".tfrecord" and fractions.any():
        place = Place("events", fields.timestamp)
        raise place.error("TFRecord holds whole seconds only", int(fractions.argmax()))
    times = times if fractions.any() else times.astype(np.int64)
    arrays = dict(zip(fields.names, events.columns)) | {fields.timestamp: times}
    with new_file(path) as file:
        try:
            WRITERS[path.suffix](file, arrays)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None


def log_files(folder: Path) -> list[Path]:
    """The logs of a folder and of the folders in it, by name.

    Raises:
        DataError: a folder does not exist or cannot be read, or the suffix of a file is unknown.
            Or a name stands for a link to nowhere or a device, or cannot be printed.
    """
    return [path for path in files_below(folder) if _is_log(path, folder)]


def content_hashes(folder: str | Path) -> dict[str, str]:
    """The logs of a folder: SHA-256 of the content -> name, for :meth:`Cursor.begin`.

    Files without records, empty or with a CSV header alone, are left out.

    Raises:
        DataError: the folder does not exist, the suffix of a file is unknown, or a file cannot
            be read.
    """
    found: dict[str, str] = {}
    for path in log_files(Path(folder)):
        try:
            if _has_records(path):
                found.setdefault(content_hash(path), name_below(Path(folder), path))
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}") from None
    return found


def content_hash(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has_records(path: Path) -> bool:
    with path.open("rb") as file:
        if path.suffix == ".csv":
            file.readline()  # the header
        return bool(file.read(1))


def _status(path: Path) -> tuple[int, ...]:
    """What changes when a file is replaced or written to."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


def _is_log(path: Path, folder: Path) -> bool:
    """Whether a path below a folder is a file to read, and not deleted since it was listed."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise _link_to_nowhere(path) from None
        return False
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    name = path.relative_to(folder).as_posix()
    if not name.isprintable():
        raise DataError(f"{folder}: the name {show(name)} cannot be printed; rename it")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: no regular file; remove it, or rename it with _ in front")
    if path.suffix not in READERS:
        raise DataError(
            f"{path}: expected a name that ends with {', '.join(READERS)}, not "
            "compressed; or one that is not read, with _ in front"
        )
    return True


def _link_to_nowhere(path: Path) -> DataError:
    return DataError(f"{path}: a link to nowhere; mount its target, or remove the link")
