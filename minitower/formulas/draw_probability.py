"""Log-probabilities of draws, and conversions between their kinds. Chapters 7 and 9.

q is the probability that *one draw* is the item; it sums to 1 over the catalogue. Papers
also call the expected number of draws or the inclusion probability a "sampling
probability". The functions here convert between the three, in logarithms.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import as_float64, as_floats, positive_number
from minitower.formulas.arrays import Floats


def normalized(name: str, weights: ArrayLike) -> Floats:
    """Divide weights >= 0 by their sum. Shapes: (K)->(K)

    Raises ValueError: weights are empty, negative, not finite or all zero.
    """
    w = as_float64(name, weights)
    if w.ndim != 1 or not np.all((w >= 0) & (w < np.inf)) or not w.any():
        raise ValueError(
            f"{name} must be a vector of finite numbers >= 0, not all zero, got shape {w.shape}"
            + (f" from {w.min()} to {w.max()}" if w.size else "")
        )
    w = w / float(w.max())  # the sum cannot overflow
    return w / float(w.sum())


def log_mixture(log_qs: Sequence[ArrayLike], shares: ArrayLike) -> Floats:
    """Compute log q of a mixture of distributions.

        log Q*_j = log sum_c share_c exp(log q_cj) / sum_c share_c

    Shapes: c times (...),(c)->(...)
    Args:
        log_qs: log q of the same ids under each part, <= 0.
        shares: weight of each part, >= 0, of any scale: B in-batch and B' uniform negatives have
            the shares B and B'.
    Raises ValueError: shares are not one per part, empty, negative, not finite or all zero.
    Properties: equals_naive, scale_of_shares_changes_nothing, far_below_underflow

    >>> log_mixture([np.log([0.5, 0.5]), np.log([0.9, 0.1])], [1, 3]).round(3)
    array([-0.223, -1.609])

    Reference: J. Yang et al., Mixed Negative Sampling, WWW 2020 companion, Eq. 5.
    """
    weights = normalized("shares", shares)
    if not hasattr(log_qs, "__len__") or getattr(log_qs, "ndim", 1) == 0:
        raise ValueError("log_qs must be a list of arrays, one for each share")
    if len(weights) != len(log_qs):
        raise ValueError(f"log_qs has {len(log_qs)} parts, but there are {len(weights)} shares")
    terms = [
        share + as_floats("log_qs", part) for share, part in zip(log_or_minus_inf(weights), log_qs)
    ]
    mixed: Floats = np.logaddexp.reduce(terms)
    return mixed


def log_q_without_positive(log_q: ArrayLike, log_q_positive: ArrayLike) -> Floats:
    """Compute log q of an item when draws of the positive are rejected and repeated.

        log Q'_j = log q_j - log(1 - q_positive)       for j other than the positive

    Shapes: broadcast; (n,k),(n,1)->(n,k) for k negatives of each of n rows.
    Raises ValueError: q_positive is 1 or more, so no other item can be drawn.
    Properties: sums_to_one_over_the_others, equals_rejection

    Reference: K. Khrylchenko et al., Correcting the LogQ Correction, RecSys 2025.
    """
    own = as_float64("log_q_positive", log_q_positive)
    others = as_floats("log_q", log_q)
    try:
        np.broadcast_shapes(own.shape, others.shape)
    except ValueError:
        raise ValueError(
            f"log_q and log_q_positive must broadcast, got shapes {others.shape} and {own.shape}"
        ) from None
    if not np.all(own < 0):
        raise ValueError(
            "log_q_positive must be below 0: an item of probability 1 leaves no other to be drawn"
        )
    return others - _log1m_exp(own)


def log_expected_count(log_q: ArrayLike, draws: float) -> Floats:
    """Compute log(draws q), the log of the expected count of an item. It may exceed log 1.

    Shapes: (...)->(...)
    Args:
        log_q: log-probability of one draw, <= 0.
        draws: number of independent draws, > 0.
    Raises ValueError: draws is not positive and finite.
    Properties: equals_enumeration, has_an_inverse, at_least_the_inclusion_probability
    """
    return as_float64("log_q", log_q) + math.log(positive_number("draws", draws))


def log_q_from_expected_count(log_count: ArrayLike, draws: float) -> Floats:
    """Invert :func:`log_expected_count`: the log-probability of one draw. Shapes: (...)->(...)"""
    counts = as_float64("log_count", log_count)
    return counts - math.log(positive_number("draws", draws))


def log_inclusion_probability(log_q: ArrayLike, draws: float) -> Floats:
    """Compute log(1 - (1 - q)^draws), of at least one draw of an item.

    Shapes: (...)->(...)
    Args, Raises: as in :func:`log_expected_count`; log_q must be at most 0 and not NaN.
    Properties: equals_enumeration, has_an_inverse, precise_for_rare_items, equals_high_precision
    """
    log_q, draws = as_float64("log_q", log_q), positive_number("draws", draws)
    _check_log_p(log_q, "log_q")
    # 1 - (1 - q)^draws = 1 - exp(-x) with x = -draws log(1 - q). Below q = e^-37, log(1 - q)
    # rounds to -q; below x = e^-37, 1 - exp(-x) rounds to x. There q or x may underflow.
    rare = log_q < -37
    log_1mq = _log1m_exp(np.where(rare, -1, log_q))
    root = np.exp(log_q / 2)  # its square is q
    x = np.where(rare, root * draws * root, draws * -log_1mq)
    log_x = math.log(draws) + np.where(rare, log_q, np.log(-log_1mq))
    result: Floats = np.where(log_x < -37, log_x, _log1m_exp(-x))
    return result


def log_q_from_inclusion_probability(log_inclusion: ArrayLike, draws: float) -> Floats:
    """Invert :func:`log_inclusion_probability`: the log-probability of one draw.

        q = 1 - (1 - p)^(1 / draws)

    Shapes: (...)->(...). Where log_inclusion rounds to 0, q cannot be recovered: the result is 0.
    """
    log_inclusion = as_floats("log_inclusion", log_inclusion)
    _check_log_p(log_inclusion, "log_inclusion")
    return log_inclusion_probability(log_inclusion, 1 / positive_number("draws", draws))


def log_or_minus_inf(p: Floats) -> Floats:
    """Compute log p, with -inf at 0 and no warning. Shapes: (...)->(...)"""
    p = as_floats("p", p)
    return np.log(p, out=np.full_like(p, -np.inf), where=p > 0)


def _check_log_p(log_p: Floats, name: str) -> None:
    if not (log_p <= 0).all():
        raise ValueError(f"{name} must be at most 0: it is a log-probability; got {log_p.max()}")


def _log1m_exp(log_p: Floats) -> Floats:
    """log(1 - p) from log p <= 0, accurate at both ends (M. Mächler, 2012)."""
    with np.errstate(divide="ignore"):
        near_one, near_zero = np.log(-np.expm1(log_p)), np.log1p(-np.exp(log_p))
    result: Floats = np.where(log_p > -math.log(2), near_one, near_zero)
    return result
