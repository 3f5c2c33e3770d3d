"""Mistakes in the in-batch softmax and its weighted, mixed and two-view forms. Chapter 17.

Each formula is written once more, as a function whose links a mistake replaces.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance import links
from minitower.conformance.adapters import of_unit_vectors, without_q
from minitower.conformance.composition import half, summed, then
from minitower.conformance.formula import Compute
from minitower.conformance.links import (
    chain,
    cross_entropy,
    on_diagonal,
    own_logit,
    positive_alone,
)
from minitower.conformance.mistake import SUM, Family, Mistakes, lifted, replacing, table
from minitower.conformance.mistake_tables import (
    FLIPPED,
    ROWS,
    TIMES_TAU,
    TOO_WARM,
    any_offset,
    corrections,
    fixed_temperatures,
    flipped,
    losses,
    temperatures,
    unit,
)


def _yi(u: Any, v: Any, q: Any, t: Any, **link: Any) -> Any:
    return chain(u, v, t, -q, **link)


def _transposed(logits: Any, positive: Any, share: Any) -> Any:
    value, gradient = cross_entropy(logits, positive, share)
    return value, gradient.T


_NORMALIZED = "vectors normalized"
_IN_BATCH = table({
    ("q subtracted instead of log q", "subtract the logarithm of q"):
        lambda u, v, q, t: chain(u, v, t, -np.exp(q)),
    ("positive not corrected", "this form subtracts log q from every candidate, the positive too"):
        lambda u, v, q, t: chain(u, v, t, on_diagonal(0 * q, -q)),
    ("only the positive corrected", "subtract log q from every candidate"):
        lambda u, v, q, t: chain(u, v, t, on_diagonal(-q, 0 * q)),
    ("gradient without 1 / temperature", "logits have the slope 1 / temperature"):
        lambda u, v, q, t: then(_yi, lambda g: (g[0] * t, g[1] * t))(u, v, q, t),
    ("gradient of the users without 1 / temperature", "both sides have the slope 1 / temperature"):
        lambda u, v, q, t: then(_yi, lambda g: (g[0] * t, g[1]))(u, v, q, t),
    ("gradient of the items without 1 / temperature", "both sides have the slope 1 / temperature"):
        lambda u, v, q, t: then(_yi, lambda g: (g[0], g[1] * t))(u, v, q, t),
    ("no gradient to the items as negatives", "negatives are pushed away: do not detach them"):
        lambda u, v, q, t: (_yi(u, v, q, t)[0], (
            _yi(u, v, q, t)[1][0], _yi(u, v, q, t, loss=positive_alone)[1][1])),
    ("users and items exchanged", "one row is a user, one column is an item: users @ items^T"):
        lambda u, v, q, t: then(lambda *a: _yi(v, u, q, t), lambda g: g[::-1])(u, v, q, t),
    (_NORMALIZED, "here the score is the inner product itself"): of_unit_vectors(_yi),
    ("scores divided by the root of d as well", "divide by the temperature alone"):
        lambda u, v, q, t: _yi(u, v, q, t, slope=lambda t: 1 / (t * np.sqrt(u.shape[1]))),
    ("gradients of users and items exchanged", "d_users = G items, d_items = G^T users"):
        then(_yi, lambda g: g[::-1]),
    ("gradient not transposed for the items", "d_items = G^T users, not G users"):
        lambda u, v, q, t: (_yi(u, v, q, t)[0], (
            _yi(u, v, q, t)[1][0], _yi(u, v, q, t, loss=_transposed)[1][1])),
    ("no gradient to the items", "items learn too: do not detach them"):
        then(_yi, lambda g: (g[0], 0 * g[1])),
    ("no gradient to the users", "users learn too: do not detach them"):
        then(_yi, lambda g: (0 * g[0], g[1])),
}) + corrections(_yi) + temperatures(_yi) + losses(_yi)  # fmt: skip


def _weighted(u: Any, v: Any, q: Any, w: Any, t: Any, **link: Any) -> Any:
    return chain(u, v, t, -q, weights=w, **link)


def _reweighted(change: Callable[[Any], Any]) -> Compute:
    return lambda u, v, q, w, t: _weighted(u, v, q, change(w), t)


_unweighted: Compute = lambda u, v, q, w, t: chain(u, v, t, -q)
_WEIGHTED = table({
    ("weights left out", "multiply each row's loss by its weight"): _unweighted,
    ("mean over the weights", "divide by n, not by the sum of the weights"):
        _reweighted(lambda w: w / w.mean()),
    ("weights of zero dropped from the mean", "divide by n: a row of weight 0 is a row"):
        _reweighted(lambda w: w * len(w) / max(1, np.count_nonzero(w))),
    ("weights squared", "multiply each row's loss by its weight once"):
        _reweighted(lambda w: w**2),
    ("weights only in the loss", "each row of the gradient carries the row's weight"):
        half(_weighted, _unweighted),
    ("logits multiplied by the weights", "multiply each row's loss by its weight"):
        lambda u, v, q, w, t: chain(u, v, t / w[:, None], -q * w[:, None]),
}) + corrections(_weighted) + fixed_temperatures(_weighted) + losses(_weighted) + [
    Family("weights clipped at {c}", "multiply each row's loss by its weight as it is",
           lambda c: _reweighted(lambda w: np.minimum(w, c)), 1e-3, 1e3),
]  # fmt: skip


def _log_sum(log_sum: Callable[[Any], float], own: Callable[[Any], float]) -> Compute:
    """log_sum(w) log sum exp - own(w) logit of the positive, of a row that has weight w."""

    def compute(u: Any, v: Any, q: Any, w: Any, t: Any, **link: Any) -> Any:
        a, b = log_sum(w), log_sum(w) - own(w)

        def loss(*row: Any) -> Any:
            (value, gradient), (logit, own_gradient) = cross_entropy(*row), own_logit(*row)
            return a * value + b * logit, a * gradient + b * own_gradient

        return chain(u, v, t, -q, loss=loss, **link)

    return compute


_log_sum_right = _log_sum(lambda w: w, lambda w: 1.0)
_log_sum_unweighted = _log_sum(lambda w: 1.0, lambda w: 1.0)
_LOG_SUM = table({
    ("exponent that cancels the log-sum's weight",
     "of -log(exp(s+/t1) / (sum exp(s/t2))^(t2/t1)) only t2 is left, and the plain loss: weigh "
     "the log-sum instead"): _log_sum(lambda w: 1 / w, lambda w: 1 / w),
    ("log-sum weight left out", "multiply log sum exp, and only that, by the weight"):
        _log_sum_unweighted,
    ("whole loss multiplied by the log-sum weight",
     "multiply log sum exp alone: the positive keeps its weight of 1"):
        _log_sum(lambda w: w, lambda w: w),
    ("log-sum weight missing in the gradient", "the gradient carries weight times P as well"):
        half(_log_sum_right, _log_sum_unweighted),
    ("log-sum weight on the positive", "multiply log sum exp: w log sum - own"):
        _log_sum(lambda w: 1.0, lambda w: w),
    ("one divided by the log-sum weight", "multiply log sum exp by the weight"):
        _log_sum(lambda w: 1 / w, lambda w: 1.0),
    SUM: summed(_log_sum_right),
    FLIPPED: flipped(_log_sum_right),
}) + corrections(_log_sum_right) + temperatures(_log_sum_right)  # fmt: skip


def _mixed(
    u: Any,
    v: Any,
    q: Any,
    catalogue: int,
    t: Any,
    mixture: Callable[[Any, Any, Any], Any] = lambda q, a, k: np.log(a * np.exp(q) + (1 - a) / k),
    positive: bool = False,
    **link: Any,
) -> Any:
    off = -mixture(q, len(u) / len(v), catalogue)
    return chain(u, v, t, on_diagonal(off[: len(u)] * positive, off), **link)


_MIXED = table({
    ("log q without the mixture", "uniform draws count: q* = n/m q + (1 - n/m) / catalogue"):
        lambda q, a, k: q,
    ("each half with its own q", "one mixture for both: q* = n/m q + (1 - n/m) / catalogue"):
        lambda q, a, k: np.where(np.arange(len(q)) < a * len(q), q, -np.log(k)),
    ("logarithms of q mixed instead of q", "mix probabilities, then take the logarithm"):
        lambda q, a, k: a * q - (1 - a) * np.log(k),
    ("mixture of equal shares", "the shares are n/m and 1 - n/m"):
        lambda q, a, k: np.log(np.exp(q) / 2 + 0.5 / k),
    ("expected count instead of probability",
     "with the positive uncorrected the scale of q matters: divide by the m draws"):
        lambda q, a, k: np.log(len(q) * (a * np.exp(q) + (1 - a) / k)),
}, replacing(_mixed, "mixture")) + table({
    ("positive corrected as well", "in this form the positive keeps its score"):
        partial(_mixed, positive=True),
}) + any_offset(_mixed) + temperatures(_mixed) + losses(_mixed)  # fmt: skip


def _symmetric(u: Any, v: Any, t: Any, one_way: Any = chain, **link: Any) -> Any:
    there, (du, dv) = one_way(u, v, t, **link)
    back, (dv_back, du_back) = one_way(v, u, t, **link)
    return (there + back) / 2, ((du + du_back) / 2, (dv + dv_back) / 2)


def _all_views(u: Any, v: Any, t: Any) -> Any:
    """The first views against the others of both sides."""
    n = len(u)
    itself = np.concatenate([np.zeros((n, n), bool), np.eye(n) > 0], axis=1)
    value, (d_users, d_all) = chain(u, np.concatenate([v, u]), t, drop=itself)
    return value, (d_users + d_all[n:], d_all[:n])


_SAME_SIDE = (
    "views of the same side among the negatives",
    "first views compete against second views only; NT-Xent (SimCLR) is another loss",
)
_VIEWS = table({
    _SAME_SIDE: _all_views,
    ("no gradient to the second views", "both views are outputs of towers that learn"):
        then(chain, lambda g: (g[0], 0 * g[1])),
}) + temperatures(chain) + losses(chain)  # fmt: skip

_VIEWS_BOTH_WAYS = table({
    _SAME_SIDE: partial(_symmetric, one_way=_all_views),
    ("one direction only", "average both directions"): chain,
    ("the other direction only", "average both directions"):
        partial(chain, loss=links.other_axis),
    ("sum of both directions instead of their mean", "divide by two"):
        partial(_symmetric, loss=links.times(lambda z: 2, lambda z: 2)),
}) + temperatures(_symmetric) + losses(_symmetric, ROWS)  # fmt: skip


def _learned(scores: Any, t: Any, loss: links.Link = cross_entropy) -> Any:
    n = len(scores)
    value, gradient = loss(scores / t, np.arange(n), np.full(n, 1 / n))
    return value, (gradient / t, -(gradient * scores).sum() / t**2)


def _clamped(scores: Any, t: Any, least: float) -> Any:
    value, (d_scores, slope) = _learned(scores, np.maximum(t, least))
    return value, (d_scores, slope * (t >= least))


def _other_slope(change: Callable[[Any, Any], Any]) -> Compute:
    """Change the gradient of the temperature."""
    return lambda s, t: then(_learned, lambda g: (g[0], change(g[1], t)))(s, t)


_LEARNED = table({
    ("gradient of the logarithm of the temperature", "that is temperature times as large"):
        lambda slope, t: slope * t,
    ("gradient of one over the temperature", "d / d t = -(d / d scale) / t^2"):
        lambda slope, t: -slope * t**2,
    ("sign of the temperature's gradient", "logits shrink as the temperature grows"):
        lambda slope, t: -slope,
    ("temperature held constant", "do not detach it"): lambda slope, t: 0 * slope,
}, _other_slope) + table({
    TIMES_TAU: lambda s, t: then(_learned, lambda g: (g[0], -g[1] / t**2))(s, 1 / t),
}) + losses(_learned) + [
    Family(*TOO_WARM, lambda c: partial(_clamped, least=c), 1e-4, 10),
]  # fmt: skip

SOFTMAX_MISTAKES: Mistakes = {
    "in_batch_softmax": _IN_BATCH,
    "in_batch_softmax_cosine": unit(_yi, [m for m in _IN_BATCH if m.name != _NORMALIZED]),
    "in_batch_softmax_weighted": _WEIGHTED,
    "in_batch_softmax_log_sum": _LOG_SUM,
    "mixed_negatives": _MIXED,
    "in_batch_softmax_plain": lifted(
        without_q, _IN_BATCH,
        "log q", "q sub", "corrected", "q clipped", "added to q",
        "users and items exchanged",  # that is the wrong axis
    ),
    "info_nce": unit(chain, _VIEWS),
    "info_nce_symmetric": unit(_symmetric, _VIEWS_BOTH_WAYS),
    "learned_temperature": _LEARNED,
}  # fmt: skip
