"""The data set that a model is trained on. Chapters 1 and 3."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data import atomic_files, layouts, movielens, split_files
from minitower.data.columns import Columns, read_columns, scalars
from minitower.data.errors import DataError, Place, show, warn_caller
from minitower.data.exposures import exposed_items
from minitower.data.feature_encoder import FeatureEncoder, FeatureEncoders
from minitower.data.log import Interactions, RawData, read_log, refuse_strangers, times_column
from minitower.data.positives import positive_rule
from minitower.data.schema import Schema
from minitower.data.splits import PARTS, RandomSplit, Split, TimeSplit, part_labels
from minitower.data.table import Ragged, Table
from minitower.data.values import LONGEST
from minitower.formulas.arrays import Array


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
        weight: the name of the column of weights; None: no weights.
        shown: finds the items that were shown and not clicked; None: the columns are not at hand.
        recent: the latest clicks of each user before these positives, oldest first, as rows of
            the embedding of item ids (:mod:`minitower.data.histories`); None: unknown.
        remake: builds the data set again from the same columns with another split (None:
            all for training); None: the columns are not at hand.
        counts_before: (n_items,) the number of earlier positives of each item; None: unknown.
        remarks: what was decided when files were read, one sentence each.
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
    weight: str | None = None
    shown: "Callable[[Dataset], Ragged] | None" = field(default=None, repr=False)
    recent: Ragged | None = None
    remake: "Callable[[Split | None], Dataset] | None" = field(default=None, repr=False)
    counts_before: Array | None = None
    remarks: tuple[str, ...] = ()

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

    def before(self, split: str) -> list[Interactions]:
        """The parts before one: none of "train", train of "valid", all three of "all"."""
        order = (*PARTS, "all")
        if split not in order:
            raise DataError(f"split must be one of train, valid, test, all, got {show(split)}")
        return [self.split(name) for name in PARTS[: order.index(split)]]

    @property
    def item_counts(self) -> Array:
        """(n_items,) int64: the number of training positives of each item, and of earlier ones."""
        counts = np.bincount(self.train.items, minlength=len(self.items))
        return counts if self.counts_before is None else counts + self.counts_before

    def seen(self, split: str) -> Ragged:
        """The items that each user saw before a split, to exclude from recall.

        "train": the history; "valid": train too; "test": and valid; "all": and test.
        """
        parts, n = self.before(split), len(self.users)
        before = self.history
        if before is not None:
            if not any(map(len, parts)):
                return before
            parts = [Interactions(np.repeat(np.arange(n), before.counts), before.values), *parts]
        users = np.concatenate([part.users for part in parts] or [np.empty(0, np.int64)])
        items = np.concatenate([part.items for part in parts] or [np.empty(0, np.int64)])
        return Interactions(users, items).by_user(n)

    def exposed(self) -> Ragged:
        """The items that each user was shown and did not click, in the time of training.

        See :mod:`minitower.data.exposures`;
        :func:`~minitower.training.hard_negatives.exposed_negatives` takes these lists.

        Raises:
            DataError: the data set comes from a day or a store, not from columns.
        """
        if self.shown is None:
            raise DataError("the columns of this data set are not at hand: no item is exposed")
        return self.shown(self)

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
        weight: str | None = None,
        exposed: str | None = None,
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
                (:func:`minitower.data.times.seconds`). The default column may be missing.
            split: None is TimeSplit() with timestamps, and RandomSplit() without.
            item_name: the column of names of items, cut to 256 characters each.
            weight: the column of weights in the loss, numbers >= 0, such as a dwell time
                (the reward of Yi et al., RecSys 2019, Eq. 2); None: all weigh the same.
            exposed: the column of lists of items that were shown, for :meth:`exposed`.

        Raises:
            DataError: names the table, row and column of the error.
        """
        log = read_columns(interactions, Place("interactions"))
        users = None if users is None else read_columns(users, Place("users"))
        items = None if items is None else read_columns(items, Place("items"))
        raw = RawData(schema, log, users, items, item_name, timestamp, weight, exposed, split)
        return Dataset.from_raw(raw, positive=positive)

    @staticmethod
    def from_raw(raw: RawData, *, positive: str | None = None) -> "Dataset":
        """The data set of columns that a reader has read; `positive` as in :meth:`from_columns`."""
        log = raw.interactions
        if not len(log):
            raise log.place.error("the table has no interactions")
        rule = positive_rule(log, positive)
        if positive is None and rule != "all":
            warn_caller(
                f"positives: where {rule}; state positive={rule!r}, or another rule, or 'all'"
            )
        time = times_column(log, raw.timestamp)
        default = RandomSplit() if time is None else TimeSplit()
        return _build(raw._replace(timestamp=time), rule, raw.split or default)

    @staticmethod
    def from_files(data: str | Path, how: layouts.Reading | None = None) -> "Dataset":
        """Read a folder in whichever layout it has: see :mod:`minitower.data.layouts`.

        What was decided stands in ``remarks``; a warning names columns that are left out.

        Args:
            data: the folder; or the file of interactions, CSV or Parquet.
            how: what is stated and not recognized.
        """
        how = how or layouts.Reading()
        raw = layouts.read_folder(Path(data), how)
        for remark in raw.left_out:
            warn_caller(f"{remark}; Reading(override={{COLUMN: TYPE}}) states what a column is")
        return replace(Dataset.from_raw(raw, positive=how.positive), remarks=raw.remarks)

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
        return Dataset.from_raw(raw._replace(split=split), positive=positive)

    @staticmethod
    def from_movielens(
        folder: str | Path, *, positive: str | None = None, split: Split | None = None
    ) -> "Dataset":
        """Read MovieLens-100K or -1M as GroupLens ships it: see :mod:`minitower.data.movielens`."""
        raw = movielens.read(folder)
        return Dataset.from_raw(raw._replace(split=split), positive=positive)

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
        return Dataset.from_raw(
            split_files.read(folder, train=train, valid=valid, test=test, seed=seed)
        )


def _build(raw: RawData, positive: str, split: Split | None) -> Dataset:
    """The data set of these columns and this split; None: everything is for training."""
    log, schema = raw.interactions, raw.schema
    pairs, users, items = read_log(raw)
    refuse_strangers(schema.user_id.name, log, users.columns, pairs.users)
    refuse_strangers(schema.item_id.name, log, items.columns, pairs.items)
    labels = part_labels(log, pairs.users, pairs.timestamps, positive, split)
    parts = pairs.parts(labels)
    trained_users = np.bincount(parts[0].users, minlength=len(users.ids)) > 0
    trained_items = np.bincount(parts[0].items, minlength=len(items.ids)) > 0
    fitted = FeatureEncoders(
        FeatureEncoder.fit("user", schema.user, users.columns, users.ids, trained_users),
        FeatureEncoder.fit("item", schema.item, items.columns, items.ids, trained_items),
    )
    names = item_names(items.columns, raw.item_name, items.ids)
    lists = None if raw.exposed is None else (log[raw.exposed], log.at(raw.exposed))
    return Dataset(
        fitted,
        fitted.user.encode(users.columns, users.ids),
        fitted.item.encode(items.columns, items.ids, names),
        *parts,
        positive=positive,
        timestamp=raw.timestamp,
        item_name=raw.item_name,
        weight=raw.weight,
        shown=partial(exposed_items, pairs, labels, lists),
        remake=partial(_build, raw, positive),
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
