"""What one click is: who, what, when, and perhaps how much."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minitower.data.columns import LONGEST, Columns, numbers
from minitower.data.errors import Place, show
from minitower.data.ragged import Array

IdType = Literal["integer", "text"]

_ROWS = Place("rows")
_LATEST = 1e11  # seconds, the year 5138; milliseconds of any day since 1973 are more


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
        user_id, item_id: ids. "integer": whole numbers from 0 to 2^63 - 1, also written as
            text (CSV has nothing else) or as floats below 2^53. "text": texts of 1 to 256
            characters; a whole number is the text of its digits.
        timestamp: seconds since 1970, whole or not, also written as text, or Parquet's own
            timestamps. Milliseconds are refused: one would end every window.
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
            _seconds(columns[self.timestamp], columns.at(self.timestamp)),
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

    Raises:
        DataError: names the place of one that is missing or does not fit.
    """
    if values.dtype == np.int64 and kind == "integer":
        ids = values
    else:
        plain = values.tolist()
        wanted = (str,) if kind == "text" else (int, str)
        types = set(map(type, plain))
        if kind == "integer" and float in types:
            plain = list(map(_exact, plain))
            types = set(map(type, plain))
        if kind == "text" and int in types:
            plain = [str(value) if type(value) is int else value for value in plain]
            types = set(map(type, plain))
        if not types <= set(wanted):
            row = next(row for row, value in enumerate(plain) if type(value) not in wanted)
            what = "a text" if kind == "text" else "a whole number"
            raise place.error(f"expected {what}, got {show(plain[row])}", row)
        if str in types:
            _check_texts(plain, kind, place)
        if kind == "text":
            return np.fromiter(plain, object, len(plain))
        try:
            ids = np.fromiter(map(int, plain), np.int64, len(plain))
        except OverflowError:
            row = next(row for row, value in enumerate(plain) if not -(2**63) <= int(value) < 2**63)
            raise place.error(f"{show(plain[row])} has more than 64 bits", row) from None
    if (ids < 0).any():
        row = int((ids < 0).argmax())
        raise place.error(f"negative id {ids[row]}", row)
    return ids


def _exact(value: Any) -> Any:
    """A whole float, as files have them where some ids are missing, is the integer it stands for.

    From 2^53 on it stands for several.
    """
    exact = type(value) is float and value.is_integer() and abs(value) < 2**53
    return int(value) if exact else value


def _check_texts(plain: list[Any], kind: IdType, place: Place) -> None:
    """Every text is an id: of digits, or one that can be stored and encoded."""
    fits = _is_whole_number if kind == "integer" else _is_storable
    texts = [value for value in plain if type(value) is str]
    if all(texts) and max(map(len, texts)) <= LONGEST and fits("".join(texts)):
        return
    for row, value in enumerate(plain):
        if type(value) is str and not (0 < len(value) <= LONGEST and fits(value)):
            what = f"a text of 1 to {LONGEST} whole characters"
            what = "a whole number" if kind == "integer" else what
            raise place.error(f"expected {what}, got {show(value)}", row)


def _is_whole_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _is_storable(text: str) -> bool:
    """NumPy cuts a zero character off, and half a surrogate pair is no UTF-8."""
    return "\0" not in text and text == text.encode("utf-8", "ignore").decode()


def _seconds(values: Array, place: Place) -> Array:
    if values.dtype.kind == "M":
        seconds = values.astype("datetime64[us]").astype(np.float64) / 1e6
        seconds[np.isnat(values)] = np.nan
    else:
        seconds = _numbers(values, place)
    wrong = ~((seconds >= 0) & (seconds < _LATEST))  # NaN is wrong too
    if wrong.any():
        row = int(wrong.argmax())
        raise place.error(f"expected seconds since 1970, got {show(values[row])}", row)
    return seconds


def _numbers(values: Array, place: Place) -> Array:
    """As :func:`minitower.data.columns.numbers`, without truth values."""
    plain = values.tolist() if values.dtype == object else []
    row = next((row for row, value in enumerate(plain) if type(value) is bool), None)
    if row is not None:
        raise place.error(f"expected a number, got {show(plain[row])}", row)
    return numbers(values, place)
