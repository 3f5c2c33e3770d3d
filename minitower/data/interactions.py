"""Interactions of users and items, and the data set that a model is trained on."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from minitower.data import atomic_files, layouts, movielens, split_files
from minitower.data.columns import Columns, read_columns, scalars
from minitower.data.errors import DataError, Place, show
from minitower.data.feature_encoder import FeatureEncoder, FeatureEncoders
from minitower.data.log_columns import entities, seconds, times_column
from minitower.data.positives import positive_rule, warn_of_default
from minitower.data.schema import Schema
from minitower.data.splits import (
    PARTS,
    GivenSplit,
    RandomSplit,
    Split,
    TimeSplit,
    part_labels,
)
from minitower.data.table import Ragged, Table
from minitower.data.values import LONGEST
from minitower.formulas.arrays import Array


@dataclass(frozen=True, eq=False)
class Interactions:
    """Pairs of a user and an item.

    Args:
        users, items: (n,) int64 rows of the tables of users and items.
        timestamps: (n,) float64 seconds, or None.
    """

    users: Array
    items: Array
    timestamps: Array | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: Any) -> "Interactions":
        """The given interactions (indices, or a mask)."""
        times = self.timestamps
        return Interactions(
            self.users[rows], self.items[rows], None if times is None else times[rows]
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


@dataclass(frozen=True, eq=False)
class Dataset:
    """Encoded users and items, and their positives in three parts.

    All statistics (vocabularies, means, buckets, popularity) come from train alone. Rows of
    tables are not rows of embeddings: an item that training has not seen has a row in the
    table, and embedding row 0.

    Args:
        schema: the fitted encoders of both sides.
        users, items: all entities that a table lists or an interaction mentions.
        train, valid, test: the positives.
        history: the items that each user saw before these positives; None: unknown.
        retired: items that may come back; None: no items.
        positive: the rule of positives, such as "rating >= 4"; "all": every interaction;
            None: unknown.
        timestamp: the name of the column of times; None: no times.
        item_name: the name of the column of names of items; None: no names.
        recent: the latest clicks of each user before these positives, oldest first, as rows of
            the embedding of item ids (:mod:`minitower.data.histories`); None: unknown.
        remake: builds the data set again from the same columns with another split (None:
            all for training); None: the columns are not at hand.
    """

    schema: FeatureEncoders
    users: Table
    items: Table
    train: Interactions
    valid: Interactions
    test: Interactions
    history: Ragged | None = None
    retired: Table | None = None
    positive: str | None = None
    timestamp: str | None = None
    item_name: str | None = None
    recent: Ragged | None = None
    remake: "Callable[[Split | None], Dataset] | None" = field(default=None, repr=False)

    def everything(self) -> "Dataset":
        """The same interactions, all of them for training.

        Vocabularies and statistics are fitted again; rows of the tables stay the same.

        Raises:
            DataError: the data set comes from a day or a store, not from columns.
        """
        if self.remake is None:
            raise DataError(
                "the columns of this data set are not at hand; build one of all interactions "
                "with Dataset.from_columns(split=RandomSplit(0, 0))"
            )
        return self.remake(None)

    def split(self, name: str) -> Interactions:
        """One part: "train", "valid" or "test"."""
        if name not in PARTS:
            raise DataError(f"split must be one of train, valid, test, got {show(name)}")
        part: Interactions = getattr(self, name)
        return part

    @property
    def item_counts(self) -> Array:
        """(n_items,) int64: the number of training positives of each item."""
        return np.bincount(self.train.items, minlength=len(self.items))

    def seen(self, split: str) -> Ragged:
        """The items that each user saw before a split, to exclude from recall.

        "train": the history; "valid": train too; "test": and valid; "all": and test.
        """
        order = (*PARTS, "all")
        if split not in order:
            raise DataError(f"split must be one of train, valid, test, all, got {show(split)}")
        parts = [self.split(name) for name in PARTS[: order.index(split)]]
        n = len(self.users)
        before = self.history
        if before is not None:
            if not any(map(len, parts)):
                return before
            parts = [Interactions(np.repeat(np.arange(n), before.counts), before.values), *parts]
        users = np.concatenate([part.users for part in parts] or [np.empty(0, np.int64)])
        items = np.concatenate([part.items for part in parts] or [np.empty(0, np.int64)])
        return Interactions(users, items).by_user(n)

    @staticmethod
    def from_columns(
        schema: Schema,
        interactions: Any,
        users: Any = None,
        items: Any = None,
        *,
        positive: str | None = None,
        timestamp: str | None = "timestamp",
        split: Split | None = None,
        item_name: str | None = None,
    ) -> "Dataset":
        """Build a data set from columns.

        A table is a dict of arrays or lists, a pandas or polars frame or a pyarrow table.
        Users and items that only interactions mention get a row with missing values.

        Args:
            schema: the meaning of the columns of users and items.
            interactions: has the id columns of both sides, named as in the schema.
            users, items: the other columns; None where a side is only an Id.
            positive: the rule of positives, such as "rating >= 4"; "all": every interaction.
                None: :func:`~minitower.data.positives.positive_rule` decides by a column
                click, clicked, is_click or rating, with a warning; else "all".
            timestamp: the column of times: seconds since 1970, or dates
                (:func:`minitower.data.log_columns.seconds`). The default column may be missing.
            split: None is TimeSplit() with timestamps, and RandomSplit() without.
            item_name: the column of names of items, cut to 256 characters each.

        Raises:
            DataError: names the table, row and column of the error.
        """
        log = read_columns(interactions, Place("interactions"))
        if not len(log):
            raise log.place.error("the table has no interactions")
        name = times_column(log, timestamp)
        if split is None:
            split = RandomSplit() if name is None else TimeSplit()
        users = None if users is None else read_columns(users, Place("users"))
        items = None if items is None else read_columns(items, Place("items"))
        rule = positive_rule(log, positive)
        if positive is None and rule != "all":
            warn_of_default(rule)
        return _build(schema, log, users, items, rule, name, item_name, split)

    @staticmethod
    def from_raw(
        raw: atomic_files.RawData, *, positive: str | None = None, split: Split | None = None
    ) -> "Dataset":
        """The data set of files that were read; the rest as in :meth:`from_columns`."""
        tables = raw.schema, raw.interactions, raw.users, raw.items
        options: dict[str, Any] = {"positive": positive, "split": split}
        return Dataset.from_columns(*tables, **options, item_name=raw.item_name)

    @staticmethod
    def from_files(folder: str | Path, how: layouts.Reading | None = None) -> "Dataset":
        """Read a folder in whichever layout it has: see :mod:`minitower.data.layouts`."""
        how = how or layouts.Reading()
        raw, split, _ = layouts.read_folder(Path(folder), how)
        return Dataset.from_raw(raw, positive=how.positive, split=split)

    @staticmethod
    def from_atomic(
        folder: str | Path,
        *,
        schema: Schema | None = None,
        overrides: atomic_files.Overrides | None = None,
        positive: str | None = None,
        split: Split | None = None,
    ) -> "Dataset":
        """Read RecBole's atomic files: see :func:`minitower.data.atomic_files.read`."""
        raw = atomic_files.read(folder, schema, overrides)
        return Dataset.from_raw(raw, positive=positive, split=split)

    @staticmethod
    def from_movielens(
        folder: str | Path, *, positive: str | None = None, split: Split | None = None
    ) -> "Dataset":
        """Read MovieLens-100K or -1M as GroupLens ships it: see :mod:`minitower.data.movielens`."""
        return Dataset.from_raw(movielens.read(folder), positive=positive, split=split)

    @staticmethod
    def from_split_files(
        folder: str | Path | None = None,
        *,
        train: split_files.Paths | None = None,
        valid: split_files.Paths | float | None = None,
        test: split_files.Paths | None = None,
        seed: int = 0,
    ) -> "Dataset":
        """Read files of `user item item ...`: see :func:`minitower.data.split_files.read`."""
        raw = split_files.read(folder, train=train, valid=valid, test=test, seed=seed)
        return Dataset.from_columns(raw.schema, raw.interactions, split=GivenSplit("split"))


def _build(
    schema: Schema,
    log: Columns,
    users: Columns | None,
    items: Columns | None,
    positive: str,
    timestamp: str | None,
    item_name: str | None,
    split: Split | None,
) -> Dataset:
    """The data set of these columns and this split; None: everything is for training."""
    times = None if timestamp is None else seconds(log[timestamp], log.at(timestamp))
    user_ids, user_rows, user_columns = entities(schema.user_id, log, users, "users")
    item_ids, item_rows, item_columns = entities(schema.item_id, log, items, "items")
    labels = part_labels(log, user_rows, times, positive, split)
    parts = Interactions(user_rows, item_rows, times).parts(labels)
    trained_users = np.bincount(parts[0].users, minlength=len(user_ids)) > 0
    trained_items = np.bincount(parts[0].items, minlength=len(item_ids)) > 0
    fitted = FeatureEncoders(
        FeatureEncoder.fit("user", schema.user, user_columns, user_ids, trained_users),
        FeatureEncoder.fit("item", schema.item, item_columns, item_ids, trained_items),
    )
    return Dataset(
        fitted,
        fitted.user.encode(user_columns, user_ids),
        fitted.item.encode(item_columns, item_ids, item_names(item_columns, item_name, item_ids)),
        *parts,
        positive=positive,
        timestamp=timestamp,
        item_name=item_name,
        remake=partial(_build, schema, log, users, items, positive, timestamp, item_name),
    )


def item_names(columns: Columns, name: str | None, ids: Array) -> Array | None:
    """The names of items: the values of a column, or else the ids.

    A name is cut to the longest length of an id.
    """
    if name is None:
        return None
    values, missing = scalars(columns[name], columns.at(name), longest=sys.maxsize)
    names = ids.astype(str).astype(object)
    names[: len(values)][~missing] = [str(value)[:LONGEST] for value in values[~missing]]
    return names.astype(str)
