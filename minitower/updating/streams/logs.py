"""Which logs were read, and how far, whatever their names are now."""

from pathlib import Path

import numpy as np

from minitower.data.columns import Columns
from minitower.data.errors import DataError
from minitower.updating.streams.blocks import RECORD, Block
from minitower.updating.streams.cursor import Cursor, Mark
from minitower.updating.streams.hashes import RunningHash


class Logs:
    """The logs behind a cursor, while a run reads on.

    A file that begins with all the bytes that were read of another log is that log: it was
    renamed, or copied, and may have grown since. Reading goes on where the log ended.

    Attributes:
        marks: of every file by name; of files that are gone too, should they return.
        recognized: see :class:`Cursor`.
    """

    def __init__(self, cursor: Cursor) -> None:
        self.marks = dict(cursor.files)
        self.recognized: dict[str, str] = {}
        self._known = cursor.known
        self._names = frozenset(cursor.known.values()) if cursor.after == -np.inf else frozenset()
        self._hashes: dict[str, RunningHash] = {}

    def mark(self, path: Path) -> Mark:
        """How far a file was read."""
        return self.marks.get(path.name, Mark())

    def is_learned(self, path: Path, size: int) -> bool:
        """Whether all `size` bytes of a file that was looked at are a log of `Cursor.known`."""
        mark = self.mark(path)
        return mark.size == size and mark.content in self._known

    def look(self, path: Path, size: int) -> bool:
        """Find out which log a file is; returns whether that moved its mark.

        Args:
            path: the file.
            size: its bytes.

        Raises:
            DataError: the file was cut or replaced since it was read or learned.
        """
        mark = self.mark(path)
        mark.check(path)
        if mark.size and mark.content is None:  # of a cursor of version 1
            mark = Mark.of(path, mark.offset, mark.size, self._hash(path))
            self.marks[path.name] = mark
        found = self._same(path, mark.size, size)
        if found is not None:
            name, self.marks[path.name] = found
            self.recognized[path.name] = name
        elif size and path.name not in self.marks and path.name in self._names:
            raise DataError(
                f"{path}: its content is not the one that training learned from under this "
                "name; put what is new into a log of a new name"
            )
        return found is not None

    def move(self, path: Path, block: Block) -> bool:
        """Move the mark of a file behind a block; returns whether that is news.

        Raises:
            DataError: the file was cut or replaced meanwhile.
        """
        before, running = self.mark(path), self._hash(path)
        before.check(path)
        if before.content not in (None, running.of(path, before.size)):
            raise before.changed(path)
        mark = self.marks[path.name] = Mark.of(path, block.stop, block.size, running)
        return mark != before or bool(len(block.offsets))

    def _hash(self, path: Path) -> RunningHash:
        return self._hashes.setdefault(path.name, RunningHash())

    def _same(self, path: Path, start: int, size: int) -> tuple[str, Mark] | None:
        """The longest log, of more than `start` bytes, that a file of `size` bytes begins with."""
        logs: dict[int, dict[str | None, tuple[str, Mark]]] = {}
        for name, mark in self.marks.items():
            if name != path.name and mark.offset and start < mark.size <= size:
                logs.setdefault(mark.size, {})[mark.content] = name, mark
        if self._known and start < size:
            logs.setdefault(size, {})
        if not logs:
            return None
        shortest = header_size(path)  # which many logs share
        running, found = self._hash(path).copy(), None
        if running.size > start:
            running = RunningHash()
        for end in sorted(logs):
            content = running.of(path, end)
            if end > shortest:
                found = logs[end].get(content, found)
        if content in self._known and running.size == size:
            found = self._known[content], Mark.of(path, size, size, running)
        return found


def nothing(names: list[str], mark: Mark) -> Block:
    """A block without records, behind a mark."""
    arrays = {name: np.empty(0, object) for name in names}
    return Block(Columns(arrays, RECORD), np.empty(0, np.int64), mark.offset, mark.size)


def header_size(path: Path) -> int:
    """The bytes of a CSV file that hold no record."""
    if path.suffix != ".csv":
        return 0
    with path.open("rb") as file:
        return len(file.readline())
