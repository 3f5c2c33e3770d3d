"""Validation: measure a model, keep the best epoch, refuse an update. Chapters 4 and 13."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitower.data import Dataset
from minitower.evaluation.evaluator import Evaluator, NothingToFind
from minitower.evaluation.report import read_metric
from minitower.formulas.arguments import number, shown
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


class UpdateRefused(Exception):
    """The updated model is below the required metric; nothing was changed."""


class ValidationGate:
    """Measures a model before and after an update, and requires a minimum.

    Args:
        data: measured on its validation part, if that has anything to find.
        metric: such as "recall@20".
        at_least: the required value; None: none is required.

    Raises ValueError: the metric is unknown, or a minimum is required with nothing to measure on.
    """

    def __init__(self, data: Dataset, metric: str, at_least: float | None = None) -> None:
        if at_least is not None:
            number("at_least", at_least)
        self.metric, self.at_least = metric, at_least
        self._validation = Validation(data, metric)
        if at_least is not None and not self._validation.can_measure:
            raise ValueError(
                f"nothing to measure {metric} on: the validation part is empty, or all repeats"
            )

    def measure(self, model: TwoTower) -> dict[str, float]:
        """The metric by its name; empty with nothing to measure on."""
        metrics = self._validation.metrics(model)
        return {name: value for name, value in metrics.items() if name == self.metric}

    def require(self, before: dict[str, float], after: dict[str, float]) -> None:
        """Refuse an updated model that is below the minimum.

        Args:
            before, after: what :meth:`measure` found before and after the update.

        Raises:
            UpdateRefused: the metric after the update is below the minimum.
        """
        if self.at_least is not None and not after[self.metric] >= self.at_least:
            raise UpdateRefused(
                f"refused: {self.metric} on validation would be {after[self.metric]:.4f}, below "
                f"the required {self.at_least:g}; it is {before[self.metric]:.4f} now"
            )


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
