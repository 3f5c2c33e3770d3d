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
from numpy.typing import NDArray

from minitower.formulas.logq import Correction

Floats = NDArray[np.floating[Any]]


def softmax_cross_entropy(
    logits: Floats,
    positive: NDArray[np.integer[Any]],
    *,
    drop: NDArray[np.bool_] | None = None,
    weights: Floats | None = None,
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
            there is no row.

    Gradient:
        With P the softmax of a row: d_logits_ij = weights_i / n (P_ij - [j is
        the positive]). The positive is pulled up by what it lacks to
        probability one, every candidate pushed down by the probability it has.

    Properties: equals_naive, gradient_is_right, rows_of_the_gradient_sum_to_zero,
        never_negative, unmoved_by_a_row_constant, dropping_is_removing,
        one_candidate_costs_nothing, equal_logits_cost_log_m, linear_in_weights,
        extremes_stay_finite

    >>> loss, d_logits = softmax_cross_entropy(np.log([[2.0, 1.0, 1.0]]), np.array([0]))
    >>> round(loss, 6), d_logits.round(6)
    (0.693147, array([[-0.5 ,  0.25,  0.25]]))

    Reference: lecture, section 2.4 (listwise training).
    """
    logits, positive = np.asarray(logits), np.asarray(positive)
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
        if np.any(drop[rows, positive]):
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
    scores: Floats,
    correction: Correction,
    *,
    temperature: float,
    weights: Floats | None = None,
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
            out: :func:`~minitower.formulas.logq.uncorrected`,
            :func:`~minitower.formulas.logq.yi` or
            :func:`~minitower.formulas.logq.calibrated`.
        temperature: > 0. The lecture writes none, which is 1; with cosines and a
            thousand candidates no positive can then exceed 0.72% (e^2 / (e^2 +
            1023)), so training wants about 0.05 to 0.2.
        weights: as in :func:`softmax_cross_entropy`.

    Returns:
        The loss, and its gradient with respect to the scores.

    Raises:
        ValueError: shapes do not fit, or temperature <= 0.

    Properties: equals_naive, gradient_is_right, two_in_the_batch_by_hand,
        joint_permutation_changes_nothing, large_temperature_forgets_the_scores,
        small_temperature_is_a_hinge_on_the_best_negative

    Reference: X. Yi et al., RecSys 2019, Eqs. 3 and 4; the lecture, section 2.4.
    """
    scores = np.asarray(scores)
    check_batch(scores.shape, correction, temperature)
    positive = np.arange(len(scores))
    logits = scores / temperature - correction.candidates
    logits[positive, positive] = scores[positive, positive] / temperature - correction.positive
    drop = None if correction.hits is None else correction.hits.dense()
    loss, d_logits = softmax_cross_entropy(logits, positive, drop=drop, weights=weights)
    return loss, d_logits / temperature


def check_batch(shape: tuple[int, ...], correction: Correction, temperature: float) -> None:
    """Refuse scores of n users and m candidates that the correction was not made for."""
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    made_for = (len(correction.positive), len(correction.candidates))
    if shape != made_for or not 1 <= shape[0] <= shape[1]:
        raise ValueError(
            f"scores have shape {shape}, the correction was made for {made_for}; "
            "the first n of the m candidates are the positives of n >= 1 rows"
        )


def pair_weights(weights: Floats | None, n: int, dtype: np.dtype[Any]) -> Floats:
    """Each pair's share of the loss: its weight, divided by n."""
    if weights is None:
        return np.full(n, 1 / n, dtype)
    weights = np.asarray(weights, dtype)
    if weights.shape != (n,) or not (weights >= 0).all():
        raise ValueError(f"expected {n} weights >= 0, got shape {weights.shape}")
    return weights / n
