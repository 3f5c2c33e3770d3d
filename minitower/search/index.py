"""From a user's vector to the k items of largest inner product: the index, and the exact one.

The score is the inner product; on unit vectors that is the cosine. What training
subtracted from its logits (log q) has no place here: serving ranks by the plain score.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from minitower.data.errors import DataError
from minitower.data.options import option
from minitower.data.ragged import Ragged
from minitower.formulas.arguments import floats
from minitower.formulas.arrays import Rows, Scores, Vectors
from minitower.towers.gradients import first_not_finite

Recalled = tuple[Rows, Scores]

LONGEST = 1 << 14  # places of a list, of a catalogue that has fewer items
_BLOCK = 1 << 21  # scores computed at a time: 8 MB of float32
_PAIRS = 1 << 17  # numbers gathered at a time when pairs are scored


@runtime_checkable
class Index(Protocol):
    """Finds the k best of m items for n queries.

    `search(queries (n,d), k, exclude)` returns rows (n,k) int64 and scores (n,k)
    float64. Item j is never returned for query i if `exclude` holds j in row i.
    Ranking is by score descending, then row ascending; where fewer than k items
    are left, rows are padded with -1 and scores with -inf, which no k beyond 16,384
    and beyond the catalogue may ask for. A query's answer does not depend, to the
    bit, on the other queries of the call.
    """

    @property
    def vectors(self) -> Vectors:
        """The item vectors (m,d) that scores are computed with."""
        ...

    def search(self, queries: Vectors, k: int, exclude: Ragged | None = None) -> Recalled:
        """The k best items of each query."""
        ...


class ExactIndex:
    """Every item is scored for every query; nothing is approximated.

    A blocked product in the vectors' own precision finds, for each query, all items
    that could be among its k best: those whose product lies within the rounding
    error of the k-th best one. Only these few are scored again, in float64 and in
    an order of summation that depends on nothing but the pair, and sorted.

    Shapes: (m,d), float32 or float64; float16 becomes float32, integers float64, here and
    in queries. Memory besides the vectors: 8 MB of scores, or one row of m; where
    everything ties, some twenty times that.

    Raises:
        ValueError: the vectors are not a matrix of real numbers with at least one column,
            or one of them is not finite.

    >>> index = ExactIndex(np.array([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8]]))
    >>> rows, scores = index.search(np.array([[0.0, 1.0]]), k=4)
    >>> rows, scores
    (array([[ 1,  2,  0, -1]]), array([[ 0.8,  0.8,  0. , -inf]]))

    Reference: rounding error of an inner product: N. Higham, Accuracy and Stability
        of Numerical Algorithms, 2002, section 3.1.
    """

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = _finite(vectors, "vectors")

    @property
    def vectors(self) -> Vectors:
        """The item vectors (m,d)."""
        return self._vectors

    @cached_property
    def _longest(self) -> float:
        return float(_lengths(self._vectors).max(initial=0.0))

    def search(self, queries: Vectors, k: int, exclude: Ragged | None = None) -> Recalled:
        """The k best items of each query; see :class:`Index` for the contract.

        Shapes: (n,d)->(n,k),(n,k)

        Raises:
            ValueError: queries of another width or not finite, k that is no whole number
                from 1 to the larger of m and 16,384, or `exclude` with another number of
                rows or with items that do not exist.
        """
        queries = checked_queries(self, queries, k, exclude)
        n, m = len(queries), len(self._vectors)
        rows, scores = empty_recall(n, k)
        step = max(1, _BLOCK // max(m, 1))
        # In float32 unless products would overflow it, or the vectors are finer.
        reach = _lengths(queries) * self._longest
        fits = reach.max(initial=0.0) < float(np.finfo(np.float32).max) / 4
        work = np.result_type(self._vectors, queries, np.float32 if fits else np.float64)
        products = np.empty((min(step, n), m), work)
        for start in range(0, n if m else 0, step):
            block = slice(start, min(start + step, n))
            part = queries[block]
            product = np.matmul(part, self._vectors.T, out=products[: len(part)], dtype=work)
            if exclude is not None:
                product[_excluded(exclude, block)] = -np.inf
            found = _contenders(product, k, reach[block], self._vectors.shape[1])
            rows[block], scores[block] = best_pairs(part, self._vectors, *found, k)
        return rows, scores


def _contenders(products: Vectors, k: int, reach: Scores, width: int) -> tuple[Rows, Rows]:
    """(query, item) pairs, by query, among which every query's k best are.

    A computed product of d terms errs by at most d u |a||b|, u = eps / 2, in any order
    of summation, and by d tiny where it underflows. The k-th best and its contender
    err once each; twice that covers the neglected higher orders.
    """
    limits = np.finfo(products.dtype)
    # Where a length is zero everything ties, and the lowest rows are the best.
    products[reach == 0] -= np.arange(products.shape[1], dtype=products.dtype)
    slack = 2 * width * (float(limits.eps) * reach + float(limits.tiny))
    least = np.maximum(_kth_best_or_less(products, k) - slack, float(limits.min))
    # Rounded down: a bound may not rise above what it bounds.
    least = np.nextafter(least.astype(products.dtype), limits.min)
    return np.divmod(np.flatnonzero(products >= least[:, None]), products.shape[1])


def _excluded(exclude: Ragged, block: slice) -> tuple[Rows, Rows]:
    """(query within the block, item) of everything excluded in a block of queries."""
    indptr = exclude.indptr[block.start : block.stop + 1]
    return (
        np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)),
        exclude.values[indptr[0] : indptr[-1]],
    )


def best_pairs(queries: Vectors, items: Vectors, query_of: Rows, item_of: Rows, k: int) -> Recalled:
    """Score candidate pairs and keep the k best of each query.

    Pairs stand query by query and, within a query, by ascending item.

    Shapes: (n,d),(m,d),(p),(p)->(n,k),(n,k)
    """
    n = len(queries)
    if n == 1 and len(item_of) >= k:  # what follows, without the padding
        score = score_pairs(queries, items, query_of, item_of)
        best = np.argsort(-score, kind="stable")[:k]
        return item_of[None, best], score[None, best]
    counts = np.bincount(query_of, minlength=n)
    place = np.arange(len(query_of)) - np.repeat(counts.cumsum() - counts, counts)
    rows, scores = empty_recall(n, max(k, int(counts.max(initial=0))))
    rows[query_of, place] = item_of
    scores[query_of, place] = score_pairs(queries, items, query_of, item_of)
    # Stable, so that equal scores stay in the ascending order of their items.
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def score_pairs(queries: Vectors, items: Vectors, query_of: Rows, item_of: Rows) -> Scores:
    """Inner products of given pairs in float64, each the same whatever the other pairs.

    Shapes: (n,d),(m,d),(p),(p)->(p)
    """
    scores = np.empty(len(query_of))
    for part in _parts(len(query_of), max(1, _PAIRS // queries.shape[1])):
        # Contiguous float64 operands: einsum then sums each row on its own, unbuffered.
        a = queries[query_of[part]].astype(np.float64)
        b = items[item_of[part]].astype(np.float64)
        np.einsum("pd,pd->p", a, b, out=scores[part])
    return scores


def empty_recall(n: int, k: int) -> Recalled:
    """Rows of -1 and scores of -inf, to be filled in. Shapes: ()->(n,k),(n,k)."""
    return np.full((n, k), -1, dtype=np.int64), np.full((n, k), -np.inf)


def checked_k(k: Any, most: int | None = None) -> int:
    """The length of a list.

    Raises:
        DataError: k is no integer, less than 1, or more than `most`.
    """
    checked = option("k", k, 1)
    if most is not None and checked > most:
        raise DataError(f"k must be at most {most}, got {k}")
    return checked


def checked_queries(index: Index, queries: Vectors, k: int, exclude: Ragged | None) -> Vectors:
    """The queries as a float matrix, after everything that a search must refuse."""
    queries = _finite(queries, "queries")
    m, width = index.vectors.shape
    if queries.shape[1] != width:
        raise ValueError(f"queries have {queries.shape[1]} dimensions, the items have {width}")
    checked_k(k, max(m, LONGEST))
    if exclude is not None:
        if len(exclude) != len(queries):
            raise ValueError(f"exclude has {len(exclude)} rows for {len(queries)} queries")
        if exclude.values.min(initial=0) < 0 or exclude.values.max(initial=-1) >= m:
            raise ValueError(f"exclude names an item outside 0..{m - 1}")
    return queries


def _kth_best_or_less(products: Vectors, k: int) -> Scores:
    """A bound that at least k entries of each row reach, if it has k. (n,m)->(n).

    The k-th largest maximum over disjoint groups of columns: k groups reach it, so k
    entries do. It costs one pass at memory speed where selecting among all entries
    costs ten, and with many more groups than k it lies just below the k-th best.
    """
    n, m = products.shape
    if m <= k:
        return np.full(n, -np.inf)
    group = min(16, max(1, m // (4 * k)))
    groups = m // group
    best = products[:, : groups * group].reshape(n, group, groups).max(axis=1)
    kth: Scores = np.partition(best, groups - k, axis=1)[:, groups - k].astype(np.float64)
    return kth


def _parts(n: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def _lengths(vectors: Vectors) -> Scores:
    """(n,d)->(n) in float64, without squares that overflow."""
    size = np.abs(vectors).max(axis=1, initial=0).astype(np.float64)
    scaled = vectors / np.where(size > 0, size, 1)[:, None]
    lengths: Scores = size * np.sqrt(np.einsum("nd,nd->n", scaled, scaled))
    return lengths


def _finite(vectors: Vectors, name: str) -> Vectors:
    vectors = floats(name, vectors)
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise ValueError(f"{name} must be of shape (n,d) with d >= 1, got {vectors.shape}")
    vectors = np.ascontiguousarray(vectors)
    if first_not_finite([(name, vectors)]):
        row = int(np.isfinite(vectors).all(axis=1).argmin())
        raise ValueError(f"{name}: row {row} is not finite")
    return vectors
