"""Mistakes in pointwise and pairwise losses: a loss of each example's margin, and its slope.

Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from minitower.conformance.adapters import of_labels
from minitower.conformance.composition import scaled, summed, then
from minitower.conformance.formula import Compute
from minitower.conformance.links import capped_logistic
from minitower.conformance.mistake import SUM, Family, Mistake, Mistakes, lifted, replacing, table
from minitower.conformance.mistake_tables import BITS, FLIPPED, LN2, OVERFLOW, caps, flipped

Link = Callable[[Any], tuple[Any, Any]]
Example = Callable[[Any, Any], tuple[Any, Any]]


def _mean(losses: Any, slopes: Any) -> tuple[Any, Any]:
    return losses.mean(), slopes / len(slopes)


def _softplus(x: Any) -> tuple[Any, Any]:
    return np.logaddexp(0, x), expit(x)


def _unshifted(x: Any) -> tuple[Any, Any]:
    return np.log(1 + np.exp(x)), np.exp(x) / (1 + np.exp(x))


def _bits(x: Any) -> tuple[Any, Any]:
    losses, slopes = _softplus(x)
    return losses / LN2, slopes / LN2


def _sigmoid(x: Any) -> tuple[Any, Any]:
    return expit(x), expit(x) * expit(-x)


def _relu(x: Any) -> tuple[Any, Any]:
    return np.maximum(0, x), (x > 0).astype(float)


def _around(right: Compute) -> list[Mistake]:
    """Mistakes outside of the loss of one example."""
    return [
        Mistake(*SUM, summed(right)),
        Mistake(*FLIPPED, flipped(right)),
        Mistake("mean divided by n once more", "divide by the number of rows once",
                scaled(right, lambda first, *_: 1 / len(first))),
    ]  # fmt: skip


def _squared(
    scores: Any, labels: Any, example: Example = lambda c, y: ((c - y) ** 2, 2 * (c - y))
) -> Any:
    value, slope = _mean(*example(scores, labels))
    return value, (slope,)


def _root(scores: Any, labels: Any) -> Any:
    value, (slope,) = _squared(scores, labels)
    return np.sqrt(value), (slope / (2 * np.sqrt(value)),)


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
}, replacing(_squared, "example")) + table({
    ("root of the mean square", "here the loss is the mean square itself"): _root,
    ("every score against every label", "compare row by row: (n,1) and (n) broadcast to (n,n)"):
        lambda c, y: (((c[:, None] - y) ** 2).mean(), (2 * (c - y.mean()) / len(c),)),
}) + _around(_squared)  # fmt: skip


def _of_logits(scores: Any, y: Any, scale: Any, bias: Any, loss: Example) -> Any:
    """A loss of (logits, labels), and its gradients by the scores, the scale and the bias."""
    value, d_logit = _mean(*loss(scale * scores + bias, y))
    return value, (d_logit * scale, d_logit @ scores, d_logit.sum())


def _logistic(
    c: Any, y: Any, scale: Any, bias: Any, example: Link = _softplus, sign: Any = lambda y: -y
) -> Any:
    def loss(z: Any, y: Any) -> tuple[Any, Any]:
        losses, slopes = example(sign(y) * z)
        return losses, sign(y) * slopes

    return _of_logits(c, y, scale, bias, loss)


def _smoothed_labels(scores: Any, y: Any, scale: Any, bias: Any, c: float) -> Any:
    """Binary cross-entropy with targets (1 - c) y + c / 2, y from 0 to 1."""
    right = _logistic(scores, y, scale, bias)
    turned = _logistic(scores, -y, scale, bias)
    mixed: Callable[[Any, Any], Any] = lambda a, b: (1 - c / 2) * a + c / 2 * b
    return mixed(right[0], turned[0]), tuple(map(mixed, right[1], turned[1]))


def _weighted_positives(c: float) -> Compute:
    def loss(z: Any, y: Any) -> tuple[Any, Any]:
        losses, slopes = _softplus(-y * z)
        weight = np.where(y > 0, c, 1.0)
        return weight * losses, -y * weight * slopes

    return partial(_of_logits, loss=loss)


def _sigmoid_twice(z: Any, y: Any) -> tuple[Any, Any]:
    p = expit(z)
    losses, slopes = _softplus(-y * p)
    return losses, -y * slopes * p * (1 - p)


def _other_logit(scale: Any, bias: Any, back: Any) -> Compute:
    """Scores with another scale and bias, and how the gradients (c, scale, bias) go back."""
    return lambda c, y, s, b: then(_logistic, lambda g: back(g, s, b))(c, y, scale(s), bias(s, b))


_NO_LOG = "-log(sigmoid(x)), not 1 - sigmoid(x): that has no slope where it is most wrong"
_SAME = lambda s: s, lambda s, b: b
_LOGISTIC = table({
    ("labels of -1 given to a loss that wants 0", "map the labels first: (labels + 1) / 2"):
        partial(_of_logits, loss=lambda z, y: (np.logaddexp(0, z) - y * z, expit(z) - y)),
    ("labels of 0 in log(1 + exp(-y z))", "with 0 for a sampled pair it learns from clicks alone"):
        partial(_logistic, sign=lambda y: -1.0 * (y > 0)),
    ("labels' sign turned", "log(1 + exp(-y z)), with minus"): partial(_logistic, sign=lambda y: y),
    ("sigmoid applied twice", "the loss wants logits, and got probabilities"):
        partial(_of_logits, loss=_sigmoid_twice),
    OVERFLOW: partial(_logistic, example=_unshifted),
    ("sigmoid without its logarithm", _NO_LOG): partial(_logistic, example=_sigmoid),
    ("logarithm cut off at -100", "as in PyTorch's binary_cross_entropy: use the one with_logits"):
        partial(_logistic, example=partial(capped_logistic, c=np.exp(-100), form="max")),
    BITS: partial(_logistic, example=_bits),
    ("scale left out", "z = scale score + bias"):
        _other_logit(lambda s: 1.0, _SAME[1], lambda g, s, b: (g[0], 0.0, g[2])),
    ("bias left out", "z = scale score + bias"):
        _other_logit(_SAME[0], lambda s, b: 0.0, lambda g, s, b: (g[0], g[1], 0.0)),
    ("bias multiplied by the scale", "z = scale score + bias, not scale (score + bias)"):
        _other_logit(_SAME[0], lambda s, b: s * b, lambda g, s, b: (
            g[0], g[1] + b * g[2], s * g[2])),
    ("scale held constant", "the scale learns too: do not detach it"):
        _other_logit(*_SAME, lambda g, s, b: (g[0], 0.0, g[2])),
    ("bias held constant", "the bias learns too: do not detach it"):
        _other_logit(*_SAME, lambda g, s, b: (g[0], g[1], 0.0)),
    ("gradient of the scores without the scale", "logits have the slope scale"):
        _other_logit(*_SAME, lambda g, s, b: (g[0] / s, g[1], g[2])),
}) + _around(_logistic) + [
    *caps(lambda c, form: partial(_logistic, example=partial(capped_logistic, c=c, form=form))),
    Family("label smoothing of {c}", "here a label is +1 or -1, not less sure",
           lambda c: partial(_smoothed_labels, c=c), 1e-3, 0.999),
    Family("positives weighted {c} times",
           "here every pair weighs the same; a weight shifts the bias by its logarithm",
           _weighted_positives, 0.01, 1e4),
]  # fmt: skip


def _triplet(example: Example) -> Compute:
    """A loss of (negative - positive, the margin or scale)."""
    return partial(_of_differences, example=example)


def _of_differences(positive: Any, negative: Any, parameter: Any, example: Example) -> Any:
    value, slope = _mean(*example(negative - positive, parameter))
    return value, (-slope, slope)


def _all_pairs(right: Example) -> list[Mistake]:
    """Mistakes of a whole batch of triples, given the right loss of one."""

    def broadcast(positive: Any, negative: Any, parameter: Any) -> Any:
        losses, slopes = right(negative - positive[:, None], parameter)
        slopes = slopes / slopes.size
        return losses.mean(), (-slopes.sum(axis=1), slopes.sum(axis=0))

    return table({
        ("every positive against every negative",
         "compare row by row: (n,1) and (n) broadcast to (n,n)"): broadcast,
        ("no gradient through the negatives", "negatives are pushed away: do not detach them"):
            then(_triplet(right), lambda g: (g[0], 0 * g[1])),
    }) + _around(_triplet(right))  # fmt: skip


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
}, _triplet) + _all_pairs(lambda x, m: _relu(x + m)) + [
    Family("margin of {c}, whatever is given", "take the margin that is given",
           lambda c: _triplet(lambda x, m: _relu(x + c)), 1e-3, 100),
    Family("leaky hinge of slope {c}",
           "a triple that leads by the margin costs nothing: max(0, .)",
           lambda c: _triplet(lambda x, m: (
               np.where(x + m > 0, 1, c) * (x + m), np.where(x + m > 0, 1.0, c))), 1e-4, 0.99),
]  # fmt: skip


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
    BITS: _scaled(_bits),
    ("sigmoid without its logarithm", _NO_LOG): _scaled(_sigmoid),
    ("hinge instead of its smooth sibling", "log(1 + exp(.)) is not max(0, .)"): _scaled(_relu),
}, _triplet) + _all_pairs(_scaled(_softplus)) + [
    *caps(lambda c, form: _triplet(_scaled(partial(capped_logistic, c=c, form=form)))),
    Family("scale of {c}, whatever is given", "take the scale that is given",
           lambda c: _triplet(lambda x, s: (_softplus(c * x)[0], c * _softplus(c * x)[1])),
           1e-3, 1e3),
]  # fmt: skip

PAIR_RIGHT = {
    "triplet_hinge": _triplet(lambda x, m: _relu(x + m)),
    "triplet_logistic": _triplet(_scaled(_softplus)),
}
"""The right losses of triples."""

PAIR_MISTAKES: Mistakes = {
    "pointwise_squared": _SQUARED,
    "pointwise_logistic": _LOGISTIC,
    "binary_cross_entropy": lifted(of_labels, _LOGISTIC, "scale", "bias"),
    "triplet_hinge": _HINGE,
    "triplet_logistic": _TRIPLET_LOGISTIC,
}
