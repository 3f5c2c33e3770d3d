"""Mistakes in pointwise and pairwise losses: a loss of each example's margin, and its slope."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from minitower.conformance.formula import Compute
from minitower.conformance.mistake_tables import (
    BITS,
    CLIPPED,
    FLIPPED,
    LN2,
    OVERFLOW,
    SUM,
    Mistake,
    replacing,
    table,
    then,
)

Link = Callable[[Any], tuple[Any, Any]]
Example = Callable[[Any, Any], tuple[Any, Any]]


def _mean(losses: Any, slopes: Any) -> tuple[Any, Any]:
    return losses.mean(), slopes / len(slopes)


def _softplus(x: Any) -> tuple[Any, Any]:
    return np.logaddexp(0, x), expit(x)


def _unshifted(x: Any) -> tuple[Any, Any]:
    return np.log(1 + np.exp(x)), np.exp(x) / (1 + np.exp(x))


def _clipped(x: Any, limit: float = float(-np.log(1e-7))) -> tuple[Any, Any]:
    losses, slopes = _softplus(x)
    return np.minimum(losses, limit), slopes * (losses < limit)


def _sigmoid_twice(x: Any) -> tuple[Any, Any]:
    p = expit(-x)
    losses, slopes = _softplus(-p)
    return losses, slopes * p * (1 - p)


def _bits(x: Any) -> tuple[Any, Any]:
    losses, slopes = _softplus(x)
    return losses / LN2, slopes / LN2


def _relu(x: Any) -> tuple[Any, Any]:
    return np.maximum(0, x), (x > 0).astype(float)


def _summed(right: Compute) -> Compute:
    """The sum over the first argument's rows, where right returns the mean."""

    def compute(*arguments: Any) -> Any:
        value, gradients = right(*arguments)
        return value * len(arguments[0]), tuple(g * len(arguments[0]) for g in gradients)

    return compute


def _around(right: Compute) -> list[Mistake]:
    """Mistakes outside of the loss of one example."""
    return [
        Mistake(*SUM, _summed(right)),
        Mistake(*FLIPPED, then(right, lambda g: tuple(-x for x in g))),
    ]


def _squared(
    scores: Any, labels: Any, example: Example = lambda c, y: ((c - y) ** 2, 2 * (c - y))
) -> Any:
    value, slope = _mean(*example(scores, labels))
    return value, (slope,)


_SQUARED = table({
    ("labels of -1 read as 0", "the target of a sampled pair is -1"):
        lambda c, y: ((c - (y + 1) / 2) ** 2, 2 * c - y - 1),
    ("half the square", "here the loss is the square itself"):
        lambda c, y: ((c - y) ** 2 / 2, c - y),
    ("gradient without the two", "the slope of x^2 is 2 x"):
        lambda c, y: ((c - y) ** 2, c - y),
    ("labels' sign turned", "+1 is clicked, -1 is sampled"):
        lambda c, y: ((c + y) ** 2, 2 * (c + y)),
    ("absolute error instead of the square", "square the difference"):
        lambda c, y: (np.abs(c - y), np.sign(c - y)),
    ("nothing lost beyond the label", "a score beyond its label costs as well"):
        lambda c, y: (_relu(1 - y * c)[0] ** 2, -2 * y * _relu(1 - y * c)[0]),
}, replacing(_squared, "example")) + _around(_squared)  # fmt: skip


def _logistic(
    c: Any, y: Any, scale: Any, bias: Any, example: Link = _softplus, sign: Any = lambda y: -y
) -> Any:
    value, slope = _mean(*example(sign(y) * (scale * c + bias)))
    d_logit = sign(y) * slope
    return value, (d_logit * scale, d_logit @ c, d_logit.sum())


def _with_logits(c: Any, y: Any, scale: Any, bias: Any) -> Any:
    """Binary cross-entropy for labels of 0 and 1, given -1 and +1."""
    z = scale * c + bias
    value, d_logit = _mean(np.logaddexp(0, z) - y * z, expit(z) - y)
    return value, (d_logit * scale, d_logit @ c, d_logit.sum())


def _other_logit(scale: Any, bias: Any, back: Any) -> Compute:
    """Scores with another scale and bias, and how the gradients (c, scale, bias) go back."""
    return lambda c, y, s, b: then(_logistic, lambda g: back(g, s, b))(c, y, scale(s), bias(s, b))


_SAME = lambda s: s, lambda s, b: b
_LOGISTIC = table({
    ("labels of -1 given to a loss that wants 0", "map the labels first: (labels + 1) / 2"):
        _with_logits,
    ("labels of 0 in log(1 + exp(-y z))", "with 0 for a sampled pair it learns from clicks alone"):
        partial(_logistic, sign=lambda y: -1.0 * (y > 0)),
    ("labels' sign turned", "log(1 + exp(-y z)), with minus"): partial(_logistic, sign=lambda y: y),
    ("sigmoid applied twice", "the loss wants logits, and got probabilities"):
        partial(_logistic, example=_sigmoid_twice),
    OVERFLOW: partial(_logistic, example=_unshifted),
    CLIPPED: partial(_logistic, example=_clipped),
    ("logarithm cut off at -100", "as in PyTorch's binary_cross_entropy: use the one with_logits"):
        partial(_logistic, example=partial(_clipped, limit=100.0)),
    BITS: partial(_logistic, example=_bits),
    ("scale left out", "z = scale score + bias"):
        _other_logit(lambda s: 1.0, _SAME[1], lambda g, s, b: (g[0], 0.0, g[2])),
    ("bias left out", "z = scale score + bias"):
        _other_logit(_SAME[0], lambda s, b: 0.0, lambda g, s, b: (g[0], g[1], 0.0)),
    ("bias multiplied by the scale", "z = scale score + bias, not scale (score + bias)"):
        _other_logit(_SAME[0], lambda s, b: s * b, lambda g, s, b: (
            g[0], g[1] + b * g[2], s * g[2])),
    ("gradient of the scores without the scale", "logits have the slope scale"):
        _other_logit(*_SAME, lambda g, s, b: (g[0] / s, g[1], g[2])),
}) + _around(_logistic)  # fmt: skip


def _triplet(example: Example) -> Compute:
    """A loss of (negative - positive, the margin or scale)."""

    def compute(positive: Any, negative: Any, parameter: Any) -> Any:
        value, slope = _mean(*example(negative - positive, parameter))
        return value, (-slope, slope)

    return compute


def _per_active(x: Any, m: Any) -> tuple[Any, Any]:
    losses, slopes = _relu(x + m)
    share = len(x) / max(1, slopes.sum())
    return losses * share, slopes * share


_PLACES = "positive and negative exchanged", "the clicked item comes first, the sampled one second"
_HINGE = table({
    _PLACES: lambda x, m: (_relu(m - x)[0], -_relu(m - x)[1]),
    ("margin subtracted", "negative - positive + margin"): lambda x, m: _relu(x - m),
    ("margin left out", "negative - positive + margin"): lambda x, m: _relu(x),
    ("hinge on the wrong side", "max(0, .), not min(0, .)"):
        lambda x, m: (-_relu(-x - m)[0], _relu(-x - m)[1]),
    ("no hinge", "a triple that leads by the margin costs nothing: max(0, .)"):
        lambda x, m: (x + m, np.ones_like(x)),
    ("hinge squared", "here the hinge is linear"):
        lambda x, m: (_relu(x + m)[0] ** 2, 2 * _relu(x + m)[0]),
    ("mean over the active triples", "divide by all n: an easy batch should weigh less"):
        _per_active,
    ("gradient of triples that cost nothing", "where the hinge is flat the gradient is zero"):
        lambda x, m: (_relu(x + m)[0], np.ones_like(x)),
    ("softplus instead of the hinge", "max(0, .) is not log(1 + exp(.))"):
        lambda x, m: _softplus(x + m),
}, _triplet) + _around(_triplet(lambda x, m: _relu(x + m)))  # fmt: skip


def _scaled(
    link: Link,
    loss: Callable[[Any], Any] = lambda s: 1.0,
    slope: Callable[[Any], Any] = lambda s: s,
) -> Example:
    """A link of scale times the difference; its loss and its slope times these."""

    def example(x: Any, s: Any) -> Any:
        losses, slopes = link(s * x)
        return losses * loss(s), slopes * slope(s)

    return example


_TRIPLET_LOGISTIC = table({
    _PLACES: lambda x, s: (_softplus(-s * x)[0], -s * expit(-s * x)),
    ("scale left out", "log(1 + exp(scale (negative - positive)))"): lambda x, s: _softplus(x),
    ("divided by the scale",
     "softplus(x, beta) of most libraries is log(1 + exp(beta x)) / beta; multiply by beta"):
        _scaled(_softplus, lambda s: 1 / s, lambda s: 1.0),
    ("multiplied by the scale outside", "the scale stands inside the exponential"):
        lambda x, s: (s * _softplus(x)[0], s * _softplus(x)[1]),
    ("gradient without the scale", "the inner slope is the scale"):
        _scaled(_softplus, slope=lambda s: 1.0),
    OVERFLOW: _scaled(_unshifted),
    CLIPPED: _scaled(_clipped),
    BITS: _scaled(_bits),
    ("hinge instead of its smooth sibling", "log(1 + exp(.)) is not max(0, .)"): _scaled(_relu),
}, _triplet) + _around(_triplet(_scaled(_softplus)))  # fmt: skip

PAIR_MISTAKES = {
    "pointwise_squared": _SQUARED,
    "pointwise_logistic": _LOGISTIC,
    "triplet_hinge": _HINGE,
    "triplet_logistic": _TRIPLET_LOGISTIC,
}
