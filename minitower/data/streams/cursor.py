"""Where reading stands: what is needed to go on as if it had never stopped."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError
from minitower.data.streams.events import EventFields, Events

VERSION = 1
_ENDS = 4096  # bytes at either end of what was read, by which a file is known again


@dataclass(frozen=True)
class Mark:
    """How far a file was read.

    Args:
        offset: of the next record: bytes, in Parquet rows.
        size: the bytes that may not change any more.
        sha256: of the first and the last 4096 of those bytes.
    """

    offset: int = 0
    size: int = 0
    sha256: str = hashlib.sha256().hexdigest()

    @staticmethod
    def of(path: Path, offset: int, size: int) -> "Mark":
        """The mark to leave in a file that was read so far."""
        return Mark(offset, size, _fingerprint(path, size))

    def check(self, path: Path) -> None:
        """Refuse a file that is not the one that was read.

        Raises:
            DataError: it is shorter, or begins or goes on differently.
        """
        size = path.stat().st_size
        if size < self.size:
            what = f"cut to {size} bytes"
        elif _fingerprint(path, self.size) != self.sha256:
            what = "replaced"
        else:
            return
        raise DataError(
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
    """

    read: int = 0
    malformed: int = 0
    late: int = 0

    def since(self, before: "Counts") -> "Counts":
        """Those that came after others."""
        malformed, late = self.malformed - before.malformed, self.late - before.late
        return Counts(self.read - before.read, malformed, late)


@dataclass(frozen=True, eq=False)
class Cursor:
    """Everything that came before a batch, and the batch itself, is behind it.

    Args:
        pending: events that were read and not yet emitted, in time order.
        files: the mark of every file by name; of files that are gone too, should they return.
        newest: the largest timestamp read.
        counts: of all records read.
    """

    pending: Events
    files: Mapping[str, Mark] = field(default_factory=dict)
    newest: float = -math.inf
    counts: Counts = field(default_factory=Counts)

    def to_state(self) -> dict[str, Any]:
        """JSON that :meth:`from_state` reads; as long as the files and the window are many."""
        return {
            "version": VERSION,
            "files": {name: [m.offset, m.size, m.sha256] for name, m in self.files.items()},
            "newest": None if math.isinf(self.newest) else self.newest,
            "pending": self.pending.rows(),
            "counts": [self.counts.read, self.counts.malformed, self.counts.late],
        }

    @staticmethod
    def from_state(state: Any, fields: EventFields) -> "Cursor":
        """The cursor that :meth:`to_state` wrote.

        Raises:
            DataError: it is no cursor, of another version, or of other fields.
        """
        try:
            if state["version"] != VERSION:
                raise ValueError(f"version {state['version']} is not {VERSION}")
            return Cursor(
                fields.from_rows(state["pending"]),
                {str(name): Mark(*mark) for name, mark in state["files"].items()},
                -math.inf if state["newest"] is None else float(state["newest"]),
                Counts(*state["counts"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"not the cursor of such a stream: {error}") from None


def _fingerprint(path: Path, size: int) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(min(size, _ENDS)))
        file.seek(max(0, size - _ENDS))
        digest.update(file.read(min(size, _ENDS)))
    return digest.hexdigest() if size else Mark.sha256
