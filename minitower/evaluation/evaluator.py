"""Evaluate recall over the whole catalogue. Chapter 1.

For every user with positives, all items are ranked, except those that the user saw before the
split. Nothing is sampled, and no number depends on a batch size.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np

from minitower.data.errors import DataError
from minitower.data.feature_encoder import FeatureEncoders
from minitower.data.interactions import Dataset
from minitower.data.table import Features, Ragged, Table
from minitower.evaluation.encode import check_same_schema, encode
from minitower.evaluation.report import ACCURACY, Report, SliceReport
from minitower.formulas import arguments, popularity, ranking
from minitower.formulas.arrays import Array, Vectors, distinct
from minitower.search.index import ExactIndex, Index, checked_k

_USERS = 1 << 15  # users ranked at a time: bounds memory, does not change any answer


class Model(Protocol):
    """Two towers to evaluate."""

    encoders: FeatureEncoders

    def user(self, features: Features) -> tuple[Array, Any]:
        """User vectors, and their backward."""
        ...

    def item(self, features: Features) -> tuple[Array, Any]:
        """Item vectors, and their backward."""
        ...


class Scorer(Protocol):
    """Any other vectors of users and items; the score of a pair is their inner product."""

    def vectors(self, data: Dataset) -> tuple[Vectors, Vectors]:
        """One vector for every user and every item of the data set."""
        ...


@runtime_checkable
class HistoryScorer(Protocol):
    """Recalls from the items of a history, such as a baseline of
    :mod:`minitower.evaluation.baselines`."""

    def search(
        self, histories: Ragged, k: int, exclude: Ragged | None = None
    ) -> tuple[Array, Array]:
        """Rows (n,k), best first and padded with -1, and their scores (n,k)."""
        ...


class PopularityScorer:
    """The baseline "most popular": the score of an item is its number of training clicks."""

    def vectors(self, data: Dataset) -> tuple[Vectors, Vectors]:
        """The vector of a user is 1, that of an item its number of clicks."""
        return np.ones((len(data.users), 1)), data.item_counts.astype(np.float64)[:, None]


class NothingToFind(DataError):
    """The split has no positive that is new to its user."""


class Evaluator:
    """An evaluation of one split. What does not depend on the model is computed once.

    Args:
        data: the data set.
        split: "train", "valid" or "test". Items that a user saw in earlier parts are excluded.
        k: cutoffs, each >= 1. A cutoff above the number of items means all items.
        slices: the number of popularity slices with equal shares of the positives; or the
            quantiles of items to cut at, such as (0.5, 0.8).
        users: rows of the users to evaluate, such as those without history; None is all.

    Raises:
        NothingToFind: no user has a new positive in the split.
        DataError: a cutoff is below 1.
        ValueError: `users` are not rows of the table of users.
    """

    def __init__(
        self,
        data: Dataset,
        split: str = "test",
        k: Iterable[int] = (10, 20, 50, 100),
        slices: int | Sequence[float] = 5,
        users: Array | None = None,
    ) -> None:
        self.data, self.split = data, split
        self.k = tuple(sorted({checked_k(cutoff) for cutoff in k}))
        if not self.k:
            raise DataError("k is empty: evaluation needs a cutoff")
        m, seen = len(data.items), data.seen(split)
        positives = data.split(split)
        # A pair is one integer, user * m + item, so a set of pairs is a sorted array.
        pairs = distinct(positives.users * m + positives.items)
        if users is not None:
            users = arguments.as_rows("users", users, len(data.users))
            pairs = pairs[np.isin(pairs // m, users)]
        self.asked = len(data.users) if users is None else len(np.unique(users))
        before = np.repeat(np.arange(len(seen)), seen.counts) * m + seen.values
        fresh = pairs[~_contains(before, pairs)]
        self.repeated = len(pairs) - len(fresh)
        if not len(fresh):
            whose = "" if users is None else " of these users"
            raise NothingToFind(f"the {split} split has no new positives{whose} to find")
        self.users, place = np.unique(fresh // m, return_inverse=True)
        self.seen = seen.take(self.users)
        self.pairs = place * m + fresh % m
        self.counts = np.bincount(place)
        clicks, found = data.item_counts, np.bincount(fresh % m, minlength=m)
        if np.ndim(slices):
            self.slices = popularity.slices_by_items(clicks, slices)
        else:
            n_slices = arguments.strict_integer("slices", slices, 1)  # type: ignore[arg-type]
            self.slices = popularity.slices_by_positives(clicks, found, n_slices)
        self._users_by_last: dict[int, Table] = {}
        self.counts_by_slice = self.slices.count(fresh % m, place, len(self.users))

    def __call__(self, model: Model | Scorer | HistoryScorer, index: Index | None = None) -> Report:
        """Rank and measure.

        Args:
            model: the towers, any scorer by inner products, or a scorer by histories. The
                history of a user is what the user saw before the split.
            index: of the model's item vectors; None is an exact index.

        Raises:
            DataError: the model was trained on other data.
            ValueError: the index holds other vectors than the model makes, or goes with a
                scorer by histories.
        """
        start = time.perf_counter()
        if isinstance(model, HistoryScorer):
            if index is not None:
                raise ValueError("a scorer by histories searches by itself: give it no index")
            found, name = partial(self._from_history, model), "exact"
        else:
            users, items = self._vectors(model)
            if index is None:
                index = ExactIndex(items)
            elif index.vectors.shape != items.shape or not np.allclose(
                index.vectors, items, rtol=1e-4, atol=1e-5
            ):
                raise ValueError(
                    "the index holds other item vectors than the model makes: rebuild it"
                )
            found = partial(self._from_vectors, users, index)
            name = getattr(index, "name", type(index).__name__)
        recalled, hits = self._rank(found)
        return Report(
            split=self.split,
            index=name,
            users=len(self.users),
            users_without_positives=self.asked - len(self.users),
            positives=len(self.pairs),
            repeated=self.repeated,
            k=self.k,
            metrics=self._metrics(recalled, hits),
            slices=self._slice_reports(recalled, hits),
            seconds=time.perf_counter() - start,
        )

    def _vectors(self, model: Model | Scorer) -> tuple[Vectors, Vectors]:
        """Vectors of the users with positives, and of all items."""
        if hasattr(model, "vectors"):
            users, items = model.vectors(self.data)
            users = arguments.as_floats("user vectors", users)
            return users[self.users], arguments.as_floats("item vectors", items)
        check_same_schema(model.encoders, self.data.schema)
        users = encode(model.user, self._users_table(model), self.users)
        return users, encode(model.item, self.data.items)

    def _users_table(self, model: Model) -> Table:
        """The users with the histories that the model reads, which end before the split."""
        history = getattr(model, "history", None)
        if history is None:
            return self.data.users
        if history.last not in self._users_by_last:
            self._users_by_last[history.last] = model.users(self.data, self.split)  # type: ignore[attr-defined]
        return self._users_by_last[history.last]

    def _ranks(self) -> list[int]:
        """The number of ranks of each cutoff."""
        return [min(k, len(self.data.items)) for k in self.k]

    def _from_vectors(self, users: Vectors, index: Index, block: Array, k: int) -> Array:
        """The rows recalled for a block of users, by inner products."""
        return index.search(users[block], k, self.seen.take(block))[0]

    def _from_history(self, model: HistoryScorer, block: Array, k: int) -> Array:
        """The rows recalled for a block of users, from what each saw before the split."""
        histories = self.seen.take(block)
        return model.search(histories, k, histories)[0]

    def _rank(self, found: Callable[[Array, int], Array]) -> tuple[Array, Array]:
        """Recalled rows (n,k), and whether each is a positive (n,k), for the largest k.

        Args:
            found: a block of users, k -> the rows recalled (block,k).
        """
        n, m, k = len(self.users), len(self.data.items), self._ranks()[-1]
        recalled, hits = np.empty((n, k), np.int32), np.empty((n, k), np.bool_)
        for start in range(0, n, _USERS):
            block = np.arange(start, min(start + _USERS, n))
            recalled[block] = rows = found(block, k)
            pairs = np.where(rows >= 0, block[:, None] * m + rows, -1)
            hits[block] = _contains(self.pairs, pairs)
        return recalled, hits

    def _metrics(self, recalled: Array, hits: Array) -> dict[str, float]:
        ks = self._ranks()
        values = {name: [f(hits, self.counts, k) for k in ks] for name, f in ACCURACY.items()}
        times = [popularity.times_recalled(recalled[:, :k], len(self.data.items)) for k in self.k]
        clicks = self.data.item_counts
        values["coverage"] = [popularity.coverage(t) for t in times]
        values["gini"] = [popularity.gini(t) for t in times]
        values["novelty"] = [popularity.novelty(t, clicks) for t in times]
        return {f"{name}@{k}": v for name, row in values.items() for k, v in zip(self.k, row)}

    def _slice_reports(self, recalled: Array, hits: Array) -> tuple[SliceReport, ...]:
        of_rank = np.where(hits, self.slices.of_item[recalled], 0)
        by_k = {
            k: ranking.recall_by_slice(hits, of_rank, self.counts_by_slice, ranks)
            for k, ranks in zip(self.k, self._ranks())
        }
        return tuple(
            SliceReport(
                name,
                int(self.slices.items[s]),
                int(self.counts_by_slice[:, s].sum()),
                {k: None if np.isnan(v[s]) else float(v[s]) for k, v in by_k.items()},
            )
            for s, name in enumerate(self.slices.names)
        )


def evaluate(
    model: Model | Scorer | HistoryScorer,
    data: Dataset,
    *,
    split: str = "test",
    k: Iterable[int] = (10, 20, 50, 100),
    index: Index | None = None,
    slices: int | Sequence[float] = 5,
    users: Array | None = None,
) -> Report:
    """Rank all items for every user of a split, and measure.

    Args:
        model, index: as in :meth:`Evaluator.__call__`.
        data, split, k, slices, users: as in :class:`Evaluator`. To evaluate many models on
            one split, keep an Evaluator.
    """
    return Evaluator(data, split, k, slices, users)(model, index)


def _contains(ascending: Array, values: Array) -> Array:
    """Whether each value is in a sorted array; np.isin would sort it again."""
    place = np.searchsorted(ascending, values)
    found: Array = np.append(ascending, -2)[place] == values
    return found
