"""Every property that the docstrings of softmax.py promise, one test each."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numerics import along, assert_slope, directional

from minitower.formulas.logq import Correction, calibrated, uncorrected, yi
from minitower.formulas.softmax import in_batch_softmax, softmax_cross_entropy

finite = st.floats(-5, 5)


@st.composite
def softmax_problems(draw):
    """Logits (n,m), a positive column each, a mask that spares it, weights."""
    n, m = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    logits = draw(arrays(float, (n, m), elements=finite))
    positive = draw(arrays(np.int64, n, elements=st.integers(0, m - 1)))
    drop = draw(arrays(bool, (n, m)))
    drop[np.arange(n), positive] = False
    return logits, positive, drop, draw(arrays(float, n, elements=st.floats(0, 3)))


@st.composite
def batches(draw, n=None):
    """Scores (n,n), item ids with repetitions, log q."""
    n = draw(st.integers(1, 6)) if n is None else n
    scores = draw(arrays(float, (n, n), elements=st.floats(-1, 1)))
    ids = draw(arrays(np.int64, n, elements=st.integers(0, 3)))
    log_q = np.log(draw(arrays(float, 4, elements=st.floats(0.01, 0.9))))[ids]
    return scores, ids, log_q


forms = st.sampled_from(
    [
        lambda ids, log_q: uncorrected(ids),
        lambda ids, log_q: uncorrected(ids, mask_hits=True),
        lambda ids, log_q: yi(log_q),
        lambda ids, log_q: yi(log_q, strength=0.25),
        lambda ids, log_q: calibrated(log_q, ids),
    ]
)


def naive_cross_entropy(logits, positive, drop, weights):
    loss = 0.0
    for i in range(len(logits)):
        total = sum(math.exp(v) for v, out in zip(logits[i], drop[i], strict=True) if not out)
        loss -= weights[i] * math.log(math.exp(logits[i, positive[i]]) / total)
    return loss / len(logits)


@given(softmax_problems())
def test_softmax_cross_entropy__equals_naive(problem):
    logits, positive, drop, weights = problem
    loss, _ = softmax_cross_entropy(logits, positive, drop=drop, weights=weights)
    assert loss == pytest.approx(naive_cross_entropy(*problem), abs=1e-12)


@given(softmax_problems(), st.data())
def test_softmax_cross_entropy__gradient_is_right(problem, data):
    logits, positive, drop, weights = problem
    direction = data.draw(arrays(float, logits.shape, elements=st.floats(-1, 1)))
    f = lambda z: softmax_cross_entropy(z, positive, drop=drop, weights=weights)[0]
    _, d_logits = softmax_cross_entropy(logits, positive, drop=drop, weights=weights)
    assert_slope(along([d_logits], [direction]), directional(f, [logits], [direction]), 1e-9)
    assert not d_logits[drop].any()


@given(softmax_problems())
def test_softmax_cross_entropy__rows_of_the_gradient_sum_to_zero(problem):
    logits, positive, drop, weights = problem
    _, d_logits = softmax_cross_entropy(logits, positive, drop=drop, weights=weights)
    assert d_logits.sum(axis=1) == pytest.approx(np.zeros(len(logits)), abs=1e-14)


@given(softmax_problems())
def test_softmax_cross_entropy__never_negative(problem):
    logits, positive, drop, weights = problem
    assert softmax_cross_entropy(logits, positive, drop=drop, weights=weights)[0] >= 0


@given(softmax_problems(), st.floats(-100, 100))
def test_softmax_cross_entropy__unmoved_by_a_row_constant(problem, constant):
    logits, positive, drop, _ = problem
    shift = constant * np.arange(1, len(logits) + 1)[:, None]
    loss, gradient = softmax_cross_entropy(logits, positive, drop=drop)
    shifted, shifted_gradient = softmax_cross_entropy(logits + shift, positive, drop=drop)
    assert shifted == pytest.approx(loss, abs=1e-10)
    assert shifted_gradient == pytest.approx(gradient, abs=1e-10)


@given(softmax_problems(), st.data())
def test_softmax_cross_entropy__dropping_is_removing(problem, data):
    logits, positive, _, weights = problem
    column = data.draw(st.integers(0, logits.shape[1]))
    wider = np.insert(logits, column, 7.0, axis=1)
    drop = np.zeros(wider.shape, bool)
    drop[:, column] = True
    moved = positive + (positive >= column)
    loss, gradient = softmax_cross_entropy(wider, moved, drop=drop, weights=weights)
    without, without_gradient = softmax_cross_entropy(logits, positive, weights=weights)
    assert loss == pytest.approx(without, abs=1e-12)
    assert np.delete(gradient, column, axis=1) == pytest.approx(without_gradient, abs=1e-12)


@given(st.floats(-1e4, 1e4), st.integers(1, 4))
def test_softmax_cross_entropy__one_candidate_costs_nothing(logit, n):
    loss, gradient = softmax_cross_entropy(np.full((n, 1), logit), np.zeros(n, int))
    assert loss == 0
    assert not gradient.any()


@given(st.floats(-1e3, 1e3), st.integers(1, 50))
def test_softmax_cross_entropy__equal_logits_cost_log_m(logit, m):
    loss, _ = softmax_cross_entropy(np.full((2, m), logit), np.zeros(2, int))
    assert loss == pytest.approx(math.log(m), abs=1e-10)


@given(softmax_problems(), st.floats(0, 4))
def test_softmax_cross_entropy__linear_in_weights(problem, scale):
    logits, positive, drop, weights = problem
    one, _ = softmax_cross_entropy(logits, positive, drop=drop)
    weighted, _ = softmax_cross_entropy(logits, positive, drop=drop, weights=weights)
    mixed, _ = softmax_cross_entropy(logits, positive, drop=drop, weights=scale * weights + 1)
    assert mixed == pytest.approx(scale * weighted + one, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_cross_entropy__extremes_stay_finite(dtype):
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]], dtype)
    loss, gradient = softmax_cross_entropy(logits, np.array([0, 0]))
    assert loss == pytest.approx(1e4)  # the first row is certain, the second 2e4 off
    assert gradient == pytest.approx(np.array([[0, 0, 0], [-0.5, 0.5, 0]]))
    assert gradient.dtype == dtype


@pytest.mark.parametrize(
    "positive, drop, weights, message",
    [
        ([0], None, None, "one positive"),
        ([0, 2], None, None, "not among"),
        ([0, -1], None, None, "not among"),
        ([0, 1], [[True, False]], None, "drop has shape"),
        ([0, 1], [[True, False], [False, False]], None, "own positive"),
        ([0, 1], None, [1.0], "weights"),
        ([0, 1], None, [1.0, -1.0], "weights"),
        ([0, 1], None, [1.0, np.nan], "weights"),
    ],
)
def test_softmax_cross_entropy__refuses(positive, drop, weights, message):
    drop = None if drop is None else np.array(drop)
    with pytest.raises(ValueError, match=message):
        softmax_cross_entropy(np.zeros((2, 2)), np.array(positive), drop=drop, weights=weights)


@given(batches(), forms, st.floats(0.05, 2))
def test_in_batch_softmax__equals_naive(batch, form, temperature):
    scores, ids, log_q = batch
    correction = form(ids, log_q)
    loss = 0.0
    for i in range(len(scores)):
        own = math.exp(scores[i, i] / temperature - correction.positive[i])
        total = own
        for j in range(len(scores)):
            hit = correction.hits is not None and ids[j] == ids[i]
            if j != i and not hit:
                total += math.exp(scores[i, j] / temperature - correction.candidates[j])
        loss -= math.log(own / total)
    mean = loss / len(scores)
    assert in_batch_softmax(scores, correction, temperature=temperature)[0] == pytest.approx(
        mean, rel=1e-11, abs=1e-11
    )


@given(batches(), forms, st.floats(0.1, 2), st.data())
def test_in_batch_softmax__gradient_is_right(batch, form, temperature, data):
    scores, ids, log_q = batch
    correction = form(ids, log_q)
    direction = data.draw(arrays(float, scores.shape, elements=st.floats(-1, 1)))
    f = lambda s: in_batch_softmax(s, correction, temperature=temperature)[0]
    _, d_scores = in_batch_softmax(scores, correction, temperature=temperature)
    slope = directional(f, [scores], [direction], h=1e-3 * temperature)
    assert_slope(along([d_scores], [direction]), slope, 1e-9)


def test_in_batch_softmax__two_in_the_batch_by_hand():
    """Row 0: logits 0.6/0.5 - log 0.2 and 0.1/0.5 - log 0.8: the order is s/t, then - log q."""
    scores = np.array([[0.6, 0.1], [0.3, 0.4]])
    loss, _ = in_batch_softmax(scores, yi(np.log([0.2, 0.8])), temperature=0.5)
    first = math.log1p(math.exp((0.1 - 0.6) / 0.5) * 0.2 / 0.8)
    second = math.log1p(math.exp((0.3 - 0.4) / 0.5) * 0.8 / 0.2)
    assert loss == pytest.approx((first + second) / 2, abs=1e-15)


@given(batches(), forms, st.randoms(use_true_random=False))
def test_in_batch_softmax__joint_permutation_changes_nothing(batch, form, random):
    scores, ids, log_q = batch
    order = random.sample(range(len(ids)), len(ids))
    loss, gradient = in_batch_softmax(scores, form(ids, log_q), temperature=0.3)
    shuffled, shuffled_gradient = in_batch_softmax(
        scores[np.ix_(order, order)], form(ids[order], log_q[order]), temperature=0.3
    )
    assert shuffled == pytest.approx(loss, abs=1e-11)
    assert shuffled_gradient == pytest.approx(gradient[np.ix_(order, order)], abs=1e-11)


@given(batches())
def test_in_batch_softmax__large_temperature_forgets_the_scores(batch):
    scores, ids, _ = batch
    loss, _ = in_batch_softmax(scores, uncorrected(ids), temperature=1e9)
    assert loss == pytest.approx(math.log(len(scores)), abs=1e-8)


@given(batches())
def test_in_batch_softmax__small_temperature_is_a_hinge_on_the_best_negative(batch):
    scores, ids, _ = batch
    temperature = 1e-4
    loss, _ = in_batch_softmax(scores, uncorrected(ids), temperature=temperature)
    hinge = np.maximum(scores.max(axis=1) - np.diag(scores), 0).mean()
    assert 0 <= loss * temperature - hinge + 1e-12 <= temperature * math.log(len(scores)) + 2e-12


@pytest.mark.parametrize(
    "shape, made_for, temperature, message",
    [
        ((2, 2), 2, 0.0, "temperature"),
        ((2, 3), 2, 1.0, "made for"),
        ((0, 0), 0, 1.0, "n >= 1"),
        ((2,), 2, 1.0, "made for"),
    ],
)
def test_in_batch_softmax__refuses(shape, made_for, temperature, message):
    zero = np.zeros(made_for)
    with pytest.raises(ValueError, match=message):
        in_batch_softmax(np.zeros(shape), Correction(zero, zero), temperature=temperature)
