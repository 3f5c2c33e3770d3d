"""The users or items of a data set: listed in a table, or mentioned in the interactions."""

from typing import Any

import numpy as np

from minitower.data.columns import Columns, distinct, read_columns, scalars
from minitower.data.errors import Place, show
from minitower.data.schema import Id
from minitower.data.table import Vocabulary, text_array
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
        ids = text_array([*listed, *others])
    else:
        fresh = distinct(mentioned)
        ids = np.concatenate([listed, fresh[Vocabulary(listed).encode(fresh) == 0]])
    return ids, Vocabulary(ids).encode(mentioned).astype(np.int64) - 1, columns


def read_ids(columns: Columns, name: str) -> Array:
    """Read a column of ids, and refuse missing, negative and boolean ones."""
    refuse(BOOLEANS, columns[name], "an integer or a string", columns.at(name))
    values, missing = scalars(columns[name], columns.at(name))
    if missing.any():
        raise columns.at(name).error("missing id", int(missing.argmax()))
    if values.dtype != object and (values < 0).any():
        row = int((values < 0).argmax())
        raise columns.at(name).error(f"negative id {values[row]}", row)
    return values


def refuse_duplicates(ids: Array, place: Place) -> None:
    if len(set(ids.tolist())) == len(ids):
        return
    seen: dict[Any, int] = {}
    for row, value in enumerate(ids.tolist()):
        if value in seen:
            raise place.error(f"the id {show(value)} occurs twice", row)
        seen[value] = row
