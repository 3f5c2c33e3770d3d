"""Read the columns that all interactions have: ids of users and items, and the times' name.

Chapter 3.
"""

from typing import Any

import numpy as np

from minitower.data.columns import Columns, distinct, numbers, read_columns, scalars
from minitower.data.errors import Place, show
from minitower.data.schema import Id
from minitower.data.table import Vocabulary, string_array
from minitower.data.values import BOOLEANS, refuse
from minitower.formulas.arrays import Array


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


def refuse_strangers(field: Id, log: Columns, table: Columns, rows: Array) -> None:
    """Refuse a table that has none of the ids of a log: all features would be missing.

    Args:
        field: the Id of the side.
        log, table: the interactions, and the side's columns.
        rows: (n,) the row of each interaction, as :func:`entities` returns it.
    """
    if 0 < len(table) <= rows.min():
        there, here = show(log[field.name][0]), show(table[field.name][0])
        raise table.at(field.name).error(
            f"no id of {log.place.table} is here: {there} there, {here} here; write the ids alike "
            "in both"
        )


def read_ids(columns: Columns, name: str) -> Array:
    """Read a column of ids, and refuse missing, negative and boolean ones."""
    column, place = columns[name], columns.at(name)
    refuse(BOOLEANS, column, "an integer or a string", place)
    values, missing = scalars(column, place)
    place.refuse(missing, "missing id")
    if values.dtype != object:
        place.refuse(values < 0, lambda row: f"negative id {values[row]}")
    return values


def read_weights(columns: Columns, name: str) -> Array:
    """Read a column of weights: (n,) float64 >= 0, without missing ones."""
    place = columns.at(name)
    refuse(BOOLEANS, columns[name], "a number", place)
    weights = numbers(columns[name], place)
    wanted = "expected a weight of at least 0, which is 1 where a click has none of its own"
    place.refuse(~(weights >= 0), lambda row: f"{wanted}, got {show(columns[name][row])}")
    return weights


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
