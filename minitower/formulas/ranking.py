"""How good is a ranked list: metrics of accuracy, of variety, and by popularity.

A recall is a list of k items per user, best first. What the metrics need of it is
little: `hits` (n,k), true where the item at that rank is one of the user's
positives, and `positives` (n), how many there are to find. Every metric of accuracy
is a mean over the users who have at least one positive; the others have nothing
to find and are left out, not counted as failures.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Hits = NDArray[np.bool_]
Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def recall(hits: Hits, positives: Counts, k: int) -> float:
    """The share of a user's positives that the first k ranks hold.

        recall@k = mean_i (hits of i in ranks 1..k) / positives_i

    Shapes: (n,K),(n)->()

    Args:
        hits: true where the item at that rank is a positive of the user.
        positives: how many positives each user has, found or not, >= 0.
        k: how many ranks to look at, 1..K.

    Raises:
        ValueError: the shapes disagree, k is outside 1..K, a user has more hits
            than positives, or no user has a positive.

    Properties: equals_naive, users_without_positives_do_not_count, grows_with_k

    >>> hits = np.array([[True, False, True], [False, True, False]])
    >>> recall(hits, np.array([4, 1]), k=3)             # (2/4 + 1/1) / 2
    0.75

    Reference: Manning, Raghavan and Schütze, Introduction to Information
        Retrieval, 2008, section 8.3.
    """
    hits, positives = _judged(hits, positives, k)
    return float((hits.sum(axis=1) / positives).mean())


def recall_capped(hits: Hits, positives: Counts, k: int) -> float:
    """Recall over what k ranks could hold at best: hits / min(k, positives).

    Shapes: (n,K),(n)->(). Some papers report it under the name of :func:`recall`,
    which it equals where no user has more than k positives.

    Properties: equals_naive, perfect_is_one, is_recall_when_k_is_enough
    """
    hits, positives = _judged(hits, positives, k)
    return float((hits.sum(axis=1) / np.minimum(positives, k)).mean())


def precision(hits: Hits, positives: Counts, k: int) -> float:
    """The share of the first k ranks that hold a positive: hits / k.

    Shapes: (n,K),(n)->(). Ranks that a short list leaves empty count as misses.

    Properties: equals_naive, users_without_positives_do_not_count
    """
    hits, _ = _judged(hits, positives, k)
    return float((hits.sum(axis=1) / k).mean())


def hit_rate(hits: Hits, positives: Counts, k: int) -> float:
    """The share of users with at least one positive in the first k ranks.

    Shapes: (n,K),(n)->()

    Properties: equals_naive, grows_with_k, is_recall_of_a_single_positive
    """
    hits, _ = _judged(hits, positives, k)
    return float(hits.any(axis=1).mean())


def mrr(hits: Hits, positives: Counts, k: int) -> float:
    """Mean reciprocal rank: 1 / (rank of the first hit), 0 without one in k ranks.

    Shapes: (n,K),(n)->()

    Properties: equals_naive, perfect_is_one, grows_with_k

    >>> mrr(np.array([[False, True], [False, False]]), np.array([1, 3]), k=2)
    0.25

    Reference: E. Voorhees, The TREC-8 Question Answering Track Report, 1999.
    """
    hits, _ = _judged(hits, positives, k)
    return float((hits.any(axis=1) / (1 + hits.argmax(axis=1))).mean())


def mean_average_precision(hits: Hits, positives: Counts, k: int) -> float:
    """Precision at every rank that hits, summed, over the most there could be.

        MAP@k = mean_i sum_{r <= k, hit} precision_i@r / min(k, positives_i)

    Shapes: (n,K),(n)->()

    Properties: equals_naive, perfect_is_one, earlier_is_better

    >>> mean_average_precision(np.array([[True, False, True]]), np.array([2]), k=3)
    0.8333333333333333

    Reference: Manning, Raghavan and Schütze, 2008, section 8.4, cut at k.
    """
    hits, positives = _judged(hits, positives, k)
    at_rank = hits.cumsum(axis=1) / np.arange(1, k + 1)
    return float(((at_rank * hits).sum(axis=1) / np.minimum(positives, k)).mean())


def ndcg(hits: Hits, positives: Counts, k: int) -> float:
    """Hits discounted by rank, over the same sum for an ideal list.

        NDCG@k = mean_i sum_{r <= k, hit} 1/log2(r+1)  /  sum_{r <= min(k, positives_i)} 1/log2(r+1)

    Shapes: (n,K),(n)->()

    Properties: equals_naive, perfect_is_one, earlier_is_better

    >>> round(ndcg(np.array([[False, True]]), np.array([1]), k=2), 6)    # 1/log2(3)
    0.63093

    Reference: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR
        techniques, TOIS 2002, with binary gains.
    """
    hits, positives = _judged(hits, positives, k)
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = discount.cumsum()[np.minimum(positives, k) - 1]
    return float((hits @ discount / ideal).mean())


def times_recalled(recalled: NDArray[np.integer], m: int) -> Counts:
    """How often each of m items is recalled. Shapes: (n,k)->(m).

    Entries of -1, the padding of short lists, are no item.

    >>> times_recalled(np.array([[2, 0], [2, -1]]), 3)
    array([1, 0, 2])
    """
    return np.bincount(recalled[recalled >= 0].ravel(), minlength=m)


def coverage(times: Counts) -> float:
    """The share of the catalogue that is recalled to anybody. Shapes: (m)->().

    Args:
        times: how often each item is recalled, from :func:`times_recalled`.

    >>> coverage(np.array([1, 0, 2, 0]))
    0.5

    Reference: Ge, Delgado-Battenfeld and Jannach, Beyond accuracy, RecSys 2010.
    """
    return float(np.count_nonzero(_catalogue(times)) / len(times))


def gini(times: Counts) -> float:
    """How unevenly the recalls are spread: 0 all items alike, 1 - 1/m one item only.

        gini = sum_i (2i - m - 1) t_(i) / (m sum_i t_i),   t_(1) <= ... <= t_(m)

    Shapes: (m)->(). Items that nobody is recalled count, with t = 0.

    Raises:
        ValueError: there is no item, a negative count, or no recall at all.

    Properties: zero_when_even, one_item_takes_all, equals_mean_difference,
        scale_invariant

    >>> gini(np.array([0, 0, 0, 8]))
    0.75

    Reference: Fleder and Hosanagar, Blockbuster Culture's Next Rise or Fall,
        Management Science 2009.
    """
    ascending = np.sort(_catalogue(times))
    m, total = len(ascending), int(ascending.sum())
    if not total:
        raise ValueError("nothing was recalled, so its spread is not defined")
    return float((2 * np.arange(1, m + 1) - m - 1) @ ascending / (m * total))


def novelty(times: Counts, clicks: Counts) -> float:
    """How surprising the recalled items are: their mean self-information, in bits.

        novelty = sum_j times_j log2(sum(clicks) / max(clicks_j, 1)) / sum_j times_j

    Shapes: (m),(m)->(). A never-clicked item counts as clicked once.

    Args:
        times: how often each item is recalled.
        clicks: training clicks of each item, at least one in all.

    Properties: equals_naive, uniform_clicks_give_log2_m

    Reference: Zhou et al., Solving the apparent diversity-accuracy dilemma of
        recommender systems, PNAS 2010 ("surprisal").
    """
    times, clicks = _catalogue(times), _catalogue(clicks)
    if times.shape != clicks.shape or not times.any() or not clicks.any():
        raise ValueError(
            "times and clicks must be equally long with a recall and a click at least, got "
            f"shapes {times.shape} and {clicks.shape}, sums {times.sum()} and {clicks.sum()}"
        )
    bits = np.log2(clicks.sum() / np.maximum(clicks, 1))
    return float(times @ bits / times.sum())


@dataclass(frozen=True)
class Slices:
    """A partition of the catalogue by training clicks.

    Attributes:
        of_item: (m) the slice of each item. Slice 0 is the items without a click
            ("new"; it may be empty), then 1, 2, ... from the rarest to the most
            clicked.
        clicks: (s,2) the fewest and the most clicks of an item in each slice.
        items: (s) how many items each slice holds.
    """

    of_item: Counts
    clicks: Counts
    items: Counts

    @property
    def names(self) -> tuple[str, ...]:
        """Names such as "new", "1-12 clicks", "12-300 clicks"."""
        return (
            "new",
            *(f"{a}-{b} clicks" if a < b else f"{a} clicks" for a, b in self.clicks[1:].tolist()),
        )

    def count(self, items: NDArray[np.integer], rows: NDArray[np.integer], n: int) -> Counts:
        """How many (row, item) pairs fall on each of n rows and each slice. (p),(p)->(n,s)."""
        s = len(self.items)
        return np.bincount(rows * s + self.of_item[items], minlength=n * s).reshape(n, s)


def slices_by_positives(clicks: Counts, positives: Counts, slices: int) -> Slices:
    """Cut the catalogue by popularity so that every slice has as much to find.

    Items stand in order of training clicks (ties by row) and are cut where the
    running sum of test positives passes 1/s, 2/s, ... of the total; an item astride
    a cut goes to the side that holds the larger part of it.

    Shapes: (m),(m)->(m). New items are a slice of their own, outside the count.
    Slices left without an item (one item may hold several shares) are dropped.

    Args:
        clicks: training clicks of each item, >= 0.
        positives: test positives of each item, >= 0.
        slices: s >= 1, besides the new items.

    Raises:
        ValueError: shapes differ, a count is negative, or slices < 1.

    Properties: popularity_never_decreases, shares_are_equal, new_items_stand_apart
    """
    clicks, positives = _catalogue(clicks), _catalogue(positives)
    if clicks.shape != positives.shape or slices < 1:
        raise ValueError(
            f"clicks and positives must be equally long and slices >= 1, got shapes "
            f"{clicks.shape} and {positives.shape}, slices {slices}"
        )
    order = _clicked_in_order(clicks)
    mass = positives[order]
    # In whole numbers: floor of s * (position of the item's middle) / total.
    middle = 2 * mass.cumsum() - mass
    part = np.minimum(slices * middle // max(2 * int(mass.sum()), 1), slices - 1)
    return _slices(clicks, order, part)


def slices_by_items(clicks: Counts, quantiles: ArrayLike) -> Slices:
    """Cut the clicked items, in order of clicks, at stated quantiles of their number.

    Shapes: (m),(q)->(m). New items are a slice of their own. `quantiles=(0.8,)`
    parts the tail, four items in five, from the head.

    Raises:
        ValueError: a count is negative, or the quantiles do not increase within (0, 1).

    Properties: popularity_never_decreases, sizes_follow_the_quantiles
    """
    clicks, cuts = _catalogue(clicks), np.asarray(quantiles, dtype=float)
    inside = cuts.ndim == 1 and bool(((cuts > 0) & (cuts < 1)).all())
    if not inside or not bool((np.diff(cuts) > 0).all()):
        raise ValueError(f"quantiles must increase strictly within (0, 1), got {cuts.tolist()}")
    order = _clicked_in_order(clicks)
    first = np.rint(cuts * len(order)).astype(np.int64)
    return _slices(clicks, order, np.searchsorted(first, np.arange(len(order)), side="right"))


def recall_by_slice(
    hits: Hits, slice_of_rank: Counts, positives_by_slice: Counts, k: int
) -> Floats:
    """Recall@k counted on one popularity slice at a time.

        recall@k of slice s = mean_i (hits of i on items of s) / positives_is

    Shapes: (n,K),(n,K),(n,s)->(s). The mean is over the users with a positive in
    the slice; NaN where there is none: what was not measured is not 0.

    Args:
        hits: as in :func:`recall`.
        slice_of_rank: the slice of the item at each rank; read where hits is true.
        positives_by_slice: the user's positives that lie in each slice.

    Properties: one_slice_is_recall, equals_naive, hits_on_others_do_not_count
    """
    slice_of_rank, by_slice = np.asarray(slice_of_rank), np.asarray(positives_by_slice)
    if slice_of_rank.shape != np.shape(hits) or by_slice.ndim != 2:
        raise ValueError(
            f"hits and slice_of_rank must have one shape (n,K) and positives_by_slice be "
            f"(n,s), got {np.shape(hits)}, {slice_of_rank.shape} and {by_slice.shape}"
        )
    result = np.full(by_slice.shape[1], np.nan)
    for s in range(len(result)):
        if by_slice[:, s].any():
            result[s] = recall(hits & (slice_of_rank == s), by_slice[:, s], k)
    return result


def _judged(hits: Hits, positives: Counts, k: int) -> tuple[Hits, Counts]:
    """The first k ranks, and the positives, of the users who have any."""
    hits, positives = np.asarray(hits), np.asarray(positives)
    if hits.ndim != 2 or hits.dtype != np.bool_ or positives.shape != hits.shape[:1]:
        raise ValueError(
            f"hits must be bool (n,K) and positives (n), got {hits.dtype} {hits.shape} "
            f"and {positives.shape}"
        )
    if not 1 <= k <= hits.shape[1]:
        raise ValueError(f"k must be within 1..{hits.shape[1]}, the ranks given, got {k}")
    if (hits.sum(axis=1) > positives).any():
        user = int((hits.sum(axis=1) > positives).argmax())
        raise ValueError(
            f"user {user} has {hits[user].sum()} hits but {positives[user]} positives: "
            "an item was recalled twice, or positives are missing"
        )
    judged = positives > 0
    if not judged.any():
        raise ValueError("no user has a positive, so there is nothing to measure")
    return hits[judged, :k], positives[judged]


def _catalogue(counts: Counts) -> Counts:
    counts = np.asarray(counts)
    if counts.ndim != 1 or not len(counts) or counts.dtype.kind not in "iu" or counts.min() < 0:
        raise ValueError(
            f"expected whole numbers >= 0, one per item of the catalogue, got "
            f"{counts.dtype} of shape {counts.shape}"
        )
    return counts.astype(np.int64, copy=False)


def _clicked_in_order(clicks: Counts) -> Counts:
    """Rows of the items with a click, rarest first, ties by row."""
    order = np.argsort(clicks, kind="stable")
    return order[clicks[order] > 0]


def _slices(clicks: Counts, order: Counts, part: Counts) -> Slices:
    """Slice 0 for the new items, then the parts of the ordered items that hold any."""
    of_item = np.zeros(len(clicks), dtype=np.int64)
    of_item[order] = 1 + np.unique(part, return_inverse=True)[1]
    items = np.bincount(of_item, minlength=1)
    bounds = [(0, 0)]
    for s in range(1, len(items)):
        inside = clicks[of_item == s]
        bounds.append((int(inside.min()), int(inside.max())))
    return Slices(of_item, np.array(bounds, dtype=np.int64), items)
