"""The nearest items but those that must not come, of whatever cannot leave items out itself.

It is asked for more than is wanted, and what must not come is dropped.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np

from minitower.formulas.arrays import Array, Rows
from minitower.search.vector_index import Cosines, Unit

Answer = dict[Any, float]
"""What a database of vectors answers to one query: cosines by id, best first."""

Ask = Callable[[Unit, int, Collection[Any]], Sequence[Answer]]
"""(queries, size, without): the answers of a database, of at most so many items each."""


def together(wanted: Array, k: int, most: int) -> Iterator[tuple[int, Rows]]:
    """Queries that want much the same, so that they are asked in one call.

    Args:
        wanted: (n,) how many items each query must ask for, >= k.
        k: how many it returns.
        most: what may be asked for.

    Yields:
        How many to ask for (k, or a power of two above it), and the queries that do.

    >>> [(size, rows.tolist()) for size, rows in together(np.array([9, 5, 5, 11]), 5, 100)]
    [(5, [1, 2]), (16, [0, 3])]
    """
    sizes = np.where(wanted > k, 1 << np.ceil(np.log2(wanted)).astype(np.int64), k)
    sizes = np.minimum(sizes, most)
    for size in np.unique(sizes).tolist():
        yield size, np.flatnonzero(sizes == size)


def first_kept(k: int, rows: Rows, cosines: Cosines, kept: Array) -> tuple[Rows, Cosines]:
    """The first k that are kept, of each query; -1 behind the last. (n,s)->(n,k)"""
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    there = np.take_along_axis(kept, order, axis=1)
    rows = np.where(there, np.take_along_axis(rows, order, axis=1), -1)
    cosines = np.take_along_axis(cosines, order, axis=1)
    cosines[~there] = -np.inf
    return rows, cosines


def nearest_but(
    ask: Ask, queries: Unit, k: int, left_out: Sequence[set[Any]], most: int
) -> list[Answer]:
    """The k nearest items of each query that are not left out, of a database.

    What stays short is asked, query by query, for others than those it has, until nothing
    comes: a database that leaves items out by a filter takes one filter a call.

    Args:
        ask: the database.
        queries, k: as in :meth:`VectorIndex.search`.
        left_out: ids, for each query.
        most: items that the database returns for a query, >= k.
    """
    answers: list[Answer] = [{}] * len(queries)
    for size, group in together(k + np.array([*map(len, left_out)], np.int64), k, most):
        for query, answer in zip(group.tolist(), ask(queries[group], size, ()), strict=True):
            out = left_out[query]
            kept = {i: c for i, c in answer.items() if i not in out} if out else answer
            while len(kept) < k and (others := ask(queries[query, None], k, [*out, *kept])[0]):
                kept = dict(sorted((kept | others).items(), key=lambda one: -one[1]))
            answers[query] = dict([*kept.items()][:k]) if len(kept) > k else kept
    return answers
