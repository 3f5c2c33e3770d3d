"""The data set of the next day, and items that retire. Chapter 13.

A day adds users, items and values of features. Existing entities and values keep their rows.
So yesterday's model can go on, once its embedding tables are extended
(:meth:`~minitower.towers.two_tower.TwoTower.extended`).
"""

from dataclasses import replace
from typing import Any

import numpy as np

from minitower.data.columns import Columns, read_columns
from minitower.data.errors import DataError, Place
from minitower.data.feature_encoder import FeatureEncoder, FeatureEncoders
from minitower.data.histories import clicks_before
from minitower.data.interactions import Dataset, item_names
from minitower.data.log import Entities, Interactions, RawData, read_log, times_column
from minitower.data.splits import Split, part_labels
from minitower.data.table import Ragged, Table
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

    An id gets an embedding row with its first training positive; a value of a feature gets one
    when a table first lists it. Means, deviations and buckets of numbers stay as fitted.

    Args:
        data: of the day before; its positives become history, which counts as seen.
        interactions: of the day, with the columns that
            :meth:`~minitower.data.interactions.Dataset.from_columns` needs, and the column of
            weights of ``data``, if any; may be empty where users or items are given.
        users, items: new or changed ones, with all columns of the schema; or None. A new one
            that only interactions mention has missing values.
        positive: the rule of positives, or "all"; None: the rule of ``data``.
        timestamp, item_name: as in ``from_columns``.
        split: None trains on the whole day.

    Raises:
        DataError: names the table, row and column of the error.
    """
    log = read_columns(interactions, Place("interactions"))
    if not len(log) and users is None and items is None:
        raise log.place.error("the table has no interactions")
    time, weight = times_column(log, timestamp), data.weight if len(log) else None
    users = None if users is None else read_columns(users, Place("users"))
    items = None if items is None else read_columns(items, Place("items"))
    raw = RawData(data.schema.schema, log, users, items, timestamp=time, weight=weight)
    pairs, of_users, of_items = read_log(raw)
    data = _with_returned(data, of_items.ids)
    user_at, item_at = _rows_in(data.users, of_users.ids), _rows_in(data.items, of_items.ids)
    pairs = replace(pairs, users=user_at[pairs.users], items=item_at[pairs.items])
    labels = np.empty(0, np.int8)
    rule = data.positive if positive is None else positive
    if len(log):
        if rule is None:
            raise log.place.error(
                "the data set does not say which interactions are positives; "
                "give positive=, a rule such as 'rating >= 4', or 'all'"
            )
        labels = part_labels(log, pairs.users, pairs.timestamps, rule, split)
    parts = pairs.parts(labels)
    user_side, users_table = _extended(
        data.schema.user, data.users, of_users, user_at, parts[0].users
    )
    names = item_names(of_items.columns, item_name, of_items.ids)
    item_side, items_table = _extended(
        data.schema.item, data.items, of_items, item_at, parts[0].items, names
    )
    history, recent = data.seen("all"), clicks_before(data, "all")
    added = len(users_table) - len(history)
    return Dataset(
        FeatureEncoders(user_side, item_side),
        users_table,
        items_table,
        *parts,
        _with_empty_rows(history, added),
        data.retired,
        rule,
        time or data.timestamp,
        data.item_name if item_name is None else item_name,
        recent=_with_empty_rows(recent, added),
        weight=data.weight,
    )


def retire(data: Dataset, item_ids: Any) -> Dataset:
    """Remove items from training, evaluation, publication and recall.

    Retired items keep their embedding rows, and their features in ``retired``. A later click
    reactivates an item with these features; a later table of items replaces them. Retired
    items leave every history.

    Args:
        data: a data set.
        item_ids: the items to retire; unknown ids are ignored.

    Raises:
        DataError: no item would remain.
    """
    rows = data.items.rows_of(item_ids)
    rows = np.unique(rows[rows >= 0])
    if not len(rows):
        return data
    remaining = np.delete(np.arange(len(data.items)), rows)
    if not len(remaining):
        raise DataError("all items would be retired; keep at least one to recall")
    retired = data.items.rows(rows)
    now = np.full(len(data.items), -1)
    now[remaining] = np.arange(len(remaining))

    def without(pairs: Interactions) -> Interactions:
        left = pairs.take(now[pairs.items] >= 0)
        return replace(left, items=now[left.items])

    history = data.history
    if history is not None:
        owner = np.repeat(np.arange(len(history)), history.counts)
        history = without(Interactions(owner, history.values)).by_user(len(data.users))
    return replace(
        data,
        items=data.items.rows(remaining),
        train=without(data.train),
        valid=without(data.valid),
        test=without(data.test),
        history=history,
        retired=retired if data.retired is None else data.retired.extended(retired),
        shown=None,
        remake=None,
    )


def _with_empty_rows(ragged: Ragged, added: int) -> Ragged:
    return Ragged(np.pad(ragged.indptr, (0, added), mode="edge"), ragged.values)


def _with_returned(data: Dataset, ids: Array) -> Dataset:
    """Reactivate the retired items among these ids; they become the last rows."""
    if data.retired is None:
        return data
    returned = data.retired.rows_of(ids)
    returned = returned[returned >= 0]
    items = data.items.extended(data.retired.rows(returned))
    rest = data.retired.rows(np.delete(np.arange(len(data.retired)), returned))
    return replace(data, items=items, retired=rest)


def _rows_in(table: Table, ids: Array) -> Array:
    """The row of each entity of the day. New entities get rows after the last one."""
    at = table.rows_of(ids)
    new = at < 0
    at[new] = len(table) + np.arange(np.count_nonzero(new))
    return at


def _extended(
    side: FeatureEncoder,
    table: Table,
    day: Entities,
    at: Array,
    trained: Array,
    names: Array | None = None,
) -> tuple[FeatureEncoder, Table]:
    """Extend the encoder and the table of a side by the entities of the day.

    Args:
        side, table: of the day before.
        day: the entities of the day.
        at, names: of these: rows in the table, and names or None.
        trained: rows with a positive in training.
    """
    ids, columns = day
    has_positive = np.zeros(len(table) + len(ids), bool)
    has_positive[trained] = True
    if not columns.arrays:  # no table was given
        nothing = {field.name: np.empty(0, object) for field in side.fields}
        columns = Columns(nothing, columns.place)
    side = side.extended(columns, ids[has_positive[at]])
    # The table gets the entities that the columns list, and the new ones.
    written = np.flatnonzero((np.arange(len(at)) < len(columns)) | (at >= len(table)))
    names = None if names is None else names[written]
    table = table.updated(at[written], side.encode(columns, ids[written], names))
    rows = table.columns[side.id_name]
    assert isinstance(rows, np.ndarray)  # a new array, not shared with the old table
    rows[at] = side.vocabulary(side.id_name).encode(ids, columns.at(side.id_name))
    return side, table
