"""How a version was made: what an update and an evaluation must know about it.

It stands in the version's notes, under these names:

reading    how interactions were read: the rule of positives, the column of times, the split
item_name  the column of the items' names; null: they have none
training   the options of a training step, by the names of the command line
learned    up to where the version has learned from clicks
report     what was measured on held-out interactions before the last training
cursor     where an update stands in a folder of click logs
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from minitower.data.errors import DataError
from minitower.data.interactions import Dataset
from minitower.data.ragged import Array, Ragged
from minitower.data.table import Table


@dataclass(frozen=True)
class Learned:
    """Up to where a version has learned from clicks.

    Attributes:
        until: the time of the last click that training has seen; None: clicks had no times.
        everything: whether training has seen validation and test, too.
        files: SHA-256 of the content -> name, of the files that the data was read from.
        logs: the same of the click logs that the data was made of. An update skips these
            logs; where there are none, it skips the clicks up to `until`.
        updated: the time of the last click of all full updates since; None: there was none.
        by_day: the same of the incremental update on top of them.
    """

    until: float | None = None
    everything: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    logs: Mapping[str, str] = field(default_factory=dict)
    updated: float | None = None
    by_day: float | None = None

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

    def and_until(self, time: float, *, by_day: bool = False) -> "Learned":
        """After an update whose last click came at this time; -inf: it had none."""
        if by_day:
            return replace(self, by_day=time if time > -math.inf else None)
        times = [t for t in (self.updated, time) if t is not None and t > -math.inf]
        return replace(self, updated=max(times, default=None))

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
            return Learned(**notes["learned"])
        except TypeError as error:
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
        times, until, day = pairs.timestamps, self.until, self.by_day
        if times is None or until is None:
            return known & (not held_out or self.updated is not None)
        reached = until if self.updated is None else max(until, self.updated)
        known &= (times <= reached) & (times > (until if held_out else -math.inf))
        known[there] |= (times > reached)[there] & (times <= (day or -math.inf))[there]
        return known


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
