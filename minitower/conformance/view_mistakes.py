"""Mistakes in the softmax over a list, over two views, and with a learned temperature.

Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from minitower.conformance import links
from minitower.conformance.composition import then
from minitower.conformance.formula import Compute
from minitower.conformance.links import chain, cross_entropy
from minitower.conformance.mistake_tables import (
    DETACHED,
    ROWS,
    TIMES_TAU,
    WRONG_AXIS,
    losses,
    masks,
    table,
    temperatures,
    unit,
)


def _listwise(
    p: Any,
    g: Any,
    mask: Any,
    t: Any,
    drop: Any = None,
    loss: links.Link = cross_entropy,
    slope: Callable[[Any], Any] = lambda t: 1 / t,
    fill: Any = -np.inf,
) -> Any:
    fill = fill(t) if callable(fill) else fill
    n, drop = len(p), mask if drop is None else drop
    logits = np.column_stack([p * slope(t), np.where(drop, fill, g * slope(t))])
    value, d_logits = loss(logits, np.zeros(n, int), np.full(n, 1 / n))
    return value, (d_logits[:, 0] * slope(t), np.where(drop, 0, d_logits[:, 1:] * slope(t)))


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
    *masks(_listwise, lambda p, g, drop, t: drop),
    *temperatures(_listwise),
    *losses(_listwise, ROWS, WRONG_AXIS, DETACHED),
]  # fmt: skip


def _info_nce(u: Any, v: Any, t: Any, **link: Any) -> Any:
    return chain(u, v, t, **link)


def _symmetric(u: Any, v: Any, t: Any, one_way: Any = _info_nce, **link: Any) -> Any:
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
        then(_info_nce, lambda g: (g[0], 0 * g[1])),
}) + temperatures(_info_nce) + losses(_info_nce)  # fmt: skip

_VIEWS_BOTH_WAYS = table({
    _SAME_SIDE: partial(_symmetric, one_way=_all_views),
    ("one direction only", "average both directions"): _info_nce,
    ("the other direction only", "average both directions"):
        partial(_info_nce, loss=links.other_axis),
    ("sum of both directions instead of their mean", "divide by two"):
        partial(_symmetric, loss=links.times(lambda z: 2, lambda z: 2)),
}) + temperatures(_symmetric) + losses(_symmetric, ROWS)  # fmt: skip


def _learned(scores: Any, t: Any, loss: links.Link = cross_entropy) -> Any:
    n = len(scores)
    value, gradient = loss(scores / t, np.arange(n), np.full(n, 1 / n))
    return value, (gradient / t, -(gradient * scores).sum() / t**2)


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
}) + losses(_learned)  # fmt: skip

RIGHT = {
    "listwise_softmax": _listwise,
    "info_nce": _info_nce,
    "info_nce_symmetric": _symmetric,
    "learned_temperature": _learned,
}
"""The right formula whose parts the variants replace."""

VIEW_MISTAKES = {
    "listwise_softmax": _LISTWISE,
    "info_nce": unit(_info_nce, _VIEWS),
    "info_nce_symmetric": unit(_symmetric, _VIEWS_BOTH_WAYS),
    "learned_temperature": _LEARNED,
}
