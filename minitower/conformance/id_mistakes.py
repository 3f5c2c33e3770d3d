"""Mistakes in what a loss makes of item ids: which candidates are hits, and which is the label.

Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance.links import cross_entropy
from minitower.conformance.mistake_tables import Mistake, off_diagonal, table


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


def _relabeled(label: Callable[[Any], Any]) -> Callable[..., Any]:
    """Masked loss with the column label(ids) as the positive, its copies masked."""

    def compute(u: Any, v: Any, ids: Any, t: Any, right: Any) -> Any:
        labels, n = label(ids), len(ids)
        drop = (ids[:, None] == ids) & (np.arange(n) != labels[:, None])
        link = lambda z, _, share: cross_entropy(np.where(drop, -np.inf, z), labels, share)
        return right(u, v, ids, t, drop=np.zeros((n, n), bool), loss=link)

    return compute


def _rank(u: Any, v: Any, ids: Any, t: Any, right: Any) -> Any:
    """The place of an item among the distinct ids as the label of its row."""
    labels = np.unique(ids, return_inverse=True)[1]
    link = lambda z, _, share: cross_entropy(z, labels, share)
    return right(u, v, ids, t, drop=_equal(ids), loss=link)


def _shared_label(u: Any, v: Any, ids: Any, t: Any, right: Any, divide: bool = True) -> Any:
    same = (ids[:, None] == ids).astype(float)
    targets = same / same.sum(axis=1, keepdims=True) if divide else same

    def link(logits: Any, _: Any, share: Any) -> Any:
        top = logits.max(axis=1, keepdims=True)
        log_p = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        total = targets.sum(axis=1, keepdims=True)
        return -share @ (targets * log_p).sum(axis=1), share[:, None] * (
            np.exp(log_p) * total - targets)  # fmt: skip

    return right(u, v, ids, t, drop=np.zeros(same.shape, bool), loss=link)


def id_mistakes(right: Any) -> list[Mistake]:
    """Mistakes in the mask of a loss of (users, items, ids, temperature), and in its labels."""

    def masked(hits: Callable[[Any], Any]) -> Any:
        return lambda u, v, ids, t: right(u, v, ids, t, drop=hits(ids))

    labels = "with every copy but its own masked, row i's positive is column i"
    own = "row i's positive is column i alone; its copies are masked"
    return table(_HITS, masked) + table({
        ("labels of deduplicated ids", f"{labels}: torch.unique shifts columns"): _rank,
        ("label of the first copy", labels): _relabeled(_first_copy),
        ("label shared by the copies", own): _shared_label,
        ("every copy a label", own): partial(_shared_label, divide=False),
    }, lambda compute: partial(compute, right=right))  # fmt: skip
