"""What each user clicked before a moment, oldest click first. Chapter 3.

A history holds rows of the embedding of item ids, not rows of the item table: rows of the
table change when an item retires, rows of the embedding stay. A click on an item without a
row of its own is left out of histories.

The histories of a data set are one array, sorted by user and time. The history of a click is
a slice of this array, so nothing is stored for each click.
"""

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

import numpy as np

from minitower.data.columns import as_array
from minitower.data.errors import DataError, Place, show
from minitower.data.feature_encoder import FeatureEncoder
from minitower.data.interactions import Dataset
from minitower.data.log import Interactions
from minitower.data.schema import HISTORY
from minitower.data.table import Ragged, Table
from minitower.formulas.arrays import Array


def clicks_before(data: Dataset, split: str) -> Ragged:
    """All clicks of each user before a split, oldest first.

    "train": the clicks of earlier days; "valid": train too; "test": and valid; "all": and test.
    Without time stamps, clicks have the order of the log.

    Raises:
        DataError: the split is unknown.
    """
    return _Clicks(data, data.before(split)).rows


def latest(clicks: Ragged, last: int) -> Ragged:
    """The last clicks of each user.

    >>> latest(Ragged.from_counts([3, 1], [7, 8, 9, 5]), 2).values
    array([8, 9, 5], dtype=int32)
    """
    end = clicks.indptr[1:]
    return clicks.slices(np.maximum(clicks.indptr[:-1], end - last), end)


def kept(clicks: Ragged, mask: Array) -> Ragged:
    """The clicks where the mask holds."""
    before = np.concatenate([[0], np.cumsum(mask)])
    return Ragged(before[clicks.indptr], clicks.values[mask])


def with_histories(users: Table, clicks: Ragged, last: int) -> Table:
    """The table of users with a column of histories: the last clicks of each user."""
    return replace(users, columns={**users.columns, HISTORY: latest(clicks, last)})


class TrainingHistories:
    """The history of each training click: what its user clicked before.

    With time stamps the history holds clicks of strictly earlier time: neither the click itself
    nor another click of the same second. Without time stamps it holds the other clicks of the
    user (leave one out), and no copy of the item that is clicked.

    Args:
        data: its training positives, and the clicks of earlier days.
        last: k, the length of the longest history.
        others: leave one out with time stamps, too.
    """

    def __init__(self, data: Dataset, last: int, *, others: bool = False) -> None:
        self._clicks, self._last = _Clicks(data, [data.train]), last
        self._timed = self._clicks.times is not None and not others
        self._row_of_item = item_rows(data)

    def before(self, pairs: Interactions) -> Ragged:
        """The last k clicks of the user of each pair before the pair, or beside it.

        Shapes: n pairs->n histories
        """
        clicks, last = self._clicks, self._last
        first, end = clicks.rows.indptr[pairs.users], clicks.rows.indptr[pairs.users + 1]
        if self._timed and pairs.timestamps is not None:
            end = clicks.end_before(pairs.users, pairs.timestamps)
            return clicks.rows.slices(np.maximum(first, end - last), end)
        longer = clicks.rows.slices(np.maximum(first, end - last - 1), end)
        target = np.repeat(self._row_of_item[pairs.items], longer.counts)
        return latest(kept(longer, longer.values != target), last)


class _Clicks:
    """Clicks sorted by user, then by time.

    Attributes:
        rows: of each user, rows of the embedding of item ids, oldest first.
        times: (t,) the distinct times, ascending; None without time stamps.
    """

    def __init__(self, data: Dataset, parts: list[Interactions]) -> None:
        n, row_of_item = len(data.users), item_rows(data)
        users = np.concatenate([np.empty(0, np.int64), *(part.users for part in parts)])
        rows = np.concatenate([np.empty(0, np.int32), *(row_of_item[p.items] for p in parts)])
        stamps = [part.timestamps for part in parts]
        self.times: Array | None = None
        rank = np.zeros(len(users), np.int64)
        if all(times is not None for times in stamps):
            together = np.concatenate([np.empty(0), *stamps])
            self.times, rank = np.unique(together, return_inverse=True)
        if data.recent is not None:  # earlier than all times
            owner = np.repeat(np.arange(n), data.recent.counts)
            users = np.concatenate([owner, users])
            rows = np.concatenate([data.recent.values, rows])
            rank = np.concatenate([np.full(len(owner), -1), rank])
        own = rows > 0
        users, rows, rank = users[own], rows[own], rank[own]
        order = np.lexsort((rank, users))  # stable: the order of the log within one moment
        self.rows = Ragged.from_counts(np.bincount(users, minlength=n), rows[order])
        self._keys = self._key(users, rank)[order]

    def end_before(self, users: Array, times: Array) -> Array:
        """Where the clicks of each user before a time end. Shapes: (n),(n)->(n)"""
        assert self.times is not None
        rank = np.searchsorted(self.times, times)
        return np.searchsorted(self._keys, self._key(users, rank))

    def _key(self, users: Array, rank: Array) -> Array:
        """One integer for each user and rank of a time, in the order of (user, rank)."""
        ranks = 2 if self.times is None else len(self.times) + 2
        return users * ranks + rank + 1


def item_rows(data: Dataset) -> Array:
    """(m,) int32: of each item, the row of the embedding of item ids."""
    rows = data.items.columns[data.schema.item.id_name]
    assert isinstance(rows, np.ndarray)
    return rows


def read_history(items: FeatureEncoder, ids: Any, last: int) -> Array:
    """The history that the profile of a user gives: its item ids as rows of the embedding.

    Args:
        items: the encoder of the item side.
        ids: item ids, oldest click first; ids without a row of their own are left out.
        last: length of the longest history.

    Raises:
        DataError: not a list of ids, or ids of another type than the items'.
    """
    if ids is None:
        return np.empty(0, np.int32)
    one_value = isinstance(ids, str | bytes | Mapping | Set) or not hasattr(ids, "__len__")
    if one_value or getattr(ids, "ndim", 1) != 1:
        raise DataError(
            f"profile: field '{HISTORY}': expected item ids, oldest click first, got {show(ids)}"
        )
    place = Place("profile", HISTORY)
    rows = items.vocabulary(items.id_name).encode(as_array(ids, place), place)
    return rows[rows > 0][-last:]
