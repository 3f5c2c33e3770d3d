"""An index with some items that changed after its build. Chapter 13.

The index of a full version stays as it is. The few items that an incremental version changes
are searched exactly beside it. The index still proposes their old entries, which are dropped.
So a version is as large as its changes. Results are exact for changed items, and for the others
as good as the build measured.
"""

import numpy as np

from minitower.data.errors import DataError
from minitower.data.table import Ragged
from minitower.formulas.arrays import Array, Vectors
from minitower.search.index import ExactIndex, Index, SearchResult, among, checked_queries
from minitower.search.over_fetching import first_kept


class PatchedIndex:
    """`index` with c changed items; `search` keeps the contract of :class:`Index`.

    A query costs as much as a list of up to 2k of the index, plus a product with c vectors.

    Args:
        index: of all m items before the change.
        rows: (c,) distinct rows of the changed items, ascending; c may be 0.
        changed: (c,d) their new vectors.

    Attributes:
        name: of the index below.
        vectors: (m,d) after the change.

    Raises:
        DataError: rows and vectors do not fit each other or the index.

    >>> old = ExactIndex(np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> new = PatchedIndex(old, np.array([0]), np.array([[0.6, 0.8]]))
    >>> new.search(np.array([[1.0, 0.0]]), k=2)
    (array([[0, 1]]), array([[0.6, 0. ]]))
    """

    def __init__(self, index: Index, rows: Array, changed: Vectors) -> None:
        m, d = index.vectors.shape
        if changed.shape != (len(rows), d) or (np.diff(rows, prepend=-1, append=m) < 1).any():
            raise DataError(f"{len(rows)} rows and vectors {changed.shape} do not fit {m} of {d}")
        self.index, self.rows = index, rows
        self._changed = ExactIndex(changed)
        self.name = str(getattr(index, "name", type(index).__name__))
        self.vectors = index.vectors.copy()
        self.vectors[rows] = changed

    def search(self, queries: Vectors, k: int, exclude: Ragged | None = None) -> SearchResult:
        """The k best items of each query; see :class:`Index` for the contract.

        Shapes: (n,d)->(n,k),(n,k)

        Raises:
            ValueError: as :meth:`ExactIndex.search`.
        """
        queries = checked_queries(self, queries, k, exclude)
        if not len(self.rows):
            return self.index.search(queries, k, exclude)
        old = self._unchanged(queries, k, k + min(k, len(self.rows)), exclude)
        part = None if exclude is None else among(exclude, self.rows)
        new = self._changed.search(queries, min(k, len(self.rows)), part)
        rows = np.hstack([old[0], np.where(new[0] < 0, -1, self.rows[new[0]])])
        scores = np.hstack([old[1], new[1]])
        best = np.lexsort((rows, -scores), axis=1)[:, :k]
        return np.take_along_axis(rows, best, axis=1), np.take_along_axis(scores, best, axis=1)

    def _unchanged(
        self, queries: Vectors, k: int, size: int, exclude: Ragged | None
    ) -> SearchResult:
        """The k best unchanged items among the `size` best of the index."""
        size = min(size, max(k, len(self.vectors)))
        rows, scores = self.index.search(queries, size, exclude)
        kept = ~np.isin(rows, self.rows)
        best = first_kept(k, rows, scores, kept)
        short = np.flatnonzero(kept.sum(axis=1) < k)  # alone: a result must not depend on others
        if len(short) and size < len(self.vectors):
            part = None if exclude is None else exclude.take(short)
            best[0][short], best[1][short] = self._unchanged(queries[short], k, 2 * size, part)
        return best
