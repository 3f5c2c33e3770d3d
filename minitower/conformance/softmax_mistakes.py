"""Mistakes in the in-batch softmax and its corrected, masked and mixed forms. Chapter 17.

Each formula is written once more, as a function whose links a mistake replaces.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp

from minitower.conformance.adapters import of_unit_vectors
from minitower.conformance.composition import half, then
from minitower.conformance.formula import Compute
from minitower.conformance.id_mistakes import id_mistakes
from minitower.conformance.links import chain, cross_entropy, on_diagonal, positive_alone
from minitower.conformance.log_sum_mistakes import LOG_SUM_MISTAKES
from minitower.conformance.mistake_tables import (
    FLIPPED,
    corrections,
    hit_mask,
    losses,
    masks,
    replacing,
    table,
    temperatures,
    unit,
)
from minitower.conformance.registry import FORMULAS


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


_unweighted: Compute = lambda u, v, q, w, t: chain(u, v, t, -q)
_WEIGHTED = table({
    ("weights left out", "multiply each row's loss by its weight"): _unweighted,
    ("mean over the weights", "divide by n, not by the sum of the weights"):
        lambda u, v, q, w, t: chain(u, v, t, -q, weights=w / w.mean()),
    ("weights of zero dropped from the mean", "divide by n: a row of weight 0 is a row"):
        lambda u, v, q, w, t: chain(
            u, v, t, -q, weights=w * len(w) / max(1, np.count_nonzero(w))),
    ("weights squared", "multiply each row's loss by its weight once"):
        lambda u, v, q, w, t: chain(u, v, t, -q, weights=w**2),
    ("weights only in the loss", "each row of the gradient carries the row's weight"):
        half(_weighted, _unweighted),
    ("logits multiplied by the weights", "multiply each row's loss by its weight"):
        lambda u, v, q, w, t: chain(u, v, t / w[:, None], -q * w[:, None]),
}) + corrections(_weighted) + losses(_weighted)  # fmt: skip


def _masked(u: Any, v: Any, ids: Any, t: Any, drop: Any = None, **link: Any) -> Any:
    return chain(u, v, t, drop=hit_mask(ids, len(u)) if drop is None else drop, **link)


_MASKED = [
    *id_mistakes(_masked),
    *masks(_masked, lambda u, v, ids, t: hit_mask(ids, len(u))),
    *temperatures(_masked),
    *losses(_masked),
]

_rest: Callable[[Any], Any] = lambda q: np.log1p(-np.exp(q))


def _calibrated(
    u: Any,
    v: Any,
    q: Any,
    ids: Any,
    t: Any,
    drop: Any = None,
    offset: Callable[[Any, Any], Any] = lambda q, log_n: _rest(q)[:, None] - log_n - q,
    own: Any = 0.0,
    **link: Any,
) -> Any:
    hits = hit_mask(ids, len(u))
    log_n = np.log(np.maximum(1, len(u) - 1 - hits.sum(axis=1, keepdims=True)))
    off = on_diagonal(own * q, offset(q, log_n))
    return chain(u, v, t, off, hits if drop is None else drop, **link)


_CALIBRATED = [
    *table({
        ("log n left out", "n_i draws stand for the catalogue: subtract log n_i as well"):
            lambda q, log_n: _rest(q)[:, None] - q,
        ("n counts the accidental hits", "n_i is how many negatives row i keeps"):
            lambda q, log_n: _rest(q)[:, None] - np.log(max(1, len(q) - 1)) - q,
        ("n counts the positive", "n_i is how many negatives row i keeps"):
            lambda q, log_n: _rest(q)[:, None] - np.log(np.exp(log_n) + 1) - q,
        ("log(1 - q) left out", "negatives are draws from the others: Q' = q / (1 - q_i)"):
            lambda q, log_n: -log_n - q,
        ("1 - q of the negative instead of the positive", "Q'_i(j) = q_j / (1 - q_i)"):
            lambda q, log_n: _rest(q) - log_n - q,
    }, replacing(_calibrated, "offset")),
    *table({
        ("log q off the positive too, with hits masked",
         "correct the positive and keep hits (Yi), or mask hits and leave it (calibrated)"):
            partial(_calibrated, offset=lambda q, log_n: -q + 0 * log_n, own=-1.0),
    }),
    *masks(_calibrated, lambda u, v, q, ids, t: hit_mask(ids, len(u))),
    *corrections(_calibrated),
    *temperatures(_calibrated),
    *losses(_calibrated),
]  # fmt: skip


def _khrylchenko(
    differentiated: bool = False,
    weighted: bool = True,
    mean: bool = True,
    positive: bool = False,
    rest: Callable[[Any], Any] = lambda q: _rest(q)[:, None],
) -> Compute:
    """The stop-gradient form, and what people make of it."""

    def compute(u: Any, v: Any, q: Any, ids: Any, t: Any) -> Any:
        n, hits = len(u), hit_mask(ids, len(u))
        negatives = n - 1 - hits.sum(axis=1)
        logits = np.where(hits, -np.inf, u @ v.T / t - q + rest(q))
        own = np.einsum("nd,nd->n", u, v) / t
        np.fill_diagonal(logits, own if positive else -np.inf)
        others = logsumexp(logits, axis=1)
        weight = expit(others - own - mean * np.log(negatives)) if weighted else np.ones(n)
        slope = weight + differentiated * weight * (1 - weight) * (others - own)
        d_scores = np.exp(logits - others[:, None]) * slope[:, None] / (n * t)
        d_scores[np.arange(n), np.arange(n)] -= slope / (n * t)
        return (weight * (others - own)).mean(), (d_scores @ v, d_scores.T @ u)

    return compute


_STOP_GRADIENT = table({
    ("stop-gradient weight differentiated", "1 - P is a constant: detach it"):
        _khrylchenko(differentiated=True),
    ("stop-gradient weight left out", "multiply each row's loss by 1 - P, held constant"):
        _khrylchenko(weighted=False),
    ("P from the sum of the draws, not their mean", "P = exp f / (exp f + (1/n) sum exp l)"):
        _khrylchenko(mean=False),
    ("positive in the denominator", "in this form the sum runs over the negatives alone"):
        _khrylchenko(positive=True),
    ("log(1 - q) left out", "negatives are draws from the others: Q' = q / (1 - q_i)"):
        _khrylchenko(rest=lambda q: 0 * q),
    ("1 - q of the negative instead of the positive", "Q'_i(j) = q_j / (1 - q_i)"):
        _khrylchenko(rest=_rest),
    ("calibrated loss beside the same gradient",
     "nothing to fix in training: check it as calibrated_softmax"):
        half(_calibrated, FORMULAS["stop_gradient_logq"].compute),
    FLIPPED: then(_khrylchenko(), lambda g: (-g[0], -g[1])),
})  # fmt: skip


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
}) + corrections(_mixed) + temperatures(_mixed) + losses(_mixed)  # fmt: skip


def _bank(
    u: Any, v: Any, bank: Any, q: Any, ids: Any, t: Any, drop: Any = None, known: Any = True,
    **link: Any,
) -> Any:  # fmt: skip
    n = len(u)
    drop = hit_mask(ids, n, since=n) if drop is None else drop
    value, (d_users, d_all) = chain(u, np.concatenate([v, bank]), t, -q * known, drop, **link)
    return value, (d_users, d_all[:n])


def _banked(u: Any, mask: Any) -> Any:
    """(n,n+b): the columns of the bank that are in a mask, for every row."""
    return np.tile(mask & (np.arange(len(mask)) >= len(u)), (len(u), 1))


_CROSS_BATCH = [
    *table({
        ("bank left out", "items of earlier batches are candidates too"):
            lambda u, v, b, q, ids, t: _bank(u, v, b, q, ids, t, _banked(u, ids == ids)),
        ("copies in the batch masked as well",
         "with the positive corrected, repetitions in the batch are what log q counts"):
            lambda u, v, b, q, ids, t: _bank(u, v, b, q, ids, t, hit_mask(ids, len(u))),
        ("banked copies left out for every row", "an item is a hit only where it was clicked"):
            lambda u, v, b, q, ids, t: _bank(
                u, v, b, q, ids, t, _banked(u, np.isin(ids, ids[: len(u)]))),
        ("batch not corrected", "subtract log q from the batch's columns as well"):
            lambda u, v, b, q, ids, t: _bank(
                u, v, b, q, ids, t, known=np.arange(len(q)) >= len(u)),
        ("bank not corrected", "subtract log q from the bank's columns as well"):
            lambda u, v, b, q, ids, t: _bank(
                u, v, b, q, ids, t, known=np.arange(len(q)) < len(u)),
    }),
    *masks(_bank, lambda u, v, b, q, ids, t: hit_mask(ids, len(u), since=len(u))),
    *corrections(_bank),
    *temperatures(_bank),
    *losses(_bank),
]  # fmt: skip

RIGHT = {
    "in_batch_softmax": _yi,
    "in_batch_softmax_weighted": _weighted,
    "in_batch_softmax_masked": _masked,
    "calibrated_softmax": _calibrated,
    "mixed_negatives": _mixed,
    "cross_batch_softmax": _bank,
}
"""The right formula whose parts the variants replace."""

SOFTMAX_MISTAKES = {
    "in_batch_softmax": _IN_BATCH,
    "in_batch_softmax_cosine": unit(_yi, [m for m in _IN_BATCH if m.name != _NORMALIZED]),
    "in_batch_softmax_weighted": _WEIGHTED,
    "in_batch_softmax_log_sum": LOG_SUM_MISTAKES,
    "in_batch_softmax_masked": _MASKED,
    "calibrated_softmax": _CALIBRATED,
    "stop_gradient_logq": _STOP_GRADIENT,
    "mixed_negatives": _MIXED,
    "cross_batch_softmax": _CROSS_BATCH,
}
