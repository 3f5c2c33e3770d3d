"""What one training step sees: clicked pairs, as features, drawn in random order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minitower.data import Dataset, Features, Interactions

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Batch:
    """n clicked pairs.

    Attributes:
        users, items: features of the two sides of each pair.
        user_rows, item_rows: (n,) their rows in the data set's tables.
        log_q: (n,) log-probability that one draw from the training positives is
            the item: log of its share of the clicks.
    """

    users: Features
    items: Features
    user_rows: Array
    item_rows: Array
    log_q: Array

    def __len__(self) -> int:
        return len(self.user_rows)


class Batches:
    """The training positives of a data set, an epoch at a time.

    Every positive comes once an epoch, in random order; the last batch may be
    short. Values are replaced by their default row as each field's
    ``default_rate`` says, so that row 0 learns what an unknown value looks like.

    Args:
        data: the data set; its ``train`` positives are read.
        size: pairs a batch, >= 1.

    Raises:
        ValueError: there is nothing to train on, or size < 1.
    """

    def __init__(self, data: Dataset, size: int) -> None:
        if size < 1:
            raise ValueError(f"the batch size must be at least 1, got {size}")
        if not len(data.train):
            raise ValueError("there is no training interaction; does the positive rule pass any?")
        self.data, self.size = data, size
        counts = data.item_counts
        with np.errstate(divide="ignore"):  # never clicked, never in a batch
            self.log_q: Array = np.log(counts / counts.sum())

    def __len__(self) -> int:
        return -(-len(self.data.train) // self.size)

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """All batches of one epoch."""
        order = rng.permutation(len(self.data.train))
        for start in range(0, len(order), self.size):
            yield self.of(self.data.train.take(order[start : start + self.size]), rng)

    def of(self, pairs: Interactions, rng: np.random.Generator) -> Batch:
        """The batch of these pairs."""
        schema = self.data.schema
        return Batch(
            users=schema.user.replace_by_default(self.data.users.take(pairs.users), rng),
            items=schema.item.replace_by_default(self.data.items.take(pairs.items), rng),
            user_rows=pairs.users,
            item_rows=pairs.items,
            log_q=self.log_q[pairs.items],
        )
