"""Corrections of the sampling bias of in-batch negatives ("logQ"). Chapter 9.

In-batch negatives are drawn in proportion to clicks, so popular items are pushed down too much.
Importance sampling corrects that: a negative drawn with probability q gets the weight 1/q, so
log q is subtracted from its logit. The batch sum then estimates the sum over the catalogue.

Correct in training only. At serving the plain score is right: subtracting log q there turns
"how likely is this click" into "how much more likely than average".

Each published form makes a :class:`Correction` of n rows and m candidates, for
:mod:`minitower.formulas.softmax`. The first n candidates are the positives of the rows; where n
is optional, it is m by default. Their arguments:

    log_q           (m) log-probability that one draw is the candidate's item, finite
    candidate_ids   (m) item of each candidate, integers or strings
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import as_floats, as_ids, number, positive_temperature, row_count
from minitower.formulas.arrays import Floats, Ids
from minitower.formulas.hits import AccidentalHits, FalseNegatives


@dataclass(frozen=True)
class Correction:
    """What to subtract from the logits.

    Attributes:
        candidates: (m) subtracted from candidate j wherever it is a negative.
        positive: (n) subtracted from row i's own positive.
        hits: negatives to leave out of the sum; None keeps all.
        decoupled: leave the positive out of the sum as well; see
            :func:`~minitower.formulas.softmax.softmax_cross_entropy`.
    Properties: of_n_rows_are_the_first_of_the_square
    """

    candidates: Floats
    positive: Floats
    hits: FalseNegatives | None = None
    decoupled: bool = False

    def __post_init__(self) -> None:
        for name in ("candidates", "positive"):
            object.__setattr__(self, name, as_floats(name, getattr(self, name)))


def check_batch(shape: tuple[int, ...], correction: Correction, temperature: float) -> float:
    """Check that the correction was made for scores of this shape; return the temperature."""
    made_for = (len(correction.positive), len(correction.candidates))
    if shape != made_for or not 1 <= shape[0] <= shape[1]:
        raise ValueError(
            f"scores have shape {shape}, the correction was made for {made_for}; "
            "the first n of the m candidates are the positives of n >= 1 rows"
        )
    return positive_temperature(temperature)


def uncorrected(candidate_ids: Ids, *, mask_hits: bool = False, n: int | None = None) -> Correction:
    """Subtract nothing.

    The optimum is the pointwise mutual information log p(item | user) - log q(item).

    Shapes: (m)->Correction. mask_hits leaves out other copies of a row's own item.
    Raises ValueError: n > m, or ids are neither integers nor strings.
    Properties: optimum_is_the_mutual_information
    """
    items = as_ids("candidate_ids", candidate_ids)
    n, zero = row_count(n, "candidate_ids", items), np.zeros(len(items))
    return Correction(zero, zero[:n], AccidentalHits(items, n) if mask_hits else None)


def yi(log_q: ArrayLike, *, logq_weight: float = 1.0, n: int | None = None) -> Correction:
    """Subtract logq_weight * log q from every candidate, the positive included (Yi et al.).

    Accidental hits must stay in the sum: log q counts the copies of an item in the batch (test
    ``masking_hits_is_wrong_when_the_positive_is_corrected``). A bias remains where
    draws are few: the gradient is about k q / (P + k q) times that of the full softmax. k counts
    the draws beside the positive, and P is the positive's softmax probability (docs/09).

    Shapes: (m)->Correction. A factor common to all q changes nothing.
    Args:
        logq_weight: beta in [0, 1]. 1 aims at the full softmax (Yi et al.). 0.25 leaves
            negatives distributed as clicks^0.75, the lecture's power law. 0 corrects nothing.
    Raises ValueError: a log_q is not finite, logq_weight is outside [0, 1], or n > m.
    Properties: scale_of_q_changes_nothing, uniform_q_is_no_correction,
        catalogue_in_the_batch_is_the_full_softmax, loss_exceeds_the_full_one_by_log_repetitions,
        limit_weight, optimum_is_the_log_probability, logq_weight_leaves_a_power_law,
        rare_items_keep_their_correction

    >>> yi(np.log([0.5, 0.25]), logq_weight=0.5).candidates.round(3)
    array([-0.347, -0.693])

    Reference: X. Yi et al., RecSys 2019, Eq. 4; lecture, section 2.4; docs/09.
    """
    log_q, logq_weight = _finite(log_q), number("logq_weight", logq_weight)
    if not 0 <= logq_weight <= 1:
        raise ValueError(f"logq_weight must be in [0, 1], got {logq_weight}")
    correction = logq_weight * log_q
    return Correction(correction, correction[: row_count(n, "log_q", log_q)])


def cross_batch(log_q: ArrayLike, candidate_ids: Ids, n: int) -> Correction:
    """Correct as :func:`yi`, and leave out banked copies of a row's positive (Wang et al.).

    Candidates n to m are the bank of earlier items, each with its log q at entry. Their vectors
    are constants: drop their gradient. Leaving out copies makes the form inexact, where
    :func:`yi` and :func:`calibrated` are exact.

    Shapes: (m),(m)->Correction
    Raises ValueError: a log_q is not finite, the lengths differ, or n > m.
    Properties: empty_bank_is_yi, banked_copies_are_left_out, only_keeping_or_calibrating_is_exact

    Reference: J. Wang, J. Zhu, X. He, Cross-Batch Negative Sampling for Training Two-Tower
        Recommenders, SIGIR 2021, Eqs. 3, 4 and 9; docs/09.
    """
    log_q, items = _same_length(log_q, candidate_ids)
    n = row_count(n, "candidate_ids", items)
    return Correction(log_q, log_q[:n], AccidentalHits(items, n, since=n))


def mixed(log_q: ArrayLike, n: int) -> Correction:
    """Correct the negatives of in-batch and uniform draws, not the positive (Yang et al.).

    Candidates n to m are the uniform draws. The gradient is about k / (P + k) times that of
    the full softmax, with k the draws and P the positive's probability (docs/09).
    :func:`calibrated` with the mixture's log q has factor 1.

    Shapes: (m)->Correction. log_q is that of one draw of the *mixture*
        (:func:`~minitower.formulas.draw_probability.log_mixture`). Its scale matters.
    Raises ValueError: a log_q is not finite, or n > m.
    Properties: limit_weight, scale_of_q_is_a_head_start_of_the_positive,
        sum_of_weighted_draws_is_unbiased

    Reference: J. Yang et al., Mixed Negative Sampling for Learning Two-tower Neural Networks in
        Recommendations, WWW 2020 companion, Eq. 5; docs/09.
    """
    log_q = _finite(log_q)
    return Correction(log_q, np.zeros(row_count(n, "log_q", log_q)))


def calibrated(log_q: ArrayLike, candidate_ids: Ids, n: int | None = None) -> Correction:
    """Correct each negative by its expected count, and the positive not at all.

    The positive is in the sum for certain. The n_i negatives of row i that are no accidental
    hits are draws from Q' = q / (1 - q_i). Each stands for 1 / (n_i Q') items:

        correction_ij = log n_i + log q_j - log(1 - q_i)

    The two terms of row i are the same for all its negatives. So they are subtracted from its
    positive with the opposite sign, which gives the same softmax.

    Shapes: (m),(m)->Correction. log_q < 0; its scale matters.
    Raises ValueError: a log_q is not finite, an item has probability >= 1 while others are in the
        batch, the lengths differ, or n > m.
    Properties: equals_the_definition, each_other_item_once_is_the_full_softmax,
        repeated_items_are_the_full_softmax, sum_is_unbiased, limit_weight,
        optimum_is_the_log_probability, known_positives_leave_the_unclicked,
        a_batch_of_one_item_costs_nothing, exact_up_to_a_certain_item

    Reference: the gradient equals that of K. Khrylchenko et al., Correcting the LogQ Correction,
        RecSys 2025 (:mod:`minitower.formulas.stop_gradient_logq`); docs/09.
    """
    log_q, items = _same_length(log_q, candidate_ids)
    n = row_count(n, "candidate_ids", items)
    hits = AccidentalHits(items, n)
    negatives = len(items) - 1 - hits.count
    no_negatives = negatives == 0  # a row without negatives has loss 0, whatever its correction
    own = log_q[:n]
    if np.any((own >= 0) & ~no_negatives):
        raise ValueError(
            "log_q must be below 0: an item with probability >= 1 leaves no other to be drawn"
        )
    log_1mq = np.log(-np.expm1(np.where(no_negatives, -1, own)))  # exact up to q = 1
    return Correction(log_q, log_1mq - np.log(np.maximum(negatives, 1)), hits)


def _same_length(log_q: ArrayLike, candidate_ids: Ids) -> tuple[Floats, Ids]:
    log_q, items = _finite(log_q), as_ids("candidate_ids", candidate_ids)
    if items.shape != log_q.shape:
        raise ValueError(f"log_q has shape {log_q.shape}, candidate_ids {items.shape}")
    return log_q, items


def _finite(log_q: ArrayLike) -> Floats:
    log_q = as_floats("log_q", log_q)
    if log_q.ndim != 1:
        raise ValueError(f"expected one log_q per candidate, got shape {log_q.shape}")
    bad = np.flatnonzero(~np.isfinite(log_q))
    if len(bad):
        raise ValueError(
            f"log_q[{bad[0]}] is {log_q[bad[0]]}: an item that is in the batch cannot "
            "have probability zero; smooth the counts"
        )
    return log_q
