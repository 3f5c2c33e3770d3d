"""Validation: measure a model on held-out positives, and keep the best epoch. Chapter 4."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitower.data import Dataset
from minitower.evaluation.evaluator import Evaluator, NothingToFind
from minitower.evaluation.report import read_metric
from minitower.formulas.arguments import shown
from minitower.towers.optimizers import Optimizer
from minitower.towers.two_tower import TwoTower


class Validation:
    """Measures models on the validation part of a data set.

    Args:
        data: its validation part may be empty, or hold repeats only; then nothing is measured.
        metric: such as "recall@20".
        users: measure on a random sample of this many users; None: on all.
        seed: of the sample.

    Attributes:
        can_measure: whether there is anything to measure on.

    Raises ValueError: the metric is unknown.
    """

    def __init__(
        self, data: Dataset, metric: str, *, users: int | None = None, seed: int = 0
    ) -> None:
        self._evaluator = _evaluator(data, metric, users, seed)
        self.can_measure = self._evaluator is not None

    def metrics(self, model: TwoTower) -> dict[str, float]:
        """All accuracy metrics at the cutoff of the metric; empty with nothing to measure on."""
        return {} if self._evaluator is None else self._evaluator(model).metrics


class BestEpoch:
    """The best epoch so far, with copies of the parameters and the optimizer's state.

    Attributes:
        epoch: its number, counted from 1; 0 before :meth:`offer`.
    """

    def __init__(self) -> None:
        self.epoch, self._value = 0, -np.inf
        self._parameters: dict[str, Any] = {}
        self._state: dict[str, Any] = {}
        self._step = 0

    def offer(self, epoch: int, value: float, model: TwoTower, optimizer: Optimizer) -> None:
        """Copy the model and the optimizer if the value is better than all before."""
        if value > self._value:
            self.epoch, self._value, self._step = epoch, value, optimizer.step
            self._parameters, self._state = _copies(model.parameters), _copies(optimizer.state)

    def restore(self, model: TwoTower, optimizer: Optimizer) -> None:
        """Set the model and the optimizer back to the best epoch, in place."""
        for name, parameter in self._parameters.items():
            model.parameters[name][...] = parameter
        optimizer.state, optimizer.step = self._state, self._step


def _copies(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: array.copy() for name, array in arrays.items()}


def _evaluator(data: Dataset, metric: str, users: int | None, seed: int) -> Evaluator | None:
    """The evaluator of the validation part, or None where that has nothing to find."""
    try:
        cutoff = int(read_metric(metric).partition("@")[2])
    except ValueError as error:
        raise ValueError(f"metric: {error}, got {shown(metric)}") from None
    if not len(data.valid):
        return None
    try:
        evaluator = Evaluator(data, "valid", (cutoff,))
    except NothingToFind:
        return None
    if users is None or users >= len(evaluator.users):
        return evaluator
    sample = np.random.default_rng(seed).choice(evaluator.users, users, replace=False)
    return Evaluator(data, "valid", (cutoff,), users=sample)
