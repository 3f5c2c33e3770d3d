"""Two baselines in closed form, ItemKNN and EASE: what a model must beat to be worth its training.

Both are one matrix W (m,m) of item-to-item weights. A user is the set of items of a history:

    score_i = popularity weight * clicks_i / max clicks + sum_{j in history} W_ji

A user without history gets the most popular items. A user that training never saw needs only a
history. R (users,m) below holds 1 where a user clicked an item in training, however often.

Chapter 16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from minitower.data.errors import DataError
from minitower.data.interactions import Dataset
from minitower.data.table import Ragged
from minitower.formulas import arguments
from minitower.formulas.arrays import Array
from minitower.search.index import SearchResult, checked_k, empty_result

MAX_EASE_ITEMS = 20_000
"""Above this EASE is refused: time grows with the third power of the number of items."""

_BLOCK = 512
"""Items whose co-occurrence is held at a time."""

_SCORES = 1 << 22
"""Scores held at a time: 32 MB."""


@dataclass(frozen=True, eq=False)
class ItemToItem:
    """Scores of items from a history of items.

    Attributes:
        weights: (m,m) float64, dense or sparse rows; entry (j,i) is what item j in a history
            adds to the score of item i. The diagonal is 0.
        popularity: (m,) float64, what every user's score of an item starts at.
    """

    weights: Any
    popularity: Array

    def scores(self, histories: Ragged) -> NDArray[np.float64]:
        """The score of every item for every history. Shapes: n rows of items->(n,m)

        Args:
            histories: the rows of the items that each user clicked, in any order. A repeated
                item counts once; an empty history leaves the popularity.

        Raises:
            ValueError: an item is not a row of the table that the baseline was fitted on.

        >>> model = ItemToItem(np.array([[0.0, 2.0], [1.0, 0.0]]), np.array([0.1, 0.0]))
        >>> model.scores(Ragged.from_counts([1, 2, 0], [0, 0, 1]))
        array([[0.1, 2. ],
               [1.1, 2. ],
               [0.1, 0. ]])
        """
        m = len(self.popularity)
        arguments.as_rows("histories", histories.values, m)
        clicked = _clicks(histories, m) @ self.weights
        scores: NDArray[np.float64] = self.popularity + (
            clicked.toarray() if sparse.issparse(clicked) else clicked
        )
        return scores

    def search(self, histories: Ragged, k: int, exclude: Ragged | None = None) -> SearchResult:
        """The k best items of each history, as an index finds them for queries.

        Shapes: n rows of items->(n,k),(n,k). Ties go to the lowest row; a list of fewer than k
        items is padded with row -1 and score -inf.

        Args:
            histories: as in :meth:`scores`.
            k: >= 1.
            exclude: rows of items to leave out, for each history; None: no items.

        Raises:
            ValueError: as :meth:`scores`, or k is out of its domain.
        """
        k, n, m = checked_k(k), len(histories), len(self.popularity)
        rows, scores = empty_result(n, k)
        step = max(1, _SCORES // max(1, m))
        for start in range(0, n, step):
            block = np.arange(start, min(start + step, n))
            found = self.scores(histories.take(block))
            if exclude is not None:
                out = exclude.take(block)
                found[np.repeat(np.arange(len(block)), out.counts), out.values] = -np.inf
            most = min(k, m)
            best = best_columns(found, most)
            score = np.take_along_axis(found, best, axis=1)
            scores[block, :most] = score
            rows[block, :most] = np.where(score > -np.inf, best, -1)
        return rows, scores


def best_columns(scores: Array, k: int) -> Array:
    """The k columns of the largest scores of each row, best first; ties by column.

    Shapes: (n,m)->(n,k), k <= m

    >>> best_columns(np.array([[1.0, 3.0, 3.0, 2.0]]), 3)
    array([[1, 2, 3]])
    """
    n, m = scores.shape
    if not k:
        return np.empty((n, 0), np.int64)
    kth = np.partition(scores, m - k, axis=1)[:, m - k, None]
    above, tied = scores > kth, scores == kth
    free = k - above.sum(axis=1, keepdims=True)  # places left for the lowest of the tied columns
    column = np.nonzero(above | (tied & (tied.cumsum(axis=1) <= free)))[1].reshape(n, k)
    order = np.argsort(-np.take_along_axis(scores, column, axis=1), axis=1, kind="stable")
    best: Array = np.take_along_axis(column, order, axis=1)
    return best


def item_knn(
    data: Dataset, *, neighbors: int = 200, shrinkage: float = 30.0, popularity: float = 0.1
) -> ItemToItem:
    """ItemKNN: cosines of item columns with shrinkage, the nearest neighbors of an item kept.

        W_ji = |j and i| / (sqrt(|j| |i|) + shrinkage),    |j and i| = users who clicked both

    Args:
        data: its training clicks are counted.
        neighbors: items kept for each item i, those of largest W_ji (ties: lowest row), >= 1.
        shrinkage: >= 0, in users. It lowers the cosines of items that few users clicked.
        popularity: weight of the popularity, >= 0.

    Raises:
        ValueError: an argument is out of its domain.

    Properties: equals_naive, diagonal_is_zero, permutation_of_items, duplicate_clicks,
        duplicate_users

    Reference: B. Sarwar, G. Karypis, J. Konstan, J. Riedl, Item-based collaborative filtering
        recommendation algorithms, WWW 2001, section 3; the shrinkage as in M. Ferrari Dacrema,
        P. Cremonesi, D. Jannach, Are we really making much progress?, RecSys 2019, section 2.2.
    """
    neighbors = arguments.strict_integer("neighbors", neighbors, 1)
    shrinkage = _not_negative("shrinkage", shrinkage)
    prior = _popularity(data, popularity)
    clicks = _training_clicks(data)
    m, users = clicks.shape[1], np.bincount(clicks.indices, minlength=clicks.shape[1])
    columns = clicks.T.tocsr()
    blocks = [
        _nearest(columns, clicks, users, s, neighbors, shrinkage) for s in range(0, m, _BLOCK)
    ]
    kept = sparse.csr_array(sparse.vstack(blocks)) if blocks else sparse.csr_array((m, m))
    return ItemToItem(kept.T.tocsr(), prior)


def _nearest(
    columns: Any, clicks: Any, users: Array, start: int, neighbors: int, shrinkage: float
) -> Any:
    """The neighbors of a block of items: a sparse row for each item. Shapes: ()->(block,m)"""
    items = np.arange(start, min(start + _BLOCK, len(users)))
    both = (columns[items] @ clicks).tocoo()
    row, other = both.coords
    apart = items[row] != other
    row, other, common = row[apart], other[apart], both.data[apart]
    weight = common / (np.sqrt(users[items[row]] * users[other].astype(np.float64)) + shrinkage)
    order = np.lexsort((other, -weight, row))
    starts = np.searchsorted(row[order], np.arange(len(items)))
    rank = np.arange(len(order)) - starts[row[order]]
    kept = order[rank < neighbors]
    return sparse.csr_array((weight[kept], (row[kept], other[kept])), (len(items), len(users)))


def ease(data: Dataset, *, l2: float = 100.0, popularity: float = 0.1) -> ItemToItem:
    """EASE: the linear model of items on items with zero diagonal, by ridge regression.

        W = argmin |R - R W|^2 + l2 |W|^2  with  W_ii = 0
        P = (R'R + l2 I)^-1,    W_ji = -P_ji / P_ii

    Time m^3, memory some 24 m^2 bytes.

    Args:
        data: its training clicks are R.
        l2: the penalty lambda, > 0, in users.
        popularity: weight of the popularity, >= 0.

    Raises:
        DataError: the data has more than :data:`MAX_EASE_ITEMS` items, or the penalty is too
            small for the inverse to be computed.
        ValueError: an argument is out of its domain.

    Properties: equals_least_squares, diagonal_is_zero, permutation_of_items, infinite_l2,
        duplicate_clicks, duplicate_users

    Reference: H. Steck, Embarrassingly shallow autoencoders for sparse data, WWW 2019, Eq. 8.
    """
    l2 = arguments.positive_number("l2", l2)
    prior = _popularity(data, popularity)
    m = len(data.items)
    if m > MAX_EASE_ITEMS:
        raise DataError(
            f"EASE needs dense matrices of {m:,} x {m:,} items, some {24 * m * m / 1e9:.0f} GB of "
            f"memory; it takes at most {MAX_EASE_ITEMS:,} items: use ItemKNN, or fewer items"
        )
    from scipy.linalg import lapack  # here: it loads more slowly than all of minitower

    clicks = _training_clicks(data)
    gram = (clicks.T @ clicks).toarray()
    gram[np.diag_indices(m)] += l2
    factor, failed = lapack.dpotrf(gram, overwrite_a=True, clean=True)
    weights, _ = lapack.dpotri(factor, overwrite_c=True)  # the upper triangle of P
    if failed:
        raise DataError(f"EASE: l2 = {l2:g} is too small for these clicks; raise it")
    weights += np.triu(weights, 1).T
    weights /= -np.diag(weights).copy()
    np.fill_diagonal(weights, 0)
    return ItemToItem(weights, prior)


def _training_clicks(data: Dataset) -> Any:
    """R, sparse, with the clicks of earlier days. Shapes: ()->(users,m)"""
    return _clicks(data.seen("valid"), len(data.items))


def _clicks(histories: Ragged, m: int) -> Any:
    """Histories as a sparse matrix of ones, a repeated item once. Shapes: n rows->(n,m)"""
    ones = np.ones(len(histories.values))
    parts = ones, histories.values, histories.indptr
    table = sparse.csr_array(parts, (len(histories), m), copy=True)  # what follows is in place
    table.sum_duplicates()
    table.data[:] = 1
    return table


def _popularity(data: Dataset, weight: float) -> Array:
    """The weight times clicks over the largest number of clicks. Shapes: ()->(m)"""
    clicks = data.item_counts
    share: Array = clicks / max(1, clicks.max(initial=0))
    return _not_negative("popularity", weight) * share


def _not_negative(name: str, value: float) -> float:
    return arguments.number_within(name, value, (0.0, np.finfo(np.float64).max))
