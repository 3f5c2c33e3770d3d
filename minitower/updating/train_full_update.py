"""The full update in memory: the model goes on for one epoch over the new clicks, shuffled.

After the lecture (section 4): the chain leads from full model to full model. The rows that
incremental updates moved in between (:mod:`minitower.updating.incremental_update`) are dropped.

Chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minitower.data import Dataset
from minitower.data.table import Table
from minitower.evaluation.encode import encode
from minitower.formulas.arrays import Array
from minitower.towers.optimizers import Optimizer
from minitower.towers.tower import Parameters
from minitower.towers.two_tower import TwoTower
from minitower.training.trainer import Trainer
from minitower.updating.report import Drift, Side, UpdateReport, evenly_spaced, id_rows
from minitower.updating.validation_gate import ValidationGate


@dataclass(frozen=True, eq=False)
class FullUpdate:
    """The updated model, the optimizer to go on with, and what changed."""

    model: TwoTower
    optimizer: Optimizer
    report: UpdateReport


def train_full_update(
    model: TwoTower,
    day: Dataset,
    trainer: Callable[[TwoTower, Dataset], Trainer] = Trainer,
    *,
    optimizer: Optimizer | None = None,
    metric: str = "recall@20",
    at_least: float | None = None,
    seed: int = 0,
) -> FullUpdate:
    """Train a copy of the model for one epoch on a day's positives, each once, in random order.

    The model and the optimizer stay as they are. The result is a function of the arguments,
    bit for bit with one thread of BLAS on the same kind of CPU. So repeat an interrupted update.

    Args:
        model: the full model of the day before.
        day: :func:`~minitower.data.days.next_day` of the data that it was trained on.
        trainer: makes the trainer from a copy of the model, extended to the day, and the
            day: ``lambda model, day: Trainer(model, day, batch_size=4096)``.
        optimizer: the day before's, to go on with its state; None: the trainer's own, new.
        metric: measured before and after, if the day has a validation part.
        at_least: the required value of the metric; None: none is required.
        seed: of new rows that have no row 0 to start from; the trainer has its own.

    Raises:
        TrainingError: a loss, gradient or parameter is not finite.
        TooFewClicks: the day has one positive, and the trainer draws no negatives.
        UpdateRefused: the metric is below the required value.
        ValueError: the day does not continue the model's data, or a value is required with
            nothing to validate on.
    """
    extended = model.extended(day.schema, seed=seed)
    gate = ValidationGate(day, metric, at_least)
    before = gate.measure(extended)
    user_rows = _known(model, "user", day.users)
    item_rows = _known(model, "item", day.items)
    users_table = extended.users(day)
    users = encode(extended.user, users_table, user_rows)
    items = encode(extended.item, day.items, item_rows)
    run = trainer(extended, day)
    if optimizer is not None:
        run.optimizer = optimizer.extended(extended.parameters)
    loss = run.fit(1, validate=False).epochs[0].loss
    after = gate.measure(extended)
    gate.require(before, after)
    report = UpdateReport(
        len(day.train),
        loss,
        *_rows_changed(model.parameters, extended.parameters),
        Drift.between(users, encode(extended.user, users_table, user_rows)),
        Drift.between(items, encode(extended.item, day.items, item_rows)),
        before,
        after,
    )
    return FullUpdate(extended, run.optimizer, report)


def _known(model: TwoTower, side: Side, table: Table) -> Array:
    """Some of the entities whose id has an embedding of its own in the model."""
    encoder = model.encoders.user if side == "user" else model.encoders.item
    rows = id_rows(model, side, table)
    known = encoder.cardinality(getattr(model.encoders.schema, f"{side}_id").name)
    return evenly_spaced(np.flatnonzero((rows > 0) & (rows < known)))


def _rows_changed(before: Parameters, after: Parameters) -> tuple[dict[str, int], dict[str, int]]:
    """Rows that are new, and rows that differ, of every embedding table."""
    names = [name for name in before if name.endswith(".embedding")]
    moved = {n: int((after[n][: len(before[n])] != before[n]).any(axis=1).sum()) for n in names}
    return {n: len(after[n]) - len(before[n]) for n in names}, moved
