"""Pairs of a user and an item, with their times and weights. Chapter 4."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from minitower.data.table import Ragged
from minitower.formulas.arrays import Array


@dataclass(frozen=True, eq=False)
class Interactions:
    """Pairs of a user and an item.

    Args:
        users, items: (n,) int64 rows of the tables of users and items.
        timestamps: (n,) float64 seconds, or None.
        weights: (n,) float64 weight of each pair in the loss, >= 0; None: all 1.
    """

    users: Array
    items: Array
    timestamps: Array | None = None
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: Any) -> "Interactions":
        """The given interactions (indices, or a mask)."""
        times, weights = self.timestamps, self.weights
        return Interactions(
            self.users[rows],
            self.items[rows],
            None if times is None else times[rows],
            None if weights is None else weights[rows],
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
