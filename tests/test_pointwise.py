"""Every property that the docstrings of pointwise.py promise, one test each."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from losses import n, scales, scores, weights
from numerics import (
    EPS32,
    along,
    assert_close,
    assert_float32,
    assert_slope,
    complex_step,
    directional,
)

from minitower.formulas.pointwise import pointwise_logistic, pointwise_squared
from minitower.formulas.softmax import softmax_cross_entropy

labels = n.flatmap(lambda size: arrays(float, size, elements=st.sampled_from([-1.0, 1.0])))
biases = st.floats(-4, 4, width=32)

LOSSES = {
    "squared": pointwise_squared,
    "logistic": lambda s, y, **options: pointwise_logistic(s, y, scale=3.0, bias=-0.5, **options),
}


def d_scores_of(result):
    """The gradient with respect to the scores, of either loss."""
    return result[1][0] if isinstance(result[1], tuple) else result[1]


def naive_squared(scores, labels, weights):
    total = sum(w * (s - y) * (s - y) for s, y, w in zip(scores, labels, weights, strict=True))
    return total / len(labels)


def naive_logistic(scores, labels, weights, scale, bias):
    total = 0
    for s, y, w in zip(scores, labels, weights, strict=True):
        total += w * np.log(1 + np.exp(-y * (scale * s + bias)))
    return total / len(labels)


@given(scores, labels, weights)
def test_pointwise_squared__equals_naive(scores, labels, weights):
    loss, _ = pointwise_squared(scores, labels, weights=weights)
    assert_close(loss, naive_squared(scores, labels, weights), 1e-13)


@given(scores, labels, weights)
def test_pointwise_squared__gradient_is_right(scores, labels, weights):
    _, d_scores = pointwise_squared(scores, labels, weights=weights)
    assert_close([d_scores], complex_step(lambda s: naive_squared(s, labels, weights), [scores]))


@given(scores, labels, weights, scales, biases)
def test_pointwise_logistic__equals_naive(scores, labels, weights, scale, bias):
    loss, _ = pointwise_logistic(scores, labels, scale=scale, bias=bias, weights=weights)
    assert_close(loss, naive_logistic(scores, labels, weights, scale, bias), 1e-12)


@given(scores, labels, weights, scales, biases)
def test_pointwise_logistic__gradient_is_right(scores, labels, weights, scale, bias):
    _, gradients = pointwise_logistic(scores, labels, scale=scale, bias=bias, weights=weights)
    f = lambda s, a, b: naive_logistic(s, labels, weights, a, b)
    assert_close(gradients, complex_step(f, [scores, scale, bias]))


@given(scores, labels, scales, biases, scores, st.floats(-1, 1), st.floats(-1, 1))
def test_pointwise_logistic__slope_is_right(scores, labels, scale, bias, along_s, along_a, along_b):
    """The loss's own slope, the oracle aside."""
    direction = [along_s, np.float64(along_a), np.float64(along_b)]
    f = lambda s, a, b: pointwise_logistic(s, labels, scale=a, bias=b)[0]
    _, gradients = pointwise_logistic(scores, labels, scale=scale, bias=bias)
    slope = directional(f, [scores, np.float64(scale), np.float64(bias)], direction, h=1e-2)
    assert_slope(along(gradients, direction), slope, 1e-5)


@given(scores, labels)
def test_pointwise_squared__zero_only_at_the_label(scores, labels):
    loss, d_scores = pointwise_squared(labels, labels)
    assert loss == 0
    assert not d_scores.any()
    assert (pointwise_squared(scores, labels)[0] > 0) == (scores != labels).any()


@given(scores, labels)
def test_pointwise_squared__label_and_score_may_both_flip(scores, labels):
    loss, d_scores = pointwise_squared(scores, labels)
    flipped, d_flipped = pointwise_squared(-scores, -labels)
    assert flipped == loss
    assert np.array_equal(d_flipped, -d_scores)


@given(scores, labels, scales, biases)
def test_pointwise_logistic__label_and_score_may_both_flip(scores, labels, scale, bias):
    """With the bias, which is part of the score."""
    loss, (d_scores, d_scale, d_bias) = pointwise_logistic(scores, labels, scale=scale, bias=bias)
    flipped, gradients = pointwise_logistic(-scores, -labels, scale=scale, bias=-bias)
    assert flipped == loss
    assert_close(gradients, (-d_scores, d_scale, -d_bias), 0)


@given(labels, scales)
def test_pointwise_logistic__log2_at_zero(labels, scale):
    loss, _ = pointwise_logistic(np.zeros(len(labels)), labels, scale=scale)
    assert loss == pytest.approx(math.log(2), abs=1e-15)


@given(scores, labels, scales, biases, st.floats(0.01, 1))
def test_pointwise_logistic__falls_toward_the_label(scores, labels, scale, bias, step):
    before, (d_scores, _, _) = pointwise_logistic(scores, labels, scale=scale, bias=bias)
    after, _ = pointwise_logistic(scores + step * labels, labels, scale=scale, bias=bias)
    assert after < before
    assert (d_scores * labels < 0).all()


@given(scores, labels, scales, biases)
def test_pointwise_logistic__is_softmax_against_zero(scores, labels, scale, bias):
    z = scale * scores + bias
    logits = np.column_stack([z, np.zeros(len(z))])
    expected, d_logits = softmax_cross_entropy(logits, (labels < 0).astype(int))
    loss, (d_scores, _, _) = pointwise_logistic(scores, labels, scale=scale, bias=bias)
    assert_close((loss, d_scores), (expected, scale * d_logits[:, 0]), 1e-12)


@given(scores, labels, scales)
def test_pointwise_logistic__cosines_cannot_fall_below_the_floor(scores, labels, scale):
    """At scale 1, 0.313: the reason why cosines want a scale."""
    floor = math.log1p(math.exp(-scale))
    assert pointwise_logistic(scores, labels, scale=scale)[0] >= floor * (1 - 1e-14)
    assert pointwise_logistic(labels, labels, scale=scale)[0] == pytest.approx(floor, rel=1e-14)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_pointwise_logistic__bias_absorbs_the_class_ratio(k):
    """Where scores say nothing, the bias rests at the log-odds of a click."""
    labels = np.array([1.0] + [-1.0] * k)
    _, (_, _, d_bias) = pointwise_logistic(np.zeros(k + 1), labels, bias=-math.log(k))
    assert d_bias == pytest.approx(0, abs=1e-16)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@given(scores=scores, labels=labels, weights=weights, factor=st.floats(0, 4))
def test_pointwise__linear_in_weights(loss, scores, labels, weights, factor):
    one, weighted = loss(scores, labels), loss(scores, labels, weights=weights)
    mixed = loss(scores, labels, weights=factor * weights + 1)
    assert_close(mixed[0], factor * weighted[0] + one[0], 1e-12)
    assert_close(d_scores_of(mixed), factor * d_scores_of(weighted) + d_scores_of(one), 1e-12)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@given(scores=scores, labels=labels, weights=weights)
def test_pointwise__is_a_mean(loss, scores, labels, weights):
    """Over n: a batch twice as long, or a short last one, is not a larger or smaller loss."""
    once = loss(scores, labels, weights=weights)
    twice = loss(*(np.tile(x, 2) for x in (scores, labels)), weights=np.tile(weights, 2))
    assert_close(twice[0], once[0], 1e-13)
    assert_close(2 * d_scores_of(twice), np.tile(d_scores_of(once), 2), 1e-13)


@given(scores, labels, weights)
def test_pointwise_squared__float32_is_close(scores, labels, weights):
    """Four operations on each term, n of one sign summed."""
    s, w = scores.astype(np.float32), weights.astype(np.float32)
    exact, d_exact = pointwise_squared(scores, labels, weights=weights)
    bound = (len(s) + 6) * EPS32 * exact, 4 * EPS32 * np.abs(d_exact)
    assert_float32(pointwise_squared(s, labels, weights=w), (exact, d_exact), bound)


@given(scores, labels, weights, scales, biases)
def test_pointwise_logistic__float32_is_close(scores, labels, weights, scale, bias):
    """z is known to eps (|scale s| + |bias|); log(1 + e^z) and log sigmoid(z) are as steep as 1."""
    options = {"scale": np.float64(scale), "bias": np.float64(bias)}
    s, w = scores.astype(np.float32), weights.astype(np.float32)
    exact, gradients = pointwise_logistic(scores, labels, weights=weights, **options)
    terms = 2 * (np.abs(scale * scores) + abs(bias)) + 8
    d_bound = EPS32 * terms * np.abs(gradients[0])
    dz = (d_bound + len(s) * EPS32 * np.abs(gradients[0])) / scale
    bound = (len(s) + 1) * EPS32 * weights @ terms / len(s), d_bound, dz @ np.abs(scores), dz.sum()
    assert_float32(pointwise_logistic(s, labels, weights=w, **options), (exact, gradients), bound)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pointwise_squared__extremes_stay_finite(dtype):
    loss, d_scores = pointwise_squared(np.array([1e4, -1e4], dtype), [1, 1])
    assert loss == pytest.approx((9999**2 + 10001**2) / 2, rel=1e-6)
    assert d_scores == pytest.approx(np.array([9999, -10001]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_pointwise_logistic__extremes_stay_finite(dtype, scale):
    """Right by 1e4 costs nothing, wrong by 1e4 costs that, with the slope of a hinge."""
    right, wrong = np.array([1e4, -1e4], dtype), np.array([-1e4, 1e4], dtype)
    loss, (d_scores, d_scale, d_bias) = pointwise_logistic(right, [1, -1], scale=scale)
    assert loss == d_scale == d_bias == 0
    assert not d_scores.any()
    loss, (d_scores, d_scale, d_bias) = pointwise_logistic(wrong, [1, -1], scale=scale)
    assert loss == pytest.approx(scale * 1e4)
    assert d_scores == pytest.approx(np.array([-scale / 2, scale / 2]))
    assert (d_scale, d_bias) == pytest.approx((1e4, 0))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_pointwise__whole_numbers_are_scores(loss):
    assert_close(loss([1, 0, -1], [1, 1, 1]), loss([1.0, 0.0, -1.0], [1.0, 1.0, 1.0]), 0)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize(
    "scores, labels, weights, message",
    [
        ([], [], None, "non-empty"),
        ([0.1, 0.2], [1], None, "equally long"),
        ([[0.1]], [[1]], None, "equally long"),
        ([0.1, 0.2], [1, 0], None, "labels"),
        ([0.1, 0.2], [1, np.nan], None, "labels"),
        ([0.1, 0.2], [1, -1], [1.0], "weights"),
        ([0.1, 0.2], [1, -1], [1.0, -1.0], "weights"),
    ],
)
def test_pointwise__refuses(loss, scores, labels, weights, message):
    with pytest.raises(ValueError, match=message):
        loss(np.array(scores), np.array(labels), weights=weights)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf])
def test_pointwise_logistic__refuses_a_scale(scale):
    with pytest.raises(ValueError, match="scale must be positive"):
        pointwise_logistic([0.1], [1], scale=scale)


@pytest.mark.parametrize("weights", [None, np.ones(2)])
def test_pointwise__float32_stays_float32_whatever_the_weights(weights):
    scores = np.array([0.5, 0.25], np.float32)
    assert pointwise_squared(scores, [1, -1], weights=weights)[1].dtype == np.float32
    assert pointwise_logistic(scores, [1, -1], weights=weights)[1][0].dtype == np.float32


def test_pointwise_logistic__by_default_the_score_is_the_logit():
    loss, _ = pointwise_logistic(np.array([0.3, -2.0]), [1, -1])
    assert loss == pytest.approx(np.log1p(np.exp([-0.3, -2.0])).mean())
