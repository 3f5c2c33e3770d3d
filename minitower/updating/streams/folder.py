"""A folder of files that appear and grow: what is new in it, block by block."""

import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import monotonic

from minitower.data.errors import DataError, show
from minitower.updating.streams.blocks import Block
from minitower.updating.streams.cursor import Mark
from minitower.updating.streams.hashes import content_hash
from minitower.updating.streams.logs import Logs, header_size, nothing
from minitower.updating.streams.parquet_clicks import read_parquet_clicks
from minitower.updating.streams.text_files import read_csv, read_json_lines
from minitower.updating.streams.tfrecord import read_tfrecord

READERS: dict[str, Callable[[Path, int, list[str]], Iterator[Block]]] = {
    ".jsonl": read_json_lines,
    ".json": read_json_lines,
    ".csv": read_csv,
    ".parquet": read_parquet_clicks,
    ".tfrecord": read_tfrecord,
}


@dataclass(frozen=True)
class PollOptions:
    """How to wait for what is still to be written.

    Args:
        interval: seconds between two looks into the folder, > 0.
        emit_every: seconds after which a batch is emitted in any case, with fewer events, or
            none, where so many are not ready; looked at once a poll, and first when all that is
            there has been read; None: only full ones.
        idle: seconds without anything new after which to stop; None: never.
        stop: set it, from another thread or a signal handler, to stop.
    """

    interval: float = 1.0
    emit_every: float | None = None
    idle: float | None = None
    stop: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        if not self.interval > 0:
            raise ValueError(f"interval must be positive, got {self.interval}")


def is_ignored(name: str) -> bool:
    """Names of files that are no logs, or no logs yet."""
    return name.startswith((".", "_")) or name.endswith(".tmp")


def log_files(folder: Path) -> list[Path]:
    """The logs of a folder, by name.

    Raises:
        DataError: there is no such folder, a file is of no known kind, or something that
            is no file would be missed: a link to nowhere, a FIFO, a folder named like a log.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    try:
        names = sorted(path for path in folder.iterdir() if not is_ignored(path.name))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror or error}") from None
    return [path for path in names if _is_log(path)]


def _is_log(path: Path) -> bool:
    """Whether a path is a file to read, and not a folder, or gone since it was listed."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink():
            raise _link_to_nowhere(path) from None
        return False
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    if stat.S_ISDIR(mode):
        if path.suffix in READERS:
            raise DataError(f"{path}: a folder with the name of a log; rename it")
        return False
    if not path.name.isprintable():
        raise DataError(f"{path.parent}: the name {show(path.name)} cannot be printed; rename it")
    if not stat.S_ISREG(mode):
        raise DataError(f"{path}: no regular file; remove it, or rename it with _ in front")
    if path.suffix not in READERS:
        raise DataError(
            f"{path}: expected a name that ends with {', '.join(READERS)}, not "
            "compressed; or one that is not read, with _ in front"
        )
    return True


def _link_to_nowhere(path: Path) -> DataError:
    return DataError(f"{path}: a link to nowhere; mount what it leads to, or remove it")


def content_hashes(folder: str | Path) -> dict[str, str]:
    """The logs of a folder: SHA-256 of the whole content -> name, for :meth:`Cursor.begin`.

    Files without a record, empty or with a CSV header alone, are left out.

    Raises:
        DataError: the folder does not exist, or a file in it is of no known kind or cannot
            be read.
    """
    found: dict[str, str] = {}
    for path in log_files(Path(folder)):
        try:
            if path.stat().st_size > header_size(path):
                found.setdefault(content_hash(path), path.name)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror or error}") from None
    return found


def unfinished(folder: Path, marks: Mapping[str, Mark]) -> dict[str, int]:
    """Bytes behind the last whole record, by the name of the file, where there are any."""
    left = {}
    for path in log_files(folder):
        with suppress(FileNotFoundError):  # taken away between the look and here
            left[path.name] = path.stat().st_size - marks.get(path.name, Mark()).size
    return {name: n for name, n in left.items() if n}


def new_blocks(
    folder: Path, names: list[str], logs: Logs, poll: PollOptions | None
) -> Iterator[tuple[Path, Block | None]]:
    """Read on behind the marks, and move them.

    Args:
        folder: of logs.
        names: the columns to read.
        logs: those that were read before; after a block, their marks stand behind it.
        poll: wait for more instead of ending.

    Returns:
        The path of a file and a block of it, which has no records where the file was
        recognized as another log; the folder and None after every look.

    Raises:
        DataError: a file was cut or replaced, is of no known kind or cannot be read.
    """
    looked: dict[str, tuple[int, ...]] = {}
    last = monotonic()
    while True:
        # Logs that were begun come first: what a copy of one holds is known by then.
        for path in sorted(log_files(folder), key=lambda path: path.name not in logs.marks):
            try:
                status = path.stat()
                size = status.st_size
                state = (size, status.st_mtime_ns, status.st_ino)
                if looked.get(path.name) == state:
                    continue
                if logs.look(path, size):
                    last = monotonic()
                    yield path, nothing(names, logs.mark(path))
                if logs.is_learned(path, size):
                    looked[path.name] = state
                    continue
                for block in READERS[path.suffix](path, logs.mark(path).offset, names):
                    if not logs.move(path, block):
                        continue  # a file without records, once more
                    last = monotonic()
                    yield path, block
                    if poll is not None and poll.stop.is_set():
                        return
                looked[path.name] = state
            except FileNotFoundError:
                if path.is_symlink():
                    raise _link_to_nowhere(path) from None
                continue  # taken away between the look and the reading
            except OSError as error:
                raise DataError(f"{path}: {error.strerror or error}") from None
        if poll is None:
            return
        yield folder, None
        if poll.stop.is_set() or (poll.idle is not None and monotonic() > last + poll.idle):
            return
        poll.stop.wait(poll.interval)
