"""What an update reports while it runs, and what it found in the click logs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["training_options", "logs", "positives", "ignored", "conflict", "trained", "result"]


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
        unfinished: files -> bytes behind their last complete record.
        learned_until: seconds since 1970; -inf where logs are told apart by content.
    """

    records: int = 0
    malformed: int = 0
    late: int = 0
    already_learned: int = 0
    buffered: int = 0
    recognized: Mapping[str, str] = field(default_factory=dict)
    unfinished: Mapping[str, int] = field(default_factory=dict)
    learned_until: float = -math.inf

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
            texts.append(f"{self.late:,} late clicks ignored: the next full update learns them")
        if self.buffered:
            texts.append(f"{self.buffered:,} clicks buffered within the allowed lateness")
        for name, size in self.unfinished.items():
            texts.append(f"{name}: the last {size} bytes are no complete record yet")
        return texts
