"""The softmax family: the clicked item should win against all other candidates.

Every loss of the family is one engine, :func:`softmax_cross_entropy`, on some
matrix of logits; the forms differ only in who the candidates are and in what is
taken off their scores (:mod:`minitower.formulas.logq`). Here stands the textbook
form on a matrix of scores, to be read; :mod:`minitower.formulas.blocked` is the
same loss on vectors, without that matrix, for training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minitower.formulas.arguments import floats, integers, mask, pair_weights, positive_temperature
from minitower.formulas.arrays import Floats
from minitower.formulas.logq import Correction, calibrated, uncorrected


def softmax_cross_entropy(
    logits: ArrayLike,
    positive: NDArray[np.integer[Any]],
    *,
    drop: NDArray[np.bool_] | None = None,
    weights: ArrayLike | None = None,
) -> tuple[float, Floats]:
    """Minus the log of the probability that the softmax gives the positive.

        loss = mean_i weights_i (log sum_j exp(logits_ij) - logits_i,positive(i))

    Shapes: (n,m),(n)->(),(n,m)

    Args:
        logits: one row per pair, one column per candidate.
        positive: the column of each row's clicked item.
        drop: candidates left out of a row's sum, as if their column were not
            there; never the positive.
        weights: the reward of each pair, >= 0; 1 by default. The mean is over n,
            not over the sum of the weights (Yi et al., Eq. 2).

    Returns:
        The loss, and its gradient with respect to the logits.

    Raises:
        ValueError: shapes do not fit, a positive is out of range or dropped, or
            there is no row. NaN among the logits is not looked for: the loss is NaN.

    Gradient:
        With P the softmax of a row: d_logits_ij = weights_i / n (P_ij - [j is
        the positive]). The positive is pulled up by what it lacks to
        probability one, every candidate pushed down by the probability it has.

    Properties: equals_naive, gradient_is_right, rows_of_the_gradient_sum_to_zero,
        never_negative, unmoved_by_a_row_constant, dropping_is_removing,
        one_candidate_costs_nothing, equal_logits_cost_log_m, linear_in_weights,
        is_a_mean, float32_is_close, extremes_stay_finite

    >>> loss, d_logits = softmax_cross_entropy(np.log([[2.0, 1.0, 1.0]]), np.array([0]))
    >>> round(loss, 6), d_logits.round(6)
    (0.693147, array([[-0.5 ,  0.25,  0.25]]))

    Reference: lecture, section 2.4 (listwise training).
    """
    logits, positive = floats("logits", logits), integers("positive", positive)
    if logits.ndim != 2 or positive.shape != logits.shape[:1] or not len(logits):
        raise ValueError(
            "expected logits (n,m) and one positive column for each of n >= 1 rows, "
            f"got shapes {logits.shape} and {positive.shape}"
        )
    if positive.min() < 0 or positive.max() >= logits.shape[1]:
        raise ValueError(f"a positive is not among the {logits.shape[1]} columns")
    rows = np.arange(len(logits))
    if drop is not None:
        if np.shape(drop) != logits.shape:
            raise ValueError(f"drop has shape {np.shape(drop)}, the logits {logits.shape}")
        drop = mask("drop", drop)
        if drop[rows, positive].any():
            raise ValueError("drop leaves out a row's own positive")
        logits = np.where(drop, -np.inf, logits)
    weights = pair_weights(weights, len(logits), logits.dtype)

    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    total = exponentials.sum(axis=1, keepdims=True)
    losses = np.log(total[:, 0]) + logits.max(axis=1) - logits[rows, positive]
    gradient = exponentials / total
    gradient[rows, positive] -= 1
    return float(weights @ losses), gradient * weights[:, None]


def in_batch_softmax(
    scores: ArrayLike,
    correction: Correction,
    *,
    temperature: float,
    weights: ArrayLike | None = None,
) -> tuple[float, Floats]:
    """Each user against all items of the batch, their own on the diagonal.

        logit_ij = scores_ij / temperature - correction_ij
        loss = softmax_cross_entropy(logit, positive of row i = column i)

    The order matters: the correction comes off *after* the division. Dividing
    log q by the temperature as well raises q to the power 1/temperature.

    Shapes: (n,m)->(),(n,m) with m >= n; columns n to m are extra negatives.

    Args:
        scores: inner products or cosines of n users with m candidates.
        correction: what is taken off the logits, and which candidates are left
            out: one of the published forms in :mod:`minitower.formulas.logq`.
        temperature: 1e-6 to 1e12. The lecture writes none, which is 1; with cosines and a
            thousand candidates no positive can then exceed 0.72% (e^2 / (e^2 +
            1023)), so training wants about 0.05 to 0.2.
        weights: as in :func:`softmax_cross_entropy`.

    Returns:
        The loss, and its gradient with respect to the scores.

    Raises:
        ValueError: shapes do not fit, or temperature is outside its domain.

    Properties: equals_naive, gradient_is_right, two_in_the_batch_by_hand,
        order_of_temperature_and_correction_matters,
        joint_permutation_changes_nothing, large_temperature_forgets_the_scores,
        small_temperature_is_a_hinge_on_the_best_negative,
        cosines_bound_the_loss, one_row_and_a_million_candidates,
        float32_is_close, extremes_stay_finite

    Reference: X. Yi et al., RecSys 2019, Eqs. 3 and 4; the lecture, section 2.4.
    """
    logits, temperature = _logits(scores, correction, temperature)
    drop = None if correction.hits is None else correction.hits.dense()
    loss, d_logits = softmax_cross_entropy(
        logits, np.arange(len(logits)), drop=drop, weights=weights
    )
    return loss, d_logits / temperature


def listwise_softmax(
    positive: ArrayLike,
    negatives: ArrayLike,
    *,
    temperature: float,
    drop: NDArray[np.bool_] | None = None,
    weights: ArrayLike | None = None,
) -> tuple[float, tuple[Floats, Floats]]:
    """One clicked item against k negatives of its own: the lecture's listwise training.

        loss = mean_i -weights_i log( exp(positive_i / t)
               / (exp(positive_i / t) + sum_j exp(negatives_ij / t)) )

    Shapes: (n),(n,k)->(),((n),(n,k)); without negatives, k = 0, the loss is 0.

    Args:
        positive: scores of the clicked items.
        negatives: scores of the items drawn for each pair. Where they were drawn
            from a known q, t log q may be taken off them first.
        temperature: t, 1e-6 to 1e12; the lecture writes none, which is 1.
        drop: (n,k), negatives to leave out, as of lists of unequal length.
        weights: as in :func:`softmax_cross_entropy`.

    Returns:
        The loss, and its gradients with respect to (positive, negatives).

    Raises:
        ValueError: shapes do not fit, or temperature is outside its domain.

    Properties: equals_naive, gradient_is_right, without_negatives_costs_nothing,
        one_negative_is_triplet_logistic, order_of_negatives_changes_nothing,
        dropping_is_removing, all_dropped_costs_nothing, linear_in_weights,
        is_a_mean, a_million_negatives, float32_is_close, extremes_stay_finite

    >>> loss, (d_positive, d_negatives) = listwise_softmax([2.0], [[2.0, 2.0]], temperature=1.0)
    >>> round(loss, 6), d_positive.round(3), d_negatives.round(3)     # log 3
    (1.098612, array([-0.667]), array([[0.333, 0.333]]))

    Reference: lecture, section 2.4 (listwise training).
    """
    positive, negatives = floats("positive", positive), floats("negatives", negatives)
    if positive.ndim != 1 or negatives.ndim != 2 or len(negatives) != len(positive):
        raise ValueError(
            f"expected positive (n) and negatives (n,k), got {positive.shape}, {negatives.shape}"
        )
    if drop is not None:
        if np.shape(drop) != negatives.shape:
            raise ValueError(f"drop has shape {np.shape(drop)}, the negatives {negatives.shape}")
        drop = np.insert(mask("drop", drop), 0, False, axis=1)
    temperature = positive_temperature(temperature)
    logits = np.column_stack([positive, negatives]) / temperature
    first = np.zeros(len(positive), int)
    loss, d_logits = softmax_cross_entropy(logits, first, drop=drop, weights=weights)
    d_scores = d_logits / temperature
    return loss, (d_scores[:, 0], d_scores[:, 1:])


def info_nce(
    scores: ArrayLike,
    *,
    temperature: float,
    symmetric: bool = False,
    weights: ArrayLike | None = None,
) -> tuple[float, Floats]:
    """Two views of an item should find each other among the views of the others.

        loss = mean_i -weights_i log( exp(scores_ii / t) / sum_j exp(scores_ij / t) )

    Shapes: (m,m)->(),(m,m)

    Args:
        scores: scores_ij of the first view of item i with the second view of item j.
        temperature: t, 1e-6 to 1e12.
        symmetric: also let the second views look for the first, and take the mean
            of both directions. Off by default, as in the lecture and in Yao et al.,
            who print one direction only; contrastive pre-training (Radford et al.)
            is symmetric. Views drawn alike make the two equal in expectation.
        weights: of each item, as in :func:`softmax_cross_entropy`.

    Items are drawn uniformly, so there is no q to correct for.

    Returns:
        The loss, and its gradient with respect to the scores.

    Raises:
        ValueError: scores is not a square matrix, or temperature is outside its domain.

    Properties: equals_naive, gradient_is_right, is_uncorrected_in_batch_softmax,
        symmetric_is_blind_to_the_order_of_views, one_direction_is_not,
        symmetric_scores_need_no_choice, equal_views_only_repel, float32_is_close,
        extremes_stay_finite

    >>> scores = np.array([[1.0, 1.0], [0.0, 1.0]])
    >>> for symmetric in (False, True):
    ...     print(round(info_nce(scores, temperature=1.0, symmetric=symmetric)[0], 6))
    0.503204
    0.503204
    >>> info_nce(scores, temperature=1.0)[1].round(3)
    array([[-0.25 ,  0.25 ],
           [ 0.134, -0.134]])

    Reference: T. Yao et al., Self-supervised Learning for Large-scale Item
        Recommendations, CIKM 2021, Eq. 3; A. Radford et al., ICML 2021, Fig. 3.
    """
    scores = floats("scores", scores)
    plain = uncorrected(np.arange(len(scores)))
    rows, d_rows = in_batch_softmax(scores, plain, temperature=temperature, weights=weights)
    if not symmetric:
        return rows, d_rows
    columns, d_columns = in_batch_softmax(scores.T, plain, temperature=temperature, weights=weights)
    return (rows + columns) / 2, (d_rows + d_columns.T) / 2


def stop_gradient_logq(
    scores: ArrayLike,
    log_q: ArrayLike,
    candidate_ids: NDArray[np.integer[Any]],
    *,
    temperature: float,
    weights: ArrayLike | None = None,
) -> tuple[float, Floats]:
    """Khrylchenko et al.: the positive against the negatives alone, times what it lacks.

        l_ij = scores_ij / t - log Q'_i(j),  Q'_i = q / (1 - q_i)    j over the n_i negatives
        p_i  = exp(f_i) / (exp(f_i) + mean_j exp(l_ij)),             f_i = scores_ii / t
        loss = mean_i weights_i stop_gradient(1 - p_i) (log sum_j exp(l_ij) - f_i)

    Shapes: (n,m),(m),(m)->(),(n,m) with m >= n; a row without negatives costs nothing.

    Args:
        scores, temperature, weights: as in :func:`in_batch_softmax`.
        log_q, candidate_ids: as in :func:`~minitower.formulas.logq.calibrated`.

    Returns:
        The loss, and its gradient *with 1 - p held constant*. The value is not a
        measure of progress: it can be negative, and its slope is not the gradient.
        :func:`in_batch_softmax` with :func:`~minitower.formulas.logq.calibrated` has
        the same gradient as its true one, and is what to report and to train with.

    Raises:
        ValueError: as :func:`in_batch_softmax` and ``calibrated``.

    Gradient:
        With w = 1 - p constant: d_scores_ii = -w_i / (n t), and on the negatives
        d_scores_ij = w_i softmax(l_i)_j / (n t), times weights_i.

    Properties: equals_naive, gradient_is_right_with_the_factor_frozen,
        gradient_is_calibrated, is_not_the_slope_of_its_value, may_be_negative,
        without_negatives_costs_nothing, linear_in_weights, float32_is_close,
        extremes_stay_finite

    Reference: K. Khrylchenko et al., Correcting the LogQ Correction, RecSys 2025.
    """
    scores = floats("scores", scores)
    n = len(scores)
    correction = calibrated(log_q, candidate_ids, n=n)
    logits, temperature = _logits(scores, correction, temperature)
    diagonal = np.arange(n), np.arange(n)
    own = logits[diagonal]
    assert correction.hits is not None
    logits[correction.hits.dense()] = -np.inf
    negatives = logits.shape[1] - 1 - correction.hits.count
    alone = negatives == 0
    logits[diagonal] = np.where(alone, own, -np.inf)  # keeps numbers finite that do not count

    top = logits.max(axis=1)
    others = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    # The calibrated form keeps log n_i and log(1 - q_i) on the positive, so this is the log-odds
    # that another item than the positive was clicked.
    odds = others - own
    missing = np.where(alone, 0, np.exp(-np.logaddexp(0, -odds))) * pair_weights(
        weights, n, scores.dtype
    )
    d_logits = missing[:, None] * np.exp(logits - others[:, None])
    d_logits[diagonal] = -missing
    loss = float(missing @ (odds + np.log(np.maximum(negatives, 1))))
    return loss, d_logits / temperature


def temperature_gradient(scores: Floats, d_scores: Floats, temperature: float) -> float:
    """The slope of a loss along its own temperature, from the gradient it returned.

        d loss / d temperature = -sum(scores d_scores) / temperature

    Shapes: any two arrays of one shape -> (). Both sides of a listwise loss add up. The
    users and d_users of a loss on vectors do as well as the scores, and so do the items:
    the scores are linear in each.

    To learn a temperature, descend along its logarithm, whose slope is the temperature
    times this, so that it stays positive; and keep it above a floor of about 0.01.

    Raises:
        ValueError: the shapes differ, or temperature is outside its domain.

    Gradient:
        logits = scores / t - correction, so d loss / dt = -sum(d_logits scores) / t^2
        and d_scores = d_logits / t.

    Properties: gradient_is_right, both_sides_of_a_list_add_up, vectors_do_as_well,
        uniform_scores_do_not_care, float32_is_close

    >>> scores = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> _, d_scores = info_nce(scores, temperature=0.5)
    >>> round(temperature_gradient(scores, d_scores, 0.5), 6)       # colder is better here
    0.476812
    """
    scores, d_scores = floats("scores", scores), floats("d_scores", d_scores)
    if scores.shape != d_scores.shape:
        raise ValueError(f"scores {scores.shape} and d_scores {d_scores.shape} differ")
    return -float(np.vdot(scores, d_scores)) / positive_temperature(temperature)


def _logits(scores: ArrayLike, correction: Correction, temperature: float) -> tuple[Floats, float]:
    """scores / temperature - correction, of the scores' type, and the temperature.

    The correction of each row's own is on the diagonal.
    """
    scores = floats("scores", scores)
    temperature = check_batch(scores.shape, correction, temperature)
    logits = scores / temperature
    own = np.diagonal(logits) - correction.positive
    logits -= correction.candidates
    np.fill_diagonal(logits, own)
    return logits, temperature


def check_batch(shape: tuple[int, ...], correction: Correction, temperature: float) -> float:
    """Refuse scores of n users and m candidates that the correction was not made for.

    Returns:
        The temperature, as Python's own float.
    """
    made_for = (len(correction.positive), len(correction.candidates))
    if shape != made_for or not 1 <= shape[0] <= shape[1]:
        raise ValueError(
            f"scores have shape {shape}, the correction was made for {made_for}; "
            "the first n of the m candidates are the positives of n >= 1 rows"
        )
    return positive_temperature(temperature)
