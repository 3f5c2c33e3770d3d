"""What goes wrong in practice: each classic mistake as a small variant of its formula.

An implementation that returns what a variant returns, on every golden case, makes
that mistake. So every variant must differ from the right formula, and from every
other variant, on some case; a test holds the whole table to that.

A mistake in the gradient alone is found in gradients written by hand; a framework
differentiates whatever the loss says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from minitower.conformance.formula import Compute
from minitower.conformance.mistake import (
    BITS,
    CLIPPED,
    FLIPPED,
    LN2,
    OVERFLOW,
    SUM,
    Mistake,
    Words,
    table,
    then,
)
from minitower.conformance.softmax_mistakes import SOFTMAX_MISTAKES, unit
from minitower.formulas.ranking import mean_average_precision, mrr, ndcg, precision, recall

# --- Pointwise and pairwise: a loss of each example's margin, and its slope


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
    words: partial(_squared, example=example)
    for words, example in {
        ("labels of -1 read as 0", "the target of a drawn pair is -1"):
            lambda c, y: ((c - (y + 1) / 2) ** 2, 2 * c - y - 1),
        ("half the square", "here the square is whole"):
            lambda c, y: ((c - y) ** 2 / 2, c - y),
        ("gradient without the two", "the slope of x^2 is 2 x"):
            lambda c, y: ((c - y) ** 2, c - y),
        ("labels' sign turned", "+1 is clicked, -1 is drawn"):
            lambda c, y: ((c + y) ** 2, 2 * (c + y)),
        ("absolute error instead of the square", "square the difference"):
            lambda c, y: (np.abs(c - y), np.sign(c - y)),
        ("nothing lost beyond the label", "a score beyond its label costs as well"):
            lambda c, y: (_relu(1 - y * c)[0] ** 2, -2 * y * _relu(1 - y * c)[0]),
    }.items()
}) + _around(_squared)  # fmt: skip


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
    ("labels of 0 in log(1 + exp(-y z))", "with 0 for a drawn pair it learns from clicks alone"):
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

    def compute(positive: Any, negative: Any, given: Any) -> Any:
        value, slope = _mean(*example(negative - positive, given))
        return value, (-slope, slope)

    return compute


def _per_active(x: Any, m: Any) -> tuple[Any, Any]:
    losses, slopes = _relu(x + m)
    share = len(x) / max(1, slopes.sum())
    return losses * share, slopes * share


_PLACES = "positive and negative exchanged", "the clicked item comes first, the drawn one second"
_HINGE = [
    Mistake(name, cure, _triplet(example))
    for name, cure, example in (
        (*_PLACES, lambda x, m: (_relu(m - x)[0], -_relu(m - x)[1])),
        ("margin subtracted", "negative - positive + margin", lambda x, m: _relu(x - m)),
        ("margin left out", "negative - positive + margin", lambda x, m: _relu(x)),
        ("hinge on the wrong side", "max(0, .), not min(0, .)",
         lambda x, m: (-_relu(-x - m)[0], _relu(-x - m)[1])),
        ("no hinge", "a triple that leads by the margin costs nothing: max(0, .)",
         lambda x, m: (x + m, np.ones_like(x))),
        ("hinge squared", "here the hinge is linear",
         lambda x, m: (_relu(x + m)[0] ** 2, 2 * _relu(x + m)[0])),
        ("mean over the active triples", "divide by all n: an easy batch should weigh less",
         _per_active),
        ("gradient of triples that cost nothing", "where the hinge is flat the gradient is zero",
         lambda x, m: (_relu(x + m)[0], np.ones_like(x))),
        ("softplus instead of the hinge", "max(0, .) is not log(1 + exp(.))",
         lambda x, m: _softplus(x + m)),
    )
] + _around(_triplet(lambda x, m: _relu(x + m)))  # fmt: skip


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


_TRIPLET_LOGISTIC = [
    Mistake(name, cure, _triplet(example))
    for name, cure, example in (
        (*_PLACES, lambda x, s: (_softplus(-s * x)[0], -s * expit(-s * x))),
        ("scale left out", "log(1 + exp(scale (negative - positive)))",
         lambda x, s: _softplus(x)),
        ("divided by the scale", "softplus(x, beta) of most libraries is log(1 + exp(beta x)) / "
         "beta; multiply by beta", _scaled(_softplus, lambda s: 1 / s, lambda s: 1.0)),
        ("multiplied by the scale outside", "the scale stands inside the exponential",
         lambda x, s: (s * _softplus(x)[0], s * _softplus(x)[1])),
        ("gradient without the scale", "the inner slope is the scale",
         _scaled(_softplus, slope=lambda s: 1.0)),
        (*OVERFLOW, _scaled(_unshifted)),
        (*CLIPPED, _scaled(_clipped)),
        (*BITS, _scaled(_bits)),
        ("hinge instead of its smooth sibling", "log(1 + exp(.)) is not max(0, .)",
         _scaled(_relu)),
    )
] + _around(_triplet(_scaled(_softplus)))  # fmt: skip


# --- What is not a loss


def _inner(users: Any, items: Any, pull: Any) -> Any:
    return pull @ (users * items).sum(axis=1), (pull[:, None] * items, pull[:, None] * users)


def _value(compute: Callable[..., Any]) -> Compute:
    """A formula without gradients."""
    return lambda *arguments: (compute(*arguments), ())


_COSINE = unit(_inner, [Mistake(*FLIPPED, then(_inner, lambda g: (-g[0], -g[1])))])

_SERVING = [
    Mistake(name, cure, _value(compute))
    for name, cure, compute in (
        ("log q taken off at serving", "the correction belongs to training: it makes the score "
         "right, taken off again it ranks by lift", lambda u, v, q: u @ v.T - q),
        ("log q added at serving", "the score is right as it is", lambda u, v, q: u @ v.T + q),
        ("items' scores for users, transposed", "one row a user", lambda u, v, q: v @ u.T),
        ("each user with the item of their row only", "every user with every item",
         lambda u, v, q: np.diag(np.diag(u @ v.T))),
    )
]  # fmt: skip


def _scatter(combine: Callable[..., None]) -> Compute:
    def compute(table: Any, rows: Any, pull: Any) -> Any:
        d_table = np.zeros_like(table)
        combine(d_table, rows, pull)
        return (table[rows] * pull).sum(), (d_table,)

    return compute


def _assign(d_table: Any, rows: Any, pull: Any) -> None:
    d_table[rows] += pull


def _assign_backwards(d_table: Any, rows: Any, pull: Any) -> None:
    d_table[rows[::-1]] = pull[::-1]


def _average(d_table: Any, rows: Any, pull: Any) -> None:
    np.add.at(d_table, rows, pull)
    d_table /= np.maximum(1, np.bincount(rows, minlength=len(d_table)))[:, None]


def _next_row(d_table: Any, rows: Any, pull: Any) -> None:
    np.add.at(d_table, (rows + 1) % len(d_table), pull)


_LOOKUP = [
    Mistake(name, cure, _scatter(combine))
    for name, cure, combine in (
        ("duplicates lost in the scatter", "d[rows] += g keeps one gradient of a repeated row: "
         "add them up (np.add.at, index_add, segment sum)", _assign),
        ("first of the duplicates kept", "add the gradients of a repeated row up",
         _assign_backwards),
        ("mean over the duplicates", "add the gradients of a repeated row up, do not average",
         _average),
        ("gradient one row too far", "row 0 is a row of the table like any other", _next_row),
    )
]  # fmt: skip


def _shares(x: Any) -> Any:
    return x / x.sum()


_POWER_LAW = [
    Mistake(name, cure, _value(compute))
    for name, cure, compute in (
        ("not normalised", "divide by the sum", lambda c, b: c**b),
        ("exponent left out", "raise the counts to the power beta", lambda c, b: _shares(c)),
        ("uniform", "raise the counts to the power beta", lambda c, b: _shares(np.ones_like(c))),
        ("normalised before the exponent only", "the powers have to sum to one",
         lambda c, b: _shares(c) ** b),
        ("exponent one over beta", "beta flattens: 16 times the clicks, 8 times the draws",
         lambda c, b: _shares(c ** (1 / b))),
        ("one click added to every item", "smooth on purpose or not at all",
         lambda c, b: _shares((c + 1) ** b)),
        ("logarithm of the counts", "a power, not a logarithm", lambda c, b: _shares(np.log1p(c))),
        ("log-uniform by row", "that sampler wants items sorted by clicks, and is another law",
         lambda c, b: _shares(np.log1p(1 / np.arange(1.0, len(c) + 1)))),
    )
]  # fmt: skip


# --- Metrics


Measure = Callable[[Any, Any, Any], Any]


def _zero_for_nothing(measure: Measure) -> Measure:
    """Users without positives counted as failures."""
    return lambda hits, positives, k: measure(hits, positives, k) * (positives > 0).mean()


def _where_found(measure: Measure) -> Measure:
    """The mean over users with a hit only."""

    def compute(hits: Any, positives: Any, k: Any) -> Any:
        found = hits[:, :k].any(axis=1)
        return measure(hits[found], positives[found], k) if found.any() else 0.0

    return compute


_CHANCE = "leave users without positives out: nothing to find is no failure"
_EVERY: dict[Words, Callable[[Measure], Measure]] = {
    ("users without positives counted as failures", _CHANCE): _zero_for_nothing,
    ("users without a hit left out", "a user with positives and no hit counts 0"): _where_found,
    ("not cut at k", "only the first k ranks count"): lambda measure: (
        lambda hits, positives, k: measure(hits, positives, hits.shape[1])
    ),
}


def _metric_mistakes(measure: Measure, own: dict[Words, Measure]) -> list[Mistake]:
    everywhere = {words: wrong(measure) for words, wrong in _EVERY.items()}
    return [Mistake(*words, _value(compute)) for words, compute in (everywhere | own).items()]


def _over_users(each: Callable[..., Any]) -> Measure:
    """The mean over users with positives of each(hits in k ranks, positives, ranks, k)."""

    def compute(hits: Any, positives: Any, k: Any) -> Any:
        hits, positives = hits[positives > 0, :k], positives[positives > 0]
        return each(hits, positives, np.arange(1, k + 1), k).mean()

    return compute


def _dcg(discount: Callable[[Any], Any], most: Measure) -> Measure:
    def each(hits: Any, positives: Any, ranks: Any, k: Any) -> Any:
        ideal = np.append(0, discount(ranks).cumsum())[most(hits, positives, k)]
        return np.divide(hits @ discount(ranks), ideal, out=np.zeros(len(hits)), where=ideal > 0)

    return _over_users(each)


_log2: Callable[[Any], Any] = lambda r: 1 / np.log2(r + 1)
_possible: Measure = lambda hits, positives, k: np.minimum(positives, k)
_average_precision: Callable[[Any, Any], Any] = lambda hits, ranks: (
    hits.cumsum(axis=1) / ranks * hits
).sum(axis=1)

_METRICS = {
    "recall": _metric_mistakes(recall, {
        ("divided by min(k, positives)", "divide by all positives (that is recall_capped)"):
            _over_users(lambda hits, p, ranks, k: hits.sum(axis=1) / np.minimum(p, k)),
        ("precision", "divide by the positives, not by k"): precision,
        ("hit rate", "count all hits, not whether there is one"):
            _over_users(lambda hits, p, ranks, k: hits.any(axis=1)),
        ("pooled over users", "the mean of the users' recalls, each user weighs the same"):
            lambda hits, p, k: hits[:, :k].sum() / p.sum(),
    }),
    "mrr": _metric_mistakes(mrr, {
        ("ranks counted from zero", "the first rank is 1"):
            _over_users(lambda hits, p, ranks, k: (hits / (ranks + 1)).max(axis=1)),
        ("every hit counted, not the first", "one over the rank of the first hit"):
            _over_users(lambda hits, p, ranks, k: (hits / ranks).sum(axis=1)),
        ("rank of the last hit", "one over the rank of the first hit"):
            _over_users(lambda hits, p, ranks, k: hits.any(axis=1) / (hits * ranks).max(axis=1)
                        .clip(1)),
        ("one over the mean rank", "the mean of the reciprocals"):
            lambda hits, p, k: 1 / np.where(hits[:, :k].any(axis=1), 1 + hits.argmax(axis=1), np.inf
                                            )[hits[:, :k].any(axis=1)].mean(),
    }),
    "mean_average_precision": _metric_mistakes(mean_average_precision, {
        ("divided by all positives", "k ranks hold at most min(k, positives)"):
            _over_users(lambda hits, p, ranks, k: _average_precision(hits, ranks) / p),
        ("divided by the hits", "what was not found counts: divide by min(k, positives)"):
            _over_users(lambda hits, p, ranks, k: _average_precision(hits, ranks)
                        / hits.sum(axis=1).clip(1)),
        ("divided by k", "divide by min(k, positives)"):
            _over_users(lambda hits, p, ranks, k: _average_precision(hits, ranks) / k),
        ("precision at every rank, hit or not", "only ranks that hit add their precision"):
            _over_users(lambda hits, p, ranks, k: (hits.cumsum(axis=1) / ranks).sum(axis=1)
                        / np.minimum(p, k)),
    }),
    "ndcg": _metric_mistakes(ndcg, {
        ("ideal list of k hits", "the ideal list holds min(k, positives) hits"):
            _dcg(_log2, lambda hits, p, k: np.full(len(p), k)),
        ("ideal list of what was found", "the ideal list holds min(k, positives) hits"):
            _dcg(_log2, lambda hits, p, k: hits.sum(axis=1)),
        ("not normalised (DCG)", "divide by the ideal list's sum"):
            _over_users(lambda hits, p, ranks, k: hits @ _log2(ranks)),
        ("discount one over the rank", "the discount is 1 / log2(rank + 1)"):
            _dcg(lambda r: 1 / r, _possible),
        ("ranks counted from two", "1 / log2(rank + 1), the first rank is 1"):
            _dcg(lambda r: 1 / np.log2(r + 2), _possible),
        ("no discount at the first two ranks", "1 / log2(rank + 1); max(1, log2(rank)) is older"):
            _dcg(lambda r: 1 / np.maximum(1, np.log2(r)), _possible),
    }),
}  # fmt: skip

MISTAKES: dict[str, list[Mistake]] = {
    **SOFTMAX_MISTAKES,
    "pointwise_squared": _SQUARED,
    "pointwise_logistic": _LOGISTIC,
    "triplet_hinge": _HINGE,
    "triplet_logistic": _TRIPLET_LOGISTIC,
    "cosine": _COSINE,
    "serving_scores": _SERVING,
    "embedding_lookup": _LOOKUP,
    "power_law": _POWER_LAW,
    **_METRICS,
}
"""The known mistakes of every formula, by its name."""
