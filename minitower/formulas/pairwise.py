"""Pairwise training: the clicked item should score above the one that was not clicked.

One example is a triple: a user, an item they clicked, an item drawn for them. Both items
go through the same item tower, so a loss here sees two scores and returns two gradients.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import equally_long, pair_weights, positive_margin, positive_scale
from minitower.formulas.arrays import Floats


def triplet_hinge(
    positive: ArrayLike, negative: ArrayLike, *, margin: float, weights: ArrayLike | None = None
) -> tuple[float, tuple[Floats, Floats]]:
    """Penalise every positive that does not lead its negative by a margin.

        loss = mean_i weights_i max(0, negative_i - positive_i + margin)

    Shapes: (n),(n)->(),((n),(n))

    Args:
        positive: scores of the clicked items. With cosines, in [-1, 1].
        negative: scores of the drawn items, same scale.
        margin: the lead asked for, in units of score, > 0, at most 1e6. With cosines a margin
            above 2 can never be reached: every triple stays active.
        weights: of each triple, >= 0; 1 by default. The mean is over n, not over
            the sum of the weights.

    Returns:
        The loss, and its gradients with respect to (positive, negative).

    Raises:
        ValueError: shapes do not fit, there is no triple, margin is outside its domain, or a
            weight is negative.

    Gradient:
        An active triple (negative - positive + margin > 0) pulls its two scores
        apart with force weights_i / n. At the kink itself the force is 0.

    Properties: equals_naive, gradient_is_right, at_the_kink_nothing_pulls,
        zero_when_separated, linear_when_the_margin_is_out_of_reach,
        is_a_loss_on_distances, gradients_cancel, unmoved_by_a_shift,
        linear_in_weights, is_a_mean, float32_is_close, extremes_stay_finite

    >>> loss, (d_positive, d_negative) = triplet_hinge([0.9, 0.3], [0.1, 0.4], margin=0.5)
    >>> round(loss, 6)          # the first pair leads by 0.8 and costs nothing
    0.3
    >>> d_negative
    array([0. , 0.5])

    Reference: J. Huang et al., Embedding-based Retrieval in Facebook Search, KDD 2020,
        Eq. 2, on distances 1 - cos, whose constants cancel; lecture, section 2.3.
    """
    positive, negative = equally_long(positive=positive, negative=negative)
    shortfall = negative - positive + positive_margin(margin)
    share = pair_weights(weights, len(shortfall), shortfall.dtype)
    pull = np.where(shortfall > 0, share, 0)
    return float(share @ np.maximum(shortfall, 0)), (-pull, pull)


def triplet_logistic(
    positive: ArrayLike, negative: ArrayLike, *, scale: float, weights: ArrayLike | None = None
) -> tuple[float, tuple[Floats, Floats]]:
    """The hinge's smooth sibling: every triple pulls, the wrong ones hardest.

        loss = mean_i weights_i log(1 + exp(scale (negative_i - positive_i)))

    Shapes: (n),(n)->(),((n),(n))

    Args:
        positive, negative, weights: as in :func:`triplet_hinge`.
        scale: how sharply the loss bends, 1e-12 to 1e6 (the lecture's sigma). As it grows,
            loss / scale approaches the hinge without margin.

    Returns:
        The loss, and its gradients with respect to (positive, negative).

    Raises:
        ValueError: as :func:`triplet_hinge`, with scale for margin.

    Gradient: d_negative_i = weights_i scale sigmoid(scale (negative_i - positive_i)) / n,
        d_positive its opposite.

    Properties: equals_naive, gradient_is_right, log2_when_equal,
        odd_part_is_linear, approaches_hinge, is_softmax_over_two,
        without_scale_nothing_is_learned, gradients_cancel, unmoved_by_a_shift,
        linear_in_weights, is_a_mean, float32_is_close, extremes_stay_finite

    >>> loss, (d_positive, d_negative) = triplet_logistic([0.5], [0.5], scale=10.0)
    >>> round(loss, 6), d_negative
    (0.693147, array([5.]))

    Reference: lecture, section 2.3 (pairwise training).
    """
    positive, negative = equally_long(positive=positive, negative=negative)
    scale = positive_scale(scale)
    bend = scale * (negative - positive)
    share = pair_weights(weights, len(bend), bend.dtype)
    pull = scale * share * np.exp(-np.logaddexp(0, -bend))  # exp(-log(1 + e^-x)) is sigmoid(x)
    return float(share @ np.logaddexp(0, bend)), (-pull, pull)
