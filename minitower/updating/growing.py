"""Histories that grow with the clicks of a day, without any training. Chapters 3 and 13."""

from __future__ import annotations

from copy import copy

import numpy as np

from minitower.data import Dataset
from minitower.data.histories import item_rows
from minitower.data.schema import HISTORY
from minitower.data.table import Features, Ragged
from minitower.formulas.arrays import Array
from minitower.store.histories import GrownHistories, history_of
from minitower.towers.two_tower import TwoTower


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
            features[HISTORY] = _ragged(
                [self._history(user) if user >= 0 else nothing for user in users.tolist()]
            )
            self._add(users, items)

    def copy(self) -> GrowingHistories:
        """Histories that grow on their own from here."""
        other = copy(self)
        other._grown = dict(self._grown)
        return other

    def grown(self, users: Array, items: Array) -> GrownHistories | None:
        """All histories that have grown, with some more clicks; None: the model reads none."""
        if self._how is None:
            return None
        other = self.copy()
        other._add(users, items)
        rows = np.array(sorted(other._grown), np.int64)
        return rows, _ragged([other._grown[user] for user in rows.tolist()])

    def _add(self, users: Array, items: Array) -> None:
        assert self._how is not None
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
