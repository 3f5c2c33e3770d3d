"""The softmax family: the clicked item should win against all other candidates.

Every loss here is :func:`softmax_cross_entropy` on a matrix of logits. The forms differ in the
candidates, and in the correction that is subtracted from their logits
(:mod:`minitower.formulas.logq`). Each returns the loss, and its gradients with respect to its
scores.

:func:`in_batch_softmax` is the textbook form. Training runs the equal
:func:`~minitower.formulas.blocked.blocked_in_batch_softmax`.

Chapters 4, 6, 9 and 11.
"""

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import (
    LOG_SUM_WEIGHTS,
    as_floats,
    as_integers,
    as_mask,
    number_within,
    positive_temperature,
    weights_over_n,
)
from minitower.formulas.arrays import Floats, Scores
from minitower.formulas.logq import Correction, check_batch, uncorrected


def softmax_cross_entropy(
    logits: ArrayLike,
    positive: ArrayLike,
    *,
    drop: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    log_sum_weight: float = 1.0,
    decoupled: bool = False,
) -> tuple[float, Floats]:
    """Cross-entropy: minus the log-probability of the positive under a softmax.

        loss = mean_i weights_i (omega log sum_j exp(logits_ij) - logits_i,positive(i))

    At omega = 1, the default, the bracket is minus a log-probability. A larger omega pushes
    negatives down harder than it pulls the positive up. The positive then has the temperature
    omega t beside negatives at t (Wu et al.).

    The decoupled form leaves the positive out of the sum (Yeh et al.). Otherwise a positive that
    wins already takes its share P of both gradients away: its pull and all pushes are smaller by
    the factor 1 - P. Decoupled, a pair never stops teaching.

    Shapes: (n,m),(n)->(),(n,m)
    Args:
        positive: column of each row's clicked item.
        drop: (n,m) mask of candidates that are left out of a row's sum; never the positive.
        weights: reward of each pair, >= 0; 1 by default. The mean divides by n, not by the
            sum of the weights (Yi et al., Eq. 2).
        log_sum_weight: omega, 1 to 100; useful values are 1 to 1.4. Above 1 the loss has no
            minimum unless scores are bounded, as cosines are: adding a to all logits adds
            a (omega - 1).
        decoupled: sum over the negatives alone. A row without negatives then costs nothing. It
            needs bounded scores, too: the loss falls by a when the positive's score grows by a.
    Raises ValueError: shapes do not fit, n = 0, or a positive is out of range or dropped. (The
        loss of NaN is NaN.)
    Gradient: d_logits_ij = weights_i / n (omega P_ij - [j is the positive]), P the softmax of
        the row; decoupled, of its negatives.
    Laws that do not name omega are those of omega = 1; the slope and the oracle are of any.
    Properties: equals_naive, gradient_is_right, rows_of_the_gradient_sum_to_omega_minus_one,
        never_negative, a_row_constant_costs_omega_minus_one, dropping_is_removing,
        one_candidate_costs_nothing, equal_logits_cost_log_m, linear_in_weights,
        linear_in_log_sum_weight, log_sum_weight_is_a_second_temperature, decoupled_is_steeper,
        is_a_mean, float32_is_close, extremes_stay_finite

    >>> loss, d_logits = softmax_cross_entropy(np.log([[2.0, 1.0, 1.0]]), np.array([0]))
    >>> round(loss, 6), d_logits.round(6)
    (0.693147, array([[-0.5 ,  0.25,  0.25]]))

    Reference: lecture, section 2.4; omega: J. Wu et al., BSL: Understanding and Improving Softmax
        Loss for Recommendation, ICDE 2024; decoupled: C.-H. Yeh et al., Decoupled Contrastive
        Learning, ECCV 2022, Eq. 6; docs/06.
    """
    logits, positive = as_floats("logits", logits), as_integers("positive", positive)
    if logits.ndim != 2 or positive.shape != logits.shape[:1] or not len(logits):
        raise ValueError(
            "expected logits (n,m) and one positive column for each of n >= 1 rows, "
            f"got shapes {logits.shape} and {positive.shape}"
        )
    if positive.min() < 0 or positive.max() >= logits.shape[1]:
        raise ValueError(f"a positive is not among the {logits.shape[1]} columns")
    rows = np.arange(len(logits))
    if drop is not None:
        drop = as_mask("drop", drop)
        if drop.shape != logits.shape:
            raise ValueError(f"drop has shape {drop.shape}, the logits {logits.shape}")
        if drop[rows, positive].any():
            raise ValueError("drop leaves out a row's own positive")
        logits = np.where(drop, -np.inf, logits)
    weights = weights_over_n(weights, len(logits), logits.dtype)
    omega = number_within("log_sum_weight", log_sum_weight, LOG_SUM_WEIGHTS)

    own = logits[rows, positive]
    if decoupled:
        logits = logits.copy()
        logits[rows, positive] = -np.inf
        without_negatives = np.isneginf(logits).all(axis=1)
        logits[without_negatives] = 0
        weights = np.where(without_negatives, 0, weights)

    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    total = exponentials.sum(axis=1, keepdims=True)
    losses = omega * (np.log(total[:, 0]) + logits.max(axis=1)) - own
    d_logits = exponentials / (total / omega)
    d_logits[rows, positive] -= 1
    return float(weights @ losses), d_logits * weights[:, None]


def in_batch_softmax(
    scores: ArrayLike,
    correction: Correction,
    *,
    temperature: float,
    weights: ArrayLike | None = None,
    log_sum_weight: float = 1.0,
) -> tuple[float, Scores]:
    """In-batch softmax: each user against all items of the batch.

        logit_ij = scores_ij / temperature - correction_ij
        loss = softmax_cross_entropy(logit, positive of row i = column i)

    The correction is subtracted *after* the division: log q / temperature would raise q to
    the power 1 / temperature.

    Shapes: (n,m)->(),(n,m) with m >= n; columns n to m are extra negatives.
    Args:
        correction: a published form of :mod:`minitower.formulas.logq`.
        temperature: 1e-6 to 1e12; with cosines about 0.05 to 0.2. The lecture has none, which is
            1: then no positive of 1,024 candidates can exceed 0.72% (e^2 / (e^2 + 1023)).
        weights, log_sum_weight: as in :func:`softmax_cross_entropy`.
    Raises ValueError: shapes do not fit, or a number is outside its domain.
    Gradient: d_scores = d_logits / temperature.
    Properties: equals_naive, gradient_is_right, two_in_the_batch_by_hand,
        order_of_temperature_and_correction_matters, joint_permutation_changes_nothing,
        large_temperature_forgets_the_scores, small_temperature_is_a_hinge_on_the_best_negative,
        cosines_bound_the_loss, one_row_and_a_million_candidates, float32_is_close,
        extremes_stay_finite

    >>> loss, d_scores = in_batch_softmax([[2.0, 0.0], [0.0, 2.0]], uncorrected([7, 5]),
    ...                                   temperature=1.0)
    >>> round(loss, 6)                                              # log(1 + e^-2)
    0.126928

    Reference: X. Yi et al., RecSys 2019, Eqs. 3 and 4; lecture, section 2.4; docs/04.
    """
    logits, temperature = corrected_logits(scores, correction, temperature)
    drop = None if correction.hits is None else correction.hits.dense()
    loss, d_logits = softmax_cross_entropy(
        logits,
        np.arange(len(logits)),
        drop=drop,
        weights=weights,
        log_sum_weight=log_sum_weight,
        decoupled=correction.decoupled,
    )
    return loss, d_logits / temperature


def listwise_softmax(
    positive: ArrayLike,
    negatives: ArrayLike,
    *,
    temperature: float,
    drop: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    log_sum_weight: float = 1.0,
) -> tuple[float, tuple[Scores, Scores]]:
    """Listwise softmax: one clicked item against k negatives of its own.

        loss = mean_i -weights_i log( exp(positive_i / t)
               / (exp(positive_i / t) + sum_j exp(negatives_ij / t))^omega )

    Shapes: (n),(n,k)->(),((n),(n,k)); with k = 0 and omega = 1 the loss is 0.
    Args:
        negatives: scores of the sampled items. To correct for a known q, subtract t log q.
        temperature: t, 1e-6 to 1e12. The lecture has none, which is 1.
        drop: (n,k) mask of negatives to leave out, for lists of unequal length.
        weights, log_sum_weight: as in :func:`softmax_cross_entropy`.
    Raises ValueError: shapes do not fit, or a number is outside its domain.
    Properties: equals_naive, gradient_is_right, without_negatives_costs_nothing,
        one_negative_is_triplet_logistic, order_of_negatives_changes_nothing, dropping_is_removing,
        all_dropped_costs_nothing, linear_in_weights, is_a_mean, a_million_negatives,
        float32_is_close, extremes_stay_finite

    >>> loss, (d_positive, d_negatives) = listwise_softmax([2.0], [[2.0, 2.0]], temperature=1.0)
    >>> round(loss, 6), d_positive.round(3), d_negatives.round(3)     # log 3
    (1.098612, array([-0.667]), array([[0.333, 0.333]]))

    Reference: lecture, section 2.4; docs/06.
    """
    positive, negatives = as_floats("positive", positive), as_floats("negatives", negatives)
    if positive.ndim != 1 or negatives.ndim != 2 or len(negatives) != len(positive):
        raise ValueError(
            f"expected positive (n) and negatives (n,k), got {positive.shape}, {negatives.shape}"
        )
    if drop is not None:
        drop = as_mask("drop", drop)
        if drop.shape != negatives.shape:
            raise ValueError(f"drop has shape {drop.shape}, the negatives {negatives.shape}")
        drop = np.insert(drop, 0, False, axis=1)
    temperature = positive_temperature(temperature)
    logits = np.column_stack([positive, negatives]) / temperature
    first = [0] * len(positive)
    loss, d_logits = softmax_cross_entropy(
        logits, first, drop=drop, weights=weights, log_sum_weight=log_sum_weight
    )
    d_scores = d_logits / temperature
    return loss, (d_scores[:, 0], d_scores[:, 1:])


def info_nce(
    scores: ArrayLike,
    *,
    temperature: float,
    symmetric: bool = False,
    weights: ArrayLike | None = None,
) -> tuple[float, Scores]:
    """InfoNCE: each view should find the other view of its item among the views of all items.

        loss = mean_i -weights_i log( exp(scores_ii / t) / sum_j exp(scores_ij / t) )

    Items are sampled uniformly, so no q needs a correction.

    Shapes: (m,m)->(),(m,m)
    Args:
        scores: scores_ij of the first view of item i with the second view of item j.
        temperature: t, 1e-6 to 1e12.
        symmetric: whether to take the mean with the loss of the transposed scores. The lecture
            and Yao et al. print one direction; Radford et al. take both.
        weights: as in :func:`softmax_cross_entropy`.
    Raises ValueError: scores is not a square matrix, or temperature is outside its domain.
    Properties: equals_naive, gradient_is_right, is_uncorrected_in_batch_softmax,
        symmetric_is_blind_to_the_order_of_views, one_direction_is_not,
        symmetric_scores_need_no_choice, equal_views_only_repel, float32_is_close,
        extremes_stay_finite

    >>> loss, d_scores = info_nce([[1.0, 1.0], [0.0, 1.0]], temperature=1.0)
    >>> round(loss, 6), d_scores.round(3)
    (0.503204, array([[-0.25 ,  0.25 ],
           [ 0.134, -0.134]]))

    Reference: T. Yao et al., Self-supervised Learning for Large-scale Item Recommendations, CIKM
        2021, Eq. 3; A. Radford et al., ICML 2021, Fig. 3; docs/12.
    """
    scores = as_floats("scores", scores)
    if scores.ndim != 2:
        raise ValueError(f"expected scores (m,m), got shape {scores.shape}")
    plain = uncorrected(np.arange(len(scores)))
    rows, d_rows = in_batch_softmax(scores, plain, temperature=temperature, weights=weights)
    if not symmetric:
        return rows, d_rows
    columns, d_columns = in_batch_softmax(scores.T, plain, temperature=temperature, weights=weights)
    return (rows + columns) / 2, (d_rows + d_columns.T) / 2


def temperature_gradient(scores: Floats, d_scores: Floats, temperature: float) -> float:
    """Compute the derivative of a loss by its temperature, from the gradient of the loss.

        d_temperature = -sum(scores d_scores) / temperature

    Shapes: two arrays of one shape -> (); scores, or the vectors of one side. The two sides of a
    listwise loss add up. To learn a temperature, descend along its logarithm, whose derivative is
    temperature times this, and keep it above about 0.01.
    Raises ValueError: the shapes differ, or temperature is outside its domain.
    Properties: gradient_is_right, both_sides_of_a_list_add_up, vectors_give_the_same,
        zero_on_uniform_scores, float32_is_close

    >>> scores = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> _, d_scores = info_nce(scores, temperature=0.5)
    >>> round(temperature_gradient(scores, d_scores, 0.5), 6)
    0.476812
    """
    scores, d_scores = as_floats("scores", scores), as_floats("d_scores", d_scores)
    if scores.shape != d_scores.shape:
        raise ValueError(f"scores {scores.shape} and d_scores {d_scores.shape} differ")
    return -float(np.vdot(scores, d_scores)) / positive_temperature(temperature)


def corrected_logits(
    scores: ArrayLike, correction: Correction, temperature: float
) -> tuple[Floats, float]:
    """Compute scores / temperature - correction, and check the temperature."""
    scores = as_floats("scores", scores)
    temperature = check_batch(scores.shape, correction, temperature)
    logits = scores / temperature
    own = np.diagonal(logits) - correction.positive
    logits -= correction.candidates
    np.fill_diagonal(logits, own)
    return logits, temperature
