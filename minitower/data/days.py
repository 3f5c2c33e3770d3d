"""A data set that lives: the next day on top of all days before, and what is gone.

A day adds users, items and values of features, and what was there keeps its number: a value
its row of the embedding, an entity its row of the table. So a model of yesterday goes on
where it was, once its tables have grown (:meth:`~minitower.towers.two_tower.TwoTower.grown`).
"""

from dataclasses import replace
from typing import Any

import numpy as np

from minitower.data.columns import Columns, read_columns
from minitower.data.encoding import FittedSchema, SideEncoder
from minitower.data.entities import entities
from minitower.data.errors import DataError, Place
from minitower.data.interactions import Dataset, Interactions, item_texts
from minitower.data.named_items import NamedItems
from minitower.data.ragged import Ragged
from minitower.data.schema import Id
from minitower.data.splits import Split, part_labels
from minitower.data.table import Table, order_with
from minitower.data.times import seconds, times_column
from minitower.formulas.arrays import Array


def next_day(
    data: Dataset,
    interactions: Any,
    users: Any = None,
    items: Any = None,
    *,
    positive: str | None = None,
    timestamp: str | None = "timestamp",
    split: Split | None = None,
    item_name: str | None = None,
) -> Dataset:
    """The data set of one more day: its positives alone, on the tables of all days.

    An id gets a row of its own with its first training positive, a value of a feature when a
    table first lists it. Means, deviations and buckets of numbers stay as they are.

    Args:
        data: of the day before; its positives become history, which counts as seen.
        interactions: of the day, with the columns that
            :meth:`~minitower.data.interactions.Dataset.from_columns` asks for; there may be
            none where there are users or items.
        users, items: those that are new or have changed, with all columns of the schema; may
            be left out. One that only interactions mention has missing values, if it is new.
        positive: the rule an interaction must pass, or "all"; None: the rule of ``data``.
        timestamp, item_name: as in ``from_columns``.
        split: None trains on the whole day.

    Raises:
        DataError: names the table, row and column of what is wrong.
    """
    log = read_columns(interactions, Place("interactions"))
    if not len(log) and users is None and items is None:
        raise log.place.error("there are no interactions")
    name = times_column(log, timestamp)
    times = None if name is None else seconds(log[name], log.at(name))
    schema = data.schema.schema
    user_ids, user_of, user_columns = entities(schema.user_id, log, users, "users")
    item_ids, item_of, item_columns = entities(schema.item_id, log, items, "items")
    data = _with_returned(data, item_ids)
    user_at, item_at = _rows_in(data.users, user_ids), _rows_in(data.items, item_ids)
    pairs = Interactions(user_at[user_of], item_at[item_of], times)
    labels = np.empty(0, np.int8)
    rule = data.positive if positive is None else positive
    if len(log):
        if rule is None:
            raise log.place.error(
                "the data set does not say which interactions are positives; "
                "give positive=, a rule such as 'rating >= 4', or 'all'"
            )
        labels = part_labels(log, pairs.users, times, rule, split)
    parts = pairs.parts(labels)
    user_side, users_table = _grown(
        data.schema.user, data.users, user_columns, user_ids, user_at, parts[0].users
    )
    item_side, items_table = _grown(
        data.schema.item, data.items, item_columns, item_ids, item_at, parts[0].items
    )
    names = data.item_names
    if names is not None or item_name is not None:
        before = data.items.ids.astype(str) if names is None else names
        own = item_texts(item_columns, item_name, item_ids)
        told = _told(0 if own is None else len(item_columns), item_at, len(data.items))
        own = item_ids.astype(str) if own is None else own
        names = np.concatenate([before, own[told]])[order_with(len(before), item_at[told])]
    history = data.seen("all")
    added = len(users_table) - len(history)
    return Dataset(
        FittedSchema(user_side, item_side),
        users_table,
        items_table,
        *parts,
        names,
        Ragged(np.pad(history.indptr, (0, added), mode="edge"), history.values),
        data.retired,
        rule,
        data.timestamp if name is None else name,
        data.item_name if item_name is None else item_name,
    )


def retire(data: Dataset, item_ids: Any) -> Dataset:
    """The data set without some items: not trained on, evaluated, published or recalled.

    Their rows of the embedding stay, and their features in ``retired``, for they may come
    back: clicked on a later day, they are what they were; listed, what the list says. That a
    user met them is forgotten.

    Args:
        data: a data set.
        item_ids: of items; unknown ones are no error.

    Raises:
        DataError: no item would be left.
    """
    gone = data.items.rows_of(item_ids)
    gone = np.unique(gone[gone >= 0])
    if not len(gone):
        return data
    kept = np.delete(np.arange(len(data.items)), gone)
    if not len(kept):
        raise DataError("every item would be retired: none would be left to recall")
    listed = NamedItems(data.items, data.item_names)
    stay, retired = listed.take(kept), listed.take(gone)
    now = np.full(len(data.items), -1)
    now[kept] = np.arange(len(kept))

    def without(pairs: Interactions) -> Interactions:
        left = pairs.take(now[pairs.items] >= 0)
        return replace(left, items=now[left.items])

    history = data.history
    if history is not None:
        owner = np.repeat(np.arange(len(history)), history.counts)
        history = without(Interactions(owner, history.values)).by_user(len(data.users))
    return replace(
        data,
        items=stay.table,
        train=without(data.train),
        valid=without(data.valid),
        test=without(data.test),
        item_names=stay.names,
        history=history,
        retired=retired if data.retired is None else data.retired.with_more(retired),
        remake=None,
    )


def _with_returned(data: Dataset, ids: Array) -> Dataset:
    """The data set with those of these items that were retired, behind the others."""
    if data.retired is None:
        return data
    back = data.retired.table.rows_of(ids)
    back = back[back >= 0]
    items = NamedItems(data.items, data.item_names).with_more(data.retired.take(back))
    rest = data.retired.take(np.delete(np.arange(len(data.retired.table)), back))
    return replace(data, items=items.table, item_names=items.names, retired=rest)


def _rows_in(table: Table, ids: Array) -> Array:
    """The row of every entity of the day: the table's, or the next ones behind it."""
    at = table.rows_of(ids)
    new = at < 0
    at[new] = len(table) + np.arange(np.count_nonzero(new))
    return at


def _grown(
    side: SideEncoder, table: Table, columns: Columns, ids: Array, at: Array, trained: Array
) -> tuple[SideEncoder, Table]:
    """The encoder and the table of a side with the entities of the day.

    Args:
        side, table: of the day before.
        columns: what is known of the first len(columns) entities of the day.
        ids, at: of all entities of the day, their ids and rows in the table.
        trained: rows with a positive in training.
    """
    has_positive = np.zeros(len(table) + len(ids), bool)
    has_positive[trained] = True
    if not columns.arrays:  # no table was given
        nothing = {field.name: np.empty(0, object) for field in side.fields}
        columns = Columns(nothing, columns.place)
    side = side.grown(columns, ids[has_positive[at]])
    told = _told(len(columns), at, len(table))
    table = table.updated(at[told], Table(ids[told], side.encode(columns, ids[told]).columns))
    key = next(field.name for field in side.fields if isinstance(field, Id))
    rows = table.columns[key]
    assert isinstance(rows, np.ndarray)  # and a new one: nobody else's
    rows[at] = side.vocabulary(key).encode(ids, columns.at(key))
    return side, table


def _told(listed: int, at: Array, n: int) -> Array:
    """Which entities of the day to write into a table of n: those listed, and the new ones."""
    return np.flatnonzero((np.arange(len(at)) < listed) | (at >= n))
