"""How a version was made: what an update and an evaluation must know about it.

It stands in the version's notes, under these names:

reading    how interactions were read: the rule of positives, the column of times, the split
training   the options of a training step, by the names of the command line
learned    up to where the version has learned from clicks
report     what was measured on held-out interactions before the last training
cursor     where an update stands in a folder of click logs
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from minitower.data.errors import DataError
from minitower.data.interactions import Dataset

RESERVED = ("reading", "training", "learned", "report", "cursor")


@dataclass(frozen=True)
class Learned:
    """Up to where a version has learned from clicks.

    Attributes:
        until: the time of the last click that it was trained on; None: clicks had no times.
        files: SHA-256 of the content -> name, of files whose interactions were read.
        everything: whether validation and test were trained on, too.
    """

    until: float | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    everything: bool = False

    @staticmethod
    def of(data: Dataset, files: Mapping[str, str]) -> "Learned":
        """What a model learns that is trained on a data set, read from these files."""
        times = data.train.timestamps
        until = None if times is None or not len(times) else float(times.max())
        return Learned(until, dict(files), not len(data.valid) and not len(data.test))

    def to_json(self) -> dict[str, Any]:
        """JSON that :meth:`in_notes` reads."""
        return asdict(self)

    @staticmethod
    def in_notes(notes: Mapping[str, Any]) -> "Learned | None":
        """What the notes of a version say; None where they do not.

        Raises:
            DataError: they hold something else under the name.
        """
        if "learned" not in notes:
            return None
        try:
            return Learned(**notes["learned"])
        except TypeError as error:
            raise DataError(f"the note 'learned' is not one of minitower: {error}") from None


def provenance(
    data: Dataset, training: Mapping[str, Any], files: Mapping[str, str]
) -> dict[str, Any]:
    """The notes on how a version was made.

    Args:
        data: what it was trained on.
        training: the options of the training step.
        files: SHA-256 -> name of the files that the interactions were read from.
    """
    reading = {"positive": data.positive, "timestamp": data.timestamp}
    return {
        "reading": {name: value for name, value in reading.items() if value is not None},
        "training": dict(training),
        "learned": Learned.of(data, files).to_json(),
    }


def check_notes(notes: Mapping[str, Any]) -> None:
    """Refuse notes of a caller under a name that is taken.

    Raises:
        DataError: there is such a name.
    """
    taken = [name for name in RESERVED if name in notes]
    if taken:
        raise DataError(f"notes: the name '{taken[0]}' is taken; choose another one")


def learned_from(
    data: Dataset, part: str, notes: Mapping[str, Any], seen: Any, *, same: bool
) -> int:
    raise NotImplementedError


_ = np
