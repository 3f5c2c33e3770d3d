"""From a user's vector to the k items of largest inner product: the protocol, the exact index.

The score is the inner product; on unit vectors that is the cosine. The correction that
training subtracts from its logits (log q) plays no part here: serving ranks by the plain score.

Chapter 5.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from minitower.data.errors import DataError
from minitower.data.options import option
from minitower.data.table import Ragged
from minitower.formulas.arguments import as_floats
from minitower.formulas.arrays import Array, Rows, Scores, Vectors
from minitower.formulas.threads import buffered_map
from minitower.towers.layers import first_not_finite

SearchResult = tuple[Array, Scores]
"""Items (n,k), best first, and their scores (n,k). Items are rows, or ids where ids were asked."""

MAX_K = 1 << 14  # k may exceed the number of items, up to this
_BLOCK = 1 << 21  # scores computed at a time: 8 MB of float32
_PAIRS = 1 << 17  # numbers gathered at a time when pairs are scored


@runtime_checkable
class Index(Protocol):
    """Finds the k best of m items for n queries.

    `search(queries (n,d), k, exclude)` returns rows (n,k) int64 and scores (n,k) float64.
    Row i of the result holds no item of row i of `exclude`. Items are ranked by descending
    score, then by ascending row. Where fewer than k items remain, the result is padded with
    row -1 and score -inf. k may exceed the catalogue, up to 16,384. To the bit, the result of
    a query does not depend on the other queries of the call.
    """

    @property
    def vectors(self) -> Vectors:
        """The item vectors (m,d) that scores are computed with."""
        ...

    def search(self, queries: Vectors, k: int, exclude: Ragged | None = None) -> SearchResult:
        """The k best items of each query."""
        ...


class ExactIndex:
    """Scores every item for every query.

    A blocked product in the precision of the vectors finds the candidates of each query:
    all items with a product within the rounding error of the k-th best one. Only the
    candidates are scored again, in float64, and sorted. The order of that summation depends
    on the pair alone.

    Shapes: (m,d), float32 or float64. float16 becomes float32 and integers become float64,
    in vectors and in queries. Memory beside the vectors, for each thread: 8 MB, or one row of m
    scores if that is more; about twenty times as much in the worst case, of equal scores.

    Attributes:
        vectors: (m,d) of the items.
        deleted: (m,) boolean, True for deleted items; None before the first deletion.

    Raises:
        ValueError: the vectors are not a matrix of real numbers with at least one column,
            or a vector is not finite.

    >>> index = ExactIndex(np.array([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8]]))
    >>> rows, scores = index.search(np.array([[0.0, 1.0]]), k=4)
    >>> rows, scores
    (array([[ 1,  2,  0, -1]]), array([[ 0.8,  0.8,  0. , -inf]]))

    Reference: rounding error of an inner product: N. Higham, Accuracy and Stability
        of Numerical Algorithms, 2002, section 3.1.
    """

    name = "exact"

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = _finite(vectors, "vectors")
        self.deleted: Array | None = None

    @cached_property
    def _longest(self) -> float:
        return float(lengths_of(self.vectors).max(initial=0.0))

    def delete(self, rows: Rows) -> None:
        """Exclude items from every later search; a search that is running ignores this."""
        old = np.zeros(len(self.vectors), bool) if self.deleted is None else self.deleted
        deleted = old.copy()
        deleted[rows] = True
        self.deleted = deleted

    def search(self, queries: Vectors, k: int, exclude: Ragged | None = None) -> SearchResult:
        """The k best items of each query; see :class:`Index` for the contract.

        Shapes: (n,d)->(n,k),(n,k)

        Raises:
            ValueError: queries of another width or not finite; k is not an integer from 1 to
                the larger of m and 16,384; or `exclude` has another number of rows or holds
                unknown items.
        """
        queries = checked_queries(self, queries, k, exclude)
        k = int(k)
        n, m = len(queries), len(self.vectors)
        deleted = self.deleted
        rows, scores = empty_result(n, k)
        step = max(1, _BLOCK // max(m, 1))
        # No product exceeds the bound. Where float32 could overflow, float64 serves.
        bound = lengths_of(queries) * self._longest
        fits = bound.max(initial=0.0) < float(np.finfo(np.float32).max) / 4
        work = np.result_type(self.vectors, queries, np.float32 if fits else np.float64)

        def of_block(block: slice, products: Vectors) -> None:
            """Set the result of a block of queries."""
            part = queries[block]
            product = np.matmul(part, self.vectors.T, out=products[: len(part)], dtype=work)
            if exclude is not None:
                product[_excluded(exclude, block)] = -np.inf
            if deleted is not None:
                product[:, deleted] = -np.inf
            pairs = _candidates(product, k, bound[block], self.vectors.shape[1])
            rows[block], scores[block] = best_pairs(part, self.vectors, *pairs, k)

        blocks = list(_parts(n if m else 0, step))
        new_buffer = lambda: np.empty((min(step, n), m), work)
        for _ in buffered_map(of_block, blocks, new_buffer):
            pass
        return rows, scores


def _candidates(products: Vectors, k: int, bound: Scores, width: int) -> tuple[Rows, Rows]:
    """(query, item) pairs, by query, that include the k best items of every query.

    A computed product of d terms errs by at most d u |a||b|, u = eps / 2, in any order
    of summation. It errs by d tiny where it underflows. The k-th best and the candidate
    err once each; twice that covers the neglected higher orders.
    """
    limits = np.finfo(products.dtype)
    # Where a length is zero, all scores are equal, and the lowest rows are the best.
    products[bound == 0] -= np.arange(products.shape[1], dtype=products.dtype)
    error = 2 * width * (float(limits.eps) * bound + float(limits.tiny))
    least = np.maximum(_kth_best_or_less(products, k) - error, float(limits.min))
    # Rounded down: the limit must not exceed the number that it stands for.
    least = np.nextafter(least.astype(products.dtype), limits.min)
    return np.divmod(np.flatnonzero(products >= least[:, None]), products.shape[1])


def _excluded(exclude: Ragged, block: slice) -> tuple[Rows, Rows]:
    """(query within the block, item) of everything excluded in a block of queries."""
    indptr = exclude.indptr[block.start : block.stop + 1]
    return (
        np.repeat(np.arange(len(indptr) - 1), np.diff(indptr)),
        exclude.values[indptr[0] : indptr[-1]],
    )


def among(exclude: Ragged, rows: Rows) -> Ragged:
    """The excluded items that are among some rows, each by its place in them.

    Args:
        exclude: item rows of n queries.
        rows: distinct item rows, ascending, at least one.

    >>> among(Ragged.from_counts([2, 1], [7, 3, 4]), np.array([3, 7])).values
    array([1, 0], dtype=int32)
    """
    place = np.searchsorted(rows, exclude.values)
    here = rows[np.minimum(place, len(rows) - 1)] == exclude.values
    query_of = np.repeat(np.arange(len(exclude)), exclude.counts)[here]
    return Ragged.from_counts(np.bincount(query_of, minlength=len(exclude)), place[here])


def best_pairs(
    queries: Vectors, items: Vectors, query_of: Rows, item_of: Rows, k: int
) -> SearchResult:
    """Score candidate pairs and keep the k best of each query.

    Pairs are sorted by query and, within a query, by ascending item.

    Shapes: (n,d),(m,d),(p),(p)->(n,k),(n,k)
    """
    n = len(queries)
    if n == 1 and len(item_of) >= k:  # the same as below, without the padding
        score = score_pairs(queries, items, query_of, item_of)
        best = np.argsort(-score, kind="stable")[:k]
        return item_of[None, best], score[None, best]
    counts = np.bincount(query_of, minlength=n)
    place = np.arange(len(query_of)) - np.repeat(counts.cumsum() - counts, counts)
    rows, scores = empty_result(n, max(k, int(counts.max(initial=0))))
    rows[query_of, place] = item_of
    scores[query_of, place] = score_pairs(queries, items, query_of, item_of)
    # Stable: equal scores keep the ascending order of their items.
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)


def score_pairs(queries: Vectors, items: Vectors, query_of: Rows, item_of: Rows) -> Scores:
    """Inner products of given pairs in float64; a score does not depend on the other pairs.

    Shapes: (n,d),(m,d),(p),(p)->(p)
    """
    scores = np.empty(len(query_of))
    for part in _parts(len(query_of), max(1, _PAIRS // queries.shape[1])):
        # Contiguous float64 operands: einsum then sums each row on its own, unbuffered.
        a = queries.take(query_of[part], axis=0).astype(np.float64)
        b = items.take(item_of[part], axis=0).astype(np.float64)
        np.einsum("pd,pd->p", a, b, out=scores[part])
    return scores


def empty_result(n: int, k: int) -> SearchResult:
    """A result of rows -1 and scores -inf, to be filled in. Shapes: ()->(n,k),(n,k)."""
    return np.full((n, k), -1, dtype=np.int64), np.full((n, k), -np.inf)


def checked_k(k: Any, most: int | None = None) -> int:
    """The length of a list, an integer from 1 to `most`.

    Raises:
        DataError: k is not an integer, less than 1, or more than `most`.
    """
    checked = option("k", k, 1)
    if most is not None and checked > most:
        raise DataError(f"k must be at most {most}, got {k}")
    return checked


def checked_queries(index: Index, queries: Vectors, k: int, exclude: Ragged | None) -> Vectors:
    """The queries as a float matrix, after all checks of a search."""
    queries = _finite(queries, "queries")
    m, width = index.vectors.shape
    if queries.shape[1] != width:
        raise DataError(f"queries have {queries.shape[1]} dimensions, the items have {width}")
    checked_k(k, max(m, MAX_K))
    if exclude is not None:
        if len(exclude) != len(queries):
            raise DataError(f"exclude has {len(exclude)} rows for {len(queries)} queries")
        if exclude.values.min(initial=0) < 0 or exclude.values.max(initial=-1) >= m:
            raise DataError(f"exclude names an item outside 0..{m - 1}")
    return queries


def _kth_best_or_less(products: Vectors, k: int) -> Scores:
    """A bound that at least k entries of each row reach, if the row has k. (n,m)->(n).

    The k-th largest maximum over disjoint groups of columns: k groups reach it, so k
    entries do. It costs one pass at memory speed where selecting among all entries
    costs ten. With many more groups than k it lies just below the k-th best.
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


def lengths_of(vectors: Vectors) -> Scores:
    """The length of each vector, in float64. Shapes: (n,d)->(n)

    A power of two scales each vector, which rounds nothing: no square overflows or vanishes.
    """
    largest = np.abs(vectors).max(axis=1, initial=0).astype(np.float64)
    exponent = np.frexp(largest)[1]
    scaled = np.ldexp(vectors.astype(np.float64), -exponent[:, None])
    lengths: Scores = np.ldexp(np.linalg.norm(scaled, axis=1), exponent)
    return lengths


def _finite(vectors: Vectors, name: str) -> Vectors:
    vectors = as_floats(name, vectors)
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise DataError(f"{name} must be of shape (n,d) with d >= 1, got {vectors.shape}")
    vectors = np.ascontiguousarray(vectors)
    if first_not_finite([(name, vectors)]):
        row = int(np.isfinite(vectors).all(axis=1).argmin())
        raise DataError(f"{name}: row {row} is not finite")
    return vectors
