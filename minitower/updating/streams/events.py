"""Clicks in memory: who, what, when, a value, a weight; and what readers make them of. Chapter 14.

The records of a file are numbered from 1, the bad ones included. The header of a CSV file is
no record; an empty line is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from minitower.data.columns import Columns, numbers
from minitower.data.csv_files import plain_values
from minitower.data.errors import Place, show
from minitower.data.log import read_weights
from minitower.data.parquet import RECORD
from minitower.data.rules import Comparison, Rule
from minitower.data.times import seconds
from minitower.data.values import BOOLEANS, IdType, is_missing, refuse, typed_ids
from minitower.formulas.arrays import Array

BLOCK_SIZE = 1 << 18
"""Bytes of a block, about."""

MAX_RECORD_SIZE = 1 << 22
"""Bytes of one record."""


@dataclass(frozen=True, eq=False)
class Events:
    """Clicks, one per row.

    Args:
        users, items: (n,) raw ids, int64, or objects that are all str.
        timestamps: (n,) float64 seconds since 1970.
        values: (n,) float64, NaN where missing, or None.
        weights: (n,) float64 weight of each click in the loss, >= 0; None: all 1.
    """

    users: Array
    items: Array
    timestamps: Array
    values: Array | None = None
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.users)

    @property
    def columns(self) -> list[Array]:
        """The columns that are there, in the order of :attr:`EventFields.names`."""
        return list(self._by_name.values())

    @property
    def _by_name(self) -> dict[str, Array]:
        return {name: column for name, column in vars(self).items() if column is not None}

    def take(self, rows: Any) -> "Events":
        """The given events (indices, a slice, or a mask)."""
        return Events(**{name: column[rows] for name, column in self._by_name.items()})

    def rows(self) -> list[list[Any]]:
        """JSON that :meth:`EventFields.from_rows` reads; None stands for a missing value."""
        columns = [column.tolist() for column in self.columns]
        return [[None if x != x else x for x in row] for row in zip(*columns)]

    @staticmethod
    def concatenate(*parts: "Events") -> "Events":
        """The events of all parts, one after the other; all have the same fields."""
        names = parts[0]._by_name
        return Events(**{n: np.concatenate([part._by_name[n] for part in parts]) for n in names})


@dataclass(frozen=True)
class EventFields:
    """The columns of a click log, and the types of its ids.

    Args:
        user_id, item_id: columns of ids. "integer": integers from 0 to 2^63 - 1, also written
            as strings (CSV has only strings) or as floats below 2^53. "string": strings of 1
            to 256 characters; an integer is the string of its digits.
        timestamp: column of seconds since 1970, also written as strings, or of dates
            (:func:`minitower.data.times.seconds`). Milliseconds and times before 1970 are
            refused: one time in milliseconds would make all later events late.
        value: column of numbers that may be missing, such as a rating; None: no such column.
        user_type, item_type: the types of the two ids.
        rule: decides the value of each click: 1 where the rule passes, 0 where it fails, NaN
            where all its columns are missing; None: `value` names the column.
        unit: of times that are numbers, one of :data:`minitower.data.times.UNITS`.
        weight: column of weights in the loss, numbers >= 0 of which none is missing; None: no
            such column.

    Raises:
        ValueError: a type is neither "integer" nor "string", or both value and rule are given.
    """

    user_id: str = "user_id"
    item_id: str = "item_id"
    timestamp: str = "timestamp"
    value: str | None = None
    user_type: IdType = "integer"
    item_type: IdType = "integer"
    rule: Rule | None = None
    unit: str = "seconds"
    weight: str | None = None

    def __post_init__(self) -> None:
        if self.value is not None and self.rule is not None:
            raise ValueError("give value or rule, not both")
        for name in ("user_type", "item_type"):
            if getattr(self, name) not in ("integer", "string"):
                kind = show(getattr(self, name))
                raise ValueError(f"{name} must be 'integer' or 'string', got {kind}")

    @property
    def names(self) -> list[str]:
        """The columns to read, each once: user, item, time, value or those of the rule, weight."""
        of_rule = () if self.rule is None else (one.column for one in self.rule.comparisons)
        names = [self.user_id, self.item_id, self.timestamp, self.value, *of_rule, self.weight]
        return list(dict.fromkeys(name for name in names if name is not None))

    def events(self, columns: Columns) -> Events:
        """Check columns and give them their types.

        Raises:
            DataError: names the place of a value that is missing or has another type.
        """
        values = None
        if self.value is not None:
            refuse(BOOLEANS, columns[self.value], "a number", columns.at(self.value))
            values = numbers(columns[self.value], columns.at(self.value))
        elif self.rule is not None:
            values = _decided(self.rule, columns)
        return Events(
            typed_ids(columns[self.user_id], self.user_type, columns.at(self.user_id)),
            typed_ids(columns[self.item_id], self.item_type, columns.at(self.item_id)),
            seconds(columns[self.timestamp], columns.at(self.timestamp), self.unit),
            values,
            None if self.weight is None else read_weights(columns, self.weight),
        )

    def from_rows(self, rows: list[Any]) -> Events:
        """Events of rows of user, item, timestamp and, if the log has them, value and weight."""
        # The unit, and the value of a rule, were applied when the row was read.
        has_value = self.value is not None or self.rule is not None
        fields = replace(
            self,
            unit="seconds",
            rule=None,
            value="\0value" if has_value else None,
            weight=None if self.weight is None else "\0weight",
        )
        return fields.events(object_rows(fields.names, rows, Place("rows")))


def _decided(rule: Rule, columns: Columns) -> Array:
    """(n,) 1 where the rule passes, 0 where it fails, NaN where all its columns are missing.

    Each click is decided alone, whatever stands beside it. The type of a column is that of each
    value: in CSV files all values are strings, and a log is read in blocks. So a string that is
    a number is compared as a number.

    Raises:
        DataError: a value cannot be compared, such as a word that a rule takes for a number.
    """
    missing = np.ones(len(columns), bool)
    for name in {one.column for one in rule.comparisons}:
        missing &= np.fromiter(map(is_missing, columns[name].tolist()), bool, len(missing))
    return np.where(missing, np.nan, rule.decide(partial(_passes, columns)))


def _passes(columns: Columns, one: Comparison) -> Array:
    """(n,) bool: the rows that pass a comparison."""
    name, place = one.column, columns.place
    column = plain_values(columns[name])
    if column.dtype != object:
        return one.apply(Columns({name: column}, place))
    found: dict[object, bool] = {}
    for row, value in enumerate(column.tolist()):
        try:
            known = value in found
        except TypeError:  # a list, or an object of JSON
            raise place.at(name).error("expected a number or a string", row) from None
        if not known:
            alone = plain_values(np.array([value], object))
            (found[value],) = one.apply(Columns({name: alone}, place.inside([row]))).tolist()
    return np.fromiter(map(found.__getitem__, column.tolist()), bool, len(column))


def object_columns(names: list[str], columns: Sequence[Sequence[Any]], place: Place) -> Columns:
    """Columns of Python objects, equally long."""
    arrays = {name: np.fromiter(c, object, len(c)) for name, c in zip(names, columns)}
    return Columns(arrays, place)


def object_rows(names: list[str], rows: list[Any], place: Place) -> Columns:
    """Columns of Python objects, one value per name in every row."""
    return object_columns(names, list(zip(*rows)) if rows else [()] * len(names), place)


class EventBuffer:
    """Buffered events, the oldest of which can be taken out.

    Events are kept in sorted runs, each at least twice as long as the next one. So n events
    cost O(n log n), however few arrive at a time. Events of the same time stay in the
    order of their arrival.

    Args:
        events: the first events, in time order.
    """

    def __init__(self, events: Events) -> None:
        self._runs = [events]

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, events: Events) -> None:
        """Add events that arrived after all others, in any order of time."""
        if not len(events):
            return
        self._runs.append(_in_time_order(events))
        while len(self._runs) > 1 and len(self._runs[-2]) < 2 * len(self._runs[-1]):
            self._merge_last()

    def count_until(self, time: float) -> int:
        """The number of events at that time or earlier."""
        return sum(int(np.searchsorted(run.timestamps, time, side="right")) for run in self._runs)

    def take(self, n: int) -> tuple[Events, Events]:
        """Take out the n oldest events; returns them and the remaining events."""
        while len(self._runs) > 1:
            self._merge_last()
        (events,) = self._runs
        rest = events.take(slice(n, None))
        self._runs = [rest]
        return events.take(slice(None, n)), rest

    def _merge_last(self) -> None:
        last = self._runs.pop()
        self._runs[-1] = _in_time_order(Events.concatenate(self._runs[-1], last))


def _in_time_order(events: Events) -> Events:
    return events.take(np.argsort(events.timestamps, kind="stable"))


@dataclass(frozen=True)
class BadRecord:
    """A record that is no event.

    Args:
        number: of the record in its file.
        reason: what is wrong.
        content: the record as text, where it can be read as text.
        rest: the file is dropped from this record on.
    """

    number: int
    reason: str
    content: str
    rest: bool = False


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive records of one file.

    Args:
        columns: the good records, by the names of the requested columns.
        numbers: (n,) int64, the number of each good record.
        stop: the number of the last record, good or bad.
        bad: the bad records.
    """

    columns: Columns
    numbers: Array
    stop: int
    bad: list[BadRecord] = field(default_factory=list)

    @staticmethod
    def empty(names: list[str]) -> "Block":
        """A block without records."""
        return Block(object_rows(names, [], RECORD), np.empty(0, np.int64), 0)
