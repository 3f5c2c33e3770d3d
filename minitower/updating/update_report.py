"""What an update did to a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from minitower.data.table import Table
from minitower.evaluation.encode import BLOCK
from minitower.formulas.arrays import Array, Vectors
from minitower.store.incremental import Rows
from minitower.towers.two_tower import TwoTower

Side = Literal["user", "item"]


@dataclass(frozen=True)
class Drift:
    """How far vectors moved since the full model that an update started from.

    Attributes:
        vectors: number of compared vectors: those of entities with an embedding of their own,
            at most 4,096, evenly spaced.
        mean, largest: Euclidean distance; at most 2 for vectors of length one.
    """

    vectors: int
    mean: float
    largest: float

    @staticmethod
    def between(before: Vectors, after: Vectors) -> Drift:
        """Compare n vectors, row by row. Shapes: (n,d),(n,d)->Drift."""
        if not len(before):
            return Drift(0, 0.0, 0.0)
        moved = np.linalg.norm(after - before, axis=1)
        return Drift(len(before), float(moved.mean()), float(moved.max()))


@dataclass(frozen=True)
class UpdateReport:
    """What an update did.

    Attributes:
        pairs: clicks that were learned.
        loss: mean over these clicks.
        rows_added, rows_moved: by the name of the table; a new row counts as added only.
        users, items: drift of the vectors.
        before, after: the metric on the validation part; empty without such a part.
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
        rows: all rows that moved since the full model, as
            :func:`~minitower.store.incremental.publish_incremental` takes them.
        report: what changed since the full model; drift is that of the moved rows.
        unknown_users: clicks of users without an embedding of their own.
        unknown_items: clicks on items outside the table, which were dropped.
        waiting: buffered clicks, too few for a step; they are learned with the next ones.
    """

    rows: Rows
    report: UpdateReport
    unknown_users: int
    unknown_items: int
    waiting: int


def id_rows(model: TwoTower, side: Side, table: Table) -> Array:
    """(n,) the row of the id embedding that each entity of a table uses."""
    rows = table.columns[getattr(model.schema.schema, f"{side}_id").name]
    assert isinstance(rows, np.ndarray)  # an id is one value, not a set
    return rows


def evenly_spaced(rows: Array) -> Array:
    """All of these rows, or 4,096 of them, evenly spaced."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), BLOCK)).astype(np.int64)]
