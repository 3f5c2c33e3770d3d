"""What an update starts from: a full version, how to train it further, and the new clicks."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minitower.data import DataError, Dataset, Interactions
from minitower.formulas.arrays import Array
from minitower.store.full_version import Store, read_full
from minitower.store.model_files import load_optimizer
from minitower.store.provenance import Learned
from minitower.store.version_log import Version, VersionConflict, VersionLog, read_current
from minitower.towers.optimizers import Optimizer
from minitower.updating.click_source import ClickSource, event_fields, start_cursor
from minitower.updating.events import Event, OnEvent, ReadReport
from minitower.updating.options import IncrementalOptions, UpdateOptions
from minitower.updating.positives import PositiveFilter
from minitower.updating.streams import Cursor, EventFields
from minitower.updating.training_plan import TrainingPlan

T = TypeVar("T")
_OF_ONE_VERSION = ("update", "report", "best_epoch")  # notes that the next version does not keep


@dataclass(frozen=True, eq=False)
class UpdateBase:
    """Where an update starts.

    Attributes:
        full: the full version that is served, or that the served version stands on.
        version: its entry in the store.
        plan: how to train.
        optimizer: the version's, with its state; or a new one.
        positives: keeps the positives among clicks.
        fields: the columns of clicks.
        source: the click logs; None where the caller brings the clicks.
        learned: what the version has learned; None: it does not record that.
    """

    full: Store
    version: Version
    plan: TrainingPlan
    optimizer: Optimizer
    positives: PositiveFilter
    fields: EventFields
    source: ClickSource | None
    learned: Learned | None

    @staticmethod
    def open(
        store: str | Path, logs: str | Path | None, options: UpdateOptions, emit: OnEvent
    ) -> UpdateBase:
        """Open the store and the logs.

        Raises:
            DataError: the store or the version's notes are damaged; an option is missing or
                outside its domain; the dead-letter file is within the store.
        """
        letters = options.dead_letter_file
        if letters is not None and _is_within(letters, store):
            raise DataError(f"dead_letter_file: {letters} is within the store; name another file")
        read = lambda catalogue, _: _opened(catalogue, Path(store), logs, options)
        base: UpdateBase = read_current(store, read)
        if base.plan.from_version:
            taken = ", ".join(base.plan.from_version)
            emit(
                Event("training_options", f"as version {base.version.number} was trained: {taken}")
            )
        return base

    @property
    def item_counts(self) -> Array:
        """The popularity of the version's items."""
        assert self.full.item_counts is not None  # a full version has them
        return self.full.item_counts

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
            new["learned"] = self.learned.after_night(times).to_json()
        return kept | new | {"cursor": cursor.to_state()}

    def emit_read(self, read: ReadReport, options: UpdateOptions, emit: OnEvent) -> None:
        """Report which records of the logs were not learned."""
        for text in read.texts(self.version.number, options.dead_letter_file):
            emit(Event("logs", text))


def base_dataset(store: Store) -> Dataset:
    """The tables of a store as a data set without positives, for `next_day` to go on from."""
    none = Interactions(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    notes = (store.full or store).notes
    reading = notes.get("reading", {})
    return Dataset(
        *(store.model.schema, store.users, store.items),
        *(none, none, none),
        store.seen,
        store.retired,
        reading.get("positive"),
        reading.get("timestamp"),
        notes.get("item_name"),
    )


def retrying(attempt: Callable[[], T], emit: OnEvent) -> T:
    """The result of an attempt; after a version conflict, that of the next attempt."""
    while True:
        try:
            return attempt()
        except VersionConflict:
            emit(Event("conflict", "there is a new full version: starting again from it"))


def _is_within(path: str | Path, folder: str | Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _opened(
    catalogue: VersionLog, store: Path, logs: str | Path | None, options: UpdateOptions
) -> UpdateBase:
    version = catalogue.full()
    full, content = read_full(catalogue, version), catalogue.open(version).content
    notes, learned = full.notes, Learned.in_notes(full.notes)
    where = f"{store}: version {version.number}"
    incremental = isinstance(options, IncrementalOptions)
    plan = TrainingPlan.read(
        where, notes, options.training, options.positive, incremental=incremental
    )
    positives = PositiveFilter(plan.positive)
    timestamp = notes.get("reading", {}).get("timestamp", "timestamp")
    fields = event_fields(full, positives.rule, timestamp)
    source = None
    if logs is not None:
        lateness = options.allowed_lateness if isinstance(options, IncrementalOptions) else math.inf
        start = start_cursor(logs, where, fields, notes, learned, options.after)
        source = ClickSource.open(logs, fields, start, options, lateness)
    optimizer = _optimizer(store, where, plan, version, content, reset=options.reset_optimizer)
    return UpdateBase(full, version, plan, optimizer, positives, fields, source, learned)


def _optimizer(
    store: Path,
    where: str,
    plan: TrainingPlan,
    version: Version,
    content: Mapping[str, Any],
    *,
    reset: bool,
) -> Optimizer:
    optimizer, stated = plan.recipe.optimizer, content.get("optimizer")
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
