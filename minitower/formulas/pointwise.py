"""Pointwise training: is this pair a click or not? Binary classification, a pair at a time.

The lecture gives the aim, cosines near +1 for clicked pairs and near -1 for drawn ones,
two or three of these for each click, and leaves the loss open. Both usual ones stand here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import (
    BIASES,
    equally_long,
    number_within,
    pair_weights,
    positive_scale,
)
from minitower.formulas.arrays import Floats


def pointwise_squared(
    scores: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None
) -> tuple[float, Floats]:
    """The lecture's aim taken literally: the cosine itself should be the label.

        loss = mean_i weights_i (scores_i - labels_i)^2

    Shapes: (n),(n)->(),(n)

    Args:
        scores: of n pairs of user and item. With cosines, in [-1, 1].
        labels: +1 for clicked pairs, -1 for drawn ones.
        weights: of each pair, >= 0; 1 by default. The mean is over n, not over the
            sum of the weights.

    Returns:
        The loss, and its gradient with respect to the scores.

    Raises:
        ValueError: shapes do not fit, there is no pair, a label is neither +1 nor
            -1, or a weight is negative.

    Gradient: d_scores_i = 2 weights_i (scores_i - labels_i) / n.

    Properties: equals_naive, gradient_is_right, zero_only_at_the_label,
        label_and_score_may_both_flip, linear_in_weights, is_a_mean,
        float32_is_close, extremes_stay_finite

    >>> loss, d_scores = pointwise_squared([0.5, 0.0], [1, -1])
    >>> loss, d_scores
    (0.625, array([-0.5,  1. ]))

    Reference: lecture, section 2.2 (pointwise training), the loss our choice.
    """
    scores, labels = _examples(scores, labels)
    share = pair_weights(weights, len(scores), scores.dtype)
    gap = scores - labels
    return float(share @ gap**2), 2 * share * gap


def pointwise_logistic(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    scale: float = 1.0,
    bias: float = 0.0,
    weights: ArrayLike | None = None,
) -> tuple[float, tuple[Floats, float, float]]:
    """Minus the log of the probability that logistic regression gives the label.

        loss = mean_i weights_i log(1 + exp(-labels_i (scale scores_i + bias)))

    Shapes: (n),(n)->(),((n),(),())

    Args:
        scores, labels, weights: as in :func:`pointwise_squared`.
        scale: 1e-12 to 1e6, may be learned. Cosines want much more than 1: within [-1, 1]
            no loss falls below log(1 + exp(-scale)), 0.313 at scale 1.
        bias: within -1e6 to 1e6, the log-odds of a click at score 0, may be learned. With k drawn
            pairs for each click it settles log k lower; the ranking ignores it.

    Returns:
        The loss, and its gradients with respect to (scores, scale, bias).

    Raises:
        ValueError: as :func:`pointwise_squared`, or scale is outside its domain.

    Gradient:
        With z = scale scores + bias, dz_i = -weights_i labels_i sigmoid(-labels_i z_i) / n:
        what the label lacks to probability one. d_scores = scale dz,
        d_scale = sum(dz scores), d_bias = sum(dz).

    Properties: equals_naive, gradient_is_right, log2_at_zero,
        label_and_score_may_both_flip, falls_as_the_label_is_met,
        is_softmax_against_zero, cosines_cannot_fall_below_the_floor,
        bias_absorbs_the_class_ratio, linear_in_weights, is_a_mean,
        float32_is_close, extremes_stay_finite

    >>> loss, (d_scores, d_scale, d_bias) = pointwise_logistic([0.0, 0.0], [1, -1], scale=4.0)
    >>> round(loss, 6), d_scores, d_scale, d_bias
    (0.693147, array([-1.,  1.]), 0.0, 0.0)

    Reference: lecture, section 2.2 (pointwise training), the loss our choice.
    """
    scores, labels = _examples(scores, labels)
    scale, bias = positive_scale(scale), number_within("bias", bias, BIASES)
    share = pair_weights(weights, len(scores), scores.dtype)
    lead = labels * (scale * scores + bias)
    d_logits = -share * labels * np.exp(-np.logaddexp(0, lead))  # sigmoid(-lead)
    loss = float(share @ np.logaddexp(0, -lead))
    return loss, (scale * d_logits, float(d_logits @ scores), float(d_logits.sum()))


def _examples(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    scores, labels = equally_long(scores=scores, labels=labels)
    if not (np.abs(labels) == 1).all():
        raise ValueError("labels must be +1 for clicked pairs and -1 for drawn ones")
    return scores, labels.astype(scores.dtype)
