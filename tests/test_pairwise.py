"""Every property that the docstrings of pairwise.py promise, one test each."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from losses import scales, scores, weights
from numerics import (
    EPS32,
    along,
    assert_close,
    assert_float32,
    assert_slope,
    complex_step,
    directional,
)

from minitower.formulas.pairwise import triplet_hinge, triplet_logistic

margins = st.floats(0.0625, 1.5, width=32)

LOSSES = {
    "hinge": lambda p, q, **options: triplet_hinge(p, q, margin=0.25, **options),
    "logistic": lambda p, q, **options: triplet_logistic(p, q, scale=5.0, **options),
}
both_losses = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def naive_hinge(positive, negative, margin, weights):
    total = 0
    for p, q, w in zip(positive, negative, weights, strict=True):
        if (q - p + margin).real > 0:
            total += w * (q - p + margin)
    return total / len(weights)


def naive_logistic(positive, negative, scale, weights):
    total = 0
    for p, q, w in zip(positive, negative, weights, strict=True):
        total += w * np.log(1 + np.exp(scale * (q - p)))
    return total / len(weights)


@given(scores, scores, margins, weights)
def test_triplet_hinge__equals_naive(positive, negative, margin, weights):
    loss, _ = triplet_hinge(positive, negative, margin=margin, weights=weights)
    assert_close(loss, naive_hinge(positive, negative, margin, weights), 1e-13)


@given(scores, scores, margins, weights)
def test_triplet_hinge__gradient_is_right(positive, negative, margin, weights):
    """Also a hair from the kink: complex steps do not cross it."""
    assume((negative - positive + margin != 0).all())
    _, gradients = triplet_hinge(positive, negative, margin=margin, weights=weights)
    f = lambda p, q: naive_hinge(p, q, margin, weights)
    assert_close(gradients, complex_step(f, [positive, negative]))


@given(scores, scores, scores, scores, margins)
def test_triplet_hinge__slope_is_right(positive, negative, along_p, along_q, margin):
    """The loss's own slope, the oracle aside; piecewise linear, so any step within a piece does."""
    assume(np.abs(negative - positive + margin).min() > 1e-2)
    f = lambda p, q: triplet_hinge(p, q, margin=margin)[0]
    _, gradients = triplet_hinge(positive, negative, margin=margin)
    slope = directional(f, [positive, negative], [along_p, along_q], h=1e-3)
    assert_slope(along(gradients, [along_p, along_q]), slope, 1e-9)


def test_triplet_hinge__gradient_is_zero_at_the_kink():
    """And a hair beyond it the full force does."""
    for negative, force in [(0.25 - 2**-50, 0), (0.25, 0), (0.25 + 2**-50, 1)]:
        _, (d_positive, d_negative) = triplet_hinge([0.5], [negative], margin=0.25)
        assert (d_positive, d_negative) == (-force, force)


@given(scores, margins)
def test_triplet_hinge__zero_when_separated(negative, margin):
    loss, gradients = triplet_hinge(negative + 1.01 * margin, negative, margin=margin)
    assert loss == 0
    assert not np.any(gradients)


@given(scores, scores, st.floats(2.01, 5))
def test_triplet_hinge__linear_when_every_triple_is_active(positive, negative, margin):
    """No pair of cosines is ever good enough: the loss no longer picks out the bad ones."""
    loss, (_, d_negative) = triplet_hinge(positive, negative, margin=margin)
    assert loss == pytest.approx((negative - positive).mean() + margin, abs=1e-14)
    assert np.array_equal(d_negative, np.full(len(positive), 1 / len(positive)))


@given(scores, scores, margins)
def test_triplet_hinge__is_a_loss_on_distances(positive, negative, margin):
    """Huang et al. write max(0, D+ - D- + margin) with D = 1 - cos."""
    near, far = 1 - positive, 1 - negative
    loss, _ = triplet_hinge(positive, negative, margin=margin)
    assert loss == pytest.approx(np.maximum(0, near - far + margin).mean(), abs=1e-14)


@both_losses
@given(positive=scores, negative=scores, weights=weights)
def test_pairwise__gradients_cancel(loss, positive, negative, weights):
    _, (d_positive, d_negative) = loss(positive, negative, weights=weights)
    assert np.array_equal(d_positive, -d_negative)


@both_losses
@given(positive=scores, negative=scores, shift=st.floats(-3, 3))
def test_pairwise__unmoved_by_a_shift(loss, positive, negative, shift):
    assume(np.abs(negative - positive + 0.25).min() > 1e-9)
    assert_close(loss(positive + shift, negative + shift), loss(positive, negative), 1e-12)


@given(scores, scores, scales, weights)
def test_triplet_logistic__equals_naive(positive, negative, scale, weights):
    loss, _ = triplet_logistic(positive, negative, scale=scale, weights=weights)
    assert_close(loss, naive_logistic(positive, negative, scale, weights), 1e-12)


@given(scores, scores, scales, weights)
def test_triplet_logistic__gradient_is_right(positive, negative, scale, weights):
    _, gradients = triplet_logistic(positive, negative, scale=scale, weights=weights)
    f = lambda p, q: naive_logistic(p, q, scale, weights)
    assert_close(gradients, complex_step(f, [positive, negative]))


@given(scores, scores, scores, scores, scales)
def test_triplet_logistic__slope_is_right(positive, negative, along_p, along_q, scale):
    f = lambda p, q: triplet_logistic(p, q, scale=scale)[0]
    _, gradients = triplet_logistic(positive, negative, scale=scale)
    slope = directional(f, [positive, negative], [along_p, along_q], h=0.02 / scale)
    assert_slope(along(gradients, [along_p, along_q]), slope, 1e-9)


@given(scores, scales)
def test_triplet_logistic__log2_when_equal(same, scale):
    loss, (_, d_negative) = triplet_logistic(same, same, scale=scale)
    assert loss == pytest.approx(math.log(2), abs=1e-15)
    assert_close(d_negative, np.full(len(same), scale / 2 / len(same)), 1e-14)


@given(scores, scores, scales)
def test_triplet_logistic__odd_part_is_linear(positive, negative, scale):
    there, _ = triplet_logistic(positive, negative, scale=scale)
    back, _ = triplet_logistic(negative, positive, scale=scale)
    assert there - back == pytest.approx(scale * (negative - positive).mean(), abs=1e-12)


@given(scores, scores, st.sampled_from([1.0, 1e2, 1e4, 1e6]))
def test_triplet_logistic__approaches_hinge(positive, negative, scale):
    loss, _ = triplet_logistic(positive, negative, scale=scale)
    hinge = np.maximum(negative - positive, 0).mean()
    assert -1e-14 <= loss / scale - hinge <= math.log(2) / scale + 1e-14


@given(scores, scores)
def test_triplet_logistic__without_scale_nothing_is_learned(positive, negative):
    loss, gradients = triplet_logistic(positive, negative, scale=1e-12)
    assert loss == pytest.approx(math.log(2), abs=1e-11)
    assert np.abs(gradients).max() < 1e-12


@given(scores, scores, scales, weights)
def test_triplet_logistic__is_softmax_over_two(positive, negative, scale, weights):
    logits = scale * np.stack([positive, negative])
    softmax = (weights * (np.logaddexp(*logits) - logits[0])).mean()
    loss, _ = triplet_logistic(positive, negative, scale=scale, weights=weights)
    assert loss == pytest.approx(softmax, abs=1e-12)


@both_losses
@given(positive=scores, negative=scores, weights=weights, factor=st.floats(0, 4))
def test_pairwise__linear_in_weights(loss, positive, negative, weights, factor):
    one, (_, d_one) = loss(positive, negative)
    weighted, (_, d_weighted) = loss(positive, negative, weights=weights)
    mixed, (_, d_mixed) = loss(positive, negative, weights=factor * weights + 1)
    assert_close((mixed, d_mixed), (factor * weighted + one, factor * d_weighted + d_one), 1e-12)


@both_losses
@given(positive=scores, negative=scores, weights=weights)
def test_pairwise__is_a_mean(loss, positive, negative, weights):
    once, (_, d_once) = loss(positive, negative, weights=weights)
    twice, (_, d_twice) = loss(*np.tile([positive, negative], 2), weights=np.tile(weights, 2))
    assert_close((twice, 2 * d_twice), (once, np.tile(d_once, 2)), 1e-13)


@given(scores, scores, margins, weights)
def test_triplet_hinge__float32_is_close(positive, negative, margin, weights):
    """Three operations on terms of size |p| + |q| + margin, n of them summed."""
    size = np.abs(positive) + np.abs(negative) + margin
    assume((np.abs(negative - positive + margin) > 2 * EPS32 * size).all())
    p, q, w = (x.astype(np.float32) for x in (positive, negative, weights))
    exact, gradients = triplet_hinge(positive, negative, margin=margin, weights=weights)
    d_bound = 2 * EPS32 * weights / len(p)
    bound = (len(p) + 4) * EPS32 * weights @ size / len(p), (d_bound, d_bound)
    single = triplet_hinge(p, q, margin=np.float64(margin), weights=w)
    assert_float32(single, (exact, gradients), bound)


@given(scores, scores, scales, weights)
def test_triplet_logistic__float32_is_close(positive, negative, scale, weights):
    """The bend is known to eps scale (|p| + |q|); log(1 + e^z) and log sigmoid(z) are as steep
    as 1.
    """
    p, q, w = (x.astype(np.float32) for x in (positive, negative, weights))
    exact, gradients = triplet_logistic(positive, negative, scale=scale, weights=weights)
    terms = 2 * scale * (np.abs(positive) + np.abs(negative)) + 8
    d_bound = EPS32 * terms * gradients[1]
    bound = (len(p) + 1) * EPS32 * weights @ terms / len(p), (d_bound, d_bound)
    single = triplet_logistic(p, q, scale=np.float64(scale), weights=w)
    assert_float32(single, (exact, gradients), bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_triplet_logistic__extremes_stay_finite(dtype, scale):
    """Won by 2e4 costs nothing; lost by 2e4 costs that, with the force of a hinge."""
    far = np.array([1e4, -1e4], dtype)
    loss, (_, d_negative) = triplet_logistic(far, -far, scale=scale)
    assert loss == pytest.approx(scale * 1e4)
    assert d_negative == pytest.approx(np.array([0, scale / 2]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_triplet_hinge__extremes_stay_finite(dtype):
    far = np.array([1e4, -1e4], dtype)
    loss, (_, d_negative) = triplet_hinge(far, -far, margin=0.5)
    assert loss == pytest.approx((2e4 + 0.5) / 2, rel=1e-6)
    assert d_negative == pytest.approx(np.array([0, 0.5]))


@both_losses
def test_pairwise__whole_numbers_are_scores(loss):
    assert_close(loss([1, 0], [0, 3]), loss([1.0, 0.0], [0.0, 3.0]), 0)


@both_losses
@pytest.mark.parametrize(
    "positive, negative, weights, message",
    [
        ([], [], None, "non-empty"),
        ([0.1], [0.1, 0.2], None, "equally long"),
        ([[0.1]], [[0.1]], None, "equally long"),
        ([0.1], [0.2], [1.0, 1.0], "weights"),
        ([0.1], [0.2], [-1.0], "weights"),
    ],
)
def test_pairwise__refuses(loss, positive, negative, weights, message):
    with pytest.raises(ValueError, match=message):
        loss(np.array(positive), np.array(negative), weights=weights)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_pairwise__refuses_a_parameter(value):
    with pytest.raises(ValueError, match="margin must be positive"):
        triplet_hinge([0.1], [0.2], margin=value)
    with pytest.raises(ValueError, match="scale must be positive"):
        triplet_logistic([0.1], [0.2], scale=value)


@pytest.mark.parametrize("weights", [None, np.ones(2)])
def test_pairwise__float32_stays_float32_whatever_the_weights(weights):
    scores = np.array([0.5, 0.25], np.float32)
    for _, gradients in (
        triplet_hinge(scores, scores, margin=0.5, weights=weights),
        triplet_logistic(scores, scores, scale=2.0, weights=weights),
    ):
        assert [g.dtype for g in gradients] == [np.float32, np.float32]
