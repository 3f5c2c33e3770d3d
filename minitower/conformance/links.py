"""Softmax losses as a chain vectors -> logits -> loss -> gradients. A mistake replaces a link.

A link takes (logits, column of each row's positive, share of each row in the mean) and
returns a loss and its gradient. :func:`cross_entropy` is right; each other link makes a
mistake that people make.

Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp, softmax

from minitower.formulas.similarity import l2_normalize

Link = Callable[[Any, Any, Any], tuple[Any, Any]]


def cross_entropy(logits: Any, positive: Any, share: Any) -> Any:
    """The right link: log sum exp(logits) - logits at the positive."""
    rows = np.arange(len(logits))
    gradient = softmax(logits, axis=1)
    gradient[rows, positive] -= 1
    losses = logsumexp(logits, axis=1) - logits[rows, positive]
    return share @ losses, gradient * share[:, None]


def times(loss: Callable[[Any], float], gradient: Callable[[Any], float]) -> Link:
    """Multiply the loss and the gradient by functions of the logits' shape."""

    def link(logits: Any, positive: Any, share: Any) -> Any:
        value, d_logits = cross_entropy(logits, positive, share)
        return value * loss(logits), d_logits * gradient(logits)

    return link


def unshifted(logits: Any, positive: Any, share: Any) -> Any:
    """exp(logits) without a shift: infinity over infinity for large logits."""
    rows = np.arange(len(logits))
    probability = np.exp(logits)
    probability /= probability.sum(axis=1, keepdims=True)
    losses = -np.log(probability[rows, positive])
    probability[rows, positive] -= 1
    return share @ losses, probability * share[:, None]


def softmax_twice(logits: Any, positive: Any, share: Any) -> Any:
    """Cross-entropy of probabilities in place of logits."""
    probability = softmax(logits, axis=1)
    value, gradient = cross_entropy(probability, positive, share)
    along = (gradient * probability).sum(axis=1, keepdims=True)
    return value, probability * (gradient - along)


def without_positive(logits: Any, positive: Any, share: Any) -> Any:
    """Sum over the negatives alone."""
    rows = np.arange(len(logits))
    others = logits.copy()
    others[rows, positive] = -np.inf
    gradient = softmax(others, axis=1)
    gradient[rows, positive] = -1
    losses = logsumexp(others, axis=1) - logits[rows, positive]
    return share @ losses, gradient * share[:, None]


def other_axis(logits: Any, positive: Any, share: Any) -> Any:
    """Softmax down the column of each positive."""
    rows, columns = np.arange(len(logits)), logits[:, positive]
    losses = logsumexp(columns, axis=0) - logits[rows, positive]
    gradient = np.zeros_like(logits)
    np.add.at(gradient.T, positive, share[:, None] * softmax(columns, axis=0).T)
    gradient[rows, positive] -= share
    return share @ losses, gradient


def both_directions(logits: Any, positive: Any, share: Any) -> Any:
    """Mean of the softmax over candidates and the softmax over users."""
    there, d_there = cross_entropy(logits, positive, share)
    back, d_back = other_axis(logits, positive, share)
    return (there + back) / 2, (d_there + d_back) / 2


def binary(logits: Any, positive: Any, share: Any) -> Any:
    """Binary cross-entropy of each candidate by itself."""
    sign = np.ones_like(logits)
    sign[np.arange(len(logits)), positive] = -1
    losses = np.logaddexp(0, sign * logits).sum(axis=1)
    return share @ losses, sign * expit(sign * logits) * share[:, None]


def positive_forgotten(logits: Any, positive: Any, share: Any) -> Any:
    """P alone as the gradient."""
    value, _ = cross_entropy(logits, positive, share)
    return value, softmax(logits, axis=1) * share[:, None]


def own_logit(logits: Any, positive: Any, share: Any) -> Any:
    """The logit of the positive alone."""
    rows, gradient = np.arange(len(logits)), np.zeros_like(logits)
    gradient[rows, positive] = share
    return share @ logits[rows, positive], gradient


def first_column(logits: Any, positive: Any, share: Any) -> Any:
    """Column 0 as the positive of every row."""
    return cross_entropy(logits, np.zeros_like(positive), share)


def next_column(logits: Any, positive: Any, share: Any) -> Any:
    """The column after the right one as the positive of each row, in a circle."""
    return cross_entropy(logits, (positive + 1) % len(logits), share)


def own_pairs(logits: Any, positive: Any, share: Any) -> Any:
    """One softmax over the positives of all rows."""
    rows, gradient = np.arange(len(logits)), np.zeros_like(logits)
    own = logits[rows, positive]
    gradient[rows, positive] = share.sum() * softmax(own) - share
    return share @ (logsumexp(own) - own), gradient


def positive_alone(logits: Any, positive: Any, share: Any) -> Any:
    """The right loss, with gradient through the logit of the positive alone."""
    value, gradient = cross_entropy(logits, positive, share)
    alone = np.zeros_like(gradient)
    rows = np.arange(len(logits))
    alone[rows, positive] = gradient[rows, positive]
    return value, alone


def chain(
    users: Any,
    items: Any,
    temperature: Any,
    offset: Any = 0.0,
    drop: Any = False,
    weights: Any = 1.0,
    *,
    loss: Link = cross_entropy,
    slope: Callable[[Any], Any] = lambda t: 1 / t,
    adjust: Callable[[Any, Any], Any] = lambda offset, t: offset,
    fill: Any = -np.inf,
) -> Any:
    """Loss of the logits scores / temperature + offset, and its gradients by the vectors.

    A mistake replaces one of: the loss, the slope of the logits, the adjustment of the offset,
    and the ``fill`` of a dropped logit. The fill is a number, or a function of the temperature.
    """
    n = len(users)
    slopes = np.where(drop, 0, slope(temperature))
    fill = fill(temperature) if callable(fill) else fill
    logits = np.where(drop, fill, slopes * (users @ items.T) + adjust(offset, temperature))
    value, gradient = loss(logits, np.arange(n), np.broadcast_to(weights / n, n))
    d_scores = gradient * slopes
    return value, (d_scores @ items, d_scores.T @ users)


def on_diagonal(diagonal: Any, elsewhere: Any) -> Any:
    """(n,m) matrix: diagonal_i at (i,i), elsewhere_ij at (i,j)."""
    matrix = np.array(np.broadcast_to(elsewhere, (len(diagonal), np.shape(elsewhere)[-1])))
    np.fill_diagonal(matrix, diagonal)
    return matrix


def lengths(x: Any) -> Any:
    """Length of each row, 1 for a zero row."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.where(norm > 0, norm, 1)


def over_the_batch(x: Any) -> Any:
    """Scale columns to length one."""
    y, backward = l2_normalize(x.T)
    return y.T, lambda dy: backward(dy.T).T


def by_squared_length(x: Any) -> Any:
    """x / |x|^2."""
    y, square = x / lengths(x) ** 2, lengths(x) ** 2
    return y, lambda dy: dy / square - 2 * y * (y * dy).sum(axis=1, keepdims=True)


def passed_on(x: Any) -> Any:
    """Unit vectors; the gradient passes through unchanged."""
    return x / lengths(x), lambda dy: dy * x.any(axis=1, keepdims=True)


def only_divided(x: Any) -> Any:
    """Unit vectors; the gradient is divided by the length, as if the length were constant."""
    return x / lengths(x), lambda dy: dy * x.any(axis=1, keepdims=True) / lengths(x)


def clamped(x: Any) -> Any:
    """x / max(|x|, 1e-12): multiplies the gradient of a zero vector by 1e12."""
    y, backward = l2_normalize(x)
    return y, lambda dy: np.where(x.any(axis=1, keepdims=True), backward(dy), dy * 1e12)
