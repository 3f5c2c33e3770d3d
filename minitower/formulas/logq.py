"""Correcting the bias of in-batch sampling ("logQ").

An item is a negative as often as it is clicked, so a popular item is pushed
down far more often than it should be. What is drawn with probability q stands
for 1/q of the catalogue: taking log q off its logit weighs each draw by 1/q, and
the sum over the batch estimates the sum over the whole catalogue. It is done in
training only. At serving the plain score is right: subtracting log q there turns
"how likely is this click" back into "how much more likely than average".

Each published form is a :class:`Correction`; the engine that uses it is
:mod:`minitower.formulas.softmax`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.integer[Any]]


class AccidentalHits:
    """The negatives of a batch that are in truth the row's own clicked item.

    Row i's positive is candidate i. Candidate j != i is a hit when it is the
    same item. Kept as sorted groups and listed block by block: a batch in which
    everybody clicked one item has n (n - 1) hits.

    Args:
        candidate_ids: the item of each of m candidates, the first n of them the
            positives of n rows.
        n: the number of rows; all candidates by default.

    >>> hits = AccidentalHits(np.array([7, 3, 7]))
    >>> hits.count
    array([1, 0, 1])
    >>> hits.among(0, 3)
    (array([0, 2]), array([2, 0]))
    """

    def __init__(self, candidate_ids: Integers, n: int | None = None) -> None:
        ids = np.asarray(candidate_ids)
        self.shape = (len(ids) if n is None else n, len(ids))
        self._order = np.argsort(ids, kind="stable")
        ordered = ids[self._order]
        self._start = np.searchsorted(ordered, ids[: self.shape[0]], "left")
        self._size = np.searchsorted(ordered, ids[: self.shape[0]], "right") - self._start
        self.count: Integers = self._size - 1

    def among(self, start: int, stop: int) -> tuple[Integers, Integers]:
        """The hits of rows start to stop, as (rows, columns)."""
        size = self._size[start:stop]
        rows = np.repeat(np.arange(start, start + len(size)), size)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(size) - size, size)
        columns = self._order[np.repeat(self._start[start:stop], size) + within]
        hit = columns != rows
        return rows[hit], columns[hit]

    def dense(self) -> NDArray[np.bool_]:
        """All hits as a mask, (n,m)."""
        mask = np.zeros(self.shape, bool)
        mask[self.among(0, self.shape[0])] = True
        return mask


@dataclass(frozen=True)
class Correction:
    """What is taken off the logits of n rows and m candidates before the softmax.

    Attributes:
        candidates: (m,), taken off candidate j wherever it is a negative.
        positive: (n,), taken off row i's own positive.
        hits: negatives to leave out of the sum; None keeps all.
    """

    candidates: Floats
    positive: Floats
    hits: AccidentalHits | None = None


def uncorrected(candidate_ids: Integers, *, mask_hits: bool = False) -> Correction:
    """Nothing taken off: popular items are over-suppressed.

    Its optimum is log p(item | user) - log q(item), the pointwise mutual
    information, not the log-probability of the click.
    """
    ids = np.asarray(candidate_ids)
    zero = np.zeros(len(ids))
    return Correction(zero, zero, AccidentalHits(ids) if mask_hits else None)


def yi(log_q: ArrayLike, *, strength: float = 1.0) -> Correction:
    """Yi et al.: strength * log q off every candidate, the positive included.

    Shapes: (n)->Correction

    Args:
        log_q: log of the probability that one draw for the batch is the item.
            A factor common to all q changes nothing, because the positive is
            corrected too.
        strength: beta in [0, 1]. 1 aims at the whole catalogue, each item once
            (Yi et al.); 0 is no correction; 0.25 leaves negatives distributed as
            clicks^0.75, the lecture's power law.

    Accidental hits are kept, and must be: with the positive corrected, the
    repetitions of an item in the batch are exactly what log q counts. Masking
    them here gives a wrong gradient (see the test
    ``masking_hits_is_wrong_when_the_positive_is_corrected``).

    Raises:
        ValueError: a log_q is not finite, or strength is outside [0, 1].

    Properties: scale_of_q_changes_nothing, uniform_q_is_no_correction,
        whole_catalogue_in_the_batch_is_the_full_softmax,
        strength_leaves_a_power_law

    Reference: X. Yi et al., RecSys 2019, Eq. 4.
    """
    log_q = _finite(log_q)
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be in [0, 1], got {strength}")
    correction = strength * log_q
    return Correction(correction, correction)


def calibrated(log_q: ArrayLike, candidate_ids: Integers) -> Correction:
    """The estimator that is right about the positive as well.

    The positive is in the sum once for certain, so nothing is taken off it; the
    others are what n_i draws from Q' = q / (1 - q(positive)) brought, hits left
    out, so each stands for 1 / (n_i Q') items:

        correction_ij = log n_i + log q_j - log(1 - q_i)     n_i unmasked negatives

    Adding a constant to a row of logits changes nothing, so the two terms of
    the row are kept, with the opposite sign, on its positive.

    Shapes: (n),(n)->Correction

    Args:
        log_q: log-probability that one draw is the item, < 0. Its scale matters.
        candidate_ids: the item of each candidate, to find the accidental hits.

    Raises:
        ValueError: a log_q is not finite, an item has probability >= 1 while
            others are in the batch, or the lengths differ.

    Properties: equals_the_definition, each_other_item_once_is_the_full_softmax,
        repeated_items_are_the_full_softmax, gradient_equals_stop_gradient_form

    Reference: the gradient equals that of K. Khrylchenko et al., Correcting the
        LogQ Correction, RecSys 2025; as a cross-entropy it needs no stop-gradient.
    """
    log_q, ids = _finite(log_q), np.asarray(candidate_ids)
    if ids.shape != log_q.shape:
        raise ValueError(f"log_q has shape {log_q.shape}, candidate_ids {ids.shape}")
    hits = AccidentalHits(ids)
    negatives = len(ids) - 1 - hits.count
    alone = negatives == 0  # a row without negatives: its loss is 0 whatever is taken off
    if np.any((log_q >= 0) & ~alone):
        raise ValueError("an item with probability >= 1 leaves no other to be drawn")
    certain = np.where(alone, 0, np.log1p(-np.exp(np.where(alone, -1, log_q))))
    return Correction(log_q, certain - np.log(np.maximum(negatives, 1)), hits)


def _finite(log_q: ArrayLike) -> Floats:
    log_q = np.asarray(log_q)
    if log_q.ndim != 1:
        raise ValueError(f"expected one log_q per candidate, got shape {log_q.shape}")
    bad = np.flatnonzero(~np.isfinite(log_q))
    if len(bad):
        raise ValueError(
            f"log_q[{bad[0]}] is {log_q[bad[0]]}: an item that is in the batch cannot "
            "have probability zero; smooth the counts"
        )
    return log_q
