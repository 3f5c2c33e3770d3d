"""How good are the recalls: one evaluator over the whole catalogue.

Every user with something to find is ranked against every item, what they met
before left out. Nothing is sampled, and no number depends on a batch size.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from minitower.data.encoding import Features, FittedSchema
from minitower.data.errors import DataError
from minitower.data.interactions import Dataset
from minitower.data.ragged import Array
from minitower.evaluation.encode import check_same_schema, encode
from minitower.formulas import arguments, popularity, ranking
from minitower.search.index import ExactIndex, Index, Vectors, checked_k

ACCURACY = {
    "recall": ranking.recall,
    "ndcg": ranking.ndcg,
    "hit_rate": ranking.hit_rate,
    "mrr": ranking.mrr,
    "map": ranking.mean_average_precision,
    "precision": ranking.precision,
    "recall_capped": ranking.recall_capped,
}

_USERS = 1 << 15  # users ranked at a time: bounds memory, changes nothing else


class Model(Protocol):
    """What is evaluated: two towers."""

    schema: FittedSchema

    def user(self, features: Features) -> tuple[Array, Any]:
        """User vectors, and their backward."""
        ...

    def item(self, features: Features) -> tuple[Array, Any]:
        """Item vectors, and their backward."""
        ...


class Scorer(Protocol):
    """Anything else whose score of a user and an item is an inner product."""

    def vectors(self, data: Dataset) -> tuple[Vectors, Vectors]:
        """One vector for every user and every item of the data set."""
        ...


class PopularityScorer:
    """The baseline "most popular": everybody's score of an item is its training clicks."""

    def vectors(self, data: Dataset) -> tuple[Vectors, Vectors]:
        """Users are 1, items are their clicks: an inner product like any other."""
        return np.ones((len(data.users), 1)), data.item_counts.astype(np.float64)[:, None]


@dataclass(frozen=True)
class SliceReport:
    """Recall of one popularity slice of the catalogue.

    Attributes:
        name: "new" (no training click), or the clicks its items have.
        items, positives: how many of each it holds.
        recall: by k; None where nobody has a positive in the slice.
    """

    name: str
    items: int
    positives: int
    recall: dict[int, float | None]


@dataclass(frozen=True)
class Report:
    """What an evaluation found; `report["recall@20"]` is one number of it.

    Attributes:
        split: the part of the data set.
        index: "exact", or the engine of the index that ranked, such as "hnsw".
        users: users with at least one positive, over whom the means are taken.
        users_without_positives: the other users, left out of every mean.
        positives: distinct (user, item) pairs to find.
        repeated: pairs left out because the user had met the item before the split:
            such items are never ranked.
        k: the cutoffs.
        metrics: "recall@20" and so on, for ndcg, hit_rate, mrr, map, precision,
            recall_capped, coverage, gini and novelty.
        slices: recall by popularity, rarest items first.
        seconds: how long it took.
    """

    split: str
    index: str
    users: int
    users_without_positives: int
    positives: int
    repeated: int
    k: tuple[int, ...]
    metrics: dict[str, float]
    slices: tuple[SliceReport, ...]
    seconds: float = field(compare=False)

    def __getitem__(self, name: str) -> float:
        return self.metrics[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        names = dict.fromkeys(name.partition("@")[0] for name in self.metrics)
        rows = [(name, [self.metrics[f"{name}@{k}"] for k in self.k]) for name in names]
        head = "".join(f"{f'@{k}':>9}" for k in self.k)
        lines = [
            f"{self.split}: {self.users:,} users, {self.positives:,} positives, "
            f"{self.index} index, {self.seconds:.1f} s",
            f"{'':24}{head}",
            *(f"{name:24}" + "".join(f"{v:9.4f}" for v in values) for name, values in rows),
            f"{'recall by popularity':24}",
        ]
        for part in (s for s in self.slices if s.items):
            cells = ["" if v is None else f"{v:.4f}" for v in part.recall.values()]
            lines.append(f"  {part.name:22}" + "".join(f"{cell:>9}" for cell in cells))
        return "\n".join(lines)


class NothingToFind(DataError):
    """A split without a positive that its user had not met before."""


class Evaluator:
    """Everything about a split that does not depend on the model, worked out once.

    Args:
        data: the data set.
        split: "train", "valid" or "test". Items a user met in earlier parts are left out.
        k: cutoffs, each >= 1. Beyond the catalogue, a cutoff is the catalogue.
        slices: how many popularity slices with equal shares of the positives, or the
            quantiles of items, such as (0.5, 0.8), to cut at.
        users: rows of the users to judge, such as those without history; None is all.

    Raises:
        NothingToFind: these users have no positives in the split that they had not met before.
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
        # A pair is one whole number, user * m + item: sets of pairs are sorted arrays.
        pairs = np.unique(positives.users * m + positives.items)
        if users is not None:
            users = arguments.rows("users", users, len(data.users))
            pairs = pairs[np.isin(pairs // m, users)]
        self.asked = len(data.users) if users is None else len(np.unique(users))
        met = np.repeat(np.arange(len(seen)), seen.counts) * m + seen.values
        fresh = pairs[~_contains(met, pairs)]
        self.repeated = len(pairs) - len(fresh)
        if not len(fresh):
            whose = "" if users is None else " of these users"
            raise NothingToFind(
                f"the {split} split has no positives{whose}: there is nothing to evaluate"
            )
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
        self.counts_by_slice = self.slices.count(fresh % m, place, len(self.users))

    def __call__(self, model: Model | Scorer, index: Index | None = None) -> Report:
        """Rank and measure.

        Args:
            model: the towers, or any scorer by inner products.
            index: what ranks; None is an exact index of the model's item vectors.

        Raises:
            DataError: the model was fitted to other data.
            ValueError: the index holds other vectors than the model makes.
        """
        start = time.perf_counter()
        users, items = self._vectors(model)
        if index is None:
            index = ExactIndex(items)
        elif index.vectors.shape != items.shape or not np.allclose(
            index.vectors, items, rtol=1e-4, atol=1e-5
        ):
            raise ValueError("the index holds other item vectors than the model makes: rebuild it")
        recalled, hits = self._rank(users, index)
        return Report(
            split=self.split,
            index=getattr(index, "name", type(index).__name__),
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
            users = arguments.floats("user vectors", users)
            return users[self.users], arguments.floats("item vectors", items)
        check_same_schema(model.schema, self.data.schema)
        users = encode(model.user, self.data.users, self.users)
        return users, encode(model.item, self.data.items)

    def _ranks(self) -> list[int]:
        """The ranks that each cutoff looks at."""
        return [min(k, len(self.data.items)) for k in self.k]

    def _rank(self, users: Vectors, index: Index) -> tuple[Array, Array]:
        """Recalled rows (n,k) and whether each is a positive (n,k), for the largest k there is."""
        n, m, k = len(self.users), len(self.data.items), self._ranks()[-1]
        recalled, hits = np.empty((n, k), np.int32), np.empty((n, k), np.bool_)
        for start in range(0, n, _USERS):
            block = np.arange(start, min(start + _USERS, n))
            rows, _ = index.search(users[block], k, self.seen.take(block))
            recalled[block] = rows
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
    model: Model | Scorer,
    data: Dataset,
    *,
    split: str = "test",
    k: Iterable[int] = (10, 20, 50, 100),
    index: Index | None = None,
    slices: int | Sequence[float] = 5,
    users: Array | None = None,
) -> Report:
    """Rank the whole catalogue for every user of a split, and measure.

    Args:
        model, index: as in :meth:`Evaluator.__call__`.
        data, split, k, slices, users: as in :class:`Evaluator`, which is the thing to keep
            when many models, or one model many times, are evaluated on a split.
    """
    return Evaluator(data, split, k, slices, users)(model, index)


def _contains(ascending: Array, values: Array) -> Array:
    """Whether each value is in a sorted array, which np.isin would sort again."""
    place = np.searchsorted(ascending, values)
    found: Array = np.append(ascending, -2)[place] == values
    return found
