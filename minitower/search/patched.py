"""An index some of whose items have moved since it was built.

The graph of a full version stays as it is. The few items that an incremental version moves
are scored one and all beside it, and what the graph proposes of them is dropped. The
alternatives cost more: moving points within hnswlib's graph needs a copy of it on the disk
for every version, and searches the graph again for each neighbour of each point; building
anew takes minutes. Here a version is as large as what moved, answers about moved
items are exact, and those about the others are as good as the graph was measured to be.
"""

import numpy as np

from minitower.data.ragged import Ragged
from minitower.formulas.arrays import Array, Rows, Scores, Vectors
from minitower.search.index import ExactIndex, Index, Recalled, checked_queries


class PatchedIndex:
    """`index`, but for c items; `search` keeps the contract of :class:`Index`.

    A query costs what it cost, for up to twice as many items, and a product with c vectors.

    Args:
        index: of all m items as they were.
        rows: (c,) distinct rows of the items that moved, ascending.
        moved: (c,d) their vectors.

    Raises:
        ValueError: rows and vectors do not fit each other or the index.

    >>> old = ExactIndex(np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> new = PatchedIndex(old, np.array([0]), np.array([[0.6, 0.8]]))
    >>> new.search(np.array([[1.0, 0.0]]), k=2)
    (array([[0, 1]]), array([[0.6, 0. ]]))
    """

    def __init__(self, index: Index, rows: Array, moved: Vectors) -> None:
        m, d = index.vectors.shape
        if moved.shape != (len(rows), d) or (np.diff(rows, prepend=-1, append=m) < 1).any():
            raise ValueError(f"{len(rows)} rows and vectors {moved.shape} do not fit {m} of {d}")
        self.index, self.rows = index, rows
        self._moved = ExactIndex(moved)
        self._vectors = index.vectors.copy()
        self._vectors[rows] = moved

    @property
    def vectors(self) -> Vectors:
        """The item vectors (m,d), as they are now."""
        return self._vectors

    def search(self, queries: Vectors, k: int, exclude: Ragged | None = None) -> Recalled:
        """The k best items of each query; see :class:`Index` for the contract.

        Shapes: (n,d)->(n,k),(n,k)

        Raises:
            ValueError: as :meth:`ExactIndex.search`.
        """
        queries = checked_queries(self, queries, k, exclude)
        rows, scores = self._unmoved(queries, k, k + min(k, len(self.rows)), exclude)
        beside, theirs = self._moved.search(queries, min(k, len(self.rows)), self._here(exclude))
        rows = np.hstack([rows, np.where(beside < 0, -1, self.rows[beside])])
        scores = np.hstack([scores, theirs])
        return _first(np.lexsort((rows, -scores), axis=1)[:, :k], rows, scores)

    def _unmoved(self, queries: Vectors, k: int, asked: int, exclude: Ragged | None) -> Recalled:
        """The k best items that have not moved, among so many that the index is asked for."""
        asked = min(asked, max(k, len(self._vectors)))
        rows, scores = self.index.search(queries, asked, exclude)
        stays = ~np.isin(rows, self.rows)  # as does the -1 behind the last item
        first = np.argsort(~stays, axis=1, kind="stable")[:, :k]
        best = _first(first, np.where(stays, rows, -1), np.where(stays, scores, -np.inf))
        short = np.flatnonzero(stays.sum(axis=1) < k)  # each on its own: company may not matter
        if len(short) and asked < len(self._vectors):
            part = None if exclude is None else exclude.take(short)
            best[0][short], best[1][short] = self._unmoved(queries[short], k, 2 * asked, part)
        return best

    def _here(self, exclude: Ragged | None) -> Ragged | None:
        """What is excluded among the moved items, by their place there."""
        if exclude is None:
            return None
        place = np.searchsorted(self.rows, exclude.values)
        here = self.rows[np.minimum(place, len(self.rows) - 1)] == exclude.values
        query_of = np.repeat(np.arange(len(exclude)), exclude.counts)[here]
        return Ragged.from_counts(np.bincount(query_of, minlength=len(exclude)), place[here])


def _first(chosen: Rows, rows: Rows, scores: Scores) -> Recalled:
    return np.take_along_axis(rows, chosen, axis=1), np.take_along_axis(scores, chosen, axis=1)
