"""Mistakes in losses that know which item a row is: which candidates are hits, and labels.

Each formula is written once more, as a function whose links a mistake replaces. Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from minitower.conformance.composition import half
from minitower.conformance.formula import Compute
from minitower.conformance.links import chain, cross_entropy, log_sum_exp, on_diagonal
from minitower.conformance.mistake import Mistakes, replacing, table
from minitower.conformance.mistake_tables import (
    FLIPPED,
    corrections,
    flipped,
    hit_mask,
    losses,
    masks,
    off_diagonal,
    temperatures,
)
from minitower.conformance.registry import FORMULAS


def _masked(u: Any, v: Any, ids: Any, t: Any, drop: Any = None, **link: Any) -> Any:
    return chain(u, v, t, drop=hit_mask(ids, len(u)) if drop is None else drop, **link)


def _copies(ids: Any) -> Any:
    """(n,n): columns that repeat an earlier one, for every row but their own."""
    later = ~np.isin(np.arange(len(ids)), np.unique(ids, return_index=True)[1])
    return off_diagonal(np.tile(later, (len(ids), 1)))


def _equal(ids: Any, kind: Any = None) -> Any:
    with np.errstate(all="ignore"):
        ids = ids if kind is None else ids.astype(kind)
    return off_diagonal(ids[:, None] == ids)


_HITS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("mask that removes the positive", "keep the diagonal: row i's own candidate is i"):
        lambda ids: ids[:, None] == ids,
    ("repeated items left out for every row", "an item is a hit only where it was clicked"):
        _copies,
    ("ids compared in float32", "beyond 2^24 two ids become one: compare integers"):
        lambda ids: _equal(ids, np.float32),
    ("ids compared in half precision", "beyond 2048 two ids become one: compare integers"):
        lambda ids: _equal(ids, np.float16),
    ("id 0 taken as padding", "0 is an id like any other, and is masked where it repeats"):
        lambda ids: _equal(ids) & (ids != 0)[:, None],
    ("negative ids taken as padding", "a negative id, such as a hash, is an id like any other"):
        lambda ids: _equal(ids) & (ids >= 0)[:, None],
    ("only later copies masked", "a hit is a hit in both directions: not triu"):
        lambda ids: np.triu(_equal(ids)),
    ("only earlier copies masked", "a hit is a hit in both directions: not tril"):
        lambda ids: np.tril(_equal(ids)),
    ("only copies in neighboring rows masked", "compare every row with every candidate"):
        lambda ids: _equal(ids) & (abs(np.subtract.outer(*[np.arange(len(ids))] * 2)) == 1),
}  # fmt: skip


def _first_copy(ids: Any) -> Any:
    return (ids[:, None] == ids).argmax(axis=1)


def _labeled(label: Callable[[Any], Any], drop: Callable[[Any, Any], Any]) -> Compute:
    """Masked loss with the column label(ids) as the positive of each row."""

    def compute(u: Any, v: Any, ids: Any, t: Any) -> Any:
        labels = label(ids)
        link = lambda z, _, share: cross_entropy(z, labels, share)
        return _masked(u, v, ids, t, drop=drop(ids, labels), loss=link)

    return compute


def _every_copy(targets: Callable[[Any], Any]) -> Compute:
    """Unmasked loss against several targets, made from (n,n): whether j is a copy of i's item."""

    def compute(u: Any, v: Any, ids: Any, t: Any) -> Any:
        wanted = targets((ids[:, None] == ids).astype(float))

        def link(logits: Any, _: Any, share: Any) -> Any:
            log_p = logits - log_sum_exp(logits)[:, None]
            gradient = np.exp(log_p) * wanted.sum(axis=1, keepdims=True) - wanted
            return -share @ (wanted * log_p).sum(axis=1), share[:, None] * gradient

        return _masked(u, v, ids, t, drop=np.zeros(wanted.shape, bool), loss=link)

    return compute


_OWN_COLUMN = "with every copy but its own masked, row i's positive is column i"
_OWN_ALONE = "row i's positive is column i alone; its copies are masked"
_MASKED = [
    *table(_HITS, lambda hits: lambda u, v, ids, t: _masked(u, v, ids, t, drop=hits(ids))),
    *table({
        ("labels of deduplicated ids", f"{_OWN_COLUMN}: torch.unique shifts columns"):
            _labeled(lambda ids: np.unique(ids, return_inverse=True)[1],
                     lambda ids, _: _equal(ids)),
        ("label of the first copy", _OWN_COLUMN):
            _labeled(_first_copy, lambda ids, labels: (
                (ids[:, None] == ids) & (np.arange(len(ids)) != labels[:, None]))),
        ("label shared by the copies", _OWN_ALONE):
            _every_copy(lambda same: same / same.sum(axis=1, keepdims=True)),
        ("every copy a label", _OWN_ALONE): _every_copy(lambda same: same),
    }),
    *masks(_masked, lambda u, v, ids, t: hit_mask(ids, len(u))),
    *temperatures(_masked),
    *losses(_masked),
]  # fmt: skip

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
        others = log_sum_exp(logits)
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
    FLIPPED: flipped(_khrylchenko()),
})  # fmt: skip


def _bank(
    u: Any, v: Any, bank: Any, q: Any, ids: Any, t: Any, drop: Any = None, known: Any = True,
    **link: Any,
) -> Any:  # fmt: skip
    n = len(u)
    drop = hit_mask(ids, n, since=n) if drop is None else drop
    value, (d_users, d_all) = chain(u, np.concatenate([v, bank]), t, -q * known, drop, **link)
    return value, (d_users, d_all[:n])


def _banked(n: int, mask: Any) -> Any:
    """(n,n+b): the columns of the bank that are in a mask, for every row."""
    return np.tile(mask & (np.arange(len(mask)) >= n), (n, 1))


_CROSS_BATCH = [
    *table({
        ("bank left out", "items of earlier batches are candidates too"):
            lambda n, ids: {"drop": _banked(n, ids == ids)},
        ("copies in the batch masked as well",
         "with the positive corrected, repetitions in the batch are what log q counts"):
            lambda n, ids: {"drop": hit_mask(ids, n)},
        ("banked copies left out for every row", "an item is a hit only where it was clicked"):
            lambda n, ids: {"drop": _banked(n, np.isin(ids, ids[:n]))},
        ("batch not corrected", "subtract log q from the batch's columns as well"):
            lambda n, ids: {"known": np.arange(len(ids)) >= n},
        ("bank not corrected", "subtract log q from the bank's columns as well"):
            lambda n, ids: {"known": np.arange(len(ids)) < n},
    }, lambda part: lambda u, v, b, q, ids, t: _bank(u, v, b, q, ids, t, **part(len(u), ids))),
    *masks(_bank, lambda u, v, b, q, ids, t: hit_mask(ids, len(u), since=len(u))),
    *corrections(_bank),
    *temperatures(_bank),
    *losses(_bank),
]  # fmt: skip

ID_MISTAKES: Mistakes = {
    "in_batch_softmax_masked": _MASKED,
    "calibrated_softmax": _CALIBRATED,
    "stop_gradient_logq": _STOP_GRADIENT,
    "cross_batch_softmax": _CROSS_BATCH,
}
