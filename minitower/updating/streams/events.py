"""What one click is: who, what, when, and perhaps how much."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minitower.data.columns import Columns, numbers
from minitower.data.errors import Place, show
from minitower.data.ragged import Array
from minitower.data.times import seconds
from minitower.data.values import (
    BOOLEANS,
    FLOATS,
    LONGEST,
    check_texts,
    int64,
    integers,
    plain,
    refuse,
)

IdType = Literal["integer", "string"]

_ROWS = Place("rows")


@dataclass(frozen=True, eq=False)
class Events:
    """Clicks, one per row.

    Args:
        users, items: (n,) raw ids, int64, or objects that are all str.
        timestamps: (n,) float64 seconds since 1970.
        values: (n,) float64, NaN where missing, or None.
    """

    users: Array
    items: Array
    timestamps: Array
    values: Array | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: Any) -> "Events":
        """The given events (indices, a slice, or a mask)."""
        values = self.values
        return Events(
            self.users[rows],
            self.items[rows],
            self.timestamps[rows],
            None if values is None else values[rows],
        )

    def rows(self) -> list[list[Any]]:
        """Plain values, JSON that :meth:`EventFields.from_rows` reads; a missing value is None."""
        columns = [self.users, self.items, self.timestamps]
        if self.values is not None:
            values = self.values.astype(object)
            values[np.isnan(self.values)] = None
            columns.append(values)
        return [list(row) for row in zip(*(column.tolist() for column in columns))]

    @staticmethod
    def concatenate(first: "Events", second: "Events") -> "Events":
        """The events of both, one after the other; of the same fields."""
        values = [part.values for part in (first, second) if part.values is not None]
        return Events(
            np.concatenate([first.users, second.users]),
            np.concatenate([first.items, second.items]),
            np.concatenate([first.timestamps, second.timestamps]),
            np.concatenate(values) if values else None,
        )


@dataclass(frozen=True)
class EventFields:
    """What the columns of a click log are called, and of which type its ids are.

    Args:
        user_id, item_id: ids. "integer": integers from 0 to 2^63 - 1, also written as
            strings (CSV has nothing else) or as floats below 2^53. "string": strings of 1 to 256
            characters; an integer is the string of its digits.
        timestamp: seconds since 1970 with or without a fraction, also written as strings, or
            dates (:func:`minitower.data.times.seconds`). Milliseconds and times before 1970
            are refused: one millisecond time would end every window.
        value: a number that may be missing, such as a rating; None: there is none.
        user_type, item_type: the types of the two ids.
    """

    user_id: str = "user_id"
    item_id: str = "item_id"
    timestamp: str = "timestamp"
    value: str | None = None
    user_type: IdType = "integer"
    item_type: IdType = "integer"

    @property
    def names(self) -> list[str]:
        """The columns to read: user, item, timestamp, and the value if there is one."""
        names = [self.user_id, self.item_id, self.timestamp]
        return names if self.value is None else [*names, self.value]

    def events(self, columns: Columns) -> Events:
        """Check columns and give them their types.

        Raises:
            DataError: names the place of a value that is missing or does not fit.
        """
        values = None if self.value is None else columns[self.value]
        return Events(
            typed_ids(columns[self.user_id], self.user_type, columns.at(self.user_id)),
            typed_ids(columns[self.item_id], self.item_type, columns.at(self.item_id)),
            seconds(columns[self.timestamp], columns.at(self.timestamp)),
            None if values is None else _numbers(values, columns.at(self.value or "")),
        )

    def from_rows(self, rows: list[Any], place: Place = _ROWS) -> Events:
        """Events of rows of user, item, timestamp and, if there is one, value."""
        return self.events(object_columns(self.names, rows, place))


def object_columns(names: list[str], rows: list[Any], place: Place) -> Columns:
    """Columns of Python objects, one value per name in every row."""
    columns = zip(*rows) if rows else [()] * len(names)
    arrays = {name: np.fromiter(c, object, len(rows)) for name, c in zip(names, columns)}
    return Columns(arrays, place)


def typed_ids(values: Array, kind: IdType, place: Place) -> Array:
    """A column of ids: (n,) int64, or objects that are all str; see :class:`EventFields`.

    Values are read as the columns of a data set are (:mod:`minitower.data.values`); here the
    type is given, so that a string of digits can be an integer and an integer a string.

    Raises:
        DataError: names the place of one that is missing or does not fit.
    """
    wanted = "an integer" if kind == "integer" else "a string"
    refuse(BOOLEANS if kind == "integer" else (*BOOLEANS, *FLOATS), values, wanted, place)
    if values.dtype.kind in "iuf":
        ids, missing = integers(values, place)
        if missing.any():
            raise place.error("missing id", int(missing.argmax()))
        if kind == "string":
            return np.fromiter(map(str, ids.tolist()), object, len(ids))
    else:
        items = plain(values, place)
        for row, item in enumerate(items):
            if type(item) is not int and not _fits(item, kind):
                raise place.error(f"expected {wanted}, got {show(item)}", row)
        if kind == "string":
            texts = [_digits(item) if type(item) is int else str(item) for item in items]
            check_texts(texts, place)
            return np.fromiter(texts, object, len(texts))
        check_texts([item if type(item) is str else "" for item in items], place)
        ids = int64(list(map(int, items)), place)
    if (ids < 0).any():
        row = int((ids < 0).argmax())
        raise place.error(f"negative id {ids[row]}", row)
    return ids


def _digits(number: int) -> str:
    """The digits of an integer. Python refuses to write more than 4,300, which no id has."""
    return str(number) if number.bit_length() < 8 * LONGEST else "9" * (2 * LONGEST)


def _fits(item: str | None, kind: IdType) -> bool:
    """A string of an integer is of digits, one of text is not empty."""
    if not item:
        return False
    return kind == "string" or (item.isascii() and item.isdigit())


def _numbers(values: Array, place: Place) -> Array:
    """As :func:`minitower.data.columns.numbers`, without booleans."""
    refuse(BOOLEANS, values, "a number", place)
    return numbers(values, place)
