"""Mistakes in losses of a positive against k negatives of its own. Chapter 17."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from minitower.conformance.adapters import of_pairs
from minitower.conformance.composition import scaled
from minitower.conformance.formula import Compute
from minitower.conformance.links import Link, cross_entropy
from minitower.conformance.mistake import Family, Known, Mistakes, lifted, table
from minitower.conformance.mistake_tables import (
    DETACHED,
    ROWS,
    WRONG_AXIS,
    corrections,
    losses,
    masks,
    temperatures,
)
from minitower.conformance.pair_mistakes import PAIR_MISTAKES, PAIR_RIGHT


def _sampled(
    p: Any,
    g: Any,
    own_q: Any,
    q: Any,
    mask: Any,
    t: Any,
    drop: Any = None,
    loss: Link = cross_entropy,
    slope: Callable[[Any], Any] = lambda t: 1 / t,
    adjust: Callable[[Any, Any], Any] = lambda offset, t: offset,
    own: float = 1.0,
    others: float = 1.0,
    fill: Any = -np.inf,
) -> Any:
    n, drop = len(p), mask if drop is None else drop
    fill = fill(t) if callable(fill) else fill
    positive = p * slope(t) + own * adjust(-own_q, t)
    negatives = np.where(drop, fill, g * slope(t) + others * adjust(-q, t))
    value, d_logits = loss(
        np.column_stack([positive, negatives]), np.zeros(n, int), np.full(n, 1 / n)
    )
    return value, (d_logits[:, 0] * slope(t), np.where(drop, 0, d_logits[:, 1:] * slope(t)))


def _listwise(p: Any, g: Any, mask: Any, t: Any, **part: Any) -> Any:
    return _sampled(p, g, 0.0, 0.0, mask, t, **part)


def _common(right: Any) -> Known:
    """Mistakes with and without log q. The last arguments are the mask and the temperature."""

    def lowered(c: float) -> Compute:
        def compute(*arguments: Any) -> Any:
            drop = arguments[-2]
            lower = np.column_stack([np.zeros(len(drop)), np.where(drop, -c, 0)])
            link = lambda logits, *rest: cross_entropy(logits + lower, *rest)
            return right(*arguments, drop=np.zeros_like(drop), loss=link)

        return compute

    return [
        *masks(right, lambda *arguments: arguments[-2]),
        Family("mask that is not low enough: -{c} added to logits",
               "another logit may lie below that: mask with -inf", lowered, 1, 1e6),
        *temperatures(right),
        *losses(right, ROWS, WRONG_AXIS, DETACHED),
    ]  # fmt: skip


def _with_share(share: Callable[[Any], Any]) -> Compute:
    """Rows with a share of the mean that depends on which negatives they keep."""

    def compute(p: Any, g: Any, mask: Any, t: Any) -> Any:
        link = lambda logits, positive, _: cross_entropy(logits, positive, share(~mask))
        return _listwise(p, g, mask, t, loss=link)

    return compute


def _pairs(p: Any, g: Any, mask: Any, t: Any, weight: Any) -> Any:
    """A sum of log(1 + exp(negative - positive)) with a weight for each pair."""
    x = (g - p[:, None]) / t
    slopes = weight * expit(x) / (len(p) * t)
    return (weight * np.logaddexp(0, x)).sum() / len(p), (-slopes.sum(axis=1), slopes)


def _mean_of_pairs(p: Any, g: Any, mask: Any, t: Any) -> Any:
    return _pairs(p, g, mask, t, ~mask / np.maximum(1, (~mask).sum(axis=1, keepdims=True)))


def _hardest(p: Any, g: Any, mask: Any, t: Any) -> Any:
    first = np.where(mask, -np.inf, g).argmax(axis=1)
    return _pairs(p, g, mask, t, ~mask * (np.arange(g.shape[1]) == first[:, None]))


def _mean_of_exponentials(p: Any, g: Any, mask: Any, t: Any) -> Any:
    kept = np.maximum(1, (~mask).sum(axis=1, keepdims=True))
    return _listwise(p, g - t * np.log(kept), mask, t)


_LISTWISE = [
    *table({
        ("rows without negatives dropped from the mean", "divide by n: a loss of 0 counts"):
            _with_share(lambda kept: np.full(len(kept), 1 / max(1, kept.any(axis=1).sum()))),
        ("each row divided by its negatives", "the loss of a row is one softmax, whatever its k"):
            _with_share(lambda kept: 1 / np.maximum(1, kept.sum(axis=1)) / len(kept)),
        ("mean over pairs instead of a softmax", "candidates compete: one softmax a row"):
            _mean_of_pairs,
        ("hardest negative alone", "the sum runs over all negatives that are kept"): _hardest,
        ("mean of the negatives' exponentials", "the sum runs over the negatives, not their mean"):
            _mean_of_exponentials,
        ("last column taken as the positive", "the positive is where it was put: column 0"):
            partial(_listwise, loss=lambda z, positive, share: cross_entropy(
                z, positive + z.shape[1] - 1, share)),
    }),
    *_common(_listwise),
]  # fmt: skip


_SAMPLED = [
    *table({
        ("positive not corrected", "subtract log q from the positive's logit as well"):
            partial(_sampled, own=0.0),
        ("only the positive corrected", "subtract log q from the negatives as well"):
            partial(_sampled, others=0.0),
    }),
    *corrections(_sampled),
    *_common(_sampled),
]  # fmt: skip


def _hardest_pair(positive: Any, negatives: Any, parameter: Any, compute: Compute) -> Any:
    first = np.arange(len(negatives)), negatives.argmax(axis=1)
    value, (d_positive, d_first) = compute(positive, negatives[first], parameter)
    d_negatives = np.zeros(negatives.shape)
    d_negatives[first] = d_first
    return value, (d_positive, d_negatives)


def _mean_score(positive: Any, negatives: Any, parameter: Any, compute: Compute) -> Any:
    value, (d_positive, d_mean) = compute(positive, negatives.mean(axis=1), parameter)
    return value, (d_positive, np.repeat(d_mean[:, None], negatives.shape[1], axis=1)
                   / negatives.shape[1])  # fmt: skip


def _many(name: str) -> Known:
    right = PAIR_RIGHT[name]
    every = partial(of_pairs, compute=right)
    return lifted(of_pairs, PAIR_MISTAKES[name], "every positive") + table({
        ("sum over the negatives", "divide by k as well: the mean is over all n k pairs"):
            scaled(every, lambda p, g, x: g.shape[1]),
        ("hardest negative alone", "every negative counts"): partial(_hardest_pair, compute=right),
        ("mean of the negatives' scores", "compare with each negative, then take the mean"):
            partial(_mean_score, compute=right),
    })  # fmt: skip


LIST_MISTAKES: Mistakes = {
    "listwise_softmax": _LISTWISE,
    "listwise_softmax_log_q": _SAMPLED,
    "triplet_logistic_many": _many("triplet_logistic"),
    "triplet_hinge_many": _many("triplet_hinge"),
}
