"""A branch of the full model: steps move its embeddings of ids. Chapter 13."""

from __future__ import annotations

from collections.abc import Collection
from copy import copy, deepcopy
from dataclasses import dataclass

import numpy as np

from minitower.formulas.arrays import Array
from minitower.store.incremental import Rows
from minitower.towers.layers import RowGradient
from minitower.towers.optimizers import Optimizer
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batch
from minitower.training.gradient_step import gradient_step, training_at
from minitower.training.objectives import Objective
from minitower.training.regularization import Regularization


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
