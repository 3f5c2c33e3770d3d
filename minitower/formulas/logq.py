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

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import floats, ids, number, row_count
from minitower.formulas.arrays import Floats, Integers
from minitower.formulas.hits import AccidentalHits, Hits, KnownPositives

__all__ = [
    "AccidentalHits",
    "Correction",
    "Hits",
    "KnownPositives",
    "calibrated",
    "cross_batch",
    "mixed",
    "uncorrected",
    "yi",
]


@dataclass(frozen=True)
class Correction:
    """What is taken off the logits of n rows and m candidates before the softmax.

    Attributes:
        candidates: (m,), taken off candidate j wherever it is a negative.
        positive: (n,), taken off row i's own positive.
        hits: negatives to leave out of the sum; None keeps all.

    Properties: of_n_rows_are_the_first_of_the_square
    """

    candidates: Floats
    positive: Floats
    hits: Hits | None = None

    def __post_init__(self) -> None:
        for name in ("candidates", "positive"):
            object.__setattr__(self, name, floats(name, getattr(self, name)))


def uncorrected(
    candidate_ids: Integers, *, mask_hits: bool = False, n: int | None = None
) -> Correction:
    """Nothing taken off: popular items are over-suppressed.

    Its optimum is log p(item | user) - log q(item), the pointwise mutual
    information, not the log-probability of the click.

    Shapes: (m)->Correction of n rows, all m by default.

    Properties: optimum_is_the_mutual_information
    """
    items = ids("candidate_ids", candidate_ids)
    n, zero = row_count(n, "candidate_ids", items), np.zeros(len(items))
    return Correction(zero, zero[:n], AccidentalHits(items, n) if mask_hits else None)


def yi(log_q: ArrayLike, *, strength: float = 1.0, n: int | None = None) -> Correction:
    """Yi et al.: strength * log q off every candidate, the positive included.

    Shapes: (m)->Correction of n rows, all m by default.

    Args:
        log_q: log of the probability that one draw for the batch is the item.
            A factor common to all q changes nothing, because the positive is
            corrected too.
        strength: beta in [0, 1]. 1 aims at the whole catalogue, each item once
            (Yi et al.); 0 is no correction; 0.25 leaves negatives distributed as
            clicks^0.75, the lecture's power law.
        n: the number of rows: the first n candidates are their positives.

    With k independent draws beside the positive the gradient tends to that of the full
    softmax times k q / (P + k q), q and P the positive's: a rare positive that is
    already likely learns more slowly, in the right direction.

    Accidental hits are kept, and must be: with the positive corrected, the
    repetitions of an item in the batch are exactly what log q counts. Masking
    them here gives a wrong gradient (see the test
    ``masking_hits_is_wrong_when_the_positive_is_corrected``).

    Raises:
        ValueError: a log_q is not finite, strength is outside [0, 1], or n is more than m.

    Properties: scale_of_q_changes_nothing, uniform_q_is_no_correction,
        whole_catalogue_in_the_batch_is_the_full_softmax,
        loss_exceeds_the_full_one_by_log_repetitions, limit_weight,
        optimum_is_the_log_probability, strength_leaves_a_power_law,
        rare_items_keep_their_correction

    Reference: X. Yi et al., RecSys 2019, Eq. 4; the lecture, section 2.4.
    """
    log_q, strength = _finite(log_q), number("strength", strength)
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be in [0, 1], got {strength}")
    correction = strength * log_q
    return Correction(correction, correction[: row_count(n, "log_q", log_q)])


def cross_batch(log_q: ArrayLike, candidate_ids: Integers, n: int) -> Correction:
    """Wang et al.: the n pairs of a batch, and a bank of items of earlier batches.

    As :func:`yi`, and copies of a row's positive in the bank are left out: they are
    that item as an older tower saw it.

    Shapes: (m),(m)->Correction of n rows; candidates n to m are the bank.

    Args:
        log_q: as in :func:`yi`; of the bank, as it was when the item entered.
        candidate_ids: the item of each candidate.
        n: the number of rows: the first n candidates are their positives.

    The bank's vectors are constants: drop their part of the gradient. Leaving copies
    out costs exactness: ``yi(log_q, n=n)``, which keeps them, and :func:`calibrated`,
    which leaves all copies out and nothing on the positive, are the full softmax where
    batch and bank hold the catalogue in proportion to q, this is not.

    Raises:
        ValueError: a log_q is not finite, the lengths differ, or n is more than m.

    Properties: empty_bank_is_yi, banked_copies_are_left_out,
        only_keeping_or_calibrating_is_exact

    Reference: J. Wang, J. Zhu and X. He, Cross-Batch Negative Sampling for Training
        Two-Tower Recommenders, SIGIR 2021, Eqs. 3, 4 and 9.
    """
    log_q, items = _same_length(log_q, candidate_ids)
    n = row_count(n, "candidate_ids", items)
    return Correction(log_q, log_q[:n], AccidentalHits(items, n, since=n))


def mixed(log_q: ArrayLike, n: int) -> Correction:
    """Yang et al.: in-batch and uniform negatives together, the positive left as it is.

    Shapes: (m)->Correction of n rows; candidates n to m are the uniform draws.

    Args:
        log_q: log Q*, the probability of the item in one draw of the *mixture*
            (:func:`~minitower.formulas.sampling.log_mixture`), for both kinds of
            candidates: what in-batch draws miss, uniform draws bring. Its scale
            matters, because the positive is not corrected.
        n: the number of rows: the first n candidates are their positives.

    The negatives enter as the sum over k draws, where their mean stands for the
    catalogue. The gradient tends to that of the full softmax times k / (P + k), P the
    positive's, and with the accidental hits left out, times k / (P + k (1 - P)): about
    1 / (1 - P), which keeps pushing what is solved. :func:`calibrated` with the
    mixture's log q has weight 1.

    Raises:
        ValueError: a log_q is not finite, or n is more than m.

    Properties: limit_weight, scale_of_q_is_a_head_start_of_the_positive,
        sum_of_weighted_draws_is_unbiased

    Reference: J. Yang et al., Mixed Negative Sampling for Learning Two-tower Neural
        Networks in Recommendations, WWW 2020 companion, Eq. 5.
    """
    log_q = _finite(log_q)
    return Correction(log_q, np.zeros(row_count(n, "log_q", log_q)))


def calibrated(log_q: ArrayLike, candidate_ids: Integers, n: int | None = None) -> Correction:
    """The estimator that is right about the positive as well.

    The positive is in the sum once for certain, so nothing is taken off it; the
    others are what n_i draws from Q' = q / (1 - q(positive)) brought, hits left
    out, so each stands for 1 / (n_i Q') items:

        correction_ij = log n_i + log q_j - log(1 - q_i)     n_i unmasked negatives

    Adding a constant to a row of logits changes nothing, so the two terms of
    the row are kept, with the opposite sign, on its positive.

    Shapes: (m),(m)->Correction of n rows, all m by default.

    Args:
        log_q: log-probability that one draw is the item, < 0. Its scale matters.
        candidate_ids: the item of each candidate, to find the accidental hits.
        n: the number of rows: the first n candidates are their positives.

    Raises:
        ValueError: a log_q is not finite, an item has probability >= 1 while
            others are in the batch, the lengths differ, or n is more than m.

    Properties: equals_the_definition, each_other_item_once_is_the_full_softmax,
        repeated_items_are_the_full_softmax, sum_is_unbiased, limit_weight,
        optimum_is_the_log_probability, known_positives_leave_the_unclicked,
        a_batch_of_one_item_costs_nothing, exact_up_to_a_certain_item

    Reference: the gradient equals that of K. Khrylchenko et al., Correcting the
        LogQ Correction, RecSys 2025; as a cross-entropy it needs no stop-gradient.
    """
    log_q, items = _same_length(log_q, candidate_ids)
    n = row_count(n, "candidate_ids", items)
    hits = AccidentalHits(items, n)
    negatives = len(items) - 1 - hits.count
    alone = negatives == 0  # a row without negatives: its loss is 0 whatever is taken off
    own = log_q[:n]
    if np.any((own >= 0) & ~alone):
        raise ValueError(
            "log_q must be below 0: an item with probability >= 1 leaves no other to be drawn"
        )
    certain = np.log(-np.expm1(np.where(alone, -1, own)))  # log(1 - q), exact up to q = 1
    return Correction(log_q, certain - np.log(np.maximum(negatives, 1)), hits)


def _same_length(log_q: ArrayLike, candidate_ids: Integers) -> tuple[Floats, Integers]:
    log_q, items = _finite(log_q), ids("candidate_ids", candidate_ids)
    if items.shape != log_q.shape:
        raise ValueError(f"log_q has shape {log_q.shape}, candidate_ids {items.shape}")
    return log_q, items


def _finite(log_q: ArrayLike) -> Floats:
    log_q = floats("log_q", log_q)
    if log_q.ndim != 1:
        raise ValueError(f"expected one log_q per candidate, got shape {log_q.shape}")
    bad = np.flatnonzero(~np.isfinite(log_q))
    if len(bad):
        raise ValueError(
            f"log_q[{bad[0]}] is {log_q[bad[0]]}: an item that is in the batch cannot "
            "have probability zero; smooth the counts"
        )
    return log_q
