"""The log of a simulated recommender: requests, and the fate of every retrieved item.

Chapters 1 and 8.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minitower.data.log import Interactions
from minitower.data.table import Ragged
from minitower.formulas.arrays import Array
from minitower.lab.funnel_features import ids

START = 1_736_121_600  # Monday 6 January 2025, 00:00 UTC

Fate = Literal["dropped", "ranked_low", "unclicked", "clicked"]


@dataclass(frozen=True, eq=False)
class Log:
    """Requests, oldest first, and the fate of every item that retrieval found for them.

    Rows of users and items are rows of the tables, and of a data set made from the complete tables.

    Attributes:
        users: (n,) int64, the row of the user.
        timestamps: (n,) int64 seconds.
        items: (n, retrieved) int32 rows: first the shown items in their order; then those
            ranked too low, best first; then those that pre-ranking dropped, best first.
        ranked: the number of items in each row that pre-ranking kept.
        clicked: (n, exposed) bool, for the shown items.
    """

    users: Array
    timestamps: Array
    items: Array
    ranked: int
    clicked: Array

    def __len__(self) -> int:
        return len(self.users)

    @staticmethod
    def join(logs: Iterable["Log"]) -> "Log":
        """Logs of the same funnel, one after the other."""
        logs = list(logs)
        parts = zip(*((log.users, log.timestamps, log.items, log.clicked) for log in logs))
        users, timestamps, items, clicked = map(np.concatenate, parts)
        return Log(users, timestamps, items, logs[0].ranked, clicked)

    @property
    def exposed(self) -> Array:
        """(n, exposed) int32 rows of the shown items, in their order."""
        return self.items[:, : self.clicked.shape[1]]

    @property
    def hours(self) -> Array:
        """(n,) hour of the day, 0 to 23."""
        return self.timestamps // 3_600 % 24

    @property
    def days(self) -> Array:
        """(n,) day, counted from 0."""
        return (self.timestamps - START) // 86_400

    @property
    def interactions(self) -> dict[str, Array]:
        """``user_id``, ``item_id`` and ``timestamp`` of every click: the positives."""
        request = np.nonzero(self.clicked)[0]
        return {
            "user_id": ids("user", self.users[request]),
            "item_id": ids("item", self.exposed[self.clicked]),
            "timestamp": self.timestamps[request],
        }

    def by_request(self, fate: Fate) -> Ragged:
        """The rows of the items with one fate, for every request.

        Args:
            fate: "dropped" by pre-ranking, "ranked_low": ranked too low to be shown,
                "unclicked": shown and not clicked, or "clicked".

        Raises:
            ValueError: the fate is unknown.
        """
        shown = self.clicked.shape[1]
        if fate in ("dropped", "ranked_low"):
            stage = slice(self.ranked, None) if fate == "dropped" else slice(shown, self.ranked)
            items = self.items[:, stage]
            return Ragged.from_counts(np.full(len(items), items.shape[1]), items.ravel())
        if fate not in ("unclicked", "clicked"):
            raise ValueError(f"expected dropped, ranked_low, unclicked or clicked, got {fate!r}")
        chosen = self.clicked == (fate == "clicked")
        return Ragged.from_counts(chosen.sum(axis=1), self.exposed[chosen])

    def by_click(self, fate: Fate) -> Ragged:
        """The items with one fate in the request of each click.

        Rows are in the order of :attr:`interactions`. A part of a data set keeps this order:
        the training positives of a TimeSplit are the first ``len(data.train)`` rows.
        """
        return self.by_request(fate).take(np.nonzero(self.clicked)[0])

    def by_user(self, fate: Fate, n_users: int) -> Ragged:
        """The distinct items with one fate for every user of the world, ascending.

        An item may have another fate in another request of the same user.
        """
        fates = self.by_request(fate)
        users = np.repeat(self.users, fates.counts)
        return Interactions(users, fates.values).by_user(n_users)
