"""A folder of click logs, read as one stream in time order. Chapter 14."""

import json
import math
import os.path
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, time
from typing import Annotated, Any, Literal

import numpy as np

from minitower.data.columns import Columns
from minitower.data.errors import DataError
from minitower.data.options import Option, check_options, checked_path
from minitower.data.table_parts import is_ignored
from minitower.formulas.arguments import as_floats, strict_integer
from minitower.formulas.arrays import Array
from minitower.updating.streams.cursor import Counts, Cursor
from minitower.updating.streams.dead_letters import DeadLetters
from minitower.updating.streams.events import BadRecord, Block, EventBuffer, EventFields, Events
from minitower.updating.streams.folder import FolderReader, PollOptions

MaxErrorRate = Annotated[
    float,
    Option("fail if a larger share of the records goes to that file", 0, 1, metavar="SHARE"),
]
MinErrors = Annotated[
    int, Option("records that may go there before the share counts", 0, metavar="N")
]


@dataclass(frozen=True, eq=False)
class EventBatch:
    """Events in time order, and the cursor behind them."""

    events: Events
    cursor: Cursor

    def __len__(self) -> int:
        return len(self.events)


@dataclass(frozen=True, kw_only=True)
class ClickStream:
    """A folder of click logs, to which new files are added.

    Args:
        folder: holds .jsonl (or .json), .csv, .parquet and .tfrecord files, also in folders
            such as day=2022-05-01. They are read in the order of their paths. A file never
            changes. Names that begin with "." or "_" or end with ".tmp" are ignored.
        fields: the columns of the logs.
        allowed_lateness: seconds, >= 0. The watermark is the newest time minus the allowed
            lateness. Events at or before the watermark are emitted; later events are buffered.
            An event that is older than the watermark when it is read is late. Infinite: all
            events are buffered until everything is read, and no event is late.
        late: "refuse": late events are bad records. "count": late events are counted and
            dropped, without an error.
        dead_letter_file: the file to which bad records are appended, as JSON lines, each once.
            The file does not exist yet, is empty, or holds bad records. None: the first bad
            record is an error.
        max_error_rate: the allowed share of bad records among the records of a run, in [0, 1].
        min_errors: the number of bad records that is allowed whatever their share, >= 0.
        max_clock_skew: seconds, >= 0. An event dated more than this after the current time is
            a bad record: it would make all other events late. None: no such limit.

    Raises:
        ValueError: an argument is outside its domain, or the dead-letter file would be read as
            a log or lies in no folder.
    """

    folder: str | Path
    fields: EventFields = field(default_factory=EventFields)
    allowed_lateness: float = 0.0
    late: Literal["refuse", "count"] = "refuse"
    dead_letter_file: str | Path | None = None
    max_error_rate: MaxErrorRate = 0.01
    min_errors: MinErrors = 100
    max_clock_skew: float | None = None

    def __post_init__(self) -> None:
        checked_path("folder", self.folder)
        for name in ("allowed_lateness", "max_clock_skew"):
            seconds = getattr(self, name)
            if seconds is not None and not as_floats(name, seconds) >= 0:
                raise ValueError(f"{name} must be at least 0 seconds, got {seconds}")
        if self.late not in ("refuse", "count"):
            raise ValueError(f"late must be 'refuse' or 'count', got {self.late!r}")
        check_options(self)
        if self.dead_letter_file is not None:
            checked_path("dead_letter_file", self.dead_letter_file)
            path = Path(os.path.realpath(self.dead_letter_file))
            folder = Path(os.path.realpath(self.folder))
            inside = path.relative_to(folder).parts if path.is_relative_to(folder) else ()
            if inside and not any(map(is_ignored, inside)):
                raise ValueError(f"{path}: would be read as a log; put it elsewhere")
            if not path.parent.is_dir():
                raise ValueError(f"{self.dead_letter_file}: the folder {path.parent} is missing")

    def batches(
        self, size: int, *, cursor: Cursor | None = None, poll: PollOptions | None = None
    ) -> Iterator[EventBatch]:
        """The events behind a cursor, each once, in time order.

        Events of the same time come in the order in which they were read. Without `poll` the
        stream ends with the last record, and the buffered events are emitted, too. With `poll`
        the buffered events stay in the cursor. The first events of a run may be older than the
        last events of the run before, by up to the allowed lateness.

        Args:
            size: events of a batch, >= 1. The last batch may have fewer. It has none where
                only the cursor is news, for example because all new records are bad.
            cursor: of any batch of an earlier run; None: from the beginning.
            poll: wait for new logs; needs a finite allowed lateness.

        Raises:
            ValueError: `size` is less than 1, or `poll` has an infinite allowed lateness.
            DataError: a log was changed, is of an unknown kind, or cannot be read at all; too
                many records are bad; or the dead-letter file holds something else, and then
                nothing was read.
        """
        strict_integer("size", size, 1)
        if poll is not None and self.allowed_lateness == math.inf:
            raise ValueError("polling never emits an event with an infinite allowed lateness")
        run = _Run(self, cursor or Cursor.begin(self.fields), size, poll)
        reader = FolderReader(Path(self.folder), self.fields.names, run.cursor.files)
        yield from run.full_batches()  # of events that are buffered in the cursor
        is_first, last_read = True, monotonic()
        while True:
            for path, block in reader.look():
                last_read = monotonic()
                run.read(path, block, reader)
                yield from run.full_batches()
                if poll is not None and poll.stop.is_set():
                    break
            else:
                if poll is not None:
                    yield from run.full_batches(is_due=is_first)
            is_first = False
            if poll is None or poll.stop.is_set():
                break
            if poll.idle is not None and monotonic() > last_read + poll.idle:
                break
            poll.stop.wait(poll.interval)
        yield from run.last_batches()

    def latest(self) -> float:
        """The largest time that an event can have now."""
        return math.inf if self.max_clock_skew is None else time() + self.max_clock_skew


class _Run:
    """One run over a stream: the events that it buffers, and the cursor that it moves on."""

    def __init__(
        self, stream: ClickStream, cursor: Cursor, size: int, poll: PollOptions | None
    ) -> None:
        self.stream, self.size, self.poll = stream, size, poll
        cursor = replace(cursor, recognized={}, broken={})
        if cursor.newest > stream.latest():  # an earlier run believed a clock that was ahead
            cursor = replace(cursor, newest=-math.inf)
        path = stream.dead_letter_file
        self.dead_letters = None if path is None else DeadLetters(Path(path))
        self.cursor, self.has_news = cursor, False
        self.counts_before = cursor.counts
        self.buffer = EventBuffer(cursor.buffered)
        self.last_emitted = monotonic()

    def read(self, path: Path, block: Block, reader: FolderReader) -> None:
        """Buffer the events of a block, write its bad records, and move the cursor."""
        stream, cursor = self.stream, self.cursor
        bad = list(block.bad)
        events, numbers = _typed(stream.fields, block.columns, block.numbers, bad)
        learned = events.timestamps <= cursor.after
        events, numbers = events.take(~learned), numbers[~learned]

        latest = stream.latest()
        is_ahead = events.timestamps > latest
        reason = f"ahead of time: dated after {latest:.15g}"
        bad += [_bad(events, numbers, row, reason) for row in np.flatnonzero(is_ahead)]
        events, numbers, malformed = events.take(~is_ahead), numbers[~is_ahead], len(bad)

        newest = np.maximum.accumulate(np.append(cursor.newest, events.timestamps))
        watermark = newest[:-1] - stream.allowed_lateness
        is_late = events.timestamps < watermark
        if stream.late == "refuse":
            for row in np.flatnonzero(is_late):
                reason = f"late: the watermark was {watermark[row]:.15g}"
                bad.append(_bad(events, numbers, row, reason))

        name = reader.name(path)
        broken = {name: block.stop} if any(r.rest for r in bad) else {}
        self.buffer.add(events.take(~is_late))
        self.cursor = replace(
            cursor,
            files=dict(reader.files),
            newest=float(newest[-1]),
            counts=Counts(
                cursor.counts.read + len(block.numbers) + len(block.bad),
                cursor.counts.malformed + malformed,
                cursor.counts.late + int(is_late.sum()),
                cursor.counts.learned + int(learned.sum()),
            ),
            recognized=dict(reader.recognized),
            broken=dict(cursor.broken) | broken,
        )
        self.has_news = True
        if bad:
            bad.sort(key=lambda record: record.number)
            self._write_dead_letters(path, name, reader.files[name].content, bad)

    def full_batches(self, *, is_due: bool = False) -> Iterator[EventBatch]:
        """The full batches that are ready; when a batch is due, one more with the others."""
        emit_every = None if self.poll is None else self.poll.emit_every
        if emit_every is None:
            is_due = False
        elif monotonic() >= self.last_emitted + emit_every:
            is_due = True
        while (n := min(self._ready(), self.size)) == self.size or is_due:
            yield self._take(n)
            self.last_emitted, is_due = monotonic(), False

    def last_batches(self) -> Iterator[EventBatch]:
        """The remaining batches; one without events where only the cursor is news."""
        ready = self._ready if self.poll is not None else self.buffer.__len__
        while (n := min(ready(), self.size)) or self.has_news:
            yield self._take(n)

    def _ready(self) -> int:
        """The number of buffered events at or before the watermark."""
        return self.buffer.count_until(self.cursor.newest - self.stream.allowed_lateness)

    def _take(self, n: int) -> EventBatch:
        events, rest = self.buffer.take(n)
        self.cursor, self.has_news = replace(self.cursor, buffered=rest), False
        return EventBatch(events, self.cursor)

    def _write_dead_letters(
        self, path: Path, name: str, content: str, bad: list[BadRecord]
    ) -> None:
        stream = self.stream
        first = f"{path}, record {bad[0].number}: {bad[0].reason}"
        if self.dead_letters is None:
            raise DataError(f"{first}; to continue, name a dead-letter file")
        self.dead_letters.append(name, content, bad)
        counts = self.cursor.counts.since(self.counts_before)
        late = counts.late if stream.late == "refuse" else 0
        allowed = max(stream.min_errors, stream.max_error_rate * counts.read)
        if counts.malformed + late > allowed:
            raise DataError(
                f"{first}; {counts.malformed} of {counts.read} records are malformed and "
                f"{late} late, more than {stream.max_error_rate:.3g} of them: "
                f"see {stream.dead_letter_file}"
            )


def _typed(
    fields: EventFields, columns: Columns, numbers: Array, bad: list[BadRecord]
) -> tuple[Events, Array]:
    """The rows that are events, and their numbers; a bad row is found by halving the rows."""
    try:
        return fields.events(columns), numbers
    except (ValueError, RecursionError) as error:  # a value may be nested deeply
        if len(numbers) == 1:
            row = [columns[name].tolist()[0] for name in fields.names]
            bad.append(BadRecord(int(numbers[0]), str(error), _as_json(row)))
            return fields.from_rows([]), numbers[:0]
    middle = len(numbers) // 2
    parts = []
    for half in (slice(None, middle), slice(middle, None)):
        arrays = {name: array[half] for name, array in columns.arrays.items()}
        parts.append(_typed(fields, Columns(arrays, columns.place), numbers[half], bad))
    (left, before), (right, after) = parts
    return Events.concatenate(left, right), np.concatenate([before, after])


def _bad(events: Events, numbers: Array, row: Any, reason: str) -> BadRecord:
    return BadRecord(int(numbers[row]), reason, json.dumps(events.take([row]).rows()[0]))


def _as_json(row: list[Any]) -> str:
    try:
        return json.dumps(row, default=str)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or deep lists
        return ""
