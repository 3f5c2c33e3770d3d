"""The corrected softmax of Khrylchenko et al. as published, with a stopped gradient. Chapter 9."""

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import as_floats, weights_over_n
from minitower.formulas.arrays import Ids, Scores
from minitower.formulas.logq import calibrated
from minitower.formulas.sigmoid import sigmoid
from minitower.formulas.softmax import corrected_logits


def stop_gradient_logq(
    scores: ArrayLike,
    log_q: ArrayLike,
    candidate_ids: Ids,
    *,
    temperature: float,
    weights: ArrayLike | None = None,
) -> tuple[float, Scores]:
    """Softmax over the negatives alone, weighted by one minus the positive's probability.

        l_ij = scores_ij / t - log Q'_i(j),  Q'_i = q / (1 - q_i)    j over the n_i negatives
        p_i  = exp(f_i) / (exp(f_i) + mean_j exp(l_ij)),             f_i = scores_ii / t
        loss = mean_i weights_i stop_gradient(1 - p_i) (log sum_j exp(l_ij) - f_i)

    Train with :func:`~minitower.formulas.softmax.in_batch_softmax` and
    :func:`~minitower.formulas.logq.calibrated` instead: they have the same gradient, and it is
    the gradient of their value. The value here can be negative and measures no progress.

    Shapes: (n,m),(m),(m)->(),(n,m) with m >= n; a row without negatives has loss 0.
    Args, Raises: as in ``in_batch_softmax`` and ``calibrated``.
    Gradient *with 1 - p held constant*: With w = weights (1 - p): d_scores_ii = -w_i / (n t), and
        for the negatives d_scores_ij = w_i softmax(l_i)_j / (n t).
    Properties: equals_naive, gradient_is_right_with_the_factor_frozen, gradient_is_calibrated,
        is_not_the_slope_of_its_value, may_be_negative, without_negatives_costs_nothing,
        linear_in_weights, float32_is_close, extremes_stay_finite

    >>> loss, d_scores = stop_gradient_logq([[2.0, 0.0]], np.log([0.5, 0.5]), [7, 5],
    ...                                     temperature=1.0)
    >>> round(loss, 6), d_scores.round(6)
    (-0.238406, array([[-0.119203,  0.119203]]))

    Reference: K. Khrylchenko et al., Correcting the LogQ Correction, RecSys 2025; docs/09.
    """
    scores = as_floats("scores", scores)
    if scores.ndim != 2:
        raise ValueError(f"expected scores (n,m), got shape {scores.shape}")
    n = len(scores)
    correction = calibrated(log_q, candidate_ids, n=n)
    logits, temperature = corrected_logits(scores, correction, temperature)
    diagonal = np.arange(n), np.arange(n)
    own = logits[diagonal]
    assert correction.hits is not None
    logits[correction.hits.dense()] = -np.inf
    negatives = logits.shape[1] - 1 - correction.hits.count
    no_negatives = negatives == 0
    logits[diagonal] = np.where(no_negatives, own, -np.inf)  # a row without negatives stays finite

    top = logits.max(axis=1)
    log_sum_negatives = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    # `calibrated` moves log n_i and log(1 - q_i) to the positive. So this is the log-odds that
    # an item other than the positive was clicked.
    log_odds = log_sum_negatives - own
    one_minus_p = np.where(no_negatives, 0, sigmoid(log_odds))
    w = one_minus_p * weights_over_n(weights, n, scores.dtype)
    d_logits = w[:, None] * np.exp(logits - log_sum_negatives[:, None])
    d_logits[diagonal] = -w
    loss = float(w @ (log_odds + np.log(np.maximum(negatives, 1))))
    return loss, d_logits / temperature
