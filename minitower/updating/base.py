"""What an update starts from: a full version, how to train it further, and the new clicks.

Chapter 13.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minitower.data import DataError, Dataset, Interactions
from minitower.data.options import checked
from minitower.data.table import Table
from minitower.data.times import UNITS
from minitower.data.values import IdType
from minitower.formulas.arrays import Array
from minitower.store.forgotten import Forgotten
from minitower.store.full_version import Store, read_full
from minitower.store.histories import without_history
from minitower.store.model_files import load_optimizer
from minitower.store.provenance import Learned
from minitower.store.version_log import Version, VersionConflict, VersionLog, read_current
from minitower.towers.optimizers import Optimizer
from minitower.updating.options import IncrementalOptions, UpdateOptions
from minitower.updating.plan import PositiveFilter, TrainingPlan
from minitower.updating.report import Event, Kind, OnEvent, ReadReport
from minitower.updating.streams import (
    ClickStream,
    Cursor,
    EventBatch,
    EventFields,
    Events,
    PollOptions,
)

T = TypeVar("T")
CHUNK = 1 << 16
"""Clicks that are read at once."""

_OF_ONE_VERSION = "update", "report", "best_epoch", "schedule"
"""Notes that the next version does not keep."""


@dataclass(frozen=True, eq=False)
class UpdateBase:
    """Where an update starts.

    Attributes:
        options, on_event: of the update.
        full: the full version that is served, or that the served version stands on.
        version: its entry in the store.
        plan: how to train.
        optimizer: the version's, with its state; or a new one.
        positives: keeps the positives among clicks.
        fields: the columns of clicks.
        forgotten: the users that the store has forgotten.
        learned: what the version has learned; None: it does not record that.
        stream: the folder of click logs; None where the caller brings the clicks.
        start: the cursor behind the clicks that the version has learned.
    """

    options: UpdateOptions
    on_event: OnEvent
    full: Store
    version: Version
    plan: TrainingPlan
    optimizer: Optimizer
    positives: PositiveFilter
    fields: EventFields
    forgotten: Forgotten
    learned: Learned | None
    stream: ClickStream | None
    start: Cursor

    @staticmethod
    def open(
        store: str | Path, logs: str | Path | None, options: UpdateOptions, on_event: OnEvent
    ) -> UpdateBase:
        """Open the store and the logs.

        Raises:
            DataError: the store or the version's notes are damaged; an option is missing or
                outside its domain; the dead-letter file is within the store.
        """
        letters = options.dead_letter_file
        if letters is not None and _is_within(letters, store):
            raise DataError(f"dead_letter_file: {letters} is within the store; name another file")
        read = lambda log, _: _opened(log, Path(store), logs, options, on_event)
        base: UpdateBase = read_current(store, read)
        if base.plan.from_version:
            taken = ", ".join(base.plan.from_version)
            base.emit("training_options", f"as version {base.version.number} was trained: {taken}")
        if (weight := base.fields.weight) is not None:
            base.emit("training_options", f"column '{weight}' weighs the clicks, as in training")
        return base

    def emit(self, kind: Kind, text: str) -> None:
        """Report an event."""
        self.on_event(Event(kind, text))

    def batches(self, poll: PollOptions | None = None) -> Iterator[EventBatch]:
        """The new clicks in time order, up to CHUNK at once; without polling, until all is read.

        Without polling and without a stated lateness all of them are sorted, and none is late:
        a file may be sorted by user.
        """
        stream, stated = self.stream, getattr(self.options, "allowed_lateness", None)
        if stream is None:
            raise DataError("the session was opened without logs; pass clicks to learn()")
        if poll is None and stated is None:
            stream = replace(stream, allowed_lateness=math.inf)
        return stream.batches(CHUNK, cursor=self.start, poll=poll)

    def remembered(self, events: Events) -> Events:
        """The clicks without those of forgotten users."""
        forgotten = self.forgotten.among(events.users)
        return events.take(~forgotten) if forgotten.any() else events

    def read_until(self, cursor: Cursor) -> ReadReport:
        """What was read up to a cursor; records that were not learned are reported as events."""
        read = ReadReport.between(self.start, cursor)
        for text in read.texts(self.version.number, self.options.dead_letter_file):
            self.emit("logs", text)
        return read

    def next_notes(self, cursor: Cursor, times: Array) -> dict[str, Any]:
        """The notes of the next full version, from which the next update goes on.

        Args:
            cursor: behind all clicks that were read.
            times: of the clicks that were learned.
        """
        notes = self.full.notes
        kept = {name: value for name, value in notes.items() if name not in _OF_ONE_VERSION}
        reading = {**notes.get("reading", {}), "positive": self.positives.text}
        new = {"reading": reading, "training": self.plan.to_notes()}
        if self.learned is not None:
            new["learned"] = self.learned.after_full_update(times).to_json()
        return kept | new | self.forgotten.to_notes() | {"cursor": cursor.to_state()}


def base_dataset(store: Store) -> Dataset:
    """The tables of a store as a data set without positives, for `next_day` to go on from."""
    none = Interactions(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    notes = (store.full or store).notes
    reading = notes.get("reading", {})
    users, recent = without_history(store.users, store.model)
    return Dataset(
        *(store.model.encoders, users, store.items),
        *(none, none, none),
        store.seen,
        store.retired,
        reading.get("positive"),
        reading.get("timestamp"),
        notes.get("item_name"),
        recent=recent,
        weight=reading.get("weight"),
    )


def retrying(attempt: Callable[[], T], on_event: OnEvent) -> T:
    """The result of an attempt; after a version conflict, that of the next attempt."""
    while True:
        try:
            return attempt()
        except VersionConflict:
            on_event(Event("conflict", "there is a new full version: starting again from it"))


def id_type(table: Table) -> IdType:
    """The type of the ids of a table."""
    return "string" if table.ids.dtype.kind == "U" else "integer"


def _unit(columns: Any) -> str:
    """The unit of the times that a version was trained on, where they are numbers."""
    unit = columns.get("unit") if isinstance(columns, Mapping) else None
    return unit if isinstance(unit, str) and unit in UNITS else "seconds"


def _is_within(path: str | Path, folder: str | Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _opened(
    log: VersionLog,
    store: Path,
    logs: str | Path | None,
    options: UpdateOptions,
    on_event: OnEvent,
) -> UpdateBase:
    version = log.full()
    full, where = read_full(log, version), f"{store}: version {version.number}"
    notes, schema, learned = full.notes, full.model.encoders.schema, Learned.in_notes(full.notes)
    reading = notes.get("reading", {})
    incremental = options if isinstance(options, IncrementalOptions) else None
    plan = TrainingPlan.read(
        where, notes, options.training, options.positive, incremental=incremental is not None
    )
    positives = PositiveFilter(plan.positive)
    fields = EventFields(
        schema.user_id.name,
        schema.item_id.name,
        reading.get("timestamp", "timestamp"),
        value=positives.column,
        rule=None if positives.column is not None else positives.rule,
        unit=_unit(reading.get("columns")),
        weight=reading.get("weight"),
        user_type=id_type(full.users),
        item_type=id_type(full.items),
    )
    stream, start = None, Cursor.begin(fields)
    if logs is not None:
        start = _start(logs, where, fields, notes, learned, options.after)
        stream = checked(
            ClickStream,
            folder=logs,
            fields=fields,
            allowed_lateness=0.0 if incremental is None else incremental.allowed_lateness or 0.0,
            late="count" if options.dead_letter_file is None else "refuse",
            dead_letter_file=options.dead_letter_file,
            max_error_rate=options.max_error_rate,
            min_errors=options.min_errors,
            max_clock_skew=options.max_clock_skew,
        )
    stated = log.open(version).content.get("optimizer")
    optimizer = _optimizer(store, where, plan, version, stated, reset=options.reset_optimizer)
    return UpdateBase(
        *(options, on_event, full, version, plan, optimizer, positives, fields),
        *(Forgotten.by_store(log), learned, stream, start),
    )


def _start(
    logs: str | Path,
    where: str,
    fields: EventFields,
    notes: Mapping[str, Any],
    learned: Learned | None,
    after: float | None,
) -> Cursor:
    """The cursor behind the clicks that a version has learned.

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
            f"(--after TIME), or learn all clicks of {logs} (--after start)"
        )
    return Cursor.begin(fields, after=after)


def _optimizer(
    store: Path,
    where: str,
    plan: TrainingPlan,
    version: Version,
    stated: Mapping[str, Any] | None,
    *,
    reset: bool,
) -> Optimizer:
    """The plan's optimizer: with the state of the version, or after a reset with its settings."""
    optimizer = plan.recipe.optimizer
    if reset:
        if stated is not None and stated["kind"] == type(optimizer).__name__:
            optimizer.configure(stated.get("settings", {}))
        return optimizer
    if stated is None:
        raise DataError(
            f"{where} has no optimizer state; reset_optimizer (--reset-optimizer) starts without"
        )
    try:
        load_optimizer(store, optimizer, version.number)
    except DataError as error:
        raise DataError(
            f"{error}; reset_optimizer (--reset-optimizer) starts with empty state"
        ) from None
    return optimizer
