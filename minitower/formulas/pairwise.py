"""Pairwise training: the clicked item should score above the one that was not clicked. Chapter 6.

One example is a triple: a user, a clicked item, a sampled item. Both items go through the same
item tower. A loss returns its value, and its gradients with respect to both scores.
"""

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import (
    equally_long,
    positive_margin,
    positive_scale,
    weights_over_n,
)
from minitower.formulas.arrays import Scores
from minitower.formulas.sigmoid import sigmoid


def triplet_hinge(
    positive: ArrayLike, negative: ArrayLike, *, margin: float, weights: ArrayLike | None = None
) -> tuple[float, tuple[Scores, Scores]]:
    """Triplet hinge loss: the positive should exceed the negative by a margin.

        loss = mean_i weights_i max(0, negative_i - positive_i + margin)

    Shapes: (n),(n)->(),((n),(n))
    Args:
        positive: scores of the clicked items. With cosines, in [-1, 1].
        negative: scores of the sampled items, same scale.
        margin: required lead of the positive, in units of score, in (0, 1e6]. Cosines differ
            by at most 2, so a larger margin is never met.
        weights: weight of each triple, >= 0; 1 by default. The mean divides by n, not by the
            sum of the weights.
    Raises ValueError: the shapes differ, n = 0, or margin or weights are outside their domain.
    Gradient: d_negative_i = weights_i / n for an active triple (negative - positive + margin > 0),
        else 0; d_positive = -d_negative. At the kink the subgradient 0 is chosen.
    Properties: equals_naive, gradient_is_right, gradient_is_zero_at_the_kink, zero_when_separated,
        linear_when_every_triple_is_active, is_a_loss_on_distances, gradients_cancel,
        unmoved_by_a_shift, linear_in_weights, is_a_mean, float32_is_close, extremes_stay_finite

    >>> loss, (d_positive, d_negative) = triplet_hinge([0.9, 0.3], [0.1, 0.4], margin=0.5)
    >>> round(loss, 6)          # the first pair leads by 0.8 and costs nothing
    0.3
    >>> d_negative
    array([0. , 0.5])

    Reference: J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020, Eq. 2 (with
        cosines its constants cancel); lecture, section 2.3; docs/06.
    """
    positive, negative = equally_long(positive=positive, negative=negative)
    violation = negative - positive + positive_margin(margin)
    share = weights_over_n(weights, len(violation), violation.dtype)
    d_negative = np.where(violation > 0, share, 0)
    return float(share @ np.maximum(violation, 0)), (-d_negative, d_negative)


def triplet_logistic(
    positive: ArrayLike, negative: ArrayLike, *, scale: float, weights: ArrayLike | None = None
) -> tuple[float, tuple[Scores, Scores]]:
    """Triplet logistic loss: a smooth version of the triplet hinge (BPR).

        loss = mean_i weights_i log(1 + exp(scale (negative_i - positive_i)))

    Shapes: (n),(n)->(),((n),(n))
    Args:
        positive, negative, weights: as in :func:`triplet_hinge`.
        scale: slope of the logistic, 1e-12 to 1e6 (the lecture's sigma). As it grows,
            loss / scale approaches the hinge without margin.
    Raises: as :func:`triplet_hinge`, with scale for margin.
    Gradient: d_negative_i = weights_i scale sigmoid(scale (negative_i - positive_i)) / n,
        d_positive = -d_negative.
    Properties: equals_naive, gradient_is_right, log2_when_equal, odd_part_is_linear,
        approaches_hinge, is_softmax_over_two, without_scale_nothing_is_learned, gradients_cancel,
        unmoved_by_a_shift, linear_in_weights, is_a_mean, float32_is_close, extremes_stay_finite

    >>> loss, (d_positive, d_negative) = triplet_logistic([0.5], [0.5], scale=10.0)
    >>> round(loss, 6), d_negative
    (0.693147, array([5.]))

    Reference: lecture, section 2.3; docs/06.
    """
    positive, negative = equally_long(positive=positive, negative=negative)
    scale = positive_scale(scale)
    logits = scale * (negative - positive)
    share = weights_over_n(weights, len(logits), logits.dtype)
    d_negative = scale * share * sigmoid(logits)
    return float(share @ np.logaddexp(0, logits)), (-d_negative, d_negative)
