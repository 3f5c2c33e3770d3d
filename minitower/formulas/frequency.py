"""Streaming frequency: estimate how often each item appears, in fixed memory. Chapter 10.

Training on a stream has no click counts: yesterday's are stale, and new items have none. But
an item that appears in one batch of ten leaves gaps of ten steps on average. Two arrays hold
the last step of each slot and a moving average of its gaps; the frequency is 1 / gap.
"""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas import arguments
from minitower.formulas.arguments import LONGEST_ARRAY, choice, integer, number
from minitower.formulas.arrays import Floats, Integers

_SMALLEST = float(np.finfo(np.float64).tiny)  # gap; (1 - alpha)^copies underflows


class StreamingFrequency:
    """Appearances per batch of every item, followed as they change.

    At step t, for each item y of the batch and each hash h:

        gap[h(y)] <- (1 - alpha) gap[h(y)] + alpha (t - last[h(y)])
        last[h(y)] <- t

    Args:
        slots: H >= 1.
        alpha: weight of the newest gap, in (0, 1). About 1/alpha appearances are remembered.
        initial_gap: gap of an unseen item, > 0. The expected gap makes the start unbiased.
        hashes: m >= 1 hash functions, each into arrays of its own, for integer ids of any
            range; 0 for ids that are slots, such as rows of a table. A collision shortens a gap,
            so of several hashes the longest gap counts.
        repeats: effect of c > 1 copies in a batch. "expected_count": c appearances, the later
            ones at gap 0 (the paper's loop). The frequency is the mean number of copies per
            batch, which a logQ correction needs. "inclusion_probability": one appearance; the
            frequency is the probability that the batch has the item.

    Attributes:
        state: "last" (m,H) int64 and "gap" (m,H) float64. For new items (hashes = 0) append 0
            and initial_gap. The first gap of an item counts from step 0 (the paper), or from
            the number that was appended to "last".
        step: number of batches so far. It and the state are all there is to save.
    Raises ValueError: an argument is outside its domain; in use, an id is not an integer or,
        without hashes, outside 0..H-1.

    With "expected_count", c copies in every batch give ((1 - alpha)^-c - 1) (1 - alpha) / alpha:
    c for small alpha c, and too much otherwise. Choose alpha well below one over the copies of
    the most popular item in a batch.

    Properties: equals_the_loop, copies_are_counted_or_not, several_hashes_take_the_longest_gap,
        collisions_shorten_gaps, unseen_is_one_over_initial_gap,
        order_within_a_batch_changes_nothing, steady_copies, resumes_from_its_state,
        follows_a_change, absent_items_age

    >>> frequency = StreamingFrequency(4, alpha=0.5, initial_gap=2.0)
    >>> for batch in ([0, 1], [0], [0, 1], [0]):
    ...     frequency.update(batch)
    >>> np.exp(frequency.log_frequency([0, 1, 3])).round(2)    # every, every other, unseen
    array([0.94, 0.57, 0.5 ])

    Reference: X. Yi et al., Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
        Recommendations, RecSys 2019, Algorithms 2 and 3; docs/10. (Algorithm 3 prints h for h_i.)
    """

    def __init__(
        self,
        slots: int,
        *,
        alpha: float = 0.01,
        initial_gap: float = 100.0,
        hashes: int = 0,
        repeats: Literal["expected_count", "inclusion_probability"] = "expected_count",
    ) -> None:
        slots = integer("slots", slots, 1, LONGEST_ARRAY)
        hashes = integer("hashes", hashes, 0, LONGEST_ARRAY)
        alpha, initial_gap = number("alpha", alpha), number("initial_gap", initial_gap)
        if not 0 < alpha < 1 or initial_gap <= 0:
            raise ValueError(
                "expected alpha in (0, 1) and a finite initial_gap > 0, "
                f"got {alpha} and {initial_gap}"
            )
        choice("repeats", repeats, ("expected_count", "inclusion_probability"))
        self.alpha, self.hashes, self.repeats = alpha, hashes, repeats
        shape = max(hashes, 1), slots
        self.state = {"last": np.zeros(shape, np.int64), "gap": np.full(shape, float(initial_gap))}
        self.step = 0

    @classmethod
    def from_counts(cls, counts: ArrayLike, batch_size: int) -> "StreamingFrequency":
        """An estimate that starts at counts of clicks.

        Args:
            counts: (m,) clicks of every item, >= 0; 0 counts as 1.
            batch_size: clicks a step, by which shares become gaps.

        Raises:
            ValueError: the batch size is not positive.
        """
        integer("batch_size", batch_size, 1)
        clicks = np.maximum(np.asarray(counts, np.float64), 1)
        frequency = cls(len(clicks))
        frequency.state["gap"][0] = clicks.sum() / (batch_size * clicks)
        return frequency

    def update(self, ids: ArrayLike) -> None:
        """Count one batch of item ids, repetitions included. Shapes: (n), n >= 0."""
        slots_by_hash = self._slots(ids)
        self.step += 1
        keep = 1 - self.alpha
        arrays = self.state["last"], self.state["gap"], slots_by_hash
        for last, gap, slots in zip(*arrays, strict=True):
            at, copies = np.unique(slots, return_counts=True)
            again = copies - 1 if self.repeats == "expected_count" else 0
            new = keep**again * (keep * gap[at] + self.alpha * (self.step - last[at]))
            gap[at] = np.maximum(new, _SMALLEST)
            last[at] = self.step

    def log_frequency(self, ids: ArrayLike, *, aged: bool = False) -> Floats:
        """Log of the appearances per batch, of the kind that ``repeats`` names. Shapes: (n)->(n)

        Args:
            aged: whether the time since an item's last appearance counts as its gap, where it is
                longer. Otherwise an item that disappears keeps its frequency.

        :mod:`minitower.formulas.draw_probability` turns the result into log q of one draw of
        a batch of b, with draws = b: ``log_q_from_expected_count`` or
        ``log_q_from_inclusion_probability``.
        """
        at = np.arange(len(self.state["gap"]))[:, None], self._slots(ids)
        gap: Floats = self.state["gap"][at]
        if aged:
            gap = np.maximum(gap, self.step - self.state["last"][at])
        longest: Floats = gap.max(axis=0)
        return -np.log(longest)

    def _slots(self, ids: ArrayLike) -> Integers:
        """The slot of each id under each hash, (m,n)."""
        ids, slots = arguments.as_ids("ids", ids), self.state["gap"].shape[1]
        if ids.dtype.kind not in "iu" or ids.ndim != 1:
            raise ValueError(f"ids must be a vector of integers, got {ids.dtype} {ids.shape}")
        if not self.hashes:
            return arguments.as_rows("ids without hashes, which are slots,", ids, slots)[None]
        # splitmix64's finalizer (G. Steele et al., OOPSLA 2014), started at h golden ratios.
        steps = np.arange(1, self.hashes + 1, dtype=np.uint64)[:, None]
        x = ids.astype(np.uint64) + steps * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        hashed: Integers = ((x ^ (x >> np.uint64(31))) % np.uint64(slots)).astype(np.int64)
        return hashed


def gap_bias(appearances: int, *, alpha: float, initial: float, mean: float) -> float:
    """Expected error of the moving average after t independent gaps.

        E gap_t - mean = (1 - alpha)^t (initial - mean)

    Yi et al., Eq. 7, is one factor off: it prints (1 - alpha)^t initial - (1 - alpha)^(t-1) mean.
    The unbiased start is initial = mean, not mean / (1 - alpha) as printed.

    Domain: appearances t >= 0, alpha in (0, 1].
    Properties: equals_enumeration, the_mean_is_the_unbiased_start

    >>> round(gap_bias(1, alpha=0.01, initial=100.0, mean=7.0), 2)      # as printed: 92.00
    92.07
    """
    kept = math.exp(_log_kept(_weight(alpha), integer("appearances", appearances, 0)))
    return kept * (number("initial", initial) - number("mean", mean))


def gap_variance(appearances: int, *, alpha: float, variance: float) -> float:
    """Variance of the moving average after t independent gaps.

        Var gap_t = alpha / (2 - alpha) (1 - (1 - alpha)^(2t)) variance

    variance is that of one gap, E (gap_1 - mean)^2; Yi et al., Eq. 8, prints E (gap_1 - alpha)^2.

    Domain: as in :func:`gap_bias`.
    Properties: equals_enumeration

    >>> round(gap_variance(1000, alpha=0.01, variance=100.0), 4)
    0.5025
    """
    alpha = _weight(alpha)
    settled = -math.expm1(_log_kept(alpha, 2 * integer("appearances", appearances, 0)))
    return alpha / (2 - alpha) * settled * number("variance", variance)


def _weight(alpha: float) -> float:
    alpha = number("alpha", alpha)
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha must be in (0, 1], got {alpha}")
    return alpha


def _log_kept(alpha: float, times: int) -> float:
    """log (1 - alpha)^times, exact for the smallest alpha."""
    if alpha == 1:
        return -math.inf if times else 0.0
    return times * math.log1p(-alpha)
