"""Read the columns that all interactions have: ids of users and items, and times.

A time is a number of seconds since 1970, or a date. Data sets and streams use the same reader.
"""

from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np

from minitower.data.columns import Columns, distinct, numbers, read_columns, scalars
from minitower.data.errors import Place, show
from minitower.data.schema import Id
from minitower.data.table import Vocabulary, string_array
from minitower.data.values import BOOLEANS, refuse
from minitower.formulas.arrays import Array

LATEST = 1e11
"""Seconds, the year 5138; milliseconds of any day since 1973 are more."""


def entities(field: Id, log: Columns, table: Any, name: str) -> tuple[Array, Array, Columns]:
    """Find every user, or every item, that a table lists or an interaction mentions.

    Args:
        field: the Id of the side.
        log: the interactions.
        table: the columns of the side, or None.
        name: of the table, for errors.

    Returns:
        The ids: those of the table in its order, then the others, ascending. The row of each
        interaction in them. The columns of the table.

    Raises:
        DataError: an id is missing, negative or listed twice; or ids are integers in one of
            the two tables and strings in the other.
    """
    place = Place(name)
    columns = read_columns({} if table is None else table, place)
    mentioned = read_ids(log, field.name)
    listed = read_ids(columns, field.name) if table is not None else mentioned[:0]
    refuse_duplicates(listed, columns.at(field.name))
    if not len(listed):  # an empty column has no type
        listed = mentioned[:0]
    if not len(mentioned):
        mentioned = listed[:0]
    if listed.dtype != mentioned.dtype:
        kinds = ["strings" if ids.dtype == object else "integers" for ids in (mentioned, listed)]
        raise columns.at(field.name).error(
            f"ids are {kinds[1]} here but {kinds[0]} in {log.place.table}; make them one type"
        )
    if mentioned.dtype == object:
        others = sorted(set(mentioned.tolist()) - set(listed.tolist()))
        ids = string_array([*listed, *others])
    else:
        fresh = distinct(mentioned)
        ids = np.concatenate([listed, fresh[Vocabulary(listed).encode(fresh) == 0]])
    return ids, Vocabulary(ids).encode(mentioned).astype(np.int64) - 1, columns


def read_ids(columns: Columns, name: str) -> Array:
    """Read a column of ids, and refuse missing, negative and boolean ones."""
    column, place = columns[name], columns.at(name)
    refuse(BOOLEANS, column, "an integer or a string", place)
    values, missing = scalars(column, place)
    place.refuse(missing, "missing id")
    if values.dtype != object:
        place.refuse(values < 0, lambda row: f"negative id {values[row]}")
    return values


def refuse_duplicates(ids: Array, place: Place) -> None:
    if len(set(ids.tolist())) == len(ids):
        return
    seen: dict[Any, int] = {}
    for row, value in enumerate(ids.tolist()):
        if value in seen:
            raise place.error(f"the id {show(value)} occurs twice", row)
        seen[value] = row


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
    place.refuse(np.isnan(times), "missing timestamp")
    message = lambda row: (
        f"expected seconds since 1970, got {show(given[row])}{_fix(float(times[row]))}"
    )
    place.refuse((times < 0) | (times >= LATEST), message)
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
