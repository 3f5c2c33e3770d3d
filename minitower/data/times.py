"""When each interaction happened, in seconds."""

from datetime import UTC, datetime
from typing import Any

import numpy as np

from minitower.data.columns import Columns, numbers
from minitower.data.ragged import Array


def times_column(log: Columns, name: str | None) -> str | None:
    """The column of times; None where none is named, or the default one is missing."""
    return None if name == "timestamp" and name not in log else name


def seconds(log: Columns, name: str) -> Array:
    """Seconds of every interaction, (n,) float64; dates without a time zone are UTC.

    Raises:
        DataError: a time is missing or is not a number or a date.
    """
    column = log[name]
    if column.dtype == object:
        column = np.fromiter(map(_seconds, column), object, len(column))
    if column.dtype.kind == "M":
        dates = column
        column = dates.astype("datetime64[us]").astype(np.float64) / 1e6
        column[np.isnat(dates)] = np.nan
    times = numbers(column, log.at(name))
    if np.isnan(times).any():
        raise log.at(name).error("missing timestamp", int(np.isnan(times).argmax()))
    return times


def _seconds(value: Any) -> Any:
    """Those of a datetime, pandas's included; anything else is what it is."""
    if not isinstance(value, datetime) or value != value:  # pandas.NaT is a datetime
        return value
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
