"""Which negatives of a batch are none: the row's own item again, or another that its user likes.

They are left out of the sum, not pushed down by a large number, which would still be there.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from minitower.formulas.arguments import ids as checked_ids
from minitower.formulas.arguments import integer, integers, row_count, rows
from minitower.formulas.arrays import Integers


class Hits(Protocol):
    """Negatives of n rows that are to be left out of their sums, listed block by block.

    Never candidate i of row i, the row's own positive.
    """

    count: Integers
    """(n,), how many each row has."""

    def among(self, start: int, stop: int) -> tuple[Integers, Integers]:
        """The hits of rows start to stop, each once, as (rows, columns)."""
        ...

    def dense(self) -> NDArray[np.bool_]:
        """All hits as a mask, (n,m)."""
        ...


class _Matches:
    """Candidates that hold one of a row's items, as groups of the candidates sorted by item.

    A group is ``size`` candidates of one item, from ``start`` in ``order``; row i has the
    groups pointer[i] to pointer[i + 1]. In a batch in which everybody clicked one item
    there are n groups and n (n - 1) hits.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        order: Integers,
        groups: tuple[Integers, Integers, Integers],
        itself: NDArray[np.bool_],
    ) -> None:
        self.shape, self._order = shape, order
        self._pointer, self._start, self._size = groups
        total = np.concatenate([[0], np.cumsum(self._size)])[self._pointer]
        self.count: Integers = np.diff(total) - itself  # whether a row's groups hold itself

    def among(self, start: int, stop: int) -> tuple[Integers, Integers]:
        """The hits of rows start to stop, as (rows, columns)."""
        groups = slice(self._pointer[start], self._pointer[stop])
        size = self._size[groups]
        of_group = np.repeat(np.arange(start, stop), np.diff(self._pointer[start : stop + 1]))
        rows = np.repeat(of_group, size)
        columns = self._order[_ranges(self._start[groups], size)]
        hit = columns != rows
        return rows[hit], columns[hit]

    def dense(self) -> NDArray[np.bool_]:
        """All hits as a mask, (n,m)."""
        mask = np.zeros(self.shape, bool)
        mask[self.among(0, self.shape[0])] = True
        return mask


class AccidentalHits(_Matches):
    """The negatives of a batch that are in truth the row's own clicked item.

    Row i's positive is candidate i. Candidate j != i is a hit when it is the
    same item.

    Args:
        candidate_ids: the item of each of m candidates, the first n of them the
            positives of n rows.
        n: the number of rows; all candidates by default.
        since: candidates before this one are never hits.

    Raises:
        ValueError: there are more rows than candidates, or ids are neither integers nor strings,
            or floats too large to hold every integer.

    Properties: equal_naive

    >>> hits = AccidentalHits(np.array([7, 3, 7]))
    >>> hits.count
    array([1, 0, 1])
    >>> hits.among(0, 3)
    (array([0, 2]), array([2, 0]))
    """

    def __init__(self, candidate_ids: Integers, n: int | None = None, *, since: int = 0) -> None:
        ids = checked_ids("candidate_ids", candidate_ids)
        n, since = row_count(n, "candidate_ids", ids), integer("since", since, 0)
        order = since + np.argsort(ids[since:])
        start, end = (np.searchsorted(ids[order], ids[:n], side) for side in ("left", "right"))
        groups = np.arange(n + 1), start, end - start
        super().__init__((n, len(ids)), order, groups, np.arange(n) >= since)


class KnownPositives(_Matches):
    """The negatives of a batch that the row's user is known to have clicked.

    Nobody is taught to dislike what they clicked at another time. Any correction can
    leave them out, ``dataclasses.replace(correction, hits=...)``; what it estimates is
    then the softmax over the positive and the items that the user has not clicked.
    That is exact for :func:`~minitower.formulas.logq.calibrated` as well: its n_i
    stays the number of draws that are not the positive, because what is left out was
    drawn, and counts as zero.

    Args:
        user_rows: the user of each of n rows.
        candidate_ids: the item of each of m candidates, row i < n's positive the i-th.
        positives: (indptr, indices) of a CSR matrix, the items of every user, in any
            order and with or without repetitions.
        own: whether other copies of the row's own item are left out as well, as
            :class:`AccidentalHits` does. False goes with
            :func:`~minitower.formulas.logq.yi`, for which they are what log q counts.

    Raises:
        ValueError: there are more rows than candidates, a user is not in the CSR, or ids are
            not what :class:`AccidentalHits` takes, or of two types.

    Properties: equal_naive, own_item_alone_is_accidental_hits, dropping_is_removing

    >>> clicked = np.array([0, 2, 3]), np.array([7, 3, 5])       # user 0: 7 and 3; user 1: 5
    >>> KnownPositives(np.array([0, 1]), np.array([7, 5, 3, 7]), clicked).among(0, 2)
    (array([0, 0]), array([2, 3]))
    """

    def __init__(
        self,
        user_rows: Integers,
        candidate_ids: Integers,
        positives: tuple[Integers, Integers],
        *,
        own: bool = True,
    ) -> None:
        indptr = integers("positives (indptr)", positives[0])
        users = rows("user_rows", user_rows, len(indptr) - 1)
        ids = checked_ids("candidate_ids", candidate_ids)
        indices = checked_ids("positives (indices)", positives[1])
        if len(indices) and ids.dtype.kind != indices.dtype.kind:
            raise ValueError(f"candidate_ids are {ids.dtype} and positives {indices.dtype}")
        n = row_count(len(users), "candidate_ids", ids)
        order = np.argsort(ids)
        items, item_of, size = np.unique(ids, return_inverse=True, return_counts=True)
        # A pair of (row, item in the batch) is one number, so that sets of pairs are quick.
        length = indptr[users + 1] - indptr[users]
        row = np.repeat(np.arange(n), length)
        clicked = indices[_ranges(indptr[users], length)]
        found = np.isin(clicked, items)
        known = row[found] * len(items) + np.searchsorted(items, clicked[found])
        itself = np.arange(n) * len(items) + item_of[:n]
        pairs = np.union1d(known, itself) if own else np.setdiff1d(known, itself)

        pointer = np.searchsorted(pairs, np.arange(n + 1) * len(items))
        item = pairs % len(items)
        groups = pointer, (np.cumsum(size) - size)[item], size[item]
        super().__init__((n, len(ids)), order, groups, np.full(n, own))


def _ranges(start: Integers, length: Integers) -> Integers:
    """start_k, ..., start_k + length_k - 1 for each k, one after the other."""
    before = np.cumsum(length) - length
    return np.repeat(start - before, length) + np.arange(length.sum())
