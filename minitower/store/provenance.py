"""How a version was made: what an update and an evaluation must know about it.

It stands in the version's notes, under these names:

reading    how interactions were read: the rule of positives, the column of times, the split
item_name  the column of the items' names; null: they have none
training   the options of a training step, by the names of the command line
learned    up to where the version has learned from clicks
report     what was measured on held-out interactions before the last training
cursor     where an update stands in a folder of click logs
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from minitower.data.errors import DataError
from minitower.data.interactions import Dataset
from minitower.data.ragged import Ragged
from minitower.data.table import Table
from minitower.formulas.arrays import Array


@dataclass(frozen=True)
class Learned:
    """Up to where a version has learned from clicks.

    Attributes:
        until: the time of the last click that training has seen; None: clicks had no times.
        everything: whether training has seen validation and test, too.
        files: SHA-256 of the content -> name, of the files that the data was read from.
        logs: the same of the click logs that the data was made of. An update skips these
            logs; where there are none, it skips the clicks up to `until`.
        updated: the times of the first and the last click of all full updates since; None:
            there was none.
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
        """What a model has learned from that was trained on a data set."""
        times = data.train.timestamps
        until = None if times is None or not len(times) else float(times.max())
        return Learned(until, not len(data.valid) and not len(data.test), dict(files), dict(logs))

    @property
    def says_where(self) -> bool:
        """Whether an update can tell which clicks are new."""
        return self.until is not None or bool(self.logs)

    def after_night(self, times: Array) -> "Learned":
        """After a full update on clicks of these times."""
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
        """What the notes of a version say; None where they say nothing.

        Raises:
            DataError: something else stands under the name.
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

        A pair counts as learned where the version lists it as seen, at a time that training
        or a full update has reached; without times, where it is listed at all. What an
        incremental update has learned is listed nowhere: its time decides.

        Args:
            data, part: the positives.
            users, items, seen: of the version, a row of `seen` for each user.
            same: whether this is the very data, split as it was for training.
        """
        pairs = data.split(part)
        user_rows = users.rows_of(data.users.ids)[pairs.users]
        item_rows = items.rows_of(data.items.ids)[pairs.items]
        known = np.zeros(len(pairs), bool)
        there = np.flatnonzero((user_rows >= 0) & (item_rows >= 0))
        listed = np.repeat(np.arange(len(seen)), seen.counts) * len(items) + seen.values
        known[there] = np.isin(user_rows[there] * len(items) + item_rows[there], listed)
        held_out = same and not self.everything and part != "train"
        times = pairs.timestamps
        if times is None or self.until is None:
            return known & (not held_out or self.updated is not None)
        trained = (times <= self.until) & (not held_out)
        learned: Array = known & (trained | _within(times, self.updated))
        learned[there] |= _within(times, self.by_day)[there]
        return learned


def _within(times: Array, interval: tuple[float, float] | None) -> Array:
    if interval is None:
        return np.zeros(len(times), bool)
    return (times >= interval[0]) & (times <= interval[1])


def provenance(
    data: Dataset,
    training: Mapping[str, Any],
    files: Mapping[str, str],
    logs: Mapping[str, str],
) -> dict[str, Any]:
    """The notes on how a version was made.

    Args:
        data: what it was trained on.
        training: the options of the training step.
        files, logs: as in :class:`Learned`.
    """
    reading = {"positive": data.positive, "timestamp": data.timestamp}
    return {
        "reading": {name: value for name, value in reading.items() if value is not None},
        "item_name": data.item_name,
        "training": dict(training),
        "learned": Learned.of(data, files, logs).to_json(),
    }
