"""What an update did to a model, and whether it is good enough."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from minitower.data import Dataset
from minitower.data.table import Table
from minitower.evaluation.encode import BLOCK
from minitower.formulas.arguments import number
from minitower.formulas.arrays import Array, Vectors
from minitower.store.incremental import Rows
from minitower.towers.two_tower import TwoTower
from minitower.training.trainer import TrainingError, validator

Side = Literal["user", "item"]


@dataclass(frozen=True)
class Drift:
    """How far vectors have moved since the full model that an update began from.

    Attributes:
        vectors: how many were compared: of the entities with a row of their own, at most
            4,096, evenly spaced.
        mean, largest: Euclidean distance; at most 2 where vectors have length one.
    """

    vectors: int
    mean: float
    largest: float

    @staticmethod
    def between(before: Vectors, after: Vectors) -> Drift:
        """Of n vectors, row by row. Shapes: (n,d),(n,d)."""
        if not len(before):
            return Drift(0, 0.0, 0.0)
        moved = np.linalg.norm(after - before, axis=1)
        return Drift(len(before), float(moved.mean()), float(moved.max()))


@dataclass(frozen=True)
class UpdateReport:
    """What an update did.

    Attributes:
        pairs: clicks it was trained on.
        loss: their mean.
        rows_added, rows_moved: by the name of the table; a new row counts as added only.
        users, items: drift of the vectors.
        before, after: the metric on the validation part; empty where there is none.
    """

    pairs: int
    loss: float
    rows_added: dict[str, int]
    rows_moved: dict[str, int]
    users: Drift
    items: Drift
    before: dict[str, float]
    after: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and numbers, for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Increment:
    """What to publish on top of the full model.

    Attributes:
        rows: all that moved since the full model, as
            :func:`~minitower.store.incremental.publish_incremental` takes it.
        report: what has changed since then; drift is of those whose own row moved.
        unknown_users: clicks of users without a row of their own.
        unknown_items: clicks on items that are not in the table, left out.
        waiting: clicks that are too few for a step, and come with the next ones.
    """

    rows: Rows
    report: UpdateReport
    unknown_users: int
    unknown_items: int
    waiting: int


class UpdateRefused(TrainingError):
    """An update gave a model that is worse than was asked for; it has changed nothing."""


class Judge:
    """What a model is worth on the validation part of a data set, and what is asked for.

    Args:
        data: with a validation part or without; one of repeats alone is none.
        metric, at_least: as in :func:`full_update`.

    Raises:
        ValueError: there is no such metric, or a bound and nothing to validate on.
    """

    def __init__(self, data: Dataset, metric: str, at_least: float | None) -> None:
        if at_least is not None:
            number("at_least", at_least)
        self.metric, self.at_least = metric, at_least
        self._evaluator = validator(data, metric)
        if self._evaluator is None and at_least is not None:
            raise ValueError(
                f"nothing to measure {metric} on: the validation part is empty, or all repeats"
            )

    def __call__(self, model: TwoTower) -> dict[str, float]:
        """The metric by name; nothing where there is nothing to validate on."""
        if self._evaluator is None:
            return {}
        return {self.metric: self._evaluator(model)[self.metric]}

    def demand(self, before: dict[str, float], after: dict[str, float]) -> None:
        """Refuse a model that is below the bound.

        Raises:
            UpdateRefused: it is.
        """
        if self.at_least is not None and not after[self.metric] >= self.at_least:
            raise UpdateRefused(
                f"refused: {self.metric} on validation would be {after[self.metric]:.4f}, where "
                f"{self.at_least:g} was asked for; it is {before[self.metric]:.4f} now"
            )


def id_rows(model: TwoTower, side: Side, table: Table) -> Array:
    """(n,) the row of the id embedding that each entity of a table reads."""
    rows = table.columns[getattr(model.schema.schema, f"{side}_id").name]
    assert isinstance(rows, np.ndarray)  # an id, not a set
    return rows


def some(rows: Array) -> Array:
    """All of these rows, or 4,096 of them, evenly spaced."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), BLOCK)).astype(np.int64)]
