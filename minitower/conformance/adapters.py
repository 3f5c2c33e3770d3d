"""Formulas in the form that is checked: plain arrays in, (result, gradients) out. Chapter 17.

Arguments are vectors rather than scores where a training step has vectors, so that a check
reaches back to the towers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance.formula import Compute
from minitower.formulas.draw_probability import log_mixture
from minitower.formulas.logq import Correction, cross_batch, mixed, uncorrected
from minitower.formulas.pointwise import pointwise_logistic
from minitower.formulas.similarity import cosine, l2_normalize
from minitower.formulas.softmax import in_batch_softmax, listwise_softmax, temperature_gradient


def of_vectors(loss: Any) -> Compute:
    """Make a loss of vectors from a loss of their inner products."""

    def compute(users: Any, items: Any, *rest: Any) -> Any:
        value, d_scores = loss(users @ items.T, *rest)
        return value, (d_scores @ items, d_scores.T @ users)

    return compute


def of_unit_vectors(compute: Compute) -> Compute:
    """Make a loss that scales its two sets of vectors to length one first."""
    return partial(of_unit, compute=compute)


def of_unit(
    users: Any,
    items: Any,
    *rest: Any,
    compute: Compute,
    normalize: Any = l2_normalize,
    other: Any = None,
) -> Any:
    (users, back_users), (items, back_items) = normalize(users), (other or normalize)(items)
    value, (d_users, d_items) = compute(users, items, *rest)
    return value, (back_users(d_users), back_items(d_items))


def corrected(correction: Any) -> Compute:
    """Make the in-batch softmax of vectors under a correction.

    Arguments: users, items, the arguments of the correction, temperature.
    """

    def loss(scores: Any, *rest: Any) -> Any:
        *given, temperature = rest
        return in_batch_softmax(scores, correction(*given), temperature=temperature)

    return of_vectors(loss)


def without_q(users: Any, items: Any, temperature: Any, compute: Compute) -> Any:
    """A loss with log q, where log q is zero."""
    return compute(users, items, np.zeros(len(items)), temperature)


def of_labels(logits: Any, labels: Any, compute: Compute) -> Any:
    """A loss of labels of -1 and +1 with a scale and a bias, for labels of 0 and 1."""
    value, (d_logits, *_) = compute(logits, 2 * labels - 1, 1.0, 0.0)
    return value, (d_logits,)


def of_pairs(positive: Any, negatives: Any, parameter: Any, compute: Compute) -> Any:
    """A loss of triples, of every positive with each of its own k negatives."""
    n, k = negatives.shape
    value, (d_positive, d_negative) = compute(np.repeat(positive, k), negatives.ravel(), parameter)
    return value, (d_positive.reshape(n, k).sum(axis=1), d_negative.reshape(n, k))


def mixed_batch(scores: Any, log_q: Any, catalogue: int, temperature: float) -> Any:
    n, m = scores.shape
    uniform = np.full(m, -np.log(catalogue))
    log_q_mixture = log_mixture([log_q, uniform], [n / m, 1 - n / m])
    return in_batch_softmax(scores, mixed(log_q_mixture, n), temperature=temperature)


def banked(users: Any, items: Any, bank: Any, *rest: Any) -> Any:
    value, (d_users, d_all) = corrected(lambda q, ids: cross_batch(q, ids, len(users)))(
        users, np.concatenate([items, bank]), *rest
    )
    return value, (d_users, d_all[: len(items)])


def logistic(scores: Any, labels: Any, scale: float, bias: float) -> Any:
    return pointwise_logistic(scores, labels, scale=scale, bias=bias)


def sampled(
    positive: Any, negatives: Any, positive_log_q: Any, log_q: Any, drop: Any, temperature: float
) -> Any:
    return listwise_softmax(
        positive - temperature * positive_log_q,
        negatives - temperature * log_q,
        drop=drop,
        temperature=temperature,
    )


def learned_temperature(scores: Any, temperature: float) -> Any:
    nothing: Correction = uncorrected(np.arange(len(scores)))
    value, d_scores = in_batch_softmax(scores, nothing, temperature=temperature)
    return value, (d_scores, temperature_gradient(scores, d_scores, temperature))


def weighted_cosines(users: Any, items: Any, upstream: Any) -> Any:
    scores, backward = cosine(users, items)
    return upstream @ scores, backward(upstream)


def lookup(scatter: Callable[..., None]) -> Compute:
    """Make the lookup of rows in a table, from what scatters the upstream gradient to them."""

    def compute(table: Any, rows: Any, upstream: Any) -> Any:
        d_table = np.zeros_like(table)
        scatter(d_table, rows, upstream)
        return (table[rows] * upstream).sum(), (d_table,)

    return compute


def one_gradient(loss: Any) -> Compute:
    """Put a single gradient into a tuple, as formulas with several gradients have it."""

    def compute(*arguments: Any) -> Any:
        value, gradient = loss(*arguments)
        return value, (gradient,)

    return compute


def value_alone(compute: Any) -> Compute:
    """Make a formula without gradients."""
    return lambda *arguments: (compute(*arguments), ())
