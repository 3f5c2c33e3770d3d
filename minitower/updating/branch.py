"""A branch of the full model: clicks fill steps, and steps move embeddings of ids. Chapter 13."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy, deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitower.data import DataError, Dataset, Interactions
from minitower.formulas.arguments import as_floats
from minitower.formulas.arrays import Array
from minitower.store.incremental import Rows
from minitower.towers.layers import RowGradient
from minitower.towers.optimizers import Optimizer
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batch
from minitower.training.gradient_step import gradient_step, training_at
from minitower.training.objectives import Objective
from minitower.training.regularization import Regularization
from minitower.updating.report import id_rows
from minitower.updating.streams import Events


@dataclass(eq=False)
class Branch:
    """A model and its optimizer, trained on top of a full model that stays as it is.

    The branch owns the id tables and their optimizer state. It shares all other arrays with
    the full model and never writes to them.

    Attributes:
        full: the full model.
        model, optimizer, objective, regularization: what is trained, and how.
        touched: by the name of each id table, (n,) bool: rows that a step has used.
        pairs: clicks that were learned.
        total_loss: the sum of their losses.
    """

    full: TwoTower
    model: TwoTower
    optimizer: Optimizer
    objective: Objective
    regularization: Regularization
    touched: dict[str, Array]
    pairs: int = 0
    total_loss: float = 0.0

    @staticmethod
    def off(
        full: TwoTower,
        optimizer: Optimizer,
        objective: Objective,
        regularization: Regularization,
        id_tables: Collection[str],
    ) -> Branch:
        """Branch off a full model.

        Args:
            full, optimizer, objective: the branch works on copies.
            regularization: of each step.
            id_tables: names of the embeddings that may move.
        """
        touched = {
            name: np.zeros(len(table), bool)
            for name, table in full.parameters.items()
            if name in id_tables
        }
        return Branch(full, full, optimizer, objective, regularization, touched).copy()

    def copy(self) -> Branch:
        """A second branch that learns on its own: it copies what may move and shares the rest."""
        model, optimizer = copy(self.model), copy(self.optimizer)
        model.parameters = {
            name: array.copy() if name in self.touched else array
            for name, array in model.parameters.items()
        }
        optimizer.state = {
            key: array.copy() if key.rpartition("/")[0] in self.touched else array
            for key, array in optimizer.state.items()
        }
        touched = {name: rows.copy() for name, rows in self.touched.items()}
        parts = model, optimizer, deepcopy(self.objective), self.regularization, touched
        return Branch(self.full, *parts, self.pairs, self.total_loss)

    def step(self, batch: Batch) -> None:
        """Learn from one batch.

        Raises:
            TrainingError: a loss, gradient or parameter is not finite; the branch is then of
                no further use.
        """
        with training_at(f"after {self.pairs} clicks"):
            loss, _, gradients = gradient_step(
                self.model,
                self.optimizer,
                self.objective,
                batch,
                regularization=self.regularization,
                id_tables=self.touched,
            )
        for name, gradient in gradients.items():
            assert isinstance(gradient, RowGradient)
            self.touched[name][gradient.rows] = True
        self.pairs += len(batch)
        self.total_loss += loss * len(batch)

    def moved_rows(self) -> Rows:
        """All rows that differ from the full model, and their values, by table."""
        moved = {}
        for name, touched in self.touched.items():
            rows = np.flatnonzero(touched)
            values = self.model.parameters[name][rows]
            different = (values != self.full.parameters[name][rows]).any(axis=1)
            if different.any():
                moved[name] = rows[different], values[different]
        return moved


class StepBuffer:
    """Translates clicks to table rows, and buffers them until they fill a step.

    The steps depend on the sequence of clicks alone, however the sequence is cut into pieces.
    Clicks on items outside the table are dropped and counted.

    A step holds rows of the users (-1 for an id outside the table) and rows of the items. Where
    the data set has a column of weights, a step holds the weights of its clicks, too.

    Args:
        model: the full model; it decides which users have an embedding of their own.
        data: the tables of users and items.
        size: clicks a step, >= 2.

    Attributes:
        waiting: the buffered clicks.
        unknown_users: clicks of users without an embedding of their own.
        unknown_items: dropped clicks.
    """

    def __init__(self, model: TwoTower, data: Dataset, size: int) -> None:
        self.size, self.unknown_users, self.unknown_items = size, 0, 0
        self._embedding_rows = id_rows(model, "user", data.users)
        self._data = data
        weights = None if data.weight is None else np.empty(0)
        self.waiting = Interactions(np.empty(0, np.int64), np.empty(0, np.int64), None, weights)
        self._latest = -np.inf

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, events: Events) -> list[Interactions]:
        """The full steps after some more clicks.

        Raises:
            DataError: the clicks are not in time order, ids are of another type, or only one
                of the clicks and the data set has weights.
        """
        clicks = [np.asarray(part) for part in (events.users, events.items, events.timestamps)]
        weights = events.weights
        if (weights is None) != (self._data.weight is None):
            raise DataError(
                f"events: weights are missing, but column '{self._data.weight}' weighs the clicks"
                if weights is None
                else "events: have weights, but the data set has no column of weights"
            )
        if weights is not None:
            clicks.append(weights := as_floats("weights", weights))
            if not (weights >= 0).all():
                raise DataError("events: weights must be at least 0")
        if len({part.shape for part in clicks}) > 1 or clicks[0].ndim != 1:
            raise DataError("events: users, items and timestamps must be vectors of one length")
        times = np.append(self._latest, as_floats("timestamps", events.timestamps))
        if (np.diff(times) < 0).any():
            raise DataError(f"event {int((np.diff(times) < 0).argmax())} is older than the last")
        users = self._data.users.rows_of(events.users)
        items = self._data.items.rows_of(events.items)
        self._latest = times[-1]
        own = (users >= 0) & (self._embedding_rows[users] != 0)
        self.unknown_users += int(np.count_nonzero(~own))
        self.unknown_items += int(np.count_nonzero(items < 0))
        known = Interactions(users, items, None, weights).take(items >= 0)
        clicked = _joined(self.waiting, known)
        end = len(clicked) - len(clicked) % self.size
        self.waiting = clicked.take(slice(end, None))
        return [clicked.take(slice(i, i + self.size)) for i in range(0, end, self.size)]

    def rest(self) -> Interactions | None:
        """The buffered clicks as one short step, which leaves the buffer empty.

        None where fewer than two are buffered: one click has no negative, and stays.
        """
        if len(self) < 2:
            return None
        step = self.waiting
        self.waiting = step.take(slice(0, 0))
        return step


def _joined(first: Interactions, second: Interactions) -> Interactions:
    """Interactions that have the same columns, one after the other."""
    joined: dict[str, Any] = {
        name: None if column is None else np.concatenate([column, getattr(second, name)])
        for name, column in vars(first).items()
    }
    return Interactions(**joined)
