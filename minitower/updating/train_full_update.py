"""The nightly update: yesterday's model goes on for one epoch over the day.

After the lecture (section 4): the chain leads from full model to full model. What the day
moved in between (:mod:`minitower.updating.incremental_update`) is thrown away with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minitower.data import Dataset, Interactions
from minitower.data.table import Table
from minitower.evaluation.encode import encode
from minitower.store.snapshot import Store
from minitower.towers.optimizers import Optimizer
from minitower.towers.tower import Array, Parameters
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import TooFewClicks
from minitower.training.trainer import Trainer
from minitower.updating.incremental_update import IncrementalUpdate, incremental_update
from minitower.updating.update_report import (
    Drift,
    Judge,
    Side,
    UpdateRefused,
    UpdateReport,
    id_rows,
    some,
)

__all__ = [
    "FullUpdate",
    "IncrementalUpdate",
    "TooFewClicks",
    "UpdateRefused",
    "UpdateReport",
    "full_update",
    "incremental_update",
    "yesterday",
]


@dataclass(frozen=True, eq=False)
class FullUpdate:
    """The model of the day, the optimizer to go on with tomorrow, and what has changed."""

    model: TwoTower
    optimizer: Optimizer
    report: UpdateReport


def yesterday(store: Store) -> Dataset:
    """The tables of a store as a data set without positives, for `next_day` to go on from."""
    none = Interactions(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    tables = store.model.schema, store.users, store.items
    notes = (store.full or store).notes
    reading = notes.get("reading", {})
    return Dataset(
        *tables,
        *(none, none, none),
        store.item_names,
        store.seen,
        store.retired,
        reading.get("positive"),
        reading.get("timestamp"),
        notes.get("item_name"),
    )


def full_update(
    model: TwoTower,
    day: Dataset,
    trainer: Callable[[TwoTower, Dataset], Trainer] = Trainer,
    *,
    optimizer: Optimizer | None = None,
    metric: str = "recall@20",
    at_least: float | None = None,
    seed: int = 0,
) -> FullUpdate:
    """One epoch over the day, in random order, every positive once.

    The result is a function of the arguments: interrupted, it can be done again and gives
    the same, bit for bit on one thread of the same kind of CPU. Neither the model nor the
    optimizer is changed.

    Args:
        model: the full model of the day before.
        day: :func:`~minitower.data.days.next_day` of the data that it was trained on.
        trainer: makes the trainer out of a copy of the model, grown to the day, and the
            day: ``lambda model, day: Trainer(model, day, batch_size=4096)``.
        optimizer: that of the day before, to go on with its state; None begins anew,
            with the trainer's own.
        metric: what is measured before and after, if the day has a validation part.
        at_least: the metric below which the update is refused; None: never.
        seed: of new rows that have no row 0 to begin from; the trainer has its own.

    Raises:
        TrainingError: a loss, gradient or parameter is not finite.
        TooFewClicks: the day has one positive, and the trainer draws no negatives.
        UpdateRefused: the metric is below the bound.
        ValueError: the day does not continue the model's data, or there is a bound and
            nothing to validate on.
    """
    grown = model.grown(day.schema, seed=seed)
    judge = Judge(day, metric, at_least)
    before = judge(grown)
    user_rows = _known(model, "user", day.users)
    item_rows = _known(model, "item", day.items)
    users = encode(grown.user, day.users, user_rows)
    items = encode(grown.item, day.items, item_rows)
    run = trainer(grown, day)
    if optimizer is not None:
        run.optimizer = optimizer.grown(grown.parameters)
    loss = run.fit(1, validate=False).epochs[0].loss
    after = judge(grown)
    judge.demand(before, after)
    report = UpdateReport(
        len(day.train),
        loss,
        *_rows_changed(model.parameters, grown.parameters),
        Drift.between(users, encode(grown.user, day.users, user_rows)),
        Drift.between(items, encode(grown.item, day.items, item_rows)),
        before,
        after,
    )
    return FullUpdate(grown, run.optimizer, report)


def _known(model: TwoTower, side: Side, table: Table) -> Array:
    """Some of those whose id had a row for itself in the model."""
    encoder = model.schema.user if side == "user" else model.schema.item
    rows = id_rows(model, side, table)
    known = encoder.cardinality(getattr(model.schema.schema, f"{side}_id").name)
    return some(np.flatnonzero((rows > 0) & (rows < known)))


def _rows_changed(before: Parameters, after: Parameters) -> tuple[dict[str, int], dict[str, int]]:
    """Rows that are new, and rows that differ, of every embedding table."""
    names = [name for name in before if name.endswith(".embedding")]
    moved = {n: int((after[n][: len(before[n])] != before[n]).any(axis=1).sum()) for n in names}
    return {n: len(after[n]) - len(before[n]) for n in names}, moved
