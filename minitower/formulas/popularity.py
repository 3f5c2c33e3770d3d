"""Popularity of the recalled items: how much of the catalogue, how evenly, how popular.

Chapters 12 and 16.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minitower.formulas import arguments
from minitower.formulas.arguments import LONGEST_ARRAY, as_floats, as_integers, integer
from minitower.formulas.arrays import Counts, Integers


def times_recalled(recalled: NDArray[np.integer], m: int) -> Counts:
    """Count how often each of m items is recalled.

    Shapes: (n,k)->(m). Negative entries are the padding of short lists.
    Raises ValueError: an entry is m or more, or m is not from 0 to 2^31 - 1.

    >>> times_recalled(np.array([[2, 0], [2, -1]]), 3)
    array([1, 0, 2])
    """
    recalled, m = as_integers("recalled", recalled), integer("m", m, 0, LONGEST_ARRAY)
    return np.bincount(
        arguments.as_rows(f"recalled, of m = {m} items,", recalled[recalled >= 0], m), minlength=m
    )


def coverage(times: Counts) -> float:
    """Share of the catalogue that is recalled to any user, from :func:`times_recalled`.

    Shapes: (m)->()

    >>> coverage(np.array([1, 0, 2, 0]))
    0.5

    Reference: M. Ge, C. Delgado-Battenfeld, D. Jannach, Beyond accuracy, RecSys 2010; docs/16.
    """
    times = _catalogue("times", times)
    return float(np.count_nonzero(times) / len(times))


def gini(times: Counts) -> float:
    """Gini coefficient of the recalls: 0 if all items are equal, 1 - 1/m if one item has all.

        gini = sum_i (2i - m - 1) t_(i) / (m sum_i t_i),   t_(1) <= ... <= t_(m)

    Shapes: (m)->()
    Raises ValueError: m = 0, a count is negative, or all are 0.
    Properties: zero_when_even, one_item_takes_all, equals_mean_difference, scale_invariant

    >>> gini(np.array([0, 0, 0, 8]))
    0.75

    Reference: D. Fleder, K. Hosanagar, Blockbuster Culture's Next Rise or Fall, Management Science
        2009; docs/16.
    """
    ascending = np.sort(_catalogue("times", times))
    m, total = len(ascending), ascending.sum(dtype=float)
    if not total:
        raise ValueError("times are all 0: the spread of nothing is not defined")
    # In floats, because the products of many items and many recalls overflow int64.
    return float((2 * np.arange(1.0, m + 1) - m - 1) @ ascending / (m * total))


def novelty(times: Counts, clicks: Counts) -> float:
    """Mean self-information of the recalled items, in bits: high for unpopular items.

        novelty = sum_j times_j log2(sum(clicks) / max(clicks_j, 1)) / sum_j times_j

    Shapes: (m),(m)->() of recalls and training clicks. An unclicked item counts as clicked once.
    Raises ValueError: shapes differ, or all recalls or all clicks are 0.
    Properties: equals_naive, uniform_clicks_give_log2_m

    >>> novelty(np.array([1, 1]), np.array([3, 1]))        # (log2(4/3) + 2) / 2
    1.207518749639422

    Reference: T. Zhou et al., Solving the apparent diversity-accuracy dilemma of recommender
        systems, PNAS 2010; docs/16.
    """
    times, clicks = _catalogue("times", times), _catalogue("clicks", clicks)
    if times.shape != clicks.shape or not times.any() or not clicks.any():
        raise ValueError(
            "times and clicks must be equally long with a recall and a click at least, got "
            f"shapes {times.shape} and {clicks.shape}, sums {times.sum()} and {clicks.sum()}"
        )
    bits = np.log2(clicks.sum(dtype=float) / np.maximum(clicks, 1))
    return float(times @ bits / times.sum(dtype=float))


@dataclass(frozen=True)
class Slices:
    """A partition of the catalogue by training clicks.

    Attributes:
        of_item: (m) slice of each item: 0 for the items without a click ("new"), then 1, 2, ...
            from the rarest to the most clicked.
        clicks: (s,2) fewest and most clicks of an item in each slice.
        items: (s) number of items in each slice.
    """

    of_item: Integers
    clicks: Counts
    items: Counts

    @property
    def names(self) -> tuple[str, ...]:
        """Distinct names, such as "new" and "1-12 clicks"; a repeated name adds " (2)"."""
        names = ["new"]
        for fewest, most in self.clicks[1:].tolist():
            clicks = "1 click" if most == 1 else f"{most} clicks"
            name = f"{fewest}-{clicks}" if fewest < most else clicks
            alike = sum(other.partition(" (")[0] == name for other in names)
            names.append(f"{name} ({alike + 1})" if alike else name)
        return tuple(names)

    def count(self, items: NDArray[np.integer], rows: NDArray[np.integer], n: int) -> Counts:
        """Count the (row, item) pairs on each of n rows and each slice. Shapes: (p),(p)->(n,s)"""
        s, n = len(self.items), integer("n", n, 0)
        of_item = self.of_item[arguments.as_rows("items", items, len(self.of_item))]
        cell = arguments.as_rows("rows", rows, n) * s + of_item
        return np.bincount(cell, minlength=n * s).reshape(n, s)


def slices_by_positives(clicks: Counts, positives: Counts, slices: int) -> Slices:
    """Cut the catalogue by popularity into slices with equal shares of the test positives.

    Items in order of training clicks (ties by row) are cut where the running sum of positives
    passes 1/s, 2/s, ... of the total. An item at a cut goes to the side with its larger part.

    Shapes: (m),(m)->Slices, at most ``slices`` and one of the new items. Empty ones are dropped.
    Raises ValueError: shapes differ, a count is negative, or slices < 1.
    Properties: popularity_never_decreases, shares_are_equal, new_items_have_their_own_slice

    >>> slices_by_positives(np.array([0, 1, 2, 9]), np.array([0, 2, 2, 4]), 2).of_item
    array([0, 1, 1, 2])
    """
    clicks, positives = _catalogue("clicks", clicks), _catalogue("positives", positives)
    slices = integer("slices", slices, 1)
    if clicks.shape != positives.shape:
        raise ValueError(
            f"clicks and positives must be equally long, got shapes {clicks.shape} and "
            f"{positives.shape}"
        )
    if positives.sum(dtype=float) * slices > 2**61:
        raise ValueError(
            f"{slices} slices of positives that add up to {positives.sum(dtype=float):g}: too many "
            "to count"
        )
    order = _clicked_in_order(clicks)
    mass = positives[order]
    # In integers: floor of s * (position of the item's middle) / total.
    middle = 2 * mass.cumsum() - mass
    part = np.minimum(slices * middle // (2 * max(int(mass.sum()), 1)), slices - 1)
    return _slices(clicks, order, part)


def slices_by_items(clicks: Counts, quantiles: ArrayLike) -> Slices:
    """Cut the clicked items, in order of training clicks, at quantiles of their number.

    Shapes: (m),(q)->Slices, and one of the new items. Quantiles of (0.8,) separate the tail of
        four items in five.
    Raises ValueError: a count is negative, or the quantiles do not increase within (0, 1).
    Properties: popularity_never_decreases, sizes_follow_the_quantiles

    >>> slices_by_items(np.array([0, 1, 2, 3, 4, 9]), (0.8,)).of_item
    array([0, 1, 1, 1, 1, 2])
    """
    clicks, cuts = _catalogue("clicks", clicks), as_floats("quantiles", quantiles)
    inside = cuts.ndim == 1 and bool(((cuts > 0) & (cuts < 1)).all())
    if not inside or not bool((np.diff(cuts) > 0).all()):
        raise ValueError(f"quantiles must increase strictly within (0, 1), got {cuts.tolist()}")
    order = _clicked_in_order(clicks)
    first = np.rint(cuts * len(order))
    return _slices(clicks, order, np.searchsorted(first, np.arange(len(order)), side="right"))


def _catalogue(name: str, counts: Counts) -> Counts:
    counts = as_integers(name, counts)
    if counts.ndim != 1 or not len(counts) or counts.min() < 0:
        raise ValueError(
            f"{name} must be integers >= 0, one per item of the catalogue, got shape "
            f"{counts.shape}" + (f" from {counts.min()}" if counts.size else "")
        )
    return counts


def _clicked_in_order(clicks: Counts) -> Integers:
    """Rows of the clicked items, rarest first, ties by row."""
    order = np.argsort(clicks, kind="stable")
    return order[clicks[order] > 0]


def _slices(clicks: Counts, order: Integers, part: Integers) -> Slices:
    """Make slice 0 of the new items, then a slice of each part that has items."""
    of_item = np.zeros(len(clicks), dtype=np.int64)
    of_item[order] = 1 + np.unique(part, return_inverse=True)[1]
    items = np.bincount(of_item)
    bounds = [(0, 0)]
    for s in range(1, len(items)):
        inside = clicks[of_item == s]
        bounds.append((int(inside.min()), int(inside.max())))
    return Slices(of_item, np.array(bounds), items)
