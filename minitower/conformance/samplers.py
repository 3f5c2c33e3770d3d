"""Does a sampler draw the distribution that it states? An exact test with a known risk. Chapter 17.

The count of an item in n independent draws is exactly Binomial(n, p), and so is the count of
a set of items. Each case tests every item and every prefix of the items. The level of the
tests (Bonferroni) lets a right sampler fail with probability :data:`FALSE_ALARM` at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import bdtr, bdtrc, chdtrc

from minitower.conformance.formula import TOLERANCE, Case, Unusable, error
from minitower.conformance.mistake import Mistake, table
from minitower.conformance.report import NO_KNOWN, Report, Result
from minitower.formulas.arrays import Array

SAMPLER = "sampler"
"""Name of the check of a sampler, among those of the formulas."""

FALSE_ALARM = 1e-6
"""The chance that a right sampler fails a check."""

DRAWS = 100_000


def _share(weights: Array) -> Array:
    return np.asarray(weights / weights.sum())


CASES = tuple(
    Case(name, why, {"p": _share(np.array(weights, float))})
    for name, why, weights in (
        ("two_items", "sixteen times the clicks, eight times the draws", [8, 1]),
        ("uniform", "every item alike", [1] * 5),
        ("one_item", "nothing to choose", [1]),
        ("never_drawn", "items of probability zero, first, last and between", [0, 3, 0, 1, 2, 0]),
        ("skewed", "from 1 in 2 to 1 in 1000, in no order", [3, 500, 20, 1, 400, 70, 6]),
        (
            "thirty_items",
            "a power law: counts that are too even to be independent show here",
            [1000 / (i + 2) ** 0.75 for i in range(30)],
        ),
    )
)

_MISTAKES = table({
    ("uniform draws", "p is ignored"): lambda p: np.full(len(p), 1 / len(p)),
    ("power law applied twice", "p is the law already: draw from it as it is"):
        lambda p: _share(np.where(p > 0, p, 1) ** 0.75 * (p > 0)),
    ("power law undone", "p is the law already: draw from it as it is"):
        lambda p: _share(p ** (4 / 3)),
    ("ids counted from one", "ids are 0 to K - 1"): lambda p: np.append(0, p),
    ("log-uniform by row", "that law wants items sorted by clicks, and is not p"):
        lambda p: _share(np.log1p(1 / np.arange(1.0, len(p) + 1))),
})  # fmt: skip
_LOG_Q_MISTAKES = table({
    ("q returned instead of log q", "take the logarithm"): lambda p: p,
    ("sign of log q", "log q is at most 0"): lambda p: -np.log(p),
    ("log q to base two", "use the natural logarithm"): np.log2,
    ("log of the expected count", "log q is of one draw: subtract log(draws)"):
        lambda p: np.log(DRAWS * p),
    ("log q before the power law", "log q is of the law that the draws follow"):
        lambda p: np.log(_share(p ** (4 / 3))),
    ("log q of a uniform draw", "log q is of the law that the draws follow"):
        lambda p: np.full(len(p), -np.log(len(p))),
})  # fmt: skip
_DEPENDENT, _CONSTANT = table({
    ("draws that depend on each other",
     "draw anew, with replacement: systematic, sorted or repeated draws are no independent ones"):
        lambda p: p,
    ("q that does not sum to one", "divide the weights by their sum before the logarithm"):
        lambda p: p,
})  # fmt: skip


def check_sampler(
    draw: Callable[..., Any], *, false_alarm: float = FALSE_ALARM, seed: int = 0
) -> Report:
    """Check a function that draws items with given probabilities.

    Args:
        draw: called as draw(p, size, rng) with p (K) the probabilities and rng a NumPy
            Generator. Returns (size) independent ids, or (ids, log_q) with the log-probability
            of each draw, which is compared exactly.
        false_alarm: probability that a right sampler fails, over all cases together.
        seed: seed of the generator.

    >>> def right(p, size, rng):
    ...     ids = rng.choice(len(p), size, p=p)
    ...     return ids, np.log(p[ids])
    >>> check_sampler(right).passed
    True
    >>> check_sampler(lambda p, size, rng: rng.integers(len(p), size=size)).mistake.name
    'uniform draws'
    """
    level, rng = false_alarm / (2 * len(CASES)), np.random.default_rng(seed)
    results: list[Result] = []
    samples: list[_Sample] = []
    for case in CASES:
        try:
            samples.append(_drawn(draw, case.inputs["p"], rng, level))
            results.append(Result(case, samples[-1].failure(level)))
        except (Exception, SystemExit) as problem:
            what = " ".join(str(problem).split())
            if not isinstance(problem, Unusable):
                what = f"raised {type(problem).__name__}: {what}"
            results.append(Result(case, what, unusable=True))
    how = f"{DRAWS} draws a case; a right sampler fails once in {1 / false_alarm:,.0f} checks"
    known = _known(samples, level)
    results = [replace(r, mistake=known) if r.failure and not r.unusable else r for r in results]
    return Report(SAMPLER, how, tuple(results), known, "" if known else NO_KNOWN)


@dataclass(frozen=True)
class _Sample:
    """One case's draws: counts of the items 0 to K, and the returned log q of each, or None.

    Attributes:
        depends: what shows that the draws are not independent, or None.
    """

    p: Array
    counts: Array
    depends: str | None
    log_q: Array | None

    def follows(self, law: Array, level: float) -> bool:
        """Whether the counts may come from another distribution."""
        return surprise(self.counts, np.append(law, np.zeros(len(self.counts) - len(law)))) >= level

    def states(self, log_law: Callable[[Array], Array]) -> bool:
        """Whether log q is that of the distribution, where it was returned."""
        if self.log_q is None:
            return True
        with np.errstate(divide="ignore"):
            expected = np.append(log_law(self.p), 0)
        seen = self.counts > 0
        return error(self.log_q[seen], expected[seen]) <= TOLERANCE[str(self.log_q.dtype)]

    def failure(self, level: float) -> str | None:
        if not self.follows(self.p, level):
            expected = DRAWS * np.append(self.p, 0)
            off = np.abs(self.counts - expected) / np.sqrt(np.maximum(expected, 1))
            worst = int(off.argmax())
            return f"item {worst} drawn {self.counts[worst]} times, expected {expected[worst]:.0f}"
        if self.depends:
            return self.depends
        return None if self.states(np.log) else "log_q is not the log of the probability"


def _drawn(draw: Callable[..., Any], p: Array, rng: np.random.Generator, level: float) -> _Sample:
    returned = draw(p.copy(), DRAWS, rng)
    pair = isinstance(returned, tuple | list) and len(returned) == 2
    ids, log_q = returned if pair else (returned, None)
    ids = np.asarray(ids)
    if ids.shape != (DRAWS,) or ids.dtype.kind not in "iu":
        raise Unusable(f"returned {ids.dtype} of shape {ids.shape}, expected {DRAWS} integer ids")
    if ids.min() < 0 or ids.max() > len(p):
        raise Unusable(f"drew an item outside of 0 to {len(p) - 1}")
    counts = np.bincount(ids, minlength=len(p) + 1)
    depends = dependence(ids, p, level)
    if log_q is None:
        return _Sample(p, counts, depends, None)
    log_q = np.asarray(log_q)
    if log_q.shape != ids.shape or str(log_q.dtype) not in TOLERANCE:
        raise Unusable(f"returned log_q as {log_q.dtype} of shape {log_q.shape}, not one a draw")
    by_item = np.full(len(p) + 1, np.nan, log_q.dtype)
    by_item[ids] = log_q
    if not np.array_equal(by_item[ids], log_q):
        raise Unusable("returned two different log_q for one item, or NaN")
    return _Sample(p, counts, depends, by_item)


def _known(samples: list[_Sample], level: float) -> Mistake | None:
    """Find the mistake in the distribution, in the order or in log q, that fits all cases."""
    if all(case.failure(level) is None for case in samples):
        return None
    if not all(case.follows(case.p, level) for case in samples):
        fit = (m for m in _MISTAKES if all(d.follows(m.compute(d.p), level) for d in samples))
        return next(fit, None)
    if any(case.depends for case in samples):
        return _DEPENDENT
    fit = (m for m in _LOG_Q_MISTAKES if all(d.states(m.compute) for d in samples))
    return next(fit, None) or _scaled(samples)


def _scaled(samples: list[_Sample]) -> Mistake | None:
    """The mistake of a log q that is off by the same constant everywhere."""
    with np.errstate(divide="ignore"):
        right = np.concatenate([np.append(np.log(d.p), 0)[d.counts > 0] for d in samples])
    stated = np.concatenate([d.log_q[d.counts > 0] for d in samples if d.log_q is not None])
    off = stated - right
    if error(stated, right + np.median(off)) > TOLERANCE[str(stated.dtype)]:
        return None
    return replace(_CONSTANT, name=f"{_CONSTANT.name}: log q is off by {np.median(off):.4g}")


# --- Are draws independent? Exact tests of what counts alone do not show: of n independent draws
# the first half is a sample like any other, two draws are equal with the chance sum_i p_i^2, and
# counts scatter. Each fails a right sampler with at most the probability that it is asked for.


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
