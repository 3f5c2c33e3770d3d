"""Where reading stands: what is needed to go on as if it had never stopped."""

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError
from minitower.updating.streams.events import EventFields, Events
from minitower.updating.streams.hashes import EMPTY, RunningHash, ends_hash

VERSION = 2
_READABLE = (1, 2)  # version 1 has neither `after` nor `known`


@dataclass(frozen=True)
class Mark:
    """How far a file was read.

    Args:
        offset: of the next record: bytes, in Parquet rows.
        size: the bytes that may not change any more.
        sha256: of the first and the last 4096 of those bytes.
        content: SHA-256 of all those bytes; None in cursors of version 1.
    """

    offset: int = 0
    size: int = 0
    sha256: str = EMPTY
    content: str | None = None

    @staticmethod
    def of(path: Path, offset: int, size: int, running: RunningHash) -> "Mark":
        """The mark to leave in a file that was read so far.

        Args:
            path, offset, size: the file, and how far it was read.
            running: the hash of no more than those bytes; it moves on to their end.
        """
        return Mark(offset, size, ends_hash(path, size), running.of(path, size))

    def check(self, path: Path) -> None:
        """Refuse a file that is not the one that was read.

        Raises:
            DataError: it is shorter, or begins or goes on differently.
        """
        size = path.stat().st_size
        if size < self.size:
            what = f"cut to {size} bytes"
        elif ends_hash(path, self.size) != self.sha256:
            what = "replaced"
        else:
            return
        raise self.changed(path, what)

    def changed(self, path: Path, what: str = "replaced") -> DataError:
        """The error of a file that is not the one that was read."""
        return DataError(
            f"{path}: {what} after its first {self.size} bytes were read; "
            "what is new must come under a new name, or at the end"
        )


@dataclass(frozen=True)
class Counts:
    """Records that were met, since the first run.

    Args:
        read: all, good or not.
        malformed: those that are no event.
        late: events that came after the window had moved on.
        learned: events dated no later than :attr:`Cursor.after`.
    """

    read: int = 0
    malformed: int = 0
    late: int = 0
    learned: int = 0

    def since(self, before: "Counts") -> "Counts":
        """Those that came after others."""
        return Counts(*(now - then for now, then in zip(astuple(self), astuple(before))))


@dataclass(frozen=True, eq=False)
class Cursor:
    """Everything that came before a batch, and the batch itself, is behind it.

    Args:
        buffered: events that were read and not yet emitted, in time order.
        files: the mark of every file by name; of files that are gone too, should they return.
        newest: the largest timestamp read.
        counts: of all records read.
        after: finite, or -inf. Events dated no later were learned before the stream began.
            They are counted and not emitted; they are neither late nor malformed.
        known: the logs that were learned before the stream began: SHA-256 of the whole
            content -> name, as :func:`content_hashes` gives them. A file of such content is
            not read, whatever its name.
        recognized: files of this run that are logs learned before: name -> the name under
            which that log was learned. Not part of the state.

    Raises:
        ValueError: `after` is NaN or infinite in the future.
    """

    buffered: Events
    files: Mapping[str, Mark] = field(default_factory=dict)
    newest: float = -math.inf
    counts: Counts = field(default_factory=Counts)
    after: float = -math.inf
    known: Mapping[str, str] = field(default_factory=dict)
    recognized: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.after < math.inf:
            raise ValueError(f"after must be seconds since 1970, got {self.after}")

    @staticmethod
    def begin(
        fields: EventFields, *, after: float = -math.inf, known: Mapping[str, str] | None = None
    ) -> "Cursor":
        """The cursor in front of a stream whose beginning was learned elsewhere.

        Args:
            fields: of the stream.
            after, known: see :class:`Cursor`.
        """
        return Cursor(fields.from_rows([]), after=after, known=dict(known or {}))

    def to_state(self) -> dict[str, Any]:
        """JSON that :meth:`from_state` reads; as long as the files and the window are many."""
        return {
            "version": VERSION,
            "files": {name: list(astuple(mark)) for name, mark in self.files.items()},
            "newest": _finite(self.newest),
            "after": _finite(self.after),
            "known": dict(self.known),
            "pending": self.buffered.rows(),
            "counts": list(astuple(self.counts)),
        }

    @staticmethod
    def from_state(state: Any, fields: EventFields) -> "Cursor":
        """The cursor that :meth:`to_state` wrote, in this version or the one before.

        Raises:
            DataError: it is no cursor, of another version, or of other fields.
        """
        try:
            if state["version"] not in _READABLE:
                raise ValueError(f"version {state['version']} is not {VERSION}")
            known = {} if state["version"] == 1 else state["known"]
            return Cursor(
                fields.from_rows(state["pending"]),
                {str(name): Mark(*mark) for name, mark in state["files"].items()},
                _seconds(state["newest"]),
                Counts(*state["counts"]),
                _seconds(None if state["version"] == 1 else state["after"]),
                {str(content): str(name) for content, name in known.items()},
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"not the cursor of such a stream: {error}") from None


def _finite(seconds: float) -> float | None:
    """JSON has no infinity: None stands for the beginning of time."""
    return None if math.isinf(seconds) else seconds


def _seconds(value: float | None) -> float:
    return -math.inf if value is None else float(value)
