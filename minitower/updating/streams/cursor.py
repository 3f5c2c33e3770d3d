"""Where reading stands: everything that a later process needs to go on. Chapter 14."""

import math
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from typing import Any

from minitower.data.errors import DataError
from minitower.updating.streams.events import EventFields, Events

VERSION = 3


@dataclass(frozen=True)
class FileMark:
    """How far a file was read.

    Args:
        content: SHA-256 of the file; "N bytes" in a cursor of version 1, which knows
            the size only.
        records: the number of records that were read; None: the file is finished.
    """

    content: str
    records: int | None = None


@dataclass(frozen=True)
class Counts:
    """Counts of records since the first run.

    Args:
        read: all records, good and bad.
        malformed: records that are no event.
        late: events behind the watermark at their arrival.
        learned: events no later than :attr:`Cursor.after`.
    """

    read: int = 0
    malformed: int = 0
    late: int = 0
    learned: int = 0

    def since(self, before: "Counts") -> "Counts":
        """The counts since earlier counts."""
        return Counts(*(now - then for now, then in zip(astuple(self), astuple(before))))


@dataclass(frozen=True, eq=False)
class Cursor:
    """The state of reading after a batch.

    Args:
        buffered: events that were read and not yet emitted, in time order.
        files: the mark of every file that was read, by name. Files that were deleted since
            keep their marks, in case they return.
        newest: the largest timestamp read.
        counts: of all records read.
        after: finite, or -inf. Events no later than this were learned before the stream
            began. They are counted and not emitted; they are neither late nor malformed.
        recognized: files of this run with the content of another log: name -> the name of
            that log. Not part of the state.
        broken: files of this run that are dropped from a record on: name -> the number of
            that record. Not part of the state.

    Raises:
        ValueError: `after` is NaN or +inf.
    """

    buffered: Events
    files: Mapping[str, FileMark] = field(default_factory=dict)
    newest: float = -math.inf
    counts: Counts = field(default_factory=Counts)
    after: float = -math.inf
    recognized: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, int] = field(default_factory=dict)

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
            after: see :class:`Cursor`.
            known: the logs that were learned, SHA-256 of the content -> name, as
                :func:`content_hashes` gives them. They count as finished.
        """
        files = {name: FileMark(content) for content, name in (known or {}).items()}
        return Cursor(fields.from_rows([]), files, after=after)

    def to_state(self) -> dict[str, Any]:
        """JSON that :meth:`from_state` reads; it grows with the files and the buffered events."""
        return {
            "version": VERSION,
            "files": {name: list(astuple(mark)) for name, mark in self.files.items()},
            "newest": None if math.isinf(self.newest) else self.newest,
            "after": None if math.isinf(self.after) else self.after,
            "buffered": self.buffered.rows(),
            "counts": list(astuple(self.counts)),
        }

    @staticmethod
    def from_state(state: Any, fields: EventFields) -> "Cursor":
        """The cursor that :meth:`to_state` wrote, in this version or an earlier one.

        Raises:
            DataError: `state` is no cursor, or one of a later version or of other fields.
        """
        try:
            if state["version"] in (1, 2):
                state = _converted(state)
            if state["version"] != VERSION:
                raise ValueError(f"version {state['version']} is not {VERSION}")
            return Cursor(
                fields.from_rows(state["buffered"]),
                {str(name): _mark(*mark) for name, mark in state["files"].items()},
                -math.inf if state["newest"] is None else float(state["newest"]),
                Counts(*state["counts"]),
                -math.inf if state["after"] is None else float(state["after"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"not the cursor of such a stream: {error}") from None


def _mark(content: Any, records: Any) -> FileMark:
    return FileMark(str(content), None if records is None else int(records))


def _converted(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state of version 1 or 2, in which files could grow while they were read.

    A mark was (offset, size, hash of both ends, SHA-256 of the first `size` bytes). A file of
    that size and hash is finished. Any other file was read in part, and is refused when it is
    found. Only of a Parquet file `size` was the full size, and the offset the rows read.
    """
    learned = state.get("known", {})
    files: dict[str, list[Any]] = {}
    for name, (offset, size, _, *content) in state["files"].items():
        if offset:
            mark = (content or [None])[0] or f"{size} bytes"
            rows = offset if name.endswith(".parquet") and mark not in learned else None
            files[name] = [mark, rows]
    read = {content for content, _ in files.values()}
    for content, name in learned.items():
        if content not in read:
            files[name if name not in files else f"{name} (training)"] = [content, None]
    return {
        "version": VERSION,
        "files": files,
        "newest": state["newest"],
        "after": state.get("after"),
        "buffered": state["pending"],
        "counts": state["counts"],
    }
