"""Read times: seconds since 1970, or dates. Data sets and streams use the same reader."""

from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np

from minitower.data.columns import Columns, numbers
from minitower.data.errors import Place, show
from minitower.data.values import BOOLEANS, refuse
from minitower.formulas.arrays import Array

LATEST = 1e11
"""Seconds, the year 5138; milliseconds of any day since 1973 are more."""


def times_column(log: Columns, name: str | None) -> str | None:
    """The name of the column of times; None without one, or where the default is missing."""
    return None if name == "timestamp" and name not in log else name


def seconds(column: Array, place: Place) -> Array:
    """Read a column of times: (n,) float64 seconds in [0, LATEST), none of them missing.

    Args:
        column: numbers, also written as strings, or dates of NumPy, Python or a frame; dates
            without a time zone are UTC.
        place: where the column is from.

    Raises:
        DataError: a time is missing, is neither number nor date, is before 1970 (-1 often
            means "missing"), or is too late to be seconds.
    """
    refuse(BOOLEANS, column, "a number", place)
    given = column
    if column.dtype == object:
        column = np.fromiter(map(_seconds, column), object, len(column))
    if column.dtype.kind == "M":
        column = column.astype("datetime64[us]").astype(np.float64) / 1e6
        column[np.isnat(given)] = np.nan
    times = numbers(column, place)
    missing = np.isnan(times)
    if missing.any():
        raise place.error("missing timestamp", int(missing.argmax()))
    bad = (times < 0) | (times >= LATEST)
    if bad.any():
        row = int(bad.argmax())
        message = f"expected seconds since 1970, got {show(given[row])}"
        raise place.error(message + _fix(float(times[row])), row)
    return times


def _fix(value: float) -> str:
    """The advice for milli-, micro- or nanoseconds."""
    for unit, divisor in (("milli", 10**3), ("micro", 10**6), ("nano", 10**9)):
        if LATEST <= value < LATEST * divisor:
            return f"; if these are {unit}seconds, divide by {divisor}"
    return ""


def _seconds(value: Any) -> Any:
    """The seconds of a date or datetime (pandas too); other values are returned unchanged."""
    if not isinstance(value, date) or value != value:  # pandas.NaT is a datetime
        return value
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
