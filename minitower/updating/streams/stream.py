"""A folder of click logs, read as one stream in time order."""

import json
import math
import os.path
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from time import monotonic, time
from typing import Any, Literal

import numpy as np

from minitower.data.columns import Columns
from minitower.data.errors import DataError
from minitower.data.options import checked_path
from minitower.data.ragged import Array
from minitower.formulas.arguments import floats, strict_integer
from minitower.updating.streams.aside import Aside
from minitower.updating.streams.blocks import Block, Wrong
from minitower.updating.streams.buffer import Buffer
from minitower.updating.streams.cursor import Counts, Cursor
from minitower.updating.streams.events import EventFields, Events
from minitower.updating.streams.folder import PollOptions, is_ignored, new_blocks, unfinished
from minitower.updating.streams.logs import Logs


@dataclass(frozen=True, eq=False)
class EventBatch:
    """Events in time order, and the cursor to go on with after them."""

    events: Events
    cursor: Cursor

    def __len__(self) -> int:
        return len(self.events)


@dataclass(frozen=True, kw_only=True)
class ClickStream:
    """A folder of click logs, to which files are added and which may grow.

    Args:
        folder: holds .jsonl (or .json), .csv, .parquet and .tfrecord files, read one after
            the other in the order of their names. Names that begin with "." or "_" or end
            with ".tmp" are not read.
        fields: what the columns are called.
        allowed_lateness: seconds, >= 0. An event waits until one that is so much newer was
            read; one that comes later than that is late. Infinite: all events wait until everything
            is read, and none is late.
        late: "refuse": late events are set aside, as malformed records are. "count": they are
            counted and dropped, without an error.
        dead_letter_file: the file to append records to that are malformed or late, as JSON lines of
            file, offset, reason and record, each once, however often it is read. It does
            not exist yet, is empty, or holds such records; nobody else's file is written to.
            None: the first such record is an error.
        max_error_rate: the share of the records of a run that may be set aside, in [0, 1].
        min_errors: how many may be before the share counts, >= 0.
        max_clock_skew: seconds, >= 0. An event dated so much after the moment at which it is
            read is malformed: believed, it would make all others late. None: no event is.
    """

    folder: str | Path
    fields: EventFields = field(default_factory=EventFields)
    allowed_lateness: float = 0.0
    late: Literal["refuse", "count"] = "refuse"
    dead_letter_file: str | Path | None = None
    max_error_rate: float = 0.01
    min_errors: int = 100
    max_clock_skew: float | None = None

    def __post_init__(self) -> None:
        checked_path("folder", self.folder)
        for name in ("allowed_lateness", "max_clock_skew"):
            seconds = getattr(self, name)
            if seconds is not None and not floats(name, seconds) >= 0:
                raise ValueError(f"{name} must be at least 0 seconds, got {seconds}")
        if self.late not in ("refuse", "count"):
            raise ValueError(f"late must be 'refuse' or 'count', got {self.late!r}")
        if not 0 <= self.max_error_rate <= 1:
            raise ValueError(f"max_error_rate must be a share in [0, 1], got {self.max_error_rate}")
        if not self.min_errors >= 0:
            raise ValueError(f"min_errors must be at least 0 records, got {self.min_errors}")
        if self.dead_letter_file is not None:
            checked_path("dead_letter_file", self.dead_letter_file)
            aside = Path(os.path.realpath(self.dead_letter_file))
            if aside.parent == Path(os.path.realpath(self.folder)) and not is_ignored(aside.name):
                raise ValueError(f"{aside}: would be read as a log; put it elsewhere")
            if not aside.parent.is_dir():
                raise ValueError(f"{self.dead_letter_file}: there is no folder {aside.parent}")

    def batches(
        self, size: int, *, cursor: Cursor | None = None, poll: PollOptions | None = None
    ) -> Iterator[EventBatch]:
        """The events after a cursor, each once, in time order.

        Events of the same time come in the order in which they were read. Not following,
        the stream ends with the last whole record, and what waits in the window is emitted
        too; following, that stays in the cursor. A run may begin up to a window before the
        end of the one that it goes on from.

        Args:
            size: events of a batch, >= 1; the last may have fewer, and has none where only
                its cursor is news, because all that was read since went aside.
            cursor: of any batch of an earlier run; None: from the beginning.
            poll: wait for more instead of ending; with a finite window.

        Raises:
            ValueError: `size` is less than 1, or an infinite window is to be followed, which
                would never emit an event.
            DataError: a file was cut or replaced since the cursor, is of no known kind, or
                cannot be read at all; too many records had to be set aside; or `aside` is
                a file of somebody else, and then nothing was read.
        """
        strict_integer("size", size, 1)
        if poll is not None and self.allowed_lateness == math.inf:
            raise ValueError("following never emits an event of an infinite window")
        now = replace(cursor or Cursor.begin(self.fields), recognized={})
        if now.newest > self._latest():  # an earlier run believed a wrong clock
            now = replace(now, newest=-math.inf)
        aside = None if self.dead_letter_file is None else Aside(Path(self.dead_letter_file))
        begun = now.counts
        said, logs, buffer = now, Logs(now), Buffer(now.buffered)
        every = None if poll is None else poll.emit_every
        emitted, looked = monotonic(), False
        new = new_blocks(Path(self.folder), self.fields.names, logs, poll)
        for path, block in chain([(None, None)], new):  # first what is pending
            if path is not None and block is not None:
                files, recognized = dict(logs.marks), dict(logs.recognized)
                now = replace(now, files=files, recognized=recognized)
                now = self._read(now, path, block, buffer, aside, begun)
            caught_up = path is not None and block is None and not looked
            looked |= caught_up
            due = every is not None and (caught_up or monotonic() >= emitted + every)
            while (n := min(self._ready(now, buffer), size)) == size or due:
                batch = _batch(now, buffer, n)
                now = batch.cursor
                yield batch
                said, emitted, due = now, monotonic(), False
        while (
            n := min(len(buffer) if poll is None else self._ready(now, buffer), size)
        ) or now is not said:
            batch = _batch(now, buffer, n)
            said = now = batch.cursor
            yield batch

    def unfinished(self, cursor: Cursor | None) -> dict[str, int]:
        """Bytes behind the last whole record, by the name of the file, where there are any."""
        return unfinished(Path(self.folder), cursor.files if cursor else {})

    def _ready(self, now: Cursor, buffer: Buffer) -> int:
        return buffer.until(now.newest - self.allowed_lateness)

    def _read(
        self,
        now: Cursor,
        path: Path,
        block: Block,
        buffer: Buffer,
        aside: Aside | None,
        begun: Counts,
    ) -> Cursor:
        """The cursor behind a block, but for what is pending: the buffer gets its events."""
        wrong = list(block.wrong)
        events, offsets = _sift(self.fields, block.columns, block.offsets, wrong)
        learned = events.timestamps <= now.after
        events, offsets = events.take(~learned), offsets[~learned]
        latest = self._latest()
        ahead = events.timestamps > latest
        for row in np.flatnonzero(ahead).tolist():
            wrong.append(_wrong(events, offsets, row, f"ahead of time: dated after {latest:.15g}"))
        events, offsets, malformed = events.take(~ahead), offsets[~ahead], len(wrong)
        newest = np.maximum.accumulate(np.append(now.newest, events.timestamps))
        late = events.timestamps < newest[:-1] - self.allowed_lateness
        for row in np.flatnonzero(late).tolist() if self.late == "refuse" else ():
            reason = f"late: the window began at {newest[row] - self.allowed_lateness:.15g}"
            wrong.append(_wrong(events, offsets, row, reason))
        buffer.add(events.take(~late))
        now = replace(
            now,
            newest=float(newest[-1]),
            counts=Counts(
                now.counts.read + len(block.offsets) + len(block.wrong),
                now.counts.malformed + malformed,
                now.counts.late + int(late.sum()),
                now.counts.learned + int(learned.sum()),
            ),
        )
        if wrong:
            self._set_aside(now.counts.since(begun), path, wrong, aside)
        return now

    def _latest(self) -> float:
        """The time after which no event can be."""
        return math.inf if self.max_clock_skew is None else time() + self.max_clock_skew

    def _set_aside(
        self, counts: Counts, path: Path, wrong: list[Wrong], aside: Aside | None
    ) -> None:
        wrong.sort(key=lambda record: record.offset)
        what = f"{path}, offset {wrong[0].offset}: {wrong[0].reason}"
        if aside is None:
            raise DataError(f"{what}; to go on nevertheless, name a file to set such records aside")
        aside.append(path.name, wrong)
        late = counts.late if self.late == "refuse" else 0
        if counts.malformed + late > max(self.min_errors, self.max_error_rate * counts.read):
            raise DataError(
                f"{what}; {counts.malformed} of {counts.read} records are malformed and "
                f"{late} late, more than {self.max_error_rate:.3g} of them: "
                f"see {self.dead_letter_file}"
            )


def _wrong(events: Events, offsets: Array, row: int, reason: str) -> Wrong:
    return Wrong(int(offsets[row]), reason, json.dumps(events.take([row]).rows()[0]))


def _sift(
    fields: EventFields, columns: Columns, offsets: Array, wrong: list[Wrong]
) -> tuple[Events, Array]:
    """The rows that are events, and where they begin; halves are tried where one is not."""
    try:
        return fields.events(columns), offsets
    except (ValueError, RecursionError) as error:  # a value may be nested deeply
        if len(offsets) == 1:
            row = [columns[name].tolist()[0] for name in fields.names]
            wrong.append(Wrong(int(offsets[0]), str(error), _written(row)))
            return fields.from_rows([]), offsets[:0]
    middle = len(offsets) // 2
    parts = []
    for half in (slice(None, middle), slice(middle, None)):
        arrays = {name: array[half] for name, array in columns.arrays.items()}
        parts.append(_sift(fields, Columns(arrays, columns.place), offsets[half], wrong))
    (left, before), (right, after) = parts
    return Events.concatenate(left, right), np.concatenate([before, after])


def _written(row: list[Any]) -> str:
    try:
        return json.dumps(row, default=str)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or deep lists
        return ""


def _batch(now: Cursor, buffer: Buffer, n: int) -> EventBatch:
    """The n oldest events of the buffer, and the cursor after them."""
    events, pending = buffer.take(n)
    return EventBatch(events, replace(now, buffered=pending))
