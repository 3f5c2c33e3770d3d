"""The log of interactions: its columns, as read, and its pairs of rows in two tables. Chapter 4.

A reader hands the columns of the log, of users and of items to a data set as :class:`RawData`.
:func:`read_log` finds all users and all items in them.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from minitower.data.columns import Columns, distinct, numbers, scalars
from minitower.data.errors import Place, show
from minitower.data.roles import Roles
from minitower.data.schema import Schema
from minitower.data.splits import Split
from minitower.data.table import Ragged, Vocabulary, string_array
from minitower.data.times import seconds
from minitower.data.values import BOOLEANS, refuse
from minitower.formulas.arrays import Array


class RawData(NamedTuple):
    """The columns that a data set is made of, and what a reader of files decided.

    Attributes:
        schema: the meaning of the columns of users and items.
        interactions, users, items: the columns; None: no such table.
        item_name, timestamp, weight, exposed: names of columns, as
            :meth:`~minitower.data.interactions.Dataset.from_columns` takes them.
        split: the chosen or given split; None: the default.
        roles: of the columns of plain tables; None: of other files.
        remarks: what was decided, one sentence each.
        left_out: those remarks about columns that are no features, and not because of an option.
    """

    schema: Schema
    interactions: Columns
    users: Columns | None = None
    items: Columns | None = None
    item_name: str | None = None
    timestamp: str | None = "timestamp"
    weight: str | None = None
    exposed: str | None = None
    split: Split | None = None
    roles: Roles | None = None
    remarks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Interactions:
    """Pairs of a user and an item.

    Args:
        users, items: (n,) int64 rows of the tables of users and items.
        timestamps: (n,) float64 seconds, or None.
        weights: (n,) float64 weight of each pair in the loss, >= 0; None: all 1.
    """

    users: Array
    items: Array
    timestamps: Array | None = None
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: Any) -> "Interactions":
        """The given interactions (indices, or a mask)."""
        times, weights = self.timestamps, self.weights
        return Interactions(
            self.users[rows],
            self.items[rows],
            None if times is None else times[rows],
            None if weights is None else weights[rows],
        )

    def parts(self, labels: Array) -> "tuple[Interactions, Interactions, Interactions]":
        """Training, validation and test, by the labels of :func:`part_labels`."""
        return self.take(labels == 0), self.take(labels == 1), self.take(labels == 2)

    def by_user(self, n_users: int) -> Ragged:
        """The distinct items of every user, ascending."""
        n_items = int(self.items.max(initial=0)) + 1
        ones = np.ones(len(self), np.int8)
        table = sparse.csr_array((ones, (self.users, self.items)), shape=(n_users, n_items))
        table.sum_duplicates()
        return Ragged(table.indptr.astype(np.int64), table.indices.astype(np.int32))


class Entities(NamedTuple):
    """All users, or all items, that a table lists or an interaction mentions.

    Attributes:
        ids: those of the table in its order, then the others, ascending.
        columns: the columns of the table, of the first len(columns) entities.
    """

    ids: Array
    columns: Columns


def read_log(raw: RawData) -> tuple[Interactions, Entities, Entities]:
    """All interactions as pairs of rows, and the users and the items that the rows count.

    Raises:
        DataError: a time, a weight or an id is missing or cannot be read; an id is listed twice;
            or ids are integers in one of two tables and strings in the other.
    """
    log, schema = raw.interactions, raw.schema
    times = None if raw.timestamp is None else seconds(log[raw.timestamp], log.at(raw.timestamp))
    weights = None if raw.weight is None else read_weights(log, raw.weight)
    users, user_rows = _entities(schema.user_id.name, log, raw.users, "users")
    items, item_rows = _entities(schema.item_id.name, log, raw.items, "items")
    return Interactions(user_rows, item_rows, times, weights), users, items


def times_column(log: Columns, name: str | None) -> str | None:
    """The name of the column of times; None without one, or where the default is missing."""
    return None if name == "timestamp" and name not in log else name


def _entities(key: str, log: Columns, table: Columns | None, name: str) -> tuple[Entities, Array]:
    """All entities of a side, and the row of each interaction in them."""
    columns = Columns({}, Place(name)) if table is None else table
    mentioned = read_ids(log, key)
    listed = read_ids(columns, key) if table is not None else mentioned[:0]
    _refuse_duplicates(listed, columns.at(key))
    if not len(listed):  # an empty column has no type
        listed = mentioned[:0]
    if not len(mentioned):
        mentioned = listed[:0]
    if listed.dtype != mentioned.dtype:
        kinds = ["strings" if ids.dtype == object else "integers" for ids in (mentioned, listed)]
        raise columns.at(key).error(
            f"ids are {kinds[1]} here but {kinds[0]} in {log.place.table}; make them one type"
        )
    if mentioned.dtype == object:
        others = sorted(set(mentioned.tolist()) - set(listed.tolist()))
        ids = string_array([*listed, *others])
    else:
        fresh = distinct(mentioned)
        ids = np.concatenate([listed, fresh[Vocabulary(listed).encode(fresh) == 0]])
    return Entities(ids, columns), Vocabulary(ids).encode(mentioned).astype(np.int64) - 1


def refuse_strangers(key: str, log: Columns, table: Columns, rows: Array) -> None:
    """Refuse a table that has none of the ids of a log: all features would be missing.

    Args:
        key: the column of ids.
        log, table: the interactions, and the side's columns.
        rows: (n,) the row of each interaction, as :func:`read_log` returns it.
    """
    if 0 < len(table) <= rows.min():
        there, here = show(log[key][0]), show(table[key][0])
        raise table.at(key).error(
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


def _refuse_duplicates(ids: Array, place: Place) -> None:
    if len(set(ids.tolist())) == len(ids):
        return
    seen: dict[Any, int] = {}
    for row, value in enumerate(ids.tolist()):
        if value in seen:
            raise place.error(f"the id {show(value)} occurs twice", row)
        seen[value] = row
