"""Data newer than a store, on the tables of the store, to measure what the store serves.

A log of new clicks alone names a part of the items and knows no earlier click. Ranked among these
items, without histories, a model would be measured on another task than the one it serves.

Chapter 16.
"""

from dataclasses import replace

import numpy as np

from minitower.data import Dataset, RandomSplit, TimeSplit
from minitower.data.columns import Columns
from minitower.data.csv_files import as_fitted
from minitower.data.days import next_day
from minitower.data.feature_encoder import FeatureEncoder
from minitower.data.schema import Continuous
from minitower.data.source import Source
from minitower.data.splits import PARTS
from minitower.data.table import Features, Ragged, Table
from minitower.formulas.arrays import Array
from minitower.store.full_version import Store
from minitower.store.provenance import Learned
from minitower.updating.base import base_dataset
from minitower.updating.entity_lists import with_typed_ids


def newer_dataset(store: Store, source: Source) -> Dataset:
    """The interactions of a source, on all users and items of a store and of the source.

    What a user saw and clicked before comes from the store. The model of the store encodes the
    features; ids and values that it does not know are default rows. Clicks that the
    version may have learned from count as seen, and are in no part. The popularity of an item
    begins with the number of users who have seen it.

    Args:
        store: an open version, which records what it has learned.
        source: data of which the version has learned a part or nothing.

    Raises:
        DataError: an id has another type than those of the store, or a feature is missing.
    """
    base, raw, fitted = replace(base_dataset(store), weight=None), source.raw, store.model.encoders
    sides = ((fitted.user, base.users, raw.users), (fitted.item, base.items, raw.items))
    log, tables = raw.interactions, list[Columns | None]()
    for side, known, table in sides:
        log = with_typed_ids(log, side, known)
        if table is not None and source.how.columns is not None:  # perhaps strings of a CSV file
            table = as_fitted(table, side)
        tables.append(None if table is None else with_typed_ids(table, side, known))
    default = RandomSplit() if source.data.timestamp is None else TimeSplit()
    day = next_day(
        base,
        log,
        *tables,
        positive=source.data.positive,
        timestamp=source.data.timestamp,
        split=raw.split or default,
    )
    day = _without_learned(day, store)
    return replace(
        day,
        counts_before=np.bincount(day.seen("train").values, minlength=len(day.items)),
        schema=fitted,
        users=_without_new_values(day.users, fitted.user),
        items=_without_new_values(day.items, fitted.item),
    )


def _without_learned(day: Dataset, store: Store) -> Dataset:
    """The data set with its learned clicks in the history alone."""
    record = Learned.in_notes(store.notes)
    assert record is not None  # the caller has asked the same record
    tables = store.users, store.items, store.seen
    masks = [record.has_seen(day, part, *tables, same=False) for part in PARTS]

    def only(rows: list[Array]) -> Dataset:
        train, valid, test = (day.split(p).take(r) for p, r in zip(PARTS, rows, strict=True))
        return replace(day, train=train, valid=valid, test=test)

    return replace(only([~mask for mask in masks]), history=only(masks).seen("all"))


def _without_new_values(table: Table, side: FeatureEncoder) -> Table:
    """The table with the default row wherever the day has added a row to a vocabulary."""
    columns: Features = dict(table.columns)
    for field in side.fields:
        if isinstance(field, Continuous):
            continue
        known, column = len(side.vocabulary(field.name)), columns[field.name]
        if isinstance(column, Ragged):
            values = np.where(column.values < known, column.values, 0)
            columns[field.name] = Ragged(column.indptr, values)
        else:
            columns[field.name] = np.where(column < known, column, 0)
    return replace(table, columns=columns)
