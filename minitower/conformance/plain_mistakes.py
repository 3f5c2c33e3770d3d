"""Mistakes in the plain forms: those of the full formulas, with what the plain form leaves out.

Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance.composition import scaled
from minitower.conformance.family import Family
from minitower.conformance.formula import Compute
from minitower.conformance.links import cross_entropy
from minitower.conformance.mistake_tables import (
    DETACHED,
    ROWS,
    WRONG_AXIS,
    Mistake,
    corrections,
    losses,
    masks,
    table,
    temperatures,
)
from minitower.conformance.pair_mistakes import PAIR_FAMILIES, PAIR_MISTAKES, PAIR_RIGHT
from minitower.conformance.softmax_mistakes import SOFTMAX_MISTAKES


def _lifted(lift: Any, mistakes: Iterable[Mistake], without: Iterable[str] = ()) -> list[Mistake]:
    """Mistakes of a full formula in its plain form, but those with these words in their name."""
    return [
        Mistake(m.name, m.fix, partial(lift, compute=m.compute))
        for m in mistakes
        if not any(words in m.name for words in without)
    ]


def _families(lift: Any, families: Iterable[Family]) -> list[Family]:
    def made(family: Family) -> Callable[[float], Compute]:
        return lambda c: partial(lift, compute=family.make(c))

    return [Family(f.name, f.fix, made(f), f.low, f.high) for f in families]


def _without_q(users: Any, items: Any, temperature: Any, compute: Compute) -> Any:
    return compute(users, items, np.zeros(len(items)), temperature)


def _of_logits(logits: Any, labels: Any, compute: Compute) -> Any:
    value, (d_logits, *_) = compute(logits, 2 * labels - 1, 1.0, 0.0)
    return value, (d_logits,)


def _of_pairs(positive: Any, negatives: Any, parameter: Any, compute: Compute) -> Any:
    """A loss of triples, of every positive with each of its negatives."""
    n, k = negatives.shape
    value, (d_positive, d_negative) = compute(np.repeat(positive, k), negatives.ravel(), parameter)
    return value, (d_positive.reshape(n, k).sum(axis=1), d_negative.reshape(n, k))


def _hardest(positive: Any, negatives: Any, parameter: Any, compute: Compute) -> Any:
    first = np.arange(len(negatives)), negatives.argmax(axis=1)
    value, (d_positive, d_first) = compute(positive, negatives[first], parameter)
    d_negatives = np.zeros(negatives.shape)
    d_negatives[first] = d_first
    return value, (d_positive, d_negatives)


def _mean_score(positive: Any, negatives: Any, parameter: Any, compute: Compute) -> Any:
    value, (d_positive, d_mean) = compute(positive, negatives.mean(axis=1), parameter)
    return value, (d_positive, np.repeat(d_mean[:, None], negatives.shape[1], axis=1)
                   / negatives.shape[1])  # fmt: skip


def _many(name: str) -> list[Mistake]:
    right = PAIR_RIGHT[name]
    every = partial(_of_pairs, compute=right)
    return _lifted(_of_pairs, PAIR_MISTAKES[name], ["every positive"]) + table({
        ("sum over the negatives", "divide by k as well: the mean is over all n k pairs"):
            scaled(every, lambda p, g, x: g.shape[1]),
        ("hardest negative alone", "every negative counts"): partial(_hardest, compute=right),
        ("mean of the negatives' scores", "compare with each negative, then take the mean"):
            partial(_mean_score, compute=right),
    })  # fmt: skip


def _sampled(
    p: Any,
    g: Any,
    own_q: Any,
    q: Any,
    mask: Any,
    t: Any,
    drop: Any = None,
    loss: Any = cross_entropy,
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


SAMPLED: Any = _sampled
"""The listwise softmax with log q, whose parts the variants replace."""

PLAIN_MISTAKES = {
    "in_batch_softmax_plain": _lifted(
        _without_q, SOFTMAX_MISTAKES["in_batch_softmax"],
        ["log q", "q sub", "corrected", "users and items exchanged"],  # that is the wrong axis
    ),
    "binary_cross_entropy": _lifted(
        _of_logits, PAIR_MISTAKES["pointwise_logistic"], ["scale", "bias"]),
    "listwise_softmax_log_q": [
        *table({
            ("positive not corrected", "subtract log q from the positive's logit as well"):
                partial(_sampled, own=0.0),
            ("only the positive corrected", "subtract log q from the negatives as well"):
                partial(_sampled, others=0.0),
        }),
        *corrections(_sampled),
        *masks(_sampled, lambda p, g, own_q, q, drop, t: drop),
        *temperatures(_sampled),
        *losses(_sampled, ROWS, WRONG_AXIS, DETACHED),
    ],
    "triplet_logistic_many": _many("triplet_logistic"),
    "triplet_hinge_many": _many("triplet_hinge"),
}  # fmt: skip


def without_q(families: Iterable[Family]) -> list[Family]:
    """The families of the in-batch softmax, in its plain form."""
    return _families(_without_q, families)


PLAIN_FAMILIES = {
    "binary_cross_entropy": _families(_of_logits, PAIR_FAMILIES["pointwise_logistic"]),
    "triplet_logistic_many": _families(_of_pairs, PAIR_FAMILIES["triplet_logistic"]),
    "triplet_hinge_many": _families(_of_pairs, PAIR_FAMILIES["triplet_hinge"]),
}
