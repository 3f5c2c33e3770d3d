"""Hard negatives: items that retrieval finds and that are not positives. Chapter 8."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.random import Generator

from minitower.data import Dataset, Interactions
from minitower.data.table import Ragged
from minitower.evaluation.encode import encode
from minitower.formulas.arguments import as_rows, strict_integer
from minitower.formulas.arrays import Array
from minitower.search.index import ExactIndex
from minitower.towers.two_tower import TwoTower
from minitower.training.negatives import NegativeSample, checked_draws


class HardNegatives:
    """k draws, with replacement, from a list of items of each user or each pair.

    The lecture's lists: items that pre-ranking rejected (fairly hard), or items at the end of
    the ranking (hardest). A pair with an empty list gets no negatives.

    Args:
        lists: rows of the item table; a list for each user or each training positive.
        k: draws per pair, 0 to 2^24.
        per: "user" for a list per user, "pair" for a list per training positive.
    Raises ValueError: an argument is outside its domain.

    Reference: lecture, sections 2.1.1 and 2.1.2; docs/08.
    """

    cli_option = None  # an option cannot hold lists

    def __init__(self, lists: Ragged, k: int, *, per: str = "user") -> None:
        if per not in ("user", "pair"):
            raise ValueError(f"per must be user or pair, got {per!r}")
        if lists.values.min(initial=0) < 0:
            raise ValueError(f"lists must hold rows of items, got row {lists.values.min()}")
        self.lists, self.k, self.per = lists, checked_draws("k", k), per

    def draw(self, pairs: Interactions, positions: Array | None, rng: Generator) -> NegativeSample:
        rows = pairs.users if self.per == "user" else positions
        if rows is None:
            raise ValueError("lists of each pair need pairs that are training positives")
        rows = as_rows(f"{self.per} rows with a list", rows, len(self.lists))
        start = self.lists.indptr[rows]
        counts = self.lists.indptr[rows + 1] - start
        pair_index = np.repeat(np.flatnonzero(counts), self.k)
        size = counts[pair_index]
        items = self.lists.values[start[pair_index] + rng.integers(size)]
        return NegativeSample(items, -np.log(size), pair_index, has_hard=len(items) > 0)

    def rebuilt_for(self, model: TwoTower, data: Dataset) -> HardNegatives:
        """Return these negatives; the rows of users and items must be the same in ``data``."""
        if self.per == "pair":
            raise ValueError("hard negatives of each pair belong to their data")
        return self


def exposed_negatives(lists: Ragged, k: int, *, per: str = "user") -> HardNegatives:
    """Take items that were shown and not clicked as negatives, with a warning.

    Reference: lecture, section 2.1.2; J. Huang et al., KDD 2020, section 2.4.
    """
    warnings.warn(
        "an item that was shown and not clicked is no negative for retrieval: it passed every "
        "stage and the user may like it; use it as a negative of the ranking model",
        stacklevel=2,
    )
    return HardNegatives(lists, k, per=per)


class MinedNegatives:
    """k draws from ranks ``first`` to ``last`` of the items that the model itself recalls.

    Many items before rank ``first`` are positives that nobody has clicked yet. Items that the
    user has clicked are never ranked.

    Args:
        model: the model in training.
        data: users, items and their training positives.
        k: draws per pair, 0 to 2^24.
        first, last: ranks, counted from 1.
        every: batches between two searches with the model's current vectors, >= 1.
    Raises ValueError: an argument is outside its domain, or the catalogue ends before ``first``.

    Reference: J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020, section 6.1
        (ranks 101 to 500); docs/08.
    """

    def __init__(
        self,
        model: TwoTower,
        data: Dataset,
        k: int,
        *,
        first: int = 101,
        last: int = 500,
        every: int = 1000,
    ) -> None:
        first, every = strict_integer("first", first, 1), strict_integer("every", every, 1)
        last = strict_integer("last", last, 1)
        if first > last:
            raise ValueError(f"expected first <= last, got {first} and {last}")
        if first > len(data.items):
            raise ValueError(f"rank {first} is beyond the {len(data.items)} items")
        self.model, self.data, self.k = model, data, checked_draws("k", k)
        self.first, self.last, self.every = first, last, every
        self._draws = 0
        self._hard: HardNegatives | None = None

    def draw(self, pairs: Interactions, positions: Array | None, rng: Generator) -> NegativeSample:
        if self._hard is None or self._draws % self.every == 0:
            self._hard = HardNegatives(self._mine(), self.k)
        self._draws += 1
        return self._hard.draw(pairs, positions, rng)

    def _mine(self) -> Ragged:
        """Search the items at these ranks for each user with a training positive."""
        trained = np.unique(self.data.train.users)
        index = ExactIndex(encode(self.model.item, self.data.items))
        known = self.data.seen("valid").take(trained)
        queries = encode(self.model.user, self.model.users(self.data, "valid"), trained)
        ranked, _ = index.search(queries, min(self.last, len(self.data.items)), known)
        ranked = ranked[:, self.first - 1 :]
        counts = np.zeros(len(self.data.users), np.int64)
        counts[trained] = (ranked >= 0).sum(axis=1)  # -1 where fewer items remain
        return Ragged.from_counts(counts, ranked[ranked >= 0])

    @property
    def cli_option(self) -> str | None:
        has_defaults = (self.first, self.last, self.every) == (101, 500, 1000)
        return f"mined:{self.k}" if has_defaults else None

    def rebuilt_for(self, model: TwoTower, data: Dataset) -> MinedNegatives:
        first, last, every = self.first, self.last, self.every
        return MinedNegatives(model, data, self.k, first=first, last=last, every=every)
