"""Hits: candidates that must not count as negatives of a row. Chapters 4 and 9.

A hit of row i is another copy of the row's own item, or another item that the user of the row
has clicked. A hit is left out of the softmax sum.

The textbook form, :func:`accidental_hits` and :func:`known_positives`, is an (n,m) mask.
:class:`AccidentalHits` and :class:`KnownPositives`, which training uses, find the same hits without
that mask.
"""

import numpy as np

from minitower.formulas.arguments import as_ids, as_integers, as_rows, integer, row_count
from minitower.formulas.arrays import Ids, Integers, Mask, distinct


def accidental_hits(candidate_ids: Ids, n: int | None = None, *, since: int = 0) -> Mask:
    """Find the other copies of each row's own item among the candidates.

        hit_ij = (id_i = id_j) and j != i and j >= since

    Shapes: (m)->(n,m)
    Args:
        candidate_ids: item of each candidate; the first n are the positives of n rows.
        n: number of rows, all m by default.
        since: candidates before this column are never hits.
    Raises ValueError: n > m, or ids are neither integers nor strings.

    >>> accidental_hits([7, 3, 7]).astype(int)
    array([[0, 0, 1],
           [0, 0, 0],
           [1, 0, 0]])
    """
    ids = as_ids("candidate_ids", candidate_ids)
    n, since = row_count(n, "candidate_ids", ids), integer("since", since, 0)
    hits: Mask = ids[:n, None] == ids
    hits[:, :since] = False
    np.fill_diagonal(hits, False)
    return hits


def known_positives(
    user_rows: Integers, candidate_ids: Ids, positives: tuple[Integers, Ids], *, own: bool = True
) -> Mask:
    """Find the candidates that each row's user is known to have clicked.

        hit_ij = j != i and (id_j in positives of user i, or own and id_j = id_i)

    Leave the hits out of any correction with ``dataclasses.replace(correction, hits=...)``: the
    loss then estimates the softmax over the positive and the items that the user has not clicked.

    Shapes: (n),(m)->(n,m)
    Args:
        user_rows: user of each row.
        candidate_ids: as in :func:`accidental_hits`.
        positives: (indptr, indices) of a CSR matrix, the items of every user.
        own: whether other copies of the row's own item are hits. False for
            :func:`~minitower.formulas.logq.yi`, whose log q counts those copies.
    Raises ValueError: n > m, a user is not in the CSR, or ids are not all integers or all strings.

    >>> clicked = np.array([0, 2, 3]), np.array([7, 3, 5])       # user 0: 7 and 3; user 1: 5
    >>> known_positives([0, 1], [7, 5, 3, 7], clicked).astype(int)
    array([[0, 0, 1, 1],
           [0, 0, 0, 0]])
    """
    users, ids, indptr, indices = _checked(user_rows, candidate_ids, positives)
    n = len(users)
    same = ids[:n, None] == ids
    clicked = np.zeros(same.shape, bool)
    for i, user in enumerate(users):
        clicked[i] = np.isin(ids, indices[indptr[user] : indptr[user + 1]])
    hits: Mask = clicked | same if own else clicked & ~same
    np.fill_diagonal(hits, False)
    return hits


class FalseNegatives:
    """The hits, or false negatives, of n rows, in groups of one item; ``count`` (n) hits per row.

    A batch of n clicks on one item has n (n - 1) hits but only n groups. The accidental hits of
    the candidates [7, 3, 7] are stored as:

        order    [1, 0, 2]       the candidates sorted by item: 3, 7, 7
        pointer  [0, 1, 2, 3]    row i has the groups pointer[i] to pointer[i + 1]
        start    [1, 0, 1]       group g is a range of order that starts here,
        size     [2, 1, 2]       of this length; a row's own column in it is no hit
    """

    def __init__(
        self,
        shape: tuple[int, int],
        order: Integers,
        groups: tuple[Integers, Integers, Integers],
        holds_own: Mask,
    ) -> None:
        self.shape, self._order = shape, order
        self._pointer, self._start, self._size = groups
        total = np.concatenate([[0], np.cumsum(self._size)])[self._pointer]
        self.count: Integers = np.diff(total) - holds_own  # column i of row i is no hit

    def among(self, start: int, stop: int) -> tuple[Integers, Integers]:
        """List the hits of rows start to stop, each once, as (rows, columns)."""
        groups = slice(self._pointer[start], self._pointer[stop])
        size = self._size[groups]
        row_of_group = np.repeat(np.arange(start, stop), np.diff(self._pointer[start : stop + 1]))
        rows = np.repeat(row_of_group, size)
        columns = self._order[_ranges(self._start[groups], size)]
        hit = columns != rows
        return rows[hit], columns[hit]

    def dense(self) -> Mask:
        """All hits as a mask, (n,m)."""
        mask = np.zeros(self.shape, bool)
        mask[self.among(0, self.shape[0])] = True
        return mask


class AccidentalHits(FalseNegatives):
    """:func:`accidental_hits` without the (n,m) mask. Arguments and errors are the same.

    Properties: equals_the_textbook

    >>> hits = AccidentalHits([7, 3, 7])
    >>> hits.count, hits.among(0, 3)
    (array([1, 0, 1]), (array([0, 2]), array([2, 0])))
    """

    def __init__(self, candidate_ids: Ids, n: int | None = None, *, since: int = 0) -> None:
        ids = as_ids("candidate_ids", candidate_ids)
        n, since = row_count(n, "candidate_ids", ids), integer("since", since, 0)
        order = since + np.argsort(ids[since:])
        start, end = (np.searchsorted(ids[order], ids[:n], side) for side in ("left", "right"))
        groups = np.arange(n + 1), start, end - start
        super().__init__((n, len(ids)), order, groups, np.arange(n) >= since)


class KnownPositives(FalseNegatives):
    """:func:`known_positives` without the (n,m) mask. Arguments and errors are the same.

    Properties: equals_the_textbook, own_item_alone_is_accidental_hits, dropping_is_removing
    """

    def __init__(
        self,
        user_rows: Integers,
        candidate_ids: Ids,
        positives: tuple[Integers, Ids],
        *,
        own: bool = True,
    ) -> None:
        users, ids, indptr, indices = _checked(user_rows, candidate_ids, positives)
        n = len(users)
        order = np.argsort(ids)
        items, item_of, size = np.unique(ids, return_inverse=True, return_counts=True)
        # One integer per pair of (row, distinct item): sets of pairs become sets of integers.
        length = indptr[users + 1] - indptr[users]
        row = np.repeat(np.arange(n), length)
        clicked = indices[_ranges(indptr[users], length)]
        found = np.isin(clicked, items)
        known = row[found] * len(items) + np.searchsorted(items, clicked[found])
        own_item = np.arange(n) * len(items) + item_of[:n]
        pairs = distinct(np.concatenate([known, own_item]))
        if not own:
            pairs = pairs[pairs != own_item[pairs // len(items)]]

        pointer = np.searchsorted(pairs, np.arange(n + 1) * len(items))
        item = pairs % len(items)
        groups = pointer, (np.cumsum(size) - size)[item], size[item]
        super().__init__((n, len(ids)), order, groups, np.full(n, own))


def _checked(
    user_rows: Integers, candidate_ids: Ids, positives: tuple[Integers, Ids]
) -> tuple[Integers, Ids, Integers, Ids]:
    indptr = as_integers("positives (indptr)", positives[0])
    users = as_rows("user_rows", user_rows, len(indptr) - 1)
    ids = as_ids("candidate_ids", candidate_ids)
    indices = as_ids("positives (indices)", positives[1])
    if len(indices) and ids.dtype.kind != indices.dtype.kind:
        raise ValueError(f"candidate_ids are {ids.dtype} and positives {indices.dtype}")
    row_count(len(users), "candidate_ids", ids)
    return users, ids, indptr, indices


def _ranges(start: Integers, length: Integers) -> Integers:
    """Concatenate start_k, ..., start_k + length_k - 1 over all k."""
    before = np.cumsum(length) - length
    return np.repeat(start - before, length) + np.arange(length.sum())
