"""Over-fetching: how many items to ask an engine for, at which effort, and which to keep.

Chapter 20.
"""

from collections.abc import Iterator

import numpy as np

from minitower.formulas.arrays import Array, Rows, Scores
from minitower.search.index import SearchResult


def by_fetch_size(wanted: Array, k: int, most: int) -> Iterator[tuple[int, Rows]]:
    """Group queries by fetch size, so that one call serves each group.

    Args:
        wanted: (n,) the number of items that each query must fetch, >= k.
        k: the list length.
        most: the largest fetch size.

    Yields:
        A fetch size (k, or a power of two above it), and the queries of that size.

    >>> [(size, rows.tolist()) for size, rows in by_fetch_size(np.array([9, 5, 5, 11]), 5, 100)]
    [(5, [1, 2]), (16, [0, 3])]
    """
    sizes = np.where(wanted > k, 1 << np.ceil(np.log2(wanted)).astype(np.int64), k)
    sizes = np.minimum(sizes, most)
    for size in np.unique(sizes).tolist():
        yield size, np.flatnonzero(sizes == size)


def scaled_effort(effort: int, size: int, k: int) -> int:
    """The search effort for `size` items, of an index tuned at `effort` for a list of k.

    The effort grows in proportion, and never falls below its tuned value.
    """
    return max(effort, -(-effort * size // k))


def first_kept(k: int, rows: Rows, scores: Scores, kept: Array) -> SearchResult:
    """The first k kept items of each query, padded with -1. (n,s)->(n,k)"""
    if kept.all():
        return rows[:, :k], scores[:, :k]
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    is_kept = np.take_along_axis(kept, order, axis=1)
    rows = np.where(is_kept, np.take_along_axis(rows, order, axis=1), -1)
    scores = np.take_along_axis(scores, order, axis=1)
    scores[~is_kept] = -np.inf
    return rows, scores
