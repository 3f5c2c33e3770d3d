"""The validation gate of an update: refuse a model that is below a required metric. Chapter 13."""

from __future__ import annotations

from minitower.data import Dataset
from minitower.formulas.arguments import number
from minitower.towers.two_tower import TwoTower
from minitower.training.validation import Validation


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
