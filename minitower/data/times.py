"""Read times: seconds since 1970, dates, and ISO 8601 strings such as 2022-05-01T12:30:00Z.

A date without a time zone is UTC. Data sets, splits and streams use the same reader.

Chapter 14.
"""

import re
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np

from minitower.data.columns import numbers
from minitower.data.errors import DataError, Place, show
from minitower.data.values import BOOLEANS, refuse
from minitower.formulas.arrays import Array

LATEST = 1e11
"""Seconds, the year 5138; milliseconds of any day since 1973 are more."""

UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
"""Units of a time that is a number -> how many of them are a second."""

_COMPACT_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(\.0)?")


def seconds(column: Array, place: Place, unit: str = "seconds") -> Array:
    """Read a column of times: (n,) float64 seconds in [0, LATEST), without missing ones.

    Args:
        column: numbers, also written as strings, ISO strings, or dates of NumPy, Python or a
            frame.
        place: where the column is from.
        unit: of the numbers, one of UNITS.

    Raises:
        DataError: a time is missing, is neither number nor date, or before 1970 (-1 often
            means "missing"); or it does not fit the unit.
    """
    return _in_unit(column, _numbers(column, place), unit, place)


def recognized_seconds(column: Array, place: Place) -> tuple[str, Array]:
    """The unit of a column of times, by its largest number, and the seconds.

    The unit of dates is "seconds".

    Raises:
        DataError: as :func:`seconds`, or all numbers read like dates without dashes (20220501).
    """
    values = _numbers(column, place)
    unit = "seconds"
    if column.dtype.kind != "M":
        present = values[~np.isnan(values)]
        if len(present) and all(_COMPACT_DATE.fullmatch(str(v)) for v in set(present.tolist())):
            raise place.error(
                f"{show(column[0])} could be seconds or a date; write dates like 2022-05-01, or "
                "state --columns unit=seconds"
            )
        largest = float(present.max(initial=0))
        unit = next((u for u, size in UNITS.items() if largest < LATEST * size), "nanoseconds")
    return unit, _in_unit(column, values, unit, place)


def _numbers(column: Array, place: Place) -> Array:
    """(n,) float64: numbers as they are, dates as seconds, NaN where a time is missing."""
    if _holds_digits(column):
        return numbers(column, place)
    refuse(BOOLEANS, column, "a number", place)
    if column.dtype.kind == "M":
        numbers_of = column.astype("datetime64[us]").astype(np.float64) / 1e6
        numbers_of[np.isnat(column)] = np.nan
        return numbers_of
    if column.dtype.kind in "OU":
        column = np.fromiter(map(_seconds, column.tolist()), object, len(column))
        try:
            return numbers(column, place)
        except DataError as error:
            raise DataError(f"{error}; write dates like 2022-05-01T12:30:00Z") from None
    return numbers(column, place)


def _in_unit(given: Array, times: Array, unit: str, place: Place) -> Array:
    """Times in a unit as seconds; refuses those that are missing or out of range."""
    if unit != "seconds":
        too_small = lambda row: f"{show(given[row])} is too small for {unit}, the unit of times"
        place.refuse(times < LATEST * UNITS[unit] / 1000, too_small)
        times = times / UNITS[unit]
    place.refuse(np.isnan(times), "missing timestamp")
    message = lambda row: (
        f"expected {unit} since 1970, got {show(given[row])}{_fix(float(times[row]))}"
    )
    place.refuse((times < 0) | (times >= LATEST), message)
    return times


def _holds_digits(column: Array) -> bool:
    """Whether the column is strings of digits and points: no date among them."""
    if column.dtype != object or set(map(type, column.tolist())) != {str}:
        return False
    characters = "".join(column.tolist()).replace(".", "")
    return characters.isascii() and characters.isdigit()


def parse_moment(text: str) -> float:
    """Read a moment that a person typed: an ISO date, UTC without a time zone, or seconds.

    Raises:
        ValueError: it is neither, or outside [0, LATEST).

    >>> parse_moment("2022-05-01"), parse_moment("2022-05-01T02:00+02:00")
    (1651363200.0, 1651363200.0)
    """
    try:
        value = float(_seconds(text))
        if 0 <= value < LATEST and "_" not in text:
            return value
    except ValueError:
        pass
    raise ValueError("expected a date such as 2022-05-01, or seconds since 1970")


def _fix(value: float) -> str:
    """The advice for milli-, micro- or nanoseconds."""
    for unit, divisor in UNITS.items():
        if LATEST <= value < LATEST * divisor:
            return f"; if these are {unit}, divide by {divisor}"
    return ""


def _seconds(value: Any) -> Any:
    """The seconds of a date or datetime (pandas too) or ISO string; other values unchanged."""
    if isinstance(value, str):
        if value[4:5] != "-" or not value[:4].isdecimal():
            return value
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return value
    if not isinstance(value, date) or value != value:  # pandas.NaT is a datetime
        return value
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
