"""Every property that the docstring of stop_gradient_logq.py promises, one test each."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from losses import batches, temperatures, weights_of
from numerics import (
    EPS32,
    along,
    assert_close,
    assert_float32,
    complex_step,
    directional,
    float32_bound,
)

from minitower.formulas.logq import calibrated
from minitower.formulas.softmax import in_batch_softmax
from minitower.formulas.stop_gradient_logq import stop_gradient_logq


def naive_stop_gradient(scores, ids, log_q, temperature, weights, frozen=None):
    """The published form in loops; 1 - p of the frozen scores, the rest of the others."""
    loss, (n, m) = 0, scores.shape
    for i in range(n):
        others = [j for j in range(m) if ids[j] != ids[i]]
        if others:
            q = np.exp(log_q[others]) / (1 - np.exp(log_q[i]))
            held = scores if frozen is None else frozen
            own = np.exp(held[i, i] / temperature)
            p = own / (own + np.mean(np.exp(held[i, others] / temperature) / q))
            own = np.exp(scores[i, i] / temperature)
            total = np.sum(np.exp(scores[i, others] / temperature) / q)
            loss -= weights[i] * (1 - p) * np.log(own / total)
    return loss / n


@given(batches(), temperatures, st.data())
def test_stop_gradient_logq__equals_naive(batch, temperature, data):
    scores, ids, log_q = batch
    options = {"temperature": temperature, "weights": data.draw(weights_of(scores))}
    loss, _ = stop_gradient_logq(scores, log_q, ids, **options)
    assert_close(loss, naive_stop_gradient(scores, ids, log_q, **options), 1e-12)


@given(batches(), temperatures, st.data())
def test_stop_gradient_logq__gradient_is_right_with_the_factor_frozen(batch, temperature, data):
    scores, ids, log_q = batch
    options = {"temperature": temperature, "weights": data.draw(weights_of(scores))}
    _, d_scores = stop_gradient_logq(scores, log_q, ids, **options)
    f = lambda s: naive_stop_gradient(s, ids, log_q, frozen=scores, **options)
    assert_close([d_scores], complex_step(f, [scores]))


@given(batches(), temperatures, st.data())
def test_stop_gradient_logq__gradient_is_calibrated(batch, temperature, data):
    scores, ids, log_q = batch
    options = {"temperature": temperature, "weights": data.draw(weights_of(scores))}
    _, d_scores = stop_gradient_logq(scores, log_q, ids, **options)
    correction = calibrated(log_q, ids, len(scores))
    assert_close(d_scores, in_batch_softmax(scores, correction, **options)[1], 1e-14 / temperature)


def test_stop_gradient_logq__is_not_the_slope_of_its_value():
    """Differentiating 1 - p as well is another gradient: finite differences must not be used."""
    scores, log_q, ids = np.eye(3), np.log([0.5, 0.3, 0.2]), np.arange(3)
    f = lambda s: stop_gradient_logq(s, log_q, ids, temperature=1.0)[0]
    _, d_scores = stop_gradient_logq(scores, log_q, ids, temperature=1.0)
    slope = directional(f, [scores], [np.eye(3)])
    assert abs(slope - along([d_scores], [np.eye(3)])) > 0.1


def test_stop_gradient_logq__may_be_negative():
    """Once the positive beats the sum of all weighted negatives; the calibrated form stays >= 0."""
    scores, log_q, ids = 9 * np.eye(2), np.log([0.5, 0.5]), np.arange(2)
    loss, _ = stop_gradient_logq(scores, log_q, ids, temperature=1.0)
    assert loss < 0
    assert in_batch_softmax(scores, calibrated(log_q, ids), temperature=1.0)[0] > 0


def test_stop_gradient_logq__without_negatives_costs_nothing():
    """One row of copies among others that have negatives, and copies alone."""
    ids = np.array([3, 3])
    loss, gradient = stop_gradient_logq(np.eye(2), np.log([0.5, 0.5]), ids, temperature=0.1)
    assert loss == 0
    assert not gradient.any()


@given(batches(), st.floats(0, 4), st.data())
def test_stop_gradient_logq__linear_in_weights(batch, factor, data):
    scores, ids, log_q = batch
    weights = data.draw(weights_of(scores))
    run = lambda w: stop_gradient_logq(scores, log_q, ids, temperature=0.5, weights=w)
    one, weighted, both = run(None), run(weights), run(factor * weights + 1)
    assert_close(both, tuple(factor * b + a for a, b in zip(one, weighted, strict=True)), 1e-12)


@given(batches(), temperatures)
def test_stop_gradient_logq__float32_is_close(batch, temperature):
    """As the engine, and the loss is a product of two such factors, one of them at most 1."""
    scores, ids, log_q = batch
    n, m = scores.shape
    options = {"temperature": np.float64(temperature)}
    correction = calibrated(log_q, ids, n)
    exact, d_exact = stop_gradient_logq(scores, log_q, ids, **options)
    size = np.abs(scores).max(axis=1) / temperature + np.abs(log_q).max()
    size += np.abs(correction.positive) + math.log(m)
    share = np.full(n, 1 / n)
    loss, _ = float32_bound(size, 2 * size / n, d_exact, np.arange(n))
    _, d_logits = float32_bound(size, share, temperature * d_exact, np.arange(n))
    got = stop_gradient_logq(scores.astype(np.float32), log_q, ids, **options)
    assert_float32(got, (exact, d_exact), (loss + EPS32, d_logits / temperature))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stop_gradient_logq__extremes_stay_finite(dtype):
    """The gradient of a row that is 1e4 behind does not vanish, as it does behind a clamp."""
    scores = np.array([[100, -100], [100, -100]], dtype)
    loss, gradient = stop_gradient_logq(scores, np.log([0.6, 0.4]), np.arange(2), temperature=0.01)
    assert loss == pytest.approx(1e4, rel=1e-4)
    assert gradient == pytest.approx(np.array([[0, 0], [50, -50]]))
    behind = np.array([[0, 30], [0, 0]], dtype)  # in nats, beyond log(1e10) = 23
    _, gradient = stop_gradient_logq(behind, np.log([0.5, 0.5]), np.arange(2), temperature=1.0)
    assert gradient[0] == pytest.approx(np.array([-0.5, 0.5]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_stop_gradient_logq__a_million_candidates(dtype):
    """Sums by halves lose eps log2(10^6), not 10^6 eps."""
    m, eps = 10**6, float(np.finfo(dtype).eps)
    scores = np.random.default_rng(0).uniform(-1, 1, (1, m)).astype(dtype)
    log_q, ids = np.full(m, -math.log(m)), np.arange(m)
    loss, gradient = stop_gradient_logq(scores, log_q, ids, temperature=0.05)
    s = scores[0].astype(float) / 0.05
    others = math.log(math.fsum(np.exp(s[1:]))) + math.log(m - 1)  # each is 1 / Q' = m - 1
    missing = 1 / (1 + math.exp(s[0] + math.log(m - 1) - others))
    assert loss == pytest.approx(missing * (others - s[0]), rel=64 * eps)
    assert gradient[0, 0] == pytest.approx(-missing / 0.05, rel=64 * eps)
    assert math.fsum(gradient[0]) == pytest.approx(0, abs=64 * eps / 0.05)


@pytest.mark.parametrize(
    "shape, log_q, temperature, message",
    [
        ((2, 3), [-1.0, -1.0], 1.0, "candidate_ids"),
        ((2, 2), [-1.0, -1.0, -1.0], 1.0, "made for"),
        ((), [-1.0, -1.0, -1.0], 1.0, r"expected scores \(n,m\), got shape \(\)"),
        ((2, 3), [-1.0, 0.0, -1.0], 1.0, "leaves no other"),
        ((2, 3), [-1.0, -np.inf, -1.0], 1.0, "smooth"),
        ((2, 3), [-1.0, -1.0, -1.0], 0.0, "^temperature"),
    ],
)
def test_stop_gradient_logq__refuses(shape, log_q, temperature, message):
    with pytest.raises(ValueError, match=message):
        stop_gradient_logq(np.zeros(shape), log_q, np.arange(3), temperature=temperature)
