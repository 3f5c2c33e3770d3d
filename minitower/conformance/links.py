"""Softmax losses as a chain, vectors -> logits -> loss -> gradients, whose links may be wrong.

A loss of logits takes (logits, the column of each row's positive, the share of each
row) and returns its value and its gradient. :func:`cross_entropy` is the right one;
the others each make a mistake that people make.
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
    """A loss and a gradient multiplied by what depends on the shape of the logits."""

    def link(logits: Any, positive: Any, share: Any) -> Any:
        value, d_logits = cross_entropy(logits, positive, share)
        return value * loss(logits), d_logits * gradient(logits)

    return link


def unshifted(logits: Any, positive: Any, share: Any) -> Any:
    """exp(logits) as it is: infinity over infinity where logits are large."""
    rows = np.arange(len(logits))
    probability = np.exp(logits)
    probability /= probability.sum(axis=1, keepdims=True)
    losses = -np.log(probability[rows, positive])
    probability[rows, positive] -= 1
    return share @ losses, probability * share[:, None]


def clipped(logits: Any, positive: Any, share: Any) -> Any:
    """-log max(P, 1e-7), whose gradient is zero below."""
    rows = np.arange(len(logits))
    losses = logsumexp(logits, axis=1) - logits[rows, positive]
    learns = losses < -np.log(1e-7)
    _, gradient = cross_entropy(logits, positive, share * learns)
    return share @ np.minimum(losses, -np.log(1e-7)), gradient


def softmax_twice(logits: Any, positive: Any, share: Any) -> Any:
    """The cross-entropy of probabilities, taken for logits."""
    probability = softmax(logits, axis=1)
    value, gradient = cross_entropy(probability, positive, share)
    along = (gradient * probability).sum(axis=1, keepdims=True)
    return value, probability * (gradient - along)


def without_positive(logits: Any, positive: Any, share: Any) -> Any:
    """The sum runs over the negatives alone."""
    rows = np.arange(len(logits))
    others = logits.copy()
    others[rows, positive] = -np.inf
    gradient = softmax(others, axis=1)
    gradient[rows, positive] = -1
    losses = logsumexp(others, axis=1) - logits[rows, positive]
    return share @ losses, gradient * share[:, None]


def other_axis(logits: Any, positive: Any, share: Any) -> Any:
    """The softmax runs down each positive's column."""
    rows, columns = np.arange(len(logits)), logits[:, positive]
    losses = logsumexp(columns, axis=0) - logits[rows, positive]
    gradient = np.zeros_like(logits)
    np.add.at(gradient.T, positive, share[:, None] * softmax(columns, axis=0).T)
    gradient[rows, positive] -= share
    return share @ losses, gradient


def both_directions(logits: Any, positive: Any, share: Any) -> Any:
    """The mean of the softmax over candidates and of that over users."""
    there, d_there = cross_entropy(logits, positive, share)
    back, d_back = other_axis(logits, positive, share)
    return (there + back) / 2, (d_there + d_back) / 2


def binary(logits: Any, positive: Any, share: Any) -> Any:
    """Each candidate judged by itself: clicked, or not."""
    sign = np.ones_like(logits)
    sign[np.arange(len(logits)), positive] = -1
    losses = np.logaddexp(0, sign * logits).sum(axis=1)
    return share @ losses, sign * expit(sign * logits) * share[:, None]


def positive_forgotten(logits: Any, positive: Any, share: Any) -> Any:
    """P alone as the gradient."""
    value, _ = cross_entropy(logits, positive, share)
    return value, softmax(logits, axis=1) * share[:, None]


def first_column(logits: Any, positive: Any, share: Any) -> Any:
    """Labels of zero where they should count the rows."""
    return cross_entropy(logits, np.zeros_like(positive), share)


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
    taken: Callable[[Any, Any], Any] = lambda offset, t: offset,
    fill: float = -np.inf,
) -> Any:
    """A loss of the logits scores / temperature + offset, and the gradients of the vectors.

    The links that a mistake replaces: the loss, the slope of the logits, what becomes of
    the offset, and what stands for a dropped logit.
    """
    n = len(users)
    slopes = np.where(drop, 0, slope(temperature))
    logits = np.where(drop, fill, slopes * (users @ items.T) + taken(offset, temperature))
    value, gradient = loss(logits, np.arange(n), np.broadcast_to(weights / n, n))
    d_scores = gradient * slopes
    return value, (d_scores @ items, d_scores.T @ users)


def on_diagonal(diagonal: Any, elsewhere: Any) -> Any:
    """(n,m): elsewhere_ij, and diagonal_i at (i,i)."""
    matrix = np.array(np.broadcast_to(elsewhere, (len(diagonal), np.shape(elsewhere)[-1])))
    np.fill_diagonal(matrix, diagonal)
    return matrix


def lengths(x: Any) -> Any:
    """The length of each row, one where it is zero."""
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.where(norm > 0, norm, 1)


def over_the_batch(x: Any) -> Any:
    """Columns scaled to length one."""
    y, backward = l2_normalize(x.T)
    return y.T, lambda dy: backward(dy.T).T


def by_squared_length(x: Any) -> Any:
    """x / |x|^2."""
    y, square = x / lengths(x) ** 2, lengths(x) ** 2
    return y, lambda dy: dy / square - 2 * y * (y * dy).sum(axis=1, keepdims=True)


def passed_on(x: Any) -> Any:
    """Unit vectors whose gradient goes back as it came."""
    return x / lengths(x), lambda dy: dy * x.any(axis=1, keepdims=True)


def only_divided(x: Any) -> Any:
    """Unit vectors whose gradient is divided by the length, as if that were constant."""
    return x / lengths(x), lambda dy: dy * x.any(axis=1, keepdims=True) / lengths(x)


def kicked(x: Any) -> Any:
    """x / max(|x|, 1e-12): the gradient of a zero vector is multiplied by 1e12."""
    y, backward = l2_normalize(x)
    return y, lambda dy: np.where(x.any(axis=1, keepdims=True), backward(dy), dy * 1e12)
