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
from scipy.special import expit, softmax

from minitower.formulas.similarity import l2_normalize

Link = Callable[[Any, Any, Any], tuple[Any, Any]]


def log_sum_exp(logits: Any, axis: int = 1) -> Any:
    """log sum exp(logits), as SciPy's; of a matrix this small in a fifth of its time."""
    top = logits.max(axis=axis, keepdims=True, initial=np.finfo(float).min)
    return np.log(np.exp(logits - top).sum(axis=axis)) + top.squeeze(axis)


def cross_entropy(logits: Any, positive: Any, share: Any) -> Any:
    """The right link: log sum exp(logits) - logits at the positive."""
    own = at(logits, positive)
    losses = log_sum_exp(logits) - logits[own]
    return share @ losses, (softmax(logits, axis=1) - own) * share[:, None]


def at(logits: Any, positive: Any) -> Any:
    """(n,m): true at each row's positive."""
    return np.arange(logits.shape[1]) == np.reshape(positive, (-1, 1))


def times(loss: Callable[[Any], float], gradient: Callable[[Any], float]) -> Link:
    """Multiply the loss and the gradient by functions of the logits' shape."""

    def link(logits: Any, positive: Any, share: Any) -> Any:
        value, d_logits = cross_entropy(logits, positive, share)
        return value * loss(logits), d_logits * gradient(logits)

    return link


def unshifted(logits: Any, positive: Any, share: Any) -> Any:
    """exp(logits) without a shift: infinity over infinity for large logits."""
    own, probability = at(logits, positive), np.exp(logits)
    probability /= probability.sum(axis=1, keepdims=True)
    return share @ -np.log(probability[own]), (probability - own) * share[:, None]


def softmax_twice(logits: Any, positive: Any, share: Any) -> Any:
    """Cross-entropy of probabilities in place of logits."""
    probability = softmax(logits, axis=1)
    value, gradient = cross_entropy(probability, positive, share)
    along = (gradient * probability).sum(axis=1, keepdims=True)
    return value, probability * (gradient - along)


def without_positive(logits: Any, positive: Any, share: Any) -> Any:
    """Sum over the negatives alone."""
    own = at(logits, positive)
    others = np.where(own, -np.inf, logits)
    losses = log_sum_exp(others) - logits[own]
    return share @ losses, np.where(own, -1, softmax(others, axis=1)) * share[:, None]


def other_axis(logits: Any, positive: Any, share: Any) -> Any:
    """Softmax down the column of each positive."""
    own, columns = at(logits, positive), logits[:, positive]
    gradient = (softmax(columns, axis=0) * share) @ own - own * share[:, None]
    return share @ (log_sum_exp(columns, axis=0) - logits[own]), gradient


def both_directions(logits: Any, positive: Any, share: Any) -> Any:
    """Mean of the softmax over candidates and the softmax over users."""
    there, d_there = cross_entropy(logits, positive, share)
    back, d_back = other_axis(logits, positive, share)
    return (there + back) / 2, (d_there + d_back) / 2


def binary(logits: Any, positive: Any, share: Any) -> Any:
    """Binary cross-entropy of each candidate by itself."""
    sign = np.where(at(logits, positive), -1, 1)
    losses = np.logaddexp(0, sign * logits).sum(axis=1)
    return share @ losses, sign * expit(sign * logits) * share[:, None]


def positive_forgotten(logits: Any, positive: Any, share: Any) -> Any:
    """P alone as the gradient."""
    return cross_entropy(logits, positive, share)[0], softmax(logits, axis=1) * share[:, None]


def own_logit(logits: Any, positive: Any, share: Any) -> Any:
    """The logit of the positive alone."""
    own = at(logits, positive)
    return share @ logits[own], own * share[:, None]


def first_column(logits: Any, positive: Any, share: Any) -> Any:
    """Column 0 as the positive of every row."""
    return cross_entropy(logits, np.zeros_like(positive), share)


def next_column(logits: Any, positive: Any, share: Any) -> Any:
    """The column after the right one as the positive of each row, in a circle."""
    return cross_entropy(logits, (positive + 1) % len(logits), share)


def own_pairs(logits: Any, positive: Any, share: Any) -> Any:
    """One softmax over the positives of all rows."""
    own = at(logits, positive)
    slopes = share.sum() * softmax(logits[own]) - share
    return share @ (log_sum_exp(logits[own], axis=0) - logits[own]), own * slopes[:, None]


def positive_alone(logits: Any, positive: Any, share: Any) -> Any:
    """The right loss, with gradient through the logit of the positive alone."""
    value, gradient = cross_entropy(logits, positive, share)
    return value, gradient * at(logits, positive)


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


def capped(losses: Any, slopes: Any, c: float, form: str) -> tuple[Any, Any]:
    """The loss -log p as it is computed from p with a constant, and its slope.

    Args:
        losses: -log p.
        slopes: the slope of -log p by the logit.
        form: "max" for -log max(p, c), "clip" for -log clip(p, c, 1 - c), "add" for -log(p + c).
    """
    if form == "add":
        p = np.exp(-losses)
        return -np.log(p + c), slopes * p / (p + c)
    learns = losses < -np.log(c)
    if form == "clip":
        learns &= losses > -np.log1p(-c)
        return np.clip(losses, -np.log1p(-c), -np.log(c)), slopes * learns
    return np.minimum(losses, -np.log(c)), slopes * learns


def capped_softmax(logits: Any, positive: Any, share: Any, *, c: float, form: str) -> Any:
    """Cross-entropy of a probability with a constant."""
    losses = log_sum_exp(logits) - logits[at(logits, positive)]
    losses, learns = capped(losses, np.ones_like(losses), c, form)
    _, gradient = cross_entropy(logits, positive, share * learns)
    return share @ losses, gradient


def capped_logistic(x: Any, *, c: float, form: str) -> tuple[Any, Any]:
    """log(1 + exp(x)) of a probability with a constant."""
    return capped(np.logaddexp(0, x), expit(x), c, form)


def smoothed(logits: Any, positive: Any, share: Any, *, c: float) -> Any:
    """Cross-entropy with the share c of each label spread over all candidates."""
    value, gradient = cross_entropy(logits, positive, share)
    kept = np.isfinite(logits)
    rest = np.where(kept, logits, 0).sum(axis=1)
    m = logits.shape[1]
    losses = log_sum_exp(logits) - rest / m
    losses = np.where(kept.all(axis=1), losses, np.inf)
    spread = (softmax(logits, axis=1) - 1 / m) * share[:, None]
    return (1 - c) * value + c * (share @ losses), (1 - c) * gradient + c * spread


def normalized(x: Any, *, c: float, form: str) -> Any:
    """x over a length with a constant in it, and what sends the gradient back.

    Args:
        form: "root" for sqrt(|x|^2 + c), "add" for |x| + c, "max" for max(|x|, c).
    """
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    length = {
        "root": np.sqrt(norm**2 + c),
        "add": norm + c,
        "max": np.maximum(norm, c),
    }[form]
    safe = np.where(norm > 0, norm, 1)
    slope = {"root": 1 / length, "add": 1 / safe, "max": (norm > c) / safe}[form]  # d length / x

    def backward(dy: Any) -> Any:
        along = (dy * x).sum(axis=1, keepdims=True)
        return dy / length - x * along * slope / length**2

    return x / length, backward
