"""The click logs of an update: a folder, read from where the version's training ended.

The only file of the updates that opens a click stream.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Signal
from typing import Any

from minitower.data import DataError
from minitower.data.columns import read_columns
from minitower.data.errors import Place
from minitower.data.options import checked
from minitower.data.splits import Rule
from minitower.data.table import Table
from minitower.data.values import IdType
from minitower.store.full_version import Store
from minitower.store.provenance import Learned
from minitower.updating.events import ReadReport
from minitower.updating.options import UpdateOptions
from minitower.updating.streams import (
    ClickStream,
    Cursor,
    EventBatch,
    EventFields,
    Events,
    PollOptions,
)

CHUNK = 1 << 16
"""Clicks that are read at once."""


@dataclass(frozen=True, eq=False)
class ClickSource:
    """A folder of click logs, and the place where the new clicks start.

    Attributes:
        stream: the folder.
        start: the cursor behind the clicks that the version has learned.
    """

    stream: ClickStream
    start: Cursor

    @staticmethod
    def open(
        folder: str | Path,
        fields: EventFields,
        start: Cursor,
        options: UpdateOptions,
        allowed_lateness: float = math.inf,
    ) -> ClickSource:
        """Open a folder.

        Args:
            folder: of logs.
            fields: names of the columns, and types of the ids.
            start: where to start.
            options: what may go to the dead-letter file.
            allowed_lateness: seconds; infinite: all clicks are read, then sorted, none is late.
        """
        stream = checked(
            ClickStream,
            folder=folder,
            fields=fields,
            allowed_lateness=allowed_lateness,
            late="count" if options.dead_letter_file is None else "refuse",
            dead_letter_file=options.dead_letter_file,
            max_error_rate=options.max_error_rate,
            min_errors=options.min_errors,
            max_clock_skew=options.max_clock_skew,
        )
        return ClickSource(stream, start)

    def batches(self, poll: PollOptions | None = None) -> Iterator[EventBatch]:
        """The new clicks in time order, up to CHUNK at once; without polling, until all is read."""
        return self.stream.batches(CHUNK, cursor=self.start, poll=poll)

    def report(self, cursor: Cursor) -> ReadReport:
        """What was read between the start and a cursor."""
        counts = cursor.counts.since(self.start.counts)
        return ReadReport(
            counts.read,
            counts.malformed,
            counts.late,
            counts.learned,
            len(cursor.buffered),
            dict(cursor.recognized),
            dict(cursor.broken),
            cursor.after,
        )


def polling(every: float, stop: Signal) -> PollOptions:
    """Wait for more clicks until a signal is set; give a batch at least so often, in seconds."""
    return PollOptions(emit_every=every, stop=stop)


def event_fields(full: Store, rule: Rule | None, timestamp: str) -> EventFields:
    """Names of the columns of clicks, and types of their ids, as a full version has them."""
    schema = full.model.schema.schema
    return EventFields(
        schema.user_id.name,
        schema.item_id.name,
        timestamp,
        value=None if rule is None else rule.column,
        user_type=id_type(full.users),
        item_type=id_type(full.items),
    )


def id_type(table: Table) -> IdType:
    """The type of the ids of a table."""
    return "string" if table.ids.dtype.kind == "U" else "integer"


def as_events(clicks: Any, fields: EventFields) -> Events:
    """Clicks that a caller gives as columns: ids, timestamp, and the rule's column if any."""
    return fields.events(read_columns(clicks, Place("clicks")))


def start_cursor(
    folder: str | Path,
    where: str,
    fields: EventFields,
    notes: Mapping[str, Any],
    learned: Learned | None,
    after: float | None,
) -> Cursor:
    """The cursor behind the clicks that a version has learned.

    Args:
        folder: of the logs, for the error message.
        where: the store and the version, for the error message.
        fields: of the stream.
        notes, learned: of the version.
        after: the option of that name.

    Raises:
        DataError: the version does not record which clicks it has learned and `after` is
            missing, or both are there.
    """
    if after is not None and ("cursor" in notes or (learned and learned.says_where)):
        raise DataError(f"after: {where} records itself which clicks it has learned; drop 'after'")
    if "cursor" in notes:
        return Cursor.from_state(notes["cursor"], fields)
    if learned is not None and learned.logs:
        return Cursor.begin(fields, known=learned.logs)
    if learned is not None and learned.until is not None:
        return Cursor.begin(fields, after=learned.until)
    if after is None:
        raise DataError(
            f"{where} does not record which clicks it has learned; set 'after' to a time "
            f"(--after TIME), or learn all clicks of {folder} (--after start)"
        )
    return Cursor.begin(fields, after=after)
