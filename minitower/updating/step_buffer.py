"""Clicks in time order, cut into training steps of one size."""

from __future__ import annotations

import numpy as np

from minitower.data import DataError, Dataset
from minitower.formulas.arguments import floats
from minitower.formulas.arrays import Array
from minitower.towers.two_tower import TwoTower
from minitower.updating.streams import Events
from minitower.updating.update_report import id_rows

Step = tuple[Array, Array]
"""Shapes (n,),(n,): rows of the users (-1 for an id outside the table) and of the items."""


class StepBuffer:
    """Translates clicks to table rows, and buffers them until they fill a step.

    The steps depend on the sequence of clicks alone, however the sequence is cut into pieces.
    Clicks on items outside the table are dropped and counted.

    Args:
        model: the full model; it decides which users have an embedding of their own.
        data: the tables of users and items.
        size: clicks a step, >= 2.

    Attributes:
        unknown_users: clicks of users without an embedding of their own.
        unknown_items: dropped clicks.
    """

    def __init__(self, model: TwoTower, data: Dataset, size: int) -> None:
        self.size, self.unknown_users, self.unknown_items = size, 0, 0
        self._users_table, self._items_table = data.users, data.items
        self._embedding_rows = id_rows(model, "user", data.users)
        self._users, self._items = np.empty(0, np.int64), np.empty(0, np.int64)
        self._latest = -np.inf

    def __len__(self) -> int:
        return len(self._items)

    def add(self, events: Events) -> list[Step]:
        """The full steps after some more clicks.

        Raises:
            DataError: the clicks are not in time order, or ids are of another type.
        """
        clicks = [np.asarray(part) for part in (events.users, events.items, events.timestamps)]
        if len({part.shape for part in clicks}) > 1 or clicks[0].ndim != 1:
            raise DataError("events: users, items and timestamps must be vectors of one length")
        times = np.append(self._latest, floats("timestamps", events.timestamps))
        if (np.diff(times) < 0).any():
            raise DataError(f"event {int((np.diff(times) < 0).argmax())} is older than the last")
        users = self._users_table.rows_of(events.users)
        items = self._items_table.rows_of(events.items)
        self._latest = times[-1]
        own = (users >= 0) & (self._embedding_rows[users] != 0)
        self.unknown_users += int(np.count_nonzero(~own))
        self.unknown_items += int(np.count_nonzero(items < 0))
        users = np.concatenate([self._users, users[items >= 0]])
        items = np.concatenate([self._items, items[items >= 0]])
        end = len(items) - len(items) % self.size
        self._users, self._items = users[end:], items[end:]
        starts = range(0, end, self.size)
        return [(users[i : i + self.size], items[i : i + self.size]) for i in starts]

    def rest(self) -> Step | None:
        """The buffered clicks as one short step, which leaves the buffer empty.

        None where fewer than two are buffered: one click has no negative, and stays.
        """
        if len(self) < 2:
            return None
        step = self._users, self._items
        self._users, self._items = self._users[:0], self._items[:0]
        return step
