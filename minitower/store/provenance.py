"""How a version was made, for the next update and for evaluation. Chapter 15.

The version's notes hold this record under these names:

reading    how interactions were read: the rule of positives, the column of times, the split
item_name  the column of the items' names, or null
training   the options of a training step, by the names of the command line; the learning rate
           is the one at which training ended
schedule   the schedule of the learning rate before, if it was not constant
learned    the clicks that the version has learned from
report     the evaluation on held-out interactions before the last training
cursor     the position of an update in a folder of click logs
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from minitower.data.errors import DataError
from minitower.data.interactions import Dataset
from minitower.data.log import Interactions
from minitower.data.option_values import written
from minitower.data.table import Ragged, Table
from minitower.evaluation.report import Report
from minitower.formulas.arrays import Array
from minitower.training.recipe import Recipe
from minitower.training.trainer import Trainer


@dataclass(frozen=True)
class Learned:
    """The clicks that a version has learned from.

    Attributes:
        until: the time of the last click in training; None: clicks had no times.
        everything: whether training included the validation and test parts.
        files: SHA-256 of the content -> name, of the files that the data was read from.
        logs: the same of the click logs that the data was made of. An update skips these
            logs. Without them it skips the clicks up to `until`.
        updated: the times of the first and the last click of all full updates since; None:
            before the first one.
        by_day: the same of the incremental update on top of them.
    """

    until: float | None = None
    everything: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)
    updated: tuple[float, float] | None = None
    by_day: tuple[float, float] | None = None

    @staticmethod
    def of(data: Dataset, files: Mapping[str, str], logs: Mapping[str, str]) -> "Learned":
        """The record of a model that was trained on a data set."""
        times = data.train.timestamps
        until = None if times is None or not len(times) else float(times.max())
        return Learned(until, not len(data.valid) and not len(data.test), dict(files), dict(logs))

    @property
    def says_where(self) -> bool:
        """Whether an update can separate new clicks from learned ones."""
        return self.until is not None or bool(self.logs)

    def after_full_update(self, times: Array) -> "Learned":
        """The record after a full update on clicks of these times."""
        if not len(times):
            return self
        first, last = float(times.min()), float(times.max())
        if self.updated is not None:
            first, last = min(first, self.updated[0]), max(last, self.updated[1])
        return replace(self, updated=(first, last))

    def to_json(self) -> dict[str, Any]:
        """JSON that :meth:`in_notes` reads."""
        return asdict(self)

    @staticmethod
    def in_notes(notes: Mapping[str, Any]) -> "Learned | None":
        """The record in the notes of a version; None if the notes do not hold it.

        Raises:
            DataError: the note is not a record that minitower wrote.
        """
        if "learned" not in notes:
            return None
        try:
            stated = dict(notes["learned"])
            for name in ("updated", "by_day"):
                if stated.get(name) is not None:
                    first, last = stated[name]
                    stated[name] = float(first), float(last)
            return Learned(**stated)
        except (TypeError, ValueError) as error:
            raise DataError(f"the note 'learned' was not written by minitower: {error}") from None

    def has_seen(
        self, data: Dataset, part: str, users: Table, items: Table, seen: Ragged, *, same: bool
    ) -> Array:
        """Which positives of a part a version may have been trained on; (n,) bool.

        A pair counts as learned if the version lists it as seen and its time is one that
        training or a full update has reached. Without times, the list alone decides. No
        list holds the clicks of an incremental update: their time alone decides.

        Args:
            data, part: the positives.
            users, items, seen: of the version, a row of `seen` for each user.
            same: whether this is the very data, split as it was for training.
        """
        pairs = data.split(part)
        known, there = _listed(data, pairs, users, items, seen)
        held_out = same and not self.everything and part != "train"
        times = pairs.timestamps
        if times is None or self.until is None:
            return known & (not held_out or self.updated is not None)
        trained = (times <= self.until) & (not held_out)
        learned: Array = known & (trained | _within(times, self.updated))
        learned[there] |= _within(times, self.by_day)[there]
        return learned


def is_listed(data: Dataset, part: str, users: Table, items: Table, seen: Ragged) -> Array:
    """Which positives of a part a version lists as seen; (n,) bool. Arguments as `has_seen`."""
    return _listed(data, data.split(part), users, items, seen)[0]


def _listed(
    data: Dataset, pairs: Interactions, users: Table, items: Table, seen: Ragged
) -> tuple[Array, Array]:
    """Which pairs the lists of seen items hold, (n,) bool; and the rows of those it could hold."""
    user_rows = users.rows_of(data.users.ids)[pairs.users]
    item_rows = items.rows_of(data.items.ids)[pairs.items]
    known = np.zeros(len(pairs), bool)
    there = np.flatnonzero((user_rows >= 0) & (item_rows >= 0))
    listed = np.repeat(np.arange(len(seen)), seen.counts) * len(items) + seen.values
    known[there] = np.isin(user_rows[there] * len(items) + item_rows[there], listed)
    return known, there


def _within(times: Array, interval: tuple[float, float] | None) -> Array:
    if interval is None:
        return np.zeros(len(times), bool)
    return (times >= interval[0]) & (times <= interval[1])


def provenance(
    trainer: Trainer,
    *,
    report: Report | None = None,
    files: Mapping[str, str] | None = None,
    logs: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The notes on how a version was made.

    Args:
        trainer: after the training of the version.
        report: of the evaluation on held-out interactions before that training.
        files, logs: as in :class:`Learned`.
    """
    data = trainer.data
    reading = {"positive": data.positive, "timestamp": data.timestamp, "weight": data.weight}
    notes = {
        "reading": {name: value for name, value in reading.items() if value is not None},
        "item_name": data.item_name,
        "training": Recipe.from_trainer(trainer).to_json(),
        "learned": Learned.of(data, files or {}, logs or {}).to_json(),
        "best_epoch": trainer.kept_epochs,
    }
    schedule, rate = trainer.schedule, trainer.optimizer.rate
    if schedule is not None and not schedule.is_constant and not callable(rate):
        notes["schedule"] = {"learning_rate": rate} | written(schedule)
    return notes if report is None else notes | {"report": report.to_dict()}
