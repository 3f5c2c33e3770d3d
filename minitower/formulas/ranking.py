"""Ranking metrics: how good is a list of k items per user, best first? Chapters 5, 12 and 16.

Every metric is a mean over the users with at least one positive, at the first k ranks:

    hits        (n,K) bool, true where the item at a rank is one of the user's positives
    positives   (n) number of positives of each user, found or not, >= 0
    k           1..K

Raises ValueError: the shapes differ, k is outside 1..K, a user has more hits than positives, or
no user has a positive.

Chapters 5, 12 and 16.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minitower.formulas.arguments import (
    LONGEST_ARRAY,
    as_array,
    as_floats,
    as_integers,
    as_mask,
    integer,
)
from minitower.formulas.arrays import Counts, Floats, Integers, Rows

Hits = NDArray[np.bool_]


def ranked(scores: ArrayLike, k: int, excluded: ArrayLike | None = None) -> Rows:
    """Rank items by score, the highest first; ties by row.

    Shapes: (n,m)->(n,k)
    Args:
        k: number of ranks, >= 1.
        excluded: (n,m) mask of items that are never ranked, such as seen ones. If fewer than k
            items are left, the last ranks hold -1.
    Raises ValueError: a score is NaN, the shapes differ, or k < 1.
    Properties: equals_naive, ties_go_by_row, excluded_are_never_ranked

    >>> ranked([[0.5, 0.9, 0.5]], k=4, excluded=[[False, True, False]])
    array([[ 0,  2, -1, -1]])
    """
    scores, k = as_floats("scores", scores), integer("k", k, 1, LONGEST_ARRAY)
    out = np.zeros(scores.shape, bool) if excluded is None else as_mask("excluded", excluded)
    if scores.ndim != 2 or out.shape != scores.shape or np.isnan(scores).any():
        raise ValueError(
            "scores must be (n,m) without NaN and excluded of the same shape, got "
            f"shapes {scores.shape} and {out.shape}"
        )
    best = np.lexsort((-scores, out))[:, :k]  # stable: equals stay in order of row
    items = np.full((len(scores), k), -1)
    items[:, : best.shape[1]] = np.where(np.take_along_axis(out, best, axis=1), -1, best)
    return items


def recall(hits: Hits, positives: Counts, k: int) -> float:
    """Share of a user's positives among the first k ranks.

        recall@k = mean_i (hits of i in ranks 1..k) / positives_i

    Shapes: (n,K),(n)->()
    Properties: equals_naive, users_without_positives_do_not_count, grows_with_k

    >>> hits = np.array([[True, False, True], [False, True, False]])
    >>> recall(hits, np.array([4, 1]), k=3)             # (2/4 + 1/1) / 2
    0.75

    Reference: C. Manning, P. Raghavan, H. Schütze, Introduction to Information Retrieval, 2008,
        section 8.3; docs/16.
    """
    hits, positives, k = _with_positives(hits, positives, k)
    return float((hits.sum(axis=1) / positives).mean())


def recall_capped(hits: Hits, positives: Counts, k: int) -> float:
    """Recall relative to the most that k ranks can hold: hits / min(k, positives).

    Some papers call this recall. It equals :func:`recall` where no user has more than k positives.

    Shapes: (n,K),(n)->()
    Properties: equals_naive, perfect_is_one, is_recall_when_k_is_enough

    >>> recall_capped(np.array([[True, False]]), np.array([4]), k=2)
    0.5
    """
    hits, positives, k = _with_positives(hits, positives, k)
    return float((hits.sum(axis=1) / np.minimum(positives, k)).mean())


def precision(hits: Hits, positives: Counts, k: int) -> float:
    """Share of the first k ranks that hold a positive: hits / k. Empty ranks count as misses.

    Shapes: (n,K),(n)->()
    Properties: equals_naive, users_without_positives_do_not_count

    >>> precision(np.array([[True, False]]), np.array([4]), k=2)
    0.5
    """
    hits, _, k = _with_positives(hits, positives, k)
    return float((hits.sum(axis=1) / k).mean())


def hit_rate(hits: Hits, positives: Counts, k: int) -> float:
    """Share of users with at least one positive in the first k ranks.

    Shapes: (n,K),(n)->()
    Properties: equals_naive, grows_with_k, is_recall_of_a_single_positive

    >>> hit_rate(np.array([[True, True], [False, False]]), np.array([4, 1]), k=2)
    0.5
    """
    hits, _, k = _with_positives(hits, positives, k)
    return float(hits.any(axis=1).mean())


def mrr(hits: Hits, positives: Counts, k: int) -> float:
    """Mean reciprocal rank: 1 / (rank of the first hit), 0 without a hit in k ranks.

    Shapes: (n,K),(n)->()
    Properties: equals_naive, perfect_is_one, grows_with_k

    >>> mrr(np.array([[False, True], [False, False]]), np.array([1, 3]), k=2)
    0.25

    Reference: E. Voorhees, The TREC-8 Question Answering Track Report, 1999; docs/16.
    """
    hits, _, k = _with_positives(hits, positives, k)
    return float((hits.any(axis=1) / (1 + hits.argmax(axis=1))).mean())


def mean_average_precision(hits: Hits, positives: Counts, k: int) -> float:
    """Mean average precision: precision at every hit, summed, relative to the largest possible sum.

        MAP@k = mean_i sum_{r <= k, hit} precision_i@r / min(k, positives_i)

    Shapes: (n,K),(n)->()
    Properties: equals_naive, perfect_is_one, earlier_is_better

    >>> mean_average_precision(np.array([[True, False, True]]), np.array([2]), k=3)
    0.8333333333333333

    Reference: C. Manning, P. Raghavan, H. Schütze, 2008, section 8.4, cut at k; docs/16.
    """
    hits, positives, k = _with_positives(hits, positives, k)
    at_rank = hits.cumsum(axis=1) / np.arange(1, k + 1)
    return float(((at_rank * hits).sum(axis=1) / np.minimum(positives, k)).mean())


def ndcg(hits: Hits, positives: Counts, k: int) -> float:
    """Normalized discounted cumulative gain: hits discounted by rank, relative to an ideal list.

        NDCG@k = mean_i sum_{r <= k, hit} 1/log2(r+1)  /  sum_{r <= min(k, positives_i)} 1/log2(r+1)

    Shapes: (n,K),(n)->()
    Properties: equals_naive, perfect_is_one, earlier_is_better

    >>> round(ndcg(np.array([[False, True]]), np.array([1]), k=2), 6)    # 1/log2(3)
    0.63093

    Reference: K. Järvelin, J. Kekäläinen, Cumulated gain-based evaluation of IR techniques, TOIS
        2002, with binary gains; docs/16.
    """
    hits, positives, k = _with_positives(hits, positives, k)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = discount.cumsum()[np.minimum(positives, k) - 1]
    return float((hits @ discount / ideal).mean())


def recall_by_slice(
    hits: Hits, slice_of_rank: Integers, positives_by_slice: Counts, k: int
) -> Floats:
    """Recall@k of the positives in each popularity slice.

        recall@k of slice s = mean_i (hits of i on items of s) / positives_is

    Shapes: (n,K),(n,K),(n,s)->(s). NaN for a slice without a positive.
    Args:
        slice_of_rank: slice of the item at each rank; read where hits is true.
        positives_by_slice: number of the user's positives in each slice.
    Properties: one_slice_is_recall, equals_naive, hits_on_others_do_not_count
    """
    hits, slice_of_rank = _booleans(hits), as_integers("slice_of_rank", slice_of_rank)
    by_slice = as_integers("positives_by_slice", positives_by_slice)
    if slice_of_rank.shape != hits.shape or by_slice.ndim != 2:
        raise ValueError(
            f"hits and slice_of_rank must have one shape (n,K) and positives_by_slice be "
            f"(n,s), got {hits.shape}, {slice_of_rank.shape} and {by_slice.shape}"
        )
    result = np.full(by_slice.shape[1], np.nan)
    for s in range(len(result)):
        if by_slice[:, s].any():
            result[s] = recall(hits & (slice_of_rank == s), by_slice[:, s], k)
    return result


def _with_positives(hits: Hits, positives: Counts, k: int) -> tuple[Hits, Counts, int]:
    """Keep the first k ranks of the users with a positive."""
    hits, positives = _booleans(hits), as_integers("positives", positives)
    if positives.shape != hits.shape[:1]:
        raise ValueError(
            f"hits must be bool (n,K) and positives (n), got {hits.shape} and {positives.shape}"
        )
    k = integer("k", k, 1, hits.shape[1])
    if (hits.sum(axis=1) > positives).any():
        user = int((hits.sum(axis=1) > positives).argmax())
        raise ValueError(
            f"user {user} has {hits[user].sum()} hits but {positives[user]} positives: "
            "an item was recalled twice, or positives are missing"
        )
    counts = positives > 0
    if not counts.any():
        raise ValueError("no user has a positive, so there is nothing to measure")
    return hits[counts, :k], positives[counts], k


def _booleans(hits: Hits) -> Hits:
    hits = as_array("hits", hits)
    if hits.ndim != 2 or hits.dtype != np.bool_:
        raise ValueError(f"hits must be bool (n,K), got {hits.dtype} {hits.shape}")
    return hits
