"""Histories of users in a store: in the table of users, in a profile, and as they grow.

The table of users of a store holds a column of histories if its model reads them: the latest
clicks of each user, as rows of the embedding of item ids. An incremental version holds the
histories that have grown since its full version.

Chapters 3 and 15.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np

from minitower.data.histories import item_rows, read_history
from minitower.data.interactions import Dataset
from minitower.data.schema import HISTORY
from minitower.data.table import Features, Ragged, Table
from minitower.formulas.arrays import Array
from minitower.towers.two_tower import TwoTower

GrownHistories = tuple[Array, Ragged]
"""(u,) distinct rows of the table of users, ascending, and the history of each."""


def history_of(users: Features) -> Ragged:
    """The column of histories.

    Raises:
        ValueError: the users have none.
    """
    column = users.get(HISTORY)
    if not isinstance(column, Ragged):
        raise ValueError(f"users: the model reads the column '{HISTORY}', which is missing")
    return column


def without_history(users: Table, model: TwoTower) -> tuple[Table, Ragged | None]:
    """The table as a data set holds it, and the histories apart; None: the model reads none."""
    if model.history is None:
        return users, None
    columns = {name: column for name, column in users.columns.items() if name != HISTORY}
    return replace(users, columns=columns), history_of(users.columns)


def add_given(
    model: TwoTower, features: Features, profiles: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Append the clicks that profiles give to the histories, in place.

    An item that both hold counts once, as the newest.

    Args:
        model: reads a history.
        features: of the users, with their histories.
        profiles: of all users, or none.

    Returns:
        The profiles without their histories.

    Raises:
        DataError: a given history is no list of item ids.
    """
    assert model.history is not None
    known, last = history_of(features), model.history.last
    rows, given = list[int](), list[Array]()
    for i, profile in enumerate(profiles):
        if HISTORY in profile:
            clicks = read_history(model.encoders.item, profile[HISTORY], last)
            before = known.row(i)
            before = before[(before > 0) & ~np.isin(before, clicks)]
            rows.append(i)
            given.append(np.concatenate([before, clicks])[-last:])
    if rows:
        features[HISTORY] = replaced(known, np.array(rows), _ragged(given))
    return [{n: v for n, v in profile.items() if n != HISTORY} for profile in profiles]


def replaced(histories: Ragged, rows: Array, by: Ragged) -> Ragged:
    """The histories, those of some rows replaced."""
    source = np.arange(len(histories))
    source[rows] = len(histories) + np.arange(len(rows))
    counts = np.concatenate([histories.counts, by.counts])
    return Ragged.from_counts(counts, np.concatenate([histories.values, by.values])).take(source)


class GrowingHistories:
    """The histories of a data set, and of each user the clicks since then.

    Args:
        model: of a model that reads no history, nothing grows.
        data: its tables, and all clicks of its users so far.

    Attributes:
        users: the table of users, with their histories before the day.
    """

    def __init__(self, model: TwoTower, data: Dataset) -> None:
        self.users, self._how = model.users(data), model.history
        self._row_of_item = item_rows(data)
        self._grown: dict[int, Array] = {}

    def learn(self, features: Features, users: Array, items: Array) -> None:
        """Write the histories before a step to its features, then append the step's clicks.

        Args:
            features: of the users; changed in place.
            users: (n,) rows of the users; -1, an unknown user, has an empty history.
            items: (n,) rows of the clicked items.
        """
        if self._how is not None:
            nothing = np.empty(0, np.int32)
            histories = [self._history(user) if user >= 0 else nothing for user in users.tolist()]
            features[HISTORY] = _ragged(histories)
            self._add(users, items)

    def copy(self) -> "GrowingHistories":
        """Histories that grow on their own from here."""
        other = copy(self)
        other._grown = dict(self._grown)
        return other

    def grown(self, users: Array, items: Array) -> GrownHistories | None:
        """All histories that have grown, with some more clicks; None: no history has."""
        other = self.copy()
        other._add(users, items)
        if not other._grown:
            return None
        rows = np.array(sorted(other._grown), np.int64)
        return rows, _ragged([other._grown[user] for user in rows.tolist()])

    def _add(self, users: Array, items: Array) -> None:
        if self._how is None:
            return
        for user, item in zip(users.tolist(), self._row_of_item[items].tolist(), strict=True):
            if user >= 0 and item > 0:
                history = np.append(self._history(user), np.int32(item))
                self._grown[user] = history[-self._how.last :]

    def _history(self, user: int) -> Array:
        grown = self._grown.get(user)
        return history_of(self.users.columns).row(user) if grown is None else grown


def _ragged(rows: list[Array]) -> Ragged:
    values = np.concatenate([np.empty(0, np.int32), *rows])
    return Ragged.from_counts([len(row) for row in rows], values)
