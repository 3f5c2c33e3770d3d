"""Clicks fill steps: they wait, as rows of the tables, until a step is full. Chapter 13."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitower.data import DataError, Dataset, Interactions
from minitower.formulas.arguments import as_floats
from minitower.towers.two_tower import TwoTower
from minitower.updating.report import id_rows
from minitower.updating.streams import Events


class StepBuffer:
    """Translates clicks to table rows, and buffers them until they fill a step.

    The steps depend on the sequence of clicks alone, however the sequence is cut into pieces.
    Clicks on items outside the table are dropped and counted.

    A step holds rows of the users (-1 for an id outside the table) and rows of the items. Where
    the data set has a column of weights, a step holds the weights of its clicks, too.

    Args:
        model: the full model; it decides which users have an embedding of their own.
        data: the tables of users and items.
        size: clicks a step, >= 2.

    Attributes:
        waiting: the buffered clicks.
        unknown_users: clicks of users without an embedding of their own.
        unknown_items: dropped clicks.
    """

    def __init__(self, model: TwoTower, data: Dataset, size: int) -> None:
        self.size, self.unknown_users, self.unknown_items = size, 0, 0
        self._embedding_rows = id_rows(model, "user", data.users)
        self._data = data
        weights = None if data.weight is None else np.empty(0)
        self.waiting = Interactions(np.empty(0, np.int64), np.empty(0, np.int64), None, weights)
        self._latest = -np.inf

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, events: Events) -> list[Interactions]:
        """The full steps after some more clicks.

        Raises:
            DataError: the clicks are not in time order, ids are of another type, or only one
                of the clicks and the data set has weights.
        """
        clicks = [np.asarray(part) for part in (events.users, events.items, events.timestamps)]
        weights = events.weights
        if (weights is None) != (self._data.weight is None):
            raise DataError(
                f"events: weights are missing, but column '{self._data.weight}' weighs the clicks"
                if weights is None
                else "events: have weights, but the data set has no column of weights"
            )
        if weights is not None:
            clicks.append(weights := as_floats("weights", weights))
            if not (weights >= 0).all():
                raise DataError("events: weights must be at least 0")
        if len({part.shape for part in clicks}) > 1 or clicks[0].ndim != 1:
            raise DataError("events: users, items and timestamps must be vectors of one length")
        times = np.append(self._latest, as_floats("timestamps", events.timestamps))
        if (np.diff(times) < 0).any():
            raise DataError(f"event {int((np.diff(times) < 0).argmax())} is older than the last")
        users = self._data.users.rows_of(events.users)
        items = self._data.items.rows_of(events.items)
        self._latest = times[-1]
        own = (users >= 0) & (self._embedding_rows[users] != 0)
        self.unknown_users += int(np.count_nonzero(~own))
        self.unknown_items += int(np.count_nonzero(items < 0))
        known = Interactions(users, items, None, weights).take(items >= 0)
        clicked = _joined(self.waiting, known)
        end = len(clicked) - len(clicked) % self.size
        self.waiting = clicked.take(slice(end, None))
        return [clicked.take(slice(i, i + self.size)) for i in range(0, end, self.size)]

    def rest(self) -> Interactions | None:
        """The buffered clicks as one short step, which leaves the buffer empty.

        None where fewer than two are buffered: one click has no negative, and stays.
        """
        if len(self) < 2:
            return None
        step = self.waiting
        self.waiting = step.take(slice(0, 0))
        return step


def _joined(first: Interactions, second: Interactions) -> Interactions:
    """Interactions that have the same columns, one after the other."""
    joined: dict[str, Any] = {
        name: None if column is None else np.concatenate([column, getattr(second, name)])
        for name, column in vars(first).items()
    }
    return Interactions(**joined)
