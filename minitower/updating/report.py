"""What an update reports: events while it runs, what it read, and what it did to the model.

Chapter 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from minitower.data.table import Table
from minitower.evaluation.encode import BLOCK
from minitower.formulas.arrays import Array, Vectors
from minitower.store.histories import GrownHistories
from minitower.store.incremental import Rows
from minitower.towers.two_tower import TwoTower
from minitower.updating.streams import Cursor

Kind = Literal[
    "training_options", "logs", "positives", "ignored", "forgotten", "conflict", "trained", "result"
]
Side = Literal["user", "item"]


@dataclass(frozen=True)
class Event:
    """One fact about a running update, for a person.

    Attributes:
        kind: the subject, for a program that filters events.
        text: the fact in one sentence. The same numbers stand in the result of the update.
    """

    kind: Kind
    text: str

    def __str__(self) -> str:
        return self.text


OnEvent = Callable[[Event], object]


def ignore(event: Event) -> None:
    """The default callback: it does nothing."""


@dataclass(frozen=True)
class ReadReport:
    """What an update read from the click logs.

    Attributes:
        records: all records, good or not.
        malformed, late: records that are no click; clicks beyond the allowed lateness.
        already_learned: clicks dated no later than `learned_until`.
        buffered: clicks within the allowed lateness, read again by the next update.
        recognized: skipped files -> the name under which the version has learned the same log.
        broken: files -> the number of the record from which on they are dropped.
        learned_until: seconds since 1970; -inf where logs are known by content.
    """

    records: int = 0
    malformed: int = 0
    late: int = 0
    already_learned: int = 0
    buffered: int = 0
    recognized: Mapping[str, str] = field(default_factory=dict)
    broken: Mapping[str, int] = field(default_factory=dict)
    learned_until: float = -math.inf

    @staticmethod
    def between(start: Cursor, end: Cursor) -> ReadReport:
        """What was read between two cursors of a run."""
        counts = end.counts.since(start.counts)
        return ReadReport(
            counts.read,
            counts.malformed,
            counts.late,
            counts.learned,
            len(end.buffered),
            dict(end.recognized),
            dict(end.broken),
            end.after,
        )

    def texts(self, version: int, dead_letter_file: object) -> list[str]:
        """Sentences on what was not learned.

        Args:
            version: the full version that the update started from.
            dead_letter_file: the dead-letter file, if there is one.
        """
        texts = []
        if self.already_learned:
            texts.append(
                f"{self.already_learned:,} clicks skipped: version {version} has learned clicks "
                f"up to time {self.learned_until:.15g}"
            )
        for name, before in self.recognized.items():
            texts.append(f"{name} skipped: the same log as {before}, which was learned before")
        if self.malformed or (self.late and dead_letter_file is not None):
            texts.append(
                f"{self.malformed:,} of {self.records:,} records are malformed and "
                f"{self.late:,} late: see {dead_letter_file}"
            )
        elif self.late:
            texts.append(
                f"{self.late:,} late clicks ignored: the next full update learns them; a longer "
                "allowed lateness (--allowed-lateness) waits for late clicks"
            )
        if self.buffered:
            texts.append(f"{self.buffered:,} clicks buffered within the allowed lateness")
        for name, number in self.broken.items():
            texts.append(f"{name}: from record {number} on in {dead_letter_file}")
        return texts


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
        histories: those that have grown since the full model; None: no history has.
    """

    rows: Rows
    report: UpdateReport
    unknown_users: int
    unknown_items: int
    waiting: int
    histories: GrownHistories | None = None


def id_rows(model: TwoTower, side: Side, table: Table) -> Array:
    """(n,) the row of the id embedding that each entity of a table uses."""
    rows = table.columns[getattr(model.encoders.schema, f"{side}_id").name]
    assert isinstance(rows, np.ndarray)  # an id is one value, not a set
    return rows


def evenly_spaced(rows: Array) -> Array:
    """All of these rows, or 4,096 of them, evenly spaced."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), BLOCK)).astype(np.int64)]
