"""Mistakes in the softmax family: in the loss, the correction, the mask, the scaling.

Each formula is written once more, as a function whose links a mistake replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit, logsumexp

from minitower.conformance import links
from minitower.conformance.catalogue import FORMULAS, of_unit_vectors
from minitower.conformance.formula import Compute
from minitower.conformance.links import chain, cross_entropy, on_diagonal
from minitower.conformance.mistake import (
    BITS,
    CLIPPED,
    FLIPPED,
    LN2,
    OVERFLOW,
    SUM,
    Mistake,
    Words,
    half,
    table,
    then,
)
from minitower.formulas.similarity import l2_normalize

_one: Callable[[Any], float] = lambda z: 1.0

_ROWS: dict[Words, links.Link] = {
    SUM: links.times(len, len),
    ("mean over all logits instead of rows", "divide by n, not by n m"):
        links.times(lambda z: 1 / z.shape[1], lambda z: 1 / z.shape[1]),
    BITS: links.times(lambda z: 1 / LN2, lambda z: 1 / LN2),
    FLIPPED: links.times(_one, lambda z: -1),
    ("gradient of the sum beside the mean", "divide the gradient by n as well"):
        links.times(_one, len),
    OVERFLOW: links.unshifted,
    CLIPPED: links.clipped,
    ("softmax applied twice", "the cross-entropy wants logits, and got probabilities"):
        links.softmax_twice,
    ("positive left out of the denominator", "the sum runs over the positive as well"):
        links.without_positive,
    ("binary cross-entropy instead of a softmax", "candidates compete: one softmax a row"):
        links.binary,
    ("gradient that forgets the positive", "the gradient is P, minus one at the positive"):
        links.positive_forgotten,
}  # fmt: skip
"""Wrong losses of one row."""

_WRONG_AXIS: dict[Words, links.Link] = {
    ("softmax over the wrong axis", "each row is one softmax over its candidates"):
        links.other_axis,
}  # fmt: skip
_IN_A_SQUARE: dict[Words, links.Link] = {
    ("both directions averaged", "one direction: each row over its candidates"):
        links.both_directions,
    ("first column taken as every row's positive", "row i's positive is column i"):
        links.first_column,
}  # fmt: skip

TIMES_TAU = "multiplied by the temperature", "divide the scores by it"
NO_TAU = "temperature left out", "divide the scores by it"


def _losses(right: Any, *wrong: dict[Words, links.Link]) -> list[Mistake]:
    """Mistakes in the loss of logits: of rows alone, unless wrong names others."""
    every = wrong or (_ROWS, _WRONG_AXIS, _IN_A_SQUARE)
    return table({words: partial(right, loss=loss) for w in every for words, loss in w.items()})


def _temperatures(right: Any) -> list[Mistake]:
    return table({
        TIMES_TAU: partial(right, slope=lambda t: t),
        NO_TAU: partial(right, slope=_one),
    })  # fmt: skip


def _corrections(right: Any) -> list[Mistake]:
    """Mistakes in taking log q off, whatever log q is."""
    return table({
        ("log q added instead of subtracted", "logits = scores / temperature - log_q"):
            partial(right, taken=lambda offset, t: -offset),
        ("(score - log q) / temperature", "divide first, then subtract: log q is not a score"):
            partial(right, taken=lambda offset, t: offset / t),
        ("log q left out, or taken off whole rows, where it cancels",
         "take log_q[j] off column j: logits - log_q[None, :]"):
            partial(right, taken=lambda offset, t: 0 * offset),
        ("log q to base two", "use the natural logarithm, which exp undoes"):
            partial(right, taken=lambda offset, t: offset / LN2),
    })  # fmt: skip


def _smoothings(right: Any) -> list[Mistake]:
    """Mistakes that take the rarest items for more popular than they are."""
    return table({
        ("q clipped at 1e-6", "clip below 1 / (all clicks), or rare items lose their correction"):
            partial(right, taken=lambda offset, t: np.minimum(offset, -np.log(1e-6))),
        ("1e-6 added to q", "smooth counts instead, or rare items lose their correction"):
            partial(right, taken=lambda offset, t: -np.log(np.exp(-offset) + 1e-6)),
    })  # fmt: skip


def _masks(right: Any, drop: Callable[..., Any]) -> list[Mistake]:
    """Mistakes in a mask, given the right one."""
    nothing = lambda *a: right(*a, drop=np.zeros_like(drop(*a)))
    leave_out = "leave what is masked out of the sum: -inf before log sum exp"
    both = "mask before the loss, so that loss and gradient both see it"
    return table({
        ("mask that does nothing", f"{leave_out}; a tiny number added is none"): nothing,
        ("masked logits set to zero", leave_out): partial(right, fill=0.0),
        ("mask inverted", leave_out): lambda *a: right(*a, drop=_off_diagonal(~drop(*a))),
        ("mask only in the gradient", both): half(nothing, right),
        ("mask only in the loss", both): half(right, nothing),
    })  # fmt: skip


def _off_diagonal(mask: Any) -> Any:
    return mask & (np.eye(*mask.shape) == 0)


def _hits(ids: Any, n: int, since: int = 0) -> Any:
    """(n,m): whether candidate j >= since is row i's item, its own place left out."""
    return _off_diagonal((ids[:n, None] == ids) & (np.arange(len(ids)) >= since))


# --- One formula after the other


def _yi(u: Any, v: Any, q: Any, t: Any, **link: Any) -> Any:
    return chain(u, v, t, -q, **link)


def _transposed(logits: Any, positive: Any, share: Any) -> Any:
    value, gradient = cross_entropy(logits, positive, share)
    return value, gradient.T


_IN_BATCH = table({
    ("q subtracted instead of log q", "take the logarithm of q off"):
        lambda u, v, q, t: chain(u, v, t, -np.exp(q)),
    ("positive not corrected", "in this form log q comes off every candidate, the positive too"):
        lambda u, v, q, t: chain(u, v, t, on_diagonal(0 * q, -q)),
    ("only the positive corrected", "log q comes off every candidate"):
        lambda u, v, q, t: chain(u, v, t, on_diagonal(-q, 0 * q)),
    ("gradient without 1 / temperature", "logits have the slope 1 / temperature"):
        lambda u, v, q, t: then(_yi, lambda g: (g[0] * t, g[1] * t))(u, v, q, t),
    ("gradients of users and items exchanged", "d_users = G items, d_items = G^T users"):
        then(_yi, lambda g: g[::-1]),
    ("gradient not transposed for the items", "d_items = G^T users, not G users"):
        lambda u, v, q, t: (_yi(u, v, q, t)[0], (
            _yi(u, v, q, t)[1][0], _yi(u, v, q, t, loss=_transposed)[1][1])),
    ("no gradient to the items", "items learn too: do not detach them"):
        then(_yi, lambda g: (g[0], 0 * g[1])),
    ("no gradient to the users", "users learn too: do not detach them"):
        then(_yi, lambda g: (0 * g[0], g[1])),
}) + _corrections(_yi) + _smoothings(_yi) + _temperatures(_yi) + _losses(_yi)  # fmt: skip


def _weighted(u: Any, v: Any, q: Any, w: Any, t: Any, **link: Any) -> Any:
    return chain(u, v, t, -q, weights=w, **link)


_unweighted: Compute = lambda u, v, q, w, t: chain(u, v, t, -q)
_WEIGHTED = table({
    ("weights left out", "multiply each row's loss by its weight"): _unweighted,
    ("mean over the weights", "divide by n, not by the sum of the weights"):
        lambda u, v, q, w, t: chain(u, v, t, -q, weights=w / w.mean()),
    ("weights only in the loss", "each row of the gradient carries the row's weight"):
        half(_weighted, _unweighted),
    ("logits multiplied by the weights", "multiply each row's loss by its weight"):
        lambda u, v, q, w, t: chain(u, v, t / w[:, None], -q * w[:, None]),
}) + _corrections(_weighted) + _smoothings(_weighted) + _losses(_weighted)  # fmt: skip


def _masked(u: Any, v: Any, ids: Any, t: Any, drop: Any = None, **link: Any) -> Any:
    return chain(u, v, t, drop=_hits(ids, len(u)) if drop is None else drop, **link)


def _copies(ids: Any) -> Any:
    """(n,n): columns that repeat an earlier one, for every row but their own."""
    later = ~np.isin(np.arange(len(ids)), np.unique(ids, return_index=True)[1])
    return _off_diagonal(np.tile(later, (len(ids), 1)))


_MASKED = [
    *table({
        ("mask that removes the positive", "keep the diagonal: row i's own candidate is i"):
            lambda u, v, ids, t: _masked(u, v, ids, t, drop=ids[:, None] == ids),
        ("repeated items left out for every row", "an item is a hit only where it was clicked"):
            lambda u, v, ids, t: _masked(u, v, ids, t, drop=_copies(ids)),
    }),
    *_masks(_masked, lambda u, v, ids, t: _hits(ids, len(u))),
    *_temperatures(_masked),
    *_losses(_masked),
]  # fmt: skip

Offset = Callable[[Any, Any, Any], Any]
_rest: Callable[[Any], Any] = lambda q: np.log1p(-np.exp(q))


def _calibrated(
    u: Any,
    v: Any,
    q: Any,
    ids: Any,
    t: Any,
    drop: Any = None,
    offset: Offset = lambda q, log_n, hits: _rest(q)[:, None] - log_n - q,
    own: Any = 0.0,
    **link: Any,
) -> Any:
    hits = _hits(ids, len(u))
    log_n = np.log(np.maximum(1, len(u) - 1 - hits.sum(axis=1, keepdims=True)))
    off = on_diagonal(own * q, offset(q, log_n, hits))
    return chain(u, v, t, off, hits if drop is None else drop, **link)


_CALIBRATED = [
    *table({
        ("log n left out", "n_i draws stand for the catalogue: take log n_i off as well"):
            partial(_calibrated, offset=lambda q, log_n, hits: _rest(q)[:, None] - q),
        ("n counts the accidental hits", "n_i is how many negatives row i keeps"):
            partial(_calibrated, offset=lambda q, log_n, hits: (
                _rest(q)[:, None] - np.log(max(1, len(q) - 1)) - q)),
        ("n counts the positive", "n_i is how many negatives row i keeps"):
            partial(_calibrated, offset=lambda q, log_n, hits: (
                _rest(q)[:, None] - np.log(np.exp(log_n) + 1) - q)),
        ("log(1 - q) left out", "negatives are drawn from the others: Q' = q / (1 - q_i)"):
            partial(_calibrated, offset=lambda q, log_n, hits: -log_n - q),
        ("1 - q of the negative instead of the positive", "Q'_i(j) = q_j / (1 - q_i)"):
            partial(_calibrated, offset=lambda q, log_n, hits: _rest(q) - log_n - q),
        ("log q off the positive too, with hits masked",
         "correct the positive and keep hits (Yi), or mask hits and leave it (calibrated)"):
            partial(_calibrated, offset=lambda q, log_n, hits: -q + 0 * log_n, own=-1.0),
    }),
    *_masks(_calibrated, lambda u, v, q, ids, t: _hits(ids, len(u))),
    *_corrections(_calibrated),
    *_temperatures(_calibrated),
    *_losses(_calibrated),
]  # fmt: skip


def _khrylchenko(
    differentiated: bool = False, weighted: bool = True, mean: bool = True, positive: bool = False
) -> Compute:
    """The stop-gradient form, and what people make of it."""

    def compute(u: Any, v: Any, q: Any, ids: Any, t: Any) -> Any:
        n, hits = len(u), _hits(ids, len(u))
        negatives = n - 1 - hits.sum(axis=1)
        logits = np.where(hits, -np.inf, u @ v.T / t - q + _rest(q)[:, None])
        own = np.einsum("nd,nd->n", u, v) / t
        np.fill_diagonal(logits, own if positive else -np.inf)
        others = logsumexp(logits, axis=1)
        weight = expit(others - own - mean * np.log(negatives)) if weighted else np.ones(n)
        pull = weight + differentiated * weight * (1 - weight) * (others - own)
        d_scores = np.exp(logits - others[:, None]) * pull[:, None] / (n * t)
        d_scores[np.arange(n), np.arange(n)] -= pull / (n * t)
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
    ("calibrated loss beside the same gradient",
     "nothing to cure in training: check it as calibrated_softmax"):
        half(_calibrated, FORMULAS["stop_gradient_logq"].compute),
    FLIPPED: then(_khrylchenko(), lambda g: (-g[0], -g[1])),
})  # fmt: skip


def _mixed(
    u: Any,
    v: Any,
    q: Any,
    catalogue: int,
    t: Any,
    mixture: Offset = lambda q, a, k: np.log(a * np.exp(q) + (1 - a) / k),
    positive: bool = False,
    **link: Any,
) -> Any:
    off = -mixture(q, len(u) / len(v), catalogue)
    return chain(u, v, t, on_diagonal(off[: len(u)] * positive, off), **link)


_MIXED = table({
    ("log q without the mixture", "uniform draws count: q* = n/m q + (1 - n/m) / catalogue"):
        partial(_mixed, mixture=lambda q, a, k: q),
    ("each half with its own q", "one mixture for both: q* = n/m q + (1 - n/m) / catalogue"):
        partial(_mixed, mixture=lambda q, a, k: np.where(
            np.arange(len(q)) < a * len(q), q, -np.log(k))),
    ("logarithms of q mixed instead of q", "mix probabilities, then take the logarithm"):
        partial(_mixed, mixture=lambda q, a, k: a * q - (1 - a) * np.log(k)),
    ("mixture of equal shares", "the shares are n/m and 1 - n/m"):
        partial(_mixed, mixture=lambda q, a, k: np.log(np.exp(q) / 2 + 0.5 / k)),
    ("expected count instead of probability",
     "with the positive uncorrected the scale of q matters: divide by the m draws"):
        partial(_mixed, mixture=lambda q, a, k: np.log(len(q) * (a * np.exp(q) + (1 - a) / k))),
    ("positive corrected as well", "in this form the positive keeps its score"):
        partial(_mixed, positive=True),
}) + _corrections(_mixed) + _temperatures(_mixed) + _losses(_mixed)  # fmt: skip


def _bank(
    u: Any, v: Any, bank: Any, q: Any, ids: Any, t: Any, drop: Any = None, known: Any = True,
    **link: Any,
) -> Any:  # fmt: skip
    n = len(u)
    drop = _hits(ids, n, since=n) if drop is None else drop
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
            lambda u, v, b, q, ids, t: _bank(u, v, b, q, ids, t, _hits(ids, len(u))),
        ("banked copies left out for every row", "an item is a hit only where it was clicked"):
            lambda u, v, b, q, ids, t: _bank(
                u, v, b, q, ids, t, _banked(u, np.isin(ids, ids[: len(u)]))),
        ("bank not corrected", "log q comes off the bank's columns as well"):
            lambda u, v, b, q, ids, t: _bank(
                u, v, b, q, ids, t, known=np.arange(len(q)) < len(u)),
    }),
    *_masks(_bank, lambda u, v, b, q, ids, t: _hits(ids, len(u), since=len(u))),
    *_corrections(_bank),
    *_smoothings(_bank),
    *_temperatures(_bank),
    *_losses(_bank),
]  # fmt: skip


def _listwise(
    p: Any,
    g: Any,
    given: Any,
    t: Any,
    drop: Any = None,
    loss: links.Link = cross_entropy,
    slope: Callable[[Any], Any] = lambda t: 1 / t,
    fill: float = -np.inf,
) -> Any:
    n, drop = len(p), given if drop is None else drop
    logits = np.column_stack([p * slope(t), np.where(drop, fill, g * slope(t))])
    value, d_logits = loss(logits, np.zeros(n, int), np.full(n, 1 / n))
    return value, (d_logits[:, 0] * slope(t), np.where(drop, 0, d_logits[:, 1:] * slope(t)))


_LISTWISE = [
    *_masks(_listwise, lambda p, g, drop, t: drop),
    *table(
        {
            (
                "mask that is not low enough",
                "logits may lie below any number: mask with -inf",
            ): partial(_listwise, fill=-1e4),
        }
    ),
    *_temperatures(_listwise),
    *_losses(_listwise, _ROWS, _WRONG_AXIS),
]


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
}) + _temperatures(_info_nce) + _losses(_info_nce)  # fmt: skip

_VIEWS_BOTH_WAYS = table({
    _SAME_SIDE: partial(_symmetric, one_way=_all_views),
    ("one direction only", "average both directions"): _info_nce,
    ("the other direction only", "average both directions"):
        partial(_info_nce, loss=links.other_axis),
    ("sum of both directions instead of their mean", "divide by two"):
        partial(_symmetric, loss=links.times(lambda z: 2, lambda z: 2)),
}) + _temperatures(_symmetric) + _losses(_symmetric, _ROWS)  # fmt: skip


def _learned(scores: Any, t: Any, loss: links.Link = cross_entropy) -> Any:
    n = len(scores)
    value, gradient = loss(scores / t, np.arange(n), np.full(n, 1 / n))
    return value, (gradient / t, -(gradient * scores).sum() / t**2)


_LEARNED = table({
    ("gradient of the logarithm of the temperature", "that is temperature times as large"):
        lambda s, t: then(_learned, lambda g: (g[0], g[1] * t))(s, t),
    ("gradient of one over the temperature", "d / d t = -(d / d scale) / t^2"):
        lambda s, t: then(_learned, lambda g: (g[0], -g[1] * t**2))(s, t),
    ("sign of the temperature's gradient", "logits shrink as the temperature grows"):
        then(_learned, lambda g: (g[0], -g[1])),
    ("temperature held constant", "do not detach it"): then(_learned, lambda g: (g[0], 0 * g[1])),
    TIMES_TAU: lambda s, t: then(_learned, lambda g: (g[0], -g[1] / t**2))(s, 1 / t),
}) + _losses(_learned)  # fmt: skip


def unit(right: Compute, mistakes: Iterable[Mistake]) -> list[Mistake]:
    """Mistakes in scaling vectors to length one, and those of the formula behind it."""

    def first_only(first: Any, *others: Any) -> Any:
        normal, backward = l2_normalize(first)
        value, (d_normal, *gradients) = right(normal, *others)
        return value, (backward(d_normal), *gradients)

    whole = "d_x = (d_y - y (y . d_y)) / |x|"
    by = partial(of_unit_vectors, right)
    return table({
        ("vectors not normalised", "divide each vector by its length"): right,
        ("only the first side normalised", "divide both sides by their lengths"): first_only,
        ("normalised over the batch", "the length is a row's: sum over d"):
            by(links.over_the_batch),
        ("divided by the squared length", "take the root"): by(links.by_squared_length),
        ("gradient that forgets the normalisation", f"{whole}, not d_y"): by(links.passed_on),
        ("gradient that takes the length as constant", f"{whole}, not d_y / |x|"):
            by(links.only_divided),
        ("a zero vector divided by (almost) nothing",
         "score 0 and gradient 0 where there is no direction: x / max(|x|, eps) multiplies its "
         "gradient by 1 / eps, x / |x| gives NaN"): by(links.kicked),
        **{(m.name, m.cure): of_unit_vectors(m.compute) for m in mistakes},
    })  # fmt: skip


SOFTMAX_MISTAKES = {
    "in_batch_softmax": _IN_BATCH,
    "in_batch_softmax_cosine": unit(_yi, _IN_BATCH),
    "in_batch_softmax_weighted": _WEIGHTED,
    "in_batch_softmax_masked": _MASKED,
    "calibrated_softmax": _CALIBRATED,
    "stop_gradient_logq": _STOP_GRADIENT,
    "mixed_negatives": _MIXED,
    "cross_batch_softmax": _CROSS_BATCH,
    "listwise_softmax": _LISTWISE,
    "info_nce": unit(_info_nce, _VIEWS),
    "info_nce_symmetric": unit(_symmetric, _VIEWS_BOTH_WAYS),
    "learned_temperature": _LEARNED,
}
