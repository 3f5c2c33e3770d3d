"""Pointwise training: binary classification of pairs into clicked and sampled ones. Chapter 6.

The lecture wants cosines near +1 for clicked pairs and near -1 for sampled pairs, with two or
three sampled pairs for each click. It names no loss; the two usual losses are here.
"""

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import (
    BIASES,
    equally_long,
    number_within,
    positive_scale,
    weights_over_n,
)
from minitower.formulas.arrays import Floats, Scores
from minitower.formulas.sigmoid import sigmoid


def pointwise_squared(
    scores: ArrayLike, labels: ArrayLike, *, weights: ArrayLike | None = None
) -> tuple[float, Scores]:
    """Squared loss: the score should equal the label.

        loss = mean_i weights_i (scores_i - labels_i)^2

    Shapes: (n),(n)->(),(n)
    Args:
        scores: scores of n pairs of a user and an item. With cosines, in [-1, 1].
        labels: +1 for clicked pairs, -1 for sampled ones.
        weights: weight of each pair, >= 0; 1 by default. The mean divides by n, not by the
            sum of the weights.
    Raises ValueError: the shapes differ, n = 0, or labels or weights are outside their domain.
    Gradient: d_scores_i = 2 weights_i (scores_i - labels_i) / n.
    Properties: equals_naive, gradient_is_right, zero_only_at_the_label,
        label_and_score_may_both_flip, linear_in_weights, is_a_mean, float32_is_close,
        extremes_stay_finite

    >>> loss, d_scores = pointwise_squared([0.5, 0.0], [1, -1])
    >>> loss, d_scores
    (0.625, array([-0.5,  1. ]))

    Reference: lecture, section 2.2 (the aim; the loss is our choice); docs/06.
    """
    scores, labels = _examples(scores, labels)
    share = weights_over_n(weights, len(scores), scores.dtype)
    error = scores - labels
    return float(share @ error**2), 2 * share * error


def pointwise_logistic(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    scale: float = 1.0,
    bias: float = 0.0,
    weights: ArrayLike | None = None,
) -> tuple[float, tuple[Scores, float, float]]:
    """Logistic loss: minus the log-probability of the label under logistic regression.

        loss = mean_i weights_i log(1 + exp(-labels_i z_i)),   z_i = scale scores_i + bias

    Shapes: (n),(n)->(),((n),(),())
    Args:
        scores, labels, weights: as in :func:`pointwise_squared`.
        scale: 1e-12 to 1e6. With cosines take it well above 1: at scale 1 no loss falls
            below log(1 + exp(-1)) = 0.313.
        bias: -1e6 to 1e6, the log-odds of a click at score 0. With k sampled pairs per click
            its optimum is log k lower; the ranking does not depend on it.
    Raises ValueError: as :func:`pointwise_squared`, or scale or bias is outside its domain.
    Gradient: dz_i = -weights_i labels_i sigmoid(-labels_i z_i) / n, one minus the probability of
        the true label. d_scores = scale dz, d_scale = sum(dz scores), d_bias = sum(dz).
    Properties: equals_naive, gradient_is_right, log2_at_zero, label_and_score_may_both_flip,
        falls_toward_the_label, is_softmax_against_zero, cosines_cannot_fall_below_the_floor,
        bias_absorbs_the_class_ratio, linear_in_weights, is_a_mean, float32_is_close,
        extremes_stay_finite

    >>> loss, (d_scores, d_scale, d_bias) = pointwise_logistic([0.0, 0.0], [1, -1], scale=4.0)
    >>> round(loss, 6), d_scores, d_scale, d_bias
    (0.693147, array([-1.,  1.]), 0.0, 0.0)

    Reference: lecture, section 2.2 (the aim; the loss is our choice); docs/06.
    """
    scores, labels = _examples(scores, labels)
    scale, bias = positive_scale(scale), number_within("bias", bias, BIASES)
    share = weights_over_n(weights, len(scores), scores.dtype)
    margins = labels * (scale * scores + bias)
    d_logits = -share * labels * sigmoid(-margins)
    loss = float(share @ np.logaddexp(0, -margins))
    return loss, (scale * d_logits, float(d_logits @ scores), float(d_logits.sum()))


def _examples(scores: ArrayLike, labels: ArrayLike) -> tuple[Floats, Floats]:
    scores, labels = equally_long(scores=scores, labels=labels)
    if not (np.abs(labels) == 1).all():
        raise ValueError("labels must be +1 for clicked pairs and -1 for sampled ones")
    return scores, labels.astype(scores.dtype)
