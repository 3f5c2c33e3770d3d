"""Are draws independent? Exact tests of what counts alone do not show. Chapter 17.

Of n independent draws the first half is a sample like any other, two draws are equal with the
chance sum_i p_i^2, and counts scatter. Each test is exact: it fails a right sampler with at most
the probability that it is asked for.
"""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr, bdtrc, chdtrc

from minitower.formulas.arrays import Array


def surprise(counts: Array, p: Array) -> float:
    """Smallest tail probability of all counts, times the number of tests (at most that many).

    >>> surprise(np.array([60_000, 40_000]), np.array([0.5, 0.5])) < 1e-100
    True
    """
    n = counts.sum()
    hits = np.concatenate([counts, counts.cumsum()[:-1]])
    chance = np.clip(np.concatenate([p, p.cumsum()[:-1]]), 0, 1)
    tails = np.minimum(bdtr(hits, n, chance), np.where(hits > 0, bdtrc(hits - 1, n, chance), 1))
    return float(2 * len(hits) * tails.min())


def evenness(counts: Array, p: Array) -> float:
    """Probability that independent draws come as close to their expected counts.

    The count of each item, given those before it, is binomial. The probabilities of counts as
    close to the mean are combined by Fisher's method.

    >>> round(evenness(np.array([50, 50]), np.array([0.5, 0.5])), 2)    # P(count = 50)
    0.08
    """
    left, share = int(counts.sum()), 1.0
    logs: list[float] = []
    for count, chance in zip(counts[:-1], p[:-1], strict=True):
        given = min(1.0, chance / share) if share > 1e-12 else 1.0
        if 0 < given < 1:
            far = abs(count - left * given)
            low, high = np.ceil(left * given - far - 1e-9), np.floor(left * given + far + 1e-9)
            below = bdtr(low - 1, left, given) if low > 0 else 0.0
            above = bdtrc(high, left, given) if high < left else 0.0
            logs.append(float(np.log(max(1e-300, 1 - below - above))))
        left, share = left - int(count), share - chance
    return float(chdtrc(2 * len(logs), -2 * sum(logs))) if logs else 1.0


def dependence(ids: Array, p: Array, level: float) -> str | None:
    """What shows that draws depend on each other, or None.

    Args:
        ids: draws in their order, an even number of them.
        level: probability that independent draws fail one of the tests.
    """
    each, half, full = level / 4, len(ids) // 2, np.append(p, 0)
    if evenness(np.bincount(ids, minlength=len(full)), full) < each:
        return "counts are closer to the expected ones than independent draws come"
    if surprise(np.bincount(ids[:half], minlength=len(full)), full) < each:
        return "the first half of the draws is of another distribution than all of them"
    same = np.array([p @ p, 1 - p @ p])
    for name, equal in (
        ("neighbors", (ids[0::2] == ids[1::2]).sum()),
        ("draws at half the distance", (ids[:half] == ids[half:]).sum()),
    ):
        if surprise(np.array([equal, half - equal]), same) < each:
            return f"{equal} of {half} pairs of {name} are equal, expected {half * same[0]:.0f}"
    return None
