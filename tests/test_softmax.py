"""Every property that the docstrings of softmax.py promise, one test each."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from losses import batches, temperatures, weights_of
from numerics import (
    EPS32,
    along,
    assert_close,
    assert_float32,
    assert_slope,
    complex_step,
    directional,
    float32_bound,
)

from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.formulas.hits import AccidentalHits
from minitower.formulas.logq import (
    Correction,
    calibrated,
    cross_batch,
    mixed,
    uncorrected,
    yi,
)
from minitower.formulas.pairwise import triplet_logistic
from minitower.formulas.similarity import cosine, l2_normalize
from minitower.formulas.softmax import (
    in_batch_softmax,
    info_nce,
    listwise_softmax,
    softmax_cross_entropy,
    temperature_gradient,
)
from minitower.formulas.stop_gradient_logq import stop_gradient_logq

finite = st.floats(-5, 5)
omegas = st.floats(1, 3)


@st.composite
def softmax_problems(draw):
    """Logits (n,m), a positive column each, a mask that spares it, weights."""
    n, m = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    logits = draw(arrays(float, (n, m), elements=finite))
    positive = draw(arrays(np.int64, n, elements=st.integers(0, m - 1)))
    drop = draw(arrays(bool, (n, m)))
    drop[np.arange(n), positive] = False
    return logits, positive, drop, draw(arrays(float, n, elements=st.floats(0, 3)))


never = lambda i, j, ids, n: False
same = lambda i, j, ids, n: ids[i] == ids[j]
FORMS = {
    "uncorrected": (lambda ids, log_q, n: uncorrected(ids, n=n), never),
    "masked": (lambda ids, log_q, n: uncorrected(ids, mask_hits=True, n=n), same),
    "yi": (lambda ids, log_q, n: yi(log_q, n=n), never),
    "yi, 0.25": (lambda ids, log_q, n: yi(log_q, logq_weight=0.25, n=n), never),
    "cross-batch": (
        lambda ids, log_q, n: cross_batch(log_q, ids, n),
        lambda i, j, ids, n: j >= n and ids[i] == ids[j],
    ),
    "mixed": (lambda ids, log_q, n: mixed(log_q, n), never),
    "calibrated": (lambda ids, log_q, n: calibrated(log_q, ids, n), same),
}
forms = st.sampled_from(list(FORMS.values()))


def naive_cross_entropy(logits, positive, drop, weights, omega=1.0):
    loss = 0.0
    for i in range(len(logits)):
        total = sum(np.exp(v) for v, out in zip(logits[i], drop[i], strict=True) if not out)
        loss -= weights[i] * np.log(np.exp(logits[i, positive[i]]) / total**omega)
    return loss / len(logits)


def naive_in_batch(scores, ids, correction, left_out, temperature, weights, omega=1.0):
    loss = 0
    n, m = scores.shape
    for i in range(n):
        own = np.exp(scores[i, i] / temperature - correction.positive[i])
        total = own
        for j in range(m):
            if j != i and not left_out(i, j, ids, n):
                total += np.exp(scores[i, j] / temperature - correction.candidates[j])
        loss -= weights[i] * np.log(own / total**omega)
    return loss / n


@given(softmax_problems(), omegas)
def test_softmax_cross_entropy__equals_naive(problem, omega):
    logits, positive, drop, weights = problem
    loss, _ = softmax_cross_entropy(
        logits, positive, drop=drop, weights=weights, log_sum_weight=omega
    )
    assert loss == pytest.approx(naive_cross_entropy(*problem, omega), abs=1e-12)


@given(softmax_problems(), omegas, st.data())
def test_softmax_cross_entropy__slope_is_right(problem, omega, data):
    """The loss's own slope, the oracle aside."""
    logits, positive, drop, weights = problem
    direction = data.draw(arrays(float, logits.shape, elements=st.floats(-1, 1)))
    options = {"drop": drop, "weights": weights, "log_sum_weight": omega}
    f = lambda z: softmax_cross_entropy(z, positive, **options)[0]
    _, d_logits = softmax_cross_entropy(logits, positive, **options)
    assert_slope(along([d_logits], [direction]), directional(f, [logits], [direction]), 1e-9)


@given(softmax_problems(), omegas)
def test_softmax_cross_entropy__gradient_is_right(problem, omega):
    logits, positive, drop, weights = problem
    _, d_logits = softmax_cross_entropy(
        logits, positive, drop=drop, weights=weights, log_sum_weight=omega
    )
    f = lambda z: naive_cross_entropy(z, positive, drop, weights, omega)
    assert_close([d_logits], complex_step(f, [logits]))
    assert not d_logits[drop].any()


@given(softmax_problems())
def test_softmax_cross_entropy__is_a_mean(problem):
    """Over n: not a sum, and not over the weights."""
    logits, positive, drop, weights = problem
    once, d_once = softmax_cross_entropy(logits, positive, drop=drop, weights=weights)
    twice, d_twice = softmax_cross_entropy(
        np.tile(logits, (2, 1)),
        np.tile(positive, 2),
        drop=np.tile(drop, (2, 1)),
        weights=np.tile(weights, 2),
    )
    assert_close((twice, 2 * d_twice), (once, np.tile(d_once, (2, 1))), 1e-13)


@given(softmax_problems())
def test_softmax_cross_entropy__float32_is_close(problem):
    logits, positive, drop, weights = problem
    single, w = logits.astype(np.float32), weights.astype(np.float32)
    exact = softmax_cross_entropy(single.astype(float), positive, drop=drop, weights=w)
    bound = float32_bound(np.abs(logits).max(axis=1), w / len(w), exact[1], positive)
    assert_float32(softmax_cross_entropy(single, positive, drop=drop, weights=w), exact, bound)


@given(softmax_problems(), omegas)
def test_softmax_cross_entropy__rows_of_the_gradient_sum_to_omega_minus_one(problem, omega):
    """To zero, that is, in the plain loss."""
    logits, positive, drop, weights = problem
    options = {"drop": drop, "weights": weights}
    _, plain = softmax_cross_entropy(logits, positive, **options)
    assert plain.sum(axis=1) == pytest.approx(np.zeros(len(logits)), abs=1e-14)
    _, weighted = softmax_cross_entropy(logits, positive, log_sum_weight=omega, **options)
    expected = weights * (omega - 1) / len(logits)
    assert weighted.sum(axis=1) == pytest.approx(expected, abs=1e-13)


@given(softmax_problems(), omegas)
def test_softmax_cross_entropy__linear_in_log_sum_weight(problem, omega):
    """Between any two weights, the loss and its gradient move by the log-sum's."""
    logits, positive, drop, weights = problem
    at = lambda weight: softmax_cross_entropy(
        logits, positive, drop=drop, weights=weights, log_sum_weight=weight
    )
    (one, d_one), (two, d_two), got = at(1), at(2), at(omega)
    expected = one + (omega - 1) * (two - one), d_one + (omega - 1) * (d_two - d_one)
    assert_close(got, expected, 1e-12)


@given(softmax_problems(), omegas, temperatures)
def test_softmax_cross_entropy__log_sum_weight_is_a_second_temperature(problem, omega, t):
    """omega (log sum exp(s / t) - s+ / (omega t)): positives at omega t, negatives at t."""
    scores, positive, drop, _ = problem
    got, _ = softmax_cross_entropy(scores / t, positive, drop=drop, log_sum_weight=omega)
    log_sums = [np.logaddexp.reduce(row[~out]) for row, out in zip(scores / t, drop, strict=True)]
    own = scores[np.arange(len(scores)), positive]
    expected = omega * np.mean(log_sums - own / (omega * t))
    assert got == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(softmax_problems())
def test_softmax_cross_entropy__decoupled_is_steeper(problem):
    """Row by row, the plain loss is the softplus of the decoupled one, 1 - P times as steep."""
    logits, positive, drop, weights = problem
    for i in range(len(logits)):
        row = logits[i : i + 1], positive[i : i + 1]
        options = {"drop": drop[i : i + 1], "weights": weights[i : i + 1]}
        plain, d_plain = softmax_cross_entropy(*row, **options)
        got, d_got = softmax_cross_entropy(*row, decoupled=True, **options)
        if drop[i].sum() == logits.shape[1] - 1:  # no negative
            assert (got, d_got.any()) == (0, False)
            continue
        unit, _ = softmax_cross_entropy(*row, drop=drop[i : i + 1], decoupled=True)
        log_p = -softmax_cross_entropy(*row, drop=drop[i : i + 1])[0]
        assert plain == pytest.approx(weights[i] * np.logaddexp(0, unit), abs=1e-12)
        assert got == pytest.approx(weights[i] * unit, abs=1e-12)
        assert d_plain == pytest.approx(-np.expm1(log_p) * d_got, abs=1e-12)


@given(softmax_problems(), omegas, st.data())
def test_softmax_cross_entropy__decoupled_slope_is_right(problem, omega, data):
    logits, positive, drop, weights = problem
    direction = data.draw(arrays(float, logits.shape, elements=st.floats(-1, 1)))
    options = {"drop": drop, "weights": weights, "log_sum_weight": omega, "decoupled": True}
    f = lambda z: softmax_cross_entropy(z, positive, **options)[0]
    before = logits.copy()
    _, d_logits = softmax_cross_entropy(logits, positive, **options)
    assert np.array_equal(logits, before)
    assert_slope(along([d_logits], [direction]), directional(f, [logits], [direction]), 1e-9)
    has_negatives = (~drop).sum(axis=1) > 1
    expected = weights * has_negatives * (omega - 1) / len(logits)
    assert d_logits.sum(axis=1) == pytest.approx(expected, abs=1e-13)


@given(softmax_problems())
def test_softmax_cross_entropy__never_negative(problem):
    logits, positive, drop, weights = problem
    assert softmax_cross_entropy(logits, positive, drop=drop, weights=weights)[0] >= 0


@given(softmax_problems(), st.floats(-100, 100), omegas)
def test_softmax_cross_entropy__a_row_constant_costs_omega_minus_one(problem, constant, omega):
    """Nothing, that is, in the plain loss; times the constant otherwise."""
    logits, positive, drop, _ = problem
    shift = constant * np.arange(1, len(logits) + 1)[:, None]
    options = {"drop": drop, "log_sum_weight": omega}
    loss, gradient = softmax_cross_entropy(logits, positive, **options)
    shifted, shifted_gradient = softmax_cross_entropy(logits + shift, positive, **options)
    assert shifted == pytest.approx(loss + (omega - 1) * shift.mean(), abs=1e-10)
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
        ([0, 1], None, [1.0, np.inf], "weights"),
        ([0.0, 0.5], None, None, "positive must be integers"),
    ],
)
def test_softmax_cross_entropy__refuses(positive, drop, weights, message):
    drop = None if drop is None else np.array(drop)
    with pytest.raises(ValueError, match=message):
        softmax_cross_entropy(np.zeros((2, 2)), np.array(positive), drop=drop, weights=weights)


@pytest.mark.parametrize("weight", [0.99, 101, np.nan, "1"])
def test_softmax_cross_entropy__refuses_a_log_sum_weight(weight):
    with pytest.raises(ValueError, match="log_sum_weight must be"):
        softmax_cross_entropy(np.zeros((2, 2)), [0, 1], log_sum_weight=weight)


@given(batches(), forms, temperatures, omegas, st.data())
def test_in_batch_softmax__equals_naive(batch, form, temperature, omega, data):
    (scores, ids, log_q), (make, left_out) = batch, form
    correction, weights = make(ids, log_q, len(scores)), data.draw(weights_of(scores))
    options = {"temperature": temperature, "weights": weights, "log_sum_weight": omega}
    loss, _ = in_batch_softmax(scores, correction, **options)
    naive = naive_in_batch(scores, ids, correction, left_out, temperature, weights, omega)
    assert_close(loss, naive, 1e-12)


@given(batches(), forms, temperatures, omegas, st.data())
def test_in_batch_softmax__gradient_is_right(batch, form, temperature, omega, data):
    (scores, ids, log_q), (make, left_out) = batch, form
    correction, weights = make(ids, log_q, len(scores)), data.draw(weights_of(scores))
    options = {"temperature": temperature, "weights": weights, "log_sum_weight": omega}
    _, d_scores = in_batch_softmax(scores, correction, **options)
    f = lambda s: naive_in_batch(s, ids, correction, left_out, temperature, weights, omega)
    assert_close([d_scores], complex_step(f, [scores]))


@given(batches(), forms, temperatures, st.data())
def test_in_batch_softmax__slope_is_right(batch, form, temperature, data):
    """The loss's own slope, the oracle aside."""
    (scores, ids, log_q), (make, _) = batch, form
    correction = make(ids, log_q, len(scores))
    direction = data.draw(arrays(float, scores.shape, elements=st.floats(-1, 1)))
    f = lambda s: in_batch_softmax(s, correction, temperature=temperature)[0]
    _, d_scores = in_batch_softmax(scores, correction, temperature=temperature)
    slope = directional(f, [scores], [direction], h=1e-2 * temperature)
    assert_slope(along([d_scores], [direction]), slope, 1e-9)


def test_in_batch_softmax__two_in_the_batch_by_hand():
    """Row 0: logits 0.6/0.5 - log 0.2 and 0.1/0.5 - log 0.8: the order is s/t, then - log q."""
    scores = np.array([[0.6, 0.1], [0.3, 0.4]])
    loss, _ = in_batch_softmax(scores, yi(np.log([0.2, 0.8])), temperature=0.5)
    first = math.log1p(math.exp((0.1 - 0.6) / 0.5) * 0.2 / 0.8)
    second = math.log1p(math.exp((0.3 - 0.4) / 0.5) * 0.8 / 0.2)
    assert loss == pytest.approx((first + second) / 2, abs=1e-15)


@given(batches(square=True), forms, st.randoms(use_true_random=False))
def test_in_batch_softmax__joint_permutation_changes_nothing(batch, form, random):
    (scores, ids, log_q), (make, _) = batch, form
    n = len(scores)
    order = random.sample(range(n), n)
    loss, gradient = in_batch_softmax(scores, make(ids, log_q, n), temperature=0.3)
    shuffled, shuffled_gradient = in_batch_softmax(
        scores[np.ix_(order, order)], make(ids[order], log_q[order], n), temperature=0.3
    )
    assert shuffled == pytest.approx(loss, abs=1e-11)
    assert shuffled_gradient == pytest.approx(gradient[np.ix_(order, order)], abs=1e-11)


def test_in_batch_softmax__order_of_temperature_and_correction_matters():
    """(s - log q) / t raises q to the power 1/t: another loss, and a much larger correction."""
    scores, log_q, t = np.eye(2), np.log([0.9, 0.1]), 0.05
    right, _ = in_batch_softmax(scores, yi(log_q), temperature=t)
    wrong, _ = in_batch_softmax(scores - log_q, uncorrected(np.arange(2)), temperature=t)
    gap = math.log(9)
    exactly = lambda gap: np.logaddexp(0, [-1 / t + gap, -1 / t - gap]).mean()
    assert right == pytest.approx(exactly(gap), rel=1e-14)
    assert wrong == pytest.approx(exactly(gap / t), rel=1e-14)
    assert wrong > 1e6 * right


@given(st.integers(1, 6), st.integers(1, 4), st.floats(0.05, 2), st.data())
def test_in_batch_softmax__cosines_bound_the_loss(m, d, temperature, data):
    users, items = data.draw(arrays(float, (2, m, d), elements=st.floats(-3, 3)))
    scores = l2_normalize(users)[0] @ l2_normalize(items)[0].T
    loss, _ = in_batch_softmax(scores, uncorrected(np.arange(m)), temperature=temperature)
    low, high = (math.log1p((m - 1) * math.exp(s / temperature)) for s in (-2, 2))
    assert low - 1e-12 <= loss <= high + 1e-12


def test_in_batch_softmax__without_a_temperature_a_thousand_cannot_be_told_apart():
    """The lecture's literal form, t = 1, at its very best: one for the own item, -1 for others."""
    best = 2 * np.eye(1024) - 1
    loss, _ = in_batch_softmax(best, uncorrected(np.arange(1024)), temperature=1.0)
    assert math.exp(-loss) == pytest.approx(0.0072, abs=5e-5)
    assert loss > 4.93


@given(batches(), forms, temperatures, st.data())
def test_in_batch_softmax__float32_is_close(batch, form, temperature, data):
    (scores, ids, log_q), (make, _) = batch, form
    n, weights = len(scores), data.draw(weights_of(scores))
    correction, options = make(ids, log_q, n), {"temperature": np.float64(temperature)}
    exact, d_exact = in_batch_softmax(scores, correction, weights=weights, **options)
    size = np.abs(scores).max(axis=1) / temperature + np.abs(correction.candidates).max()
    size += np.abs(correction.positive)
    loss, d_logits = float32_bound(size, weights / n, temperature * d_exact, np.arange(n))
    got = in_batch_softmax(
        scores.astype(np.float32), correction, weights=weights.astype(np.float32), **options
    )
    assert_float32(got, (exact, d_exact), (loss, d_logits / temperature))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_in_batch_softmax__extremes_stay_finite(form, dtype):
    """Logits of +-1e4: the positive wins by 2e4 in one row and loses by it in the other."""
    scores, ids, log_q = (
        np.array([[100, -100], [100, -100]], dtype),
        np.arange(2),
        np.log([0.6, 0.4]),
    )
    loss, gradient = in_batch_softmax(scores, form[0](ids, log_q, 2), temperature=0.01)
    assert loss == pytest.approx(1e4, rel=1e-4)
    assert gradient == pytest.approx(np.array([[0, 0], [50, -50]]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_in_batch_softmax__one_row_and_a_million_candidates(form, dtype):
    """Textbook, blocks, and an exact sum agree."""
    m, eps, temperature = 10**6, float(np.finfo(dtype).eps), 0.05
    rng = np.random.default_rng(0)
    ids = np.arange(m)
    items = rng.uniform(-1, 1, (m, 1)).astype(dtype)
    correction = form[0](ids, np.log(rng.uniform(0.5, 1.5, m) / m), 1)
    loss, gradient = in_batch_softmax(items.T, correction, temperature=temperature)
    logits = items[:, 0].astype(float) / temperature - correction.candidates
    logits[0] = items[0, 0] / temperature - correction.positive[0]
    exact = math.log(math.fsum(np.exp(logits - logits.max()))) + logits.max() - logits[0]
    assert loss == pytest.approx(exact, rel=32 * eps)
    assert math.fsum(gradient[0]) == pytest.approx(0, abs=32 * eps / temperature)
    blocked, (d_users, d_items) = blocked_in_batch_softmax(
        np.ones((1, 1), dtype), items, correction, temperature=temperature
    )
    assert blocked == pytest.approx(exact, rel=512 * eps)  # BLAS sums in a few long rows
    assert np.abs(d_items - gradient.T).max() < 32 * eps / temperature
    slope = np.vdot(gradient.astype(float), items)
    assert d_users[0, 0] == pytest.approx(slope, abs=4096 * eps / temperature)


def test_in_batch_softmax__a_million_masked_cost_nothing():
    m = 10**6
    alone = Correction(np.zeros(m), np.zeros(1), AccidentalHits(np.zeros(m, int), 1))
    loss, gradient = in_batch_softmax(np.linspace(-1, 1, m)[None], alone, temperature=0.01)
    assert loss == 0
    assert not gradient.any()


@given(batches())
def test_in_batch_softmax__large_temperature_forgets_the_scores(batch):
    scores, ids, _ = batch
    loss, _ = in_batch_softmax(scores, uncorrected(ids, n=len(scores)), temperature=1e9)
    assert loss == pytest.approx(math.log(len(ids)), abs=1e-8)


@given(batches())
def test_in_batch_softmax__small_temperature_is_a_hinge_on_the_best_negative(batch):
    scores, ids, _ = batch
    temperature = 1e-4
    correction = uncorrected(ids, n=len(scores))
    loss, _ = in_batch_softmax(scores, correction, temperature=temperature)
    hinge = np.maximum(scores.max(axis=1) - np.diag(scores), 0).mean()
    assert 0 <= loss * temperature - hinge + 1e-12 <= temperature * math.log(len(ids)) + 2e-12


@pytest.mark.parametrize(
    "shape, made_for, temperature, message",
    [
        ((2, 2), 2, 0.0, "^temperature"),
        ((2, 2), 2, np.nan, "^temperature"),
        ((2, 2), 2, np.inf, "^temperature"),
        ((2, 3), 2, 1.0, "made for"),
        ((0, 0), 0, 1.0, "n >= 1"),
        ((2,), 2, 1.0, "made for"),
    ],
)
def test_in_batch_softmax__refuses(shape, made_for, temperature, message):
    zero = np.zeros(made_for)
    with pytest.raises(ValueError, match=message):
        in_batch_softmax(np.zeros(shape), Correction(zero, zero), temperature=temperature)


def test_in_batch_softmax__refuses_rows_without_a_candidate_of_their_own():
    with pytest.raises(ValueError, match="made for"):
        in_batch_softmax(np.zeros((3, 2)), Correction(np.zeros(2), np.zeros(3)), temperature=1.0)


@st.composite
def lists(draw):
    """Scores of n positives and k negatives each, a mask, weights; k may be 0."""
    n, k = draw(st.integers(1, 4)), draw(st.integers(0, 4))
    floats = lambda *shape, low=-1, high=1: draw(
        arrays(float, shape, elements=st.floats(low, high, width=32))
    )
    return floats(n), floats(n, k), draw(arrays(bool, (n, k))), floats(n, low=0, high=3)


def naive_listwise(positive, negatives, drop, weights, temperature, omega=1.0):
    loss = 0
    for p, row, out, w in zip(positive, negatives, drop, weights, strict=True):
        own = np.exp(p / temperature)
        others = sum(np.exp(v / temperature) for v, o in zip(row, out, strict=True) if not o)
        loss -= w * np.log(own / (own + others) ** omega)
    return loss / len(positive)


@given(lists(), temperatures, omegas)
def test_listwise_softmax__equals_naive(problem, temperature, omega):
    positive, negatives, drop, weights = problem
    options = {"temperature": temperature, "drop": drop, "weights": weights}
    loss, _ = listwise_softmax(positive, negatives, log_sum_weight=omega, **options)
    assert_close(loss, naive_listwise(*problem, temperature, omega), 1e-12)


@given(lists(), temperatures, omegas)
def test_listwise_softmax__gradient_is_right(problem, temperature, omega):
    positive, negatives, drop, weights = problem
    options = {"temperature": temperature, "drop": drop, "weights": weights}
    _, gradients = listwise_softmax(positive, negatives, log_sum_weight=omega, **options)
    f = lambda p, q: naive_listwise(p, q, drop, weights, temperature, omega)
    assert_close(gradients, complex_step(f, [positive, negatives]))


@given(lists(), temperatures, st.data())
def test_listwise_softmax__slope_is_right(problem, temperature, data):
    positive, negatives, drop, weights = problem
    direction = [
        data.draw(arrays(float, x.shape, elements=st.floats(-1, 1))) for x in (positive, negatives)
    ]
    options = {"temperature": temperature, "drop": drop, "weights": weights}
    _, gradients = listwise_softmax(positive, negatives, **options)
    f = lambda p, q: listwise_softmax(p, q, **options)[0]
    slope = directional(f, [positive, negatives], direction, h=1e-2 * temperature)
    assert_slope(along(gradients, direction), slope, 1e-9)


@given(lists())
def test_listwise_softmax__without_negatives_costs_nothing(problem):
    positive, _, _, _ = problem
    loss, (d_positive, d_negatives) = listwise_softmax(
        positive, np.zeros((len(positive), 0)), temperature=0.1
    )
    assert loss == 0
    assert not d_positive.any()
    assert d_negatives.shape == (len(positive), 0)


@given(lists(), st.floats(0.1, 30))
def test_listwise_softmax__one_negative_is_triplet_logistic(problem, scale):
    positive, _, _, weights = problem
    negative = positive[::-1] / 2
    loss, (d_positive, d_negatives) = listwise_softmax(
        positive, negative[:, None], temperature=1 / scale, weights=weights
    )
    expected = triplet_logistic(positive, negative, scale=scale, weights=weights)
    assert_close((loss, (d_positive, d_negatives[:, 0])), expected, 1e-12)


@given(lists(), temperatures)
def test_listwise_softmax__order_of_negatives_changes_nothing(problem, temperature):
    positive, negatives, drop, weights = problem
    options = {"temperature": temperature, "weights": weights}
    loss, (d_positive, d_negatives) = listwise_softmax(positive, negatives, drop=drop, **options)
    turned = listwise_softmax(positive, negatives[:, ::-1], drop=drop[:, ::-1], **options)
    assert_close(turned, (loss, (d_positive, d_negatives[:, ::-1])), 1e-12)


@given(lists(), temperatures, st.data())
def test_listwise_softmax__dropping_is_removing(problem, temperature, data):
    """Of a column; the score that stood in it does not matter."""
    positive, negatives, drop, weights = problem
    column = data.draw(st.integers(0, negatives.shape[1]))
    options = {"temperature": temperature, "weights": weights}
    loss, (d_positive, d_negatives) = listwise_softmax(positive, negatives, drop=drop, **options)
    wider = listwise_softmax(
        positive,
        np.insert(negatives, column, 1e4, axis=1),
        drop=np.insert(drop, column, True, axis=1),
        **options,
    )
    assert_close(wider, (loss, (d_positive, np.insert(d_negatives, column, 0, axis=1))), 1e-14)


@given(lists())
def test_listwise_softmax__all_dropped_costs_nothing(problem):
    positive, negatives, drop, weights = problem
    loss, gradients = listwise_softmax(
        positive, negatives, temperature=0.1, drop=np.ones_like(drop), weights=weights
    )
    assert loss == 0
    assert not any(g.any() for g in gradients)


@given(lists(), st.floats(0, 4))
def test_listwise_softmax__linear_in_weights(problem, factor):
    positive, negatives, drop, weights = problem
    loss = lambda w: listwise_softmax(positive, negatives, temperature=0.2, drop=drop, weights=w)[0]
    assert loss(factor * weights + 1) == pytest.approx(
        factor * loss(weights) + loss(None), abs=1e-12
    )


@given(lists())
def test_listwise_softmax__is_a_mean(problem):
    """Over n, not over the n k negatives."""
    positive, negatives, drop, weights = problem
    once = listwise_softmax(positive, negatives, temperature=0.2, drop=drop, weights=weights)
    twice = listwise_softmax(
        *(np.concatenate([x, x]) for x in (positive, negatives)),
        temperature=0.2,
        drop=np.concatenate([drop, drop]),
        weights=np.tile(weights, 2),
    )
    assert_close(twice[0], once[0], 1e-13)
    for a, b in zip(twice[1], once[1], strict=True):
        assert_close(2 * a, np.concatenate([b, b]), 1e-13)


@given(lists(), temperatures)
def test_listwise_softmax__float32_is_close(problem, temperature):
    positive, negatives, drop, weights = problem
    options = {"temperature": np.float64(temperature), "drop": drop}
    exact, d_exact = listwise_softmax(positive, negatives, weights=weights, **options)
    size = np.abs(np.column_stack([positive, negatives])).max(axis=1) / temperature
    d_logits = temperature * np.column_stack(d_exact)
    loss, d_bound = float32_bound(size, weights / len(weights), d_logits, 0)
    d_bound /= temperature
    p, q, w = (x.astype(np.float32) for x in (positive, negatives, weights))
    got = listwise_softmax(p, q, weights=w, **options)
    assert_float32(got, (exact, d_exact), (loss, (d_bound[:, 0], d_bound[:, 1:])))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_listwise_softmax__extremes_stay_finite(dtype):
    positive, negatives = np.array([100, -100], dtype), np.array([[-100, 0], [100, 0]], dtype)
    loss, (d_positive, d_negatives) = listwise_softmax(positive, negatives, temperature=0.01)
    assert loss == pytest.approx(1e4)
    assert d_positive == pytest.approx(np.array([0, -50]))
    assert d_negatives == pytest.approx(np.array([[0, 0], [50, 0]]))


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 32 * EPS32), (np.float64, 1e-14)])
def test_listwise_softmax__a_million_negatives(dtype, tolerance):
    """Sums by halves lose eps log2(10^6), not 10^6 eps."""
    negatives = np.random.default_rng(0).uniform(-1, 1, (1, 10**6)).astype(dtype)
    loss, (d_positive, d_negatives) = listwise_softmax(
        np.zeros(1, dtype), negatives, temperature=0.05
    )
    exact = math.log1p(math.fsum(np.exp(negatives[0].astype(float) / 0.05)))
    assert loss == pytest.approx(exact, rel=tolerance)
    assert math.fsum(d_negatives[0]) == pytest.approx(-d_positive[0], rel=tolerance)
    equal, _ = listwise_softmax([0.5], np.full((1, 10**6), 0.5), temperature=0.05)
    assert equal == pytest.approx(math.log(10**6 + 1), rel=1e-14)


@pytest.mark.parametrize(
    "positive, negatives, drop, temperature, message",
    [
        ((2,), (3, 1), None, 1.0, "negatives"),
        ((2, 1), (2, 1), None, 1.0, "negatives"),
        ((2,), (2,), None, 1.0, "negatives"),
        ((0,), (0, 1), None, 1.0, "n >= 1"),
        ((2,), (2, 3), (2, 4), 1.0, "drop has shape"),
        ((2,), (2, 3), (3,), 1.0, "drop has shape"),
        ((2,), (2, 3), None, 0.0, "^temperature"),
        ((2,), (2, 3), None, np.inf, "^temperature"),
    ],
)
def test_listwise_softmax__refuses(positive, negatives, drop, temperature, message):
    drop = None if drop is None else np.zeros(drop, bool)
    with pytest.raises(ValueError, match=message):
        listwise_softmax(
            np.zeros(positive), np.zeros(negatives), temperature=temperature, drop=drop
        )


squares = st.integers(1, 5).flatmap(
    lambda m: arrays(float, (m, m), elements=st.floats(-1, 1, width=32))
)


def naive_info_nce(scores, temperature, weights, symmetric):
    directions = [scores, scores.T] if symmetric else [scores]
    loss = 0
    for view in directions:
        for i in range(len(view)):
            total = sum(np.exp(v / temperature) for v in view[i])
            loss -= weights[i] * np.log(np.exp(view[i, i] / temperature) / total)
    return loss / len(scores) / len(directions)


@given(squares, temperatures, st.booleans(), st.data())
def test_info_nce__equals_naive(scores, temperature, symmetric, data):
    weights = data.draw(weights_of(scores))
    options = {"temperature": temperature, "symmetric": symmetric, "weights": weights}
    loss, _ = info_nce(scores, **options)
    assert_close(loss, naive_info_nce(scores, **options), 1e-12)


@given(squares, temperatures, st.booleans(), st.data())
def test_info_nce__gradient_is_right(scores, temperature, symmetric, data):
    weights = data.draw(weights_of(scores))
    options = {"temperature": temperature, "symmetric": symmetric, "weights": weights}
    _, d_scores = info_nce(scores, **options)
    assert_close([d_scores], complex_step(lambda s: naive_info_nce(s, **options), [scores]))
    direction = data.draw(arrays(float, scores.shape, elements=st.floats(-1, 1)))
    f = lambda s: info_nce(s, **options)[0]
    slope = directional(f, [scores], [direction], h=1e-2 * temperature)
    assert_slope(along([d_scores], [direction]), slope, 1e-9)


@given(squares, temperatures)
def test_info_nce__is_uncorrected_in_batch_softmax(scores, temperature):
    ids = np.arange(len(scores))
    expected = in_batch_softmax(scores, uncorrected(ids), temperature=temperature)
    assert_close(info_nce(scores, temperature=temperature), expected, 0)


@given(squares, temperatures)
def test_info_nce__symmetric_is_blind_to_the_order_of_views(scores, temperature):
    loss, d_scores = info_nce(scores, temperature=temperature, symmetric=True)
    swapped = info_nce(scores.T, temperature=temperature, symmetric=True)
    assert_close(swapped, (loss, d_scores.T), 1e-14)


def test_info_nce__one_direction_is_not():
    """The first views cannot be recognized by the second; the other way round they can."""
    scores = np.array([[1.0, -1.0], [1.0, 1.0]])
    scores[1, 1] = -1.0
    there, back = (info_nce(s, temperature=0.1)[0] for s in (scores, scores.T))
    both, _ = info_nce(scores, temperature=0.1, symmetric=True)
    assert abs(there - back) > 1
    assert both == pytest.approx((there + back) / 2, rel=1e-15)


@given(squares, temperatures)
def test_info_nce__symmetric_scores_need_no_choice(scores, temperature):
    scores = scores + scores.T
    one, _ = info_nce(scores, temperature=temperature)
    both, _ = info_nce(scores, temperature=temperature, symmetric=True)
    assert one == pytest.approx(both, rel=1e-14)


@given(st.integers(1, 5), temperatures, st.data())
def test_info_nce__equal_views_only_repel(m, temperature, data):
    """The numerator is exp(1/t) whatever the vectors are; what is left spreads them out."""
    z = data.draw(arrays(float, (m, 3), elements=st.floats(-1, 1))) + 2 * np.eye(m, 3) + 0.1
    z = l2_normalize(z)[0]
    loss, d_scores = info_nce(z @ z.T, temperature=temperature)
    spread = np.exp((z @ z.T - 1) / temperature).sum(axis=1)
    assert loss == pytest.approx(np.log(spread).mean(), abs=1e-11)
    assert (d_scores[~np.eye(m, dtype=bool)] >= 0).all()
    _, backward = cosine(z, z)
    assert np.abs(np.add(*backward(np.diag(d_scores)))).max() < 1e-14 / temperature


@given(squares, temperatures, st.booleans())
def test_info_nce__float32_is_close(scores, temperature, symmetric):
    """Each direction may lose as much, also where the two gradients cancel."""
    m, options = len(scores), {"temperature": np.float64(temperature), "symmetric": symmetric}
    size = np.full(m, np.abs(scores).max() / temperature)
    d_views = [info_nce(view, temperature=temperature)[1] for view in (scores, scores.T)]
    d_size = temperature * (np.abs(d_views[0]) + np.abs(d_views[1]).T)
    loss, d_logits = float32_bound(size, np.full(m, 1 / m), d_size, np.arange(m))
    got = info_nce(scores.astype(np.float32), **options)
    assert_float32(got, info_nce(scores, **options), (loss, d_logits / temperature))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("symmetric", [False, True])
def test_info_nce__extremes_stay_finite(dtype, symmetric):
    """Only two views that are nobody's own agree."""
    scores = np.array([[-100, 100], [100, -100]], dtype)
    loss, d_scores = info_nce(scores, temperature=0.01, symmetric=symmetric)
    assert loss == pytest.approx(2e4)
    assert d_scores == pytest.approx(np.array([[-50, 50], [50, -50]]))


@pytest.mark.parametrize(
    "shape, temperature, message",
    [
        ((2, 3), 1.0, "made for"),
        ((0, 0), 1.0, "n >= 1"),
        ((), 1.0, r"expected scores \(m,m\), got shape \(\)"),
        ((2, 2), -1.0, "^temperature"),
    ],
)
@pytest.mark.parametrize("symmetric", [False, True])
def test_info_nce__refuses(shape, temperature, message, symmetric):
    with pytest.raises(ValueError, match=message):
        info_nce(np.zeros(shape), temperature=temperature, symmetric=symmetric)


@given(batches(), forms, temperatures, st.data())
def test_temperature_gradient__gradient_is_right(batch, form, temperature, data):
    (scores, ids, log_q), (make, left_out) = batch, form
    correction, weights = make(ids, log_q, len(scores)), data.draw(weights_of(scores))
    options = {"temperature": temperature, "weights": weights}
    _, d_scores = in_batch_softmax(scores, correction, **options)
    f = lambda t: naive_in_batch(scores, ids, correction, left_out, t, weights)
    (exact,) = complex_step(f, [temperature])
    assert_close(temperature_gradient(scores, d_scores, temperature), exact)


@given(lists(), temperatures)
def test_temperature_gradient__both_sides_of_a_list_add_up(problem, temperature):
    positive, negatives, drop, weights = problem
    _, gradients = listwise_softmax(
        positive, negatives, temperature=temperature, drop=drop, weights=weights
    )
    both = sum(
        temperature_gradient(s, d, temperature)
        for s, d in zip((positive, negatives), gradients, strict=True)
    )
    f = lambda t: naive_listwise(positive, negatives, drop, weights, t)
    assert_close(both, complex_step(f, [temperature])[0])


@given(st.integers(1, 5), temperatures, st.data())
def test_temperature_gradient__vectors_give_the_same(n, temperature, data):
    """Of either side, from the form that never has the scores."""
    users, items = data.draw(arrays(float, (2, n, 3), elements=st.floats(-1, 1)))
    correction = yi(-np.arange(1.0, n + 1))
    _, d_scores = in_batch_softmax(users @ items.T, correction, temperature=temperature)
    expected = temperature_gradient(users @ items.T, d_scores, temperature)
    _, gradients = blocked_in_batch_softmax(users, items, correction, temperature=temperature)
    for vectors, gradient in zip((users, items), gradients, strict=True):
        assert_close(temperature_gradient(vectors, gradient, temperature), expected, 1e-10)


@given(st.floats(-1, 1), st.integers(1, 6), temperatures)
def test_temperature_gradient__zero_on_uniform_scores(score, m, temperature):
    scores = np.full((m, m), score)
    _, d_scores = info_nce(scores, temperature=temperature)
    assert temperature_gradient(scores, d_scores, temperature) == pytest.approx(0, abs=1e-12)


@given(batches(), temperatures)
def test_temperature_gradient__float32_is_close(batch, temperature):
    """A sum of n m products, each known to half an eps."""
    scores, ids, _ = batch
    _, d_scores = in_batch_softmax(scores, uncorrected(ids, n=len(scores)), temperature=temperature)
    s, d = scores.astype(np.float32), d_scores.astype(np.float32)
    exact = temperature_gradient(s.astype(float), d.astype(float), temperature)
    bound = (s.size + 2) * EPS32 * np.abs(scores * d_scores).sum() / temperature
    assert_float32(temperature_gradient(s, d, temperature), exact, bound)


@pytest.mark.parametrize(
    "scores, d_scores, temperature, message",
    [((2, 2), (4,), 1.0, "differ"), ((2,), (2,), 0.0, "^temperature")],
)
def test_temperature_gradient__refuses(scores, d_scores, temperature, message):
    with pytest.raises(ValueError, match=message):
        temperature_gradient(np.zeros(scores), np.zeros(d_scores), temperature)


def test_softmax__whole_numbers_are_scores():
    """In an array of integers, a share of 1/n of the loss would be 0."""
    integers = np.array([[1, 0], [2, 1]])
    ids, log_q = np.arange(2), np.log([0.5, 0.25])
    for loss in [
        lambda s: softmax_cross_entropy(s, ids),
        lambda s: in_batch_softmax(s, yi(log_q), temperature=0.5),
        lambda s: listwise_softmax(s[:, 0], s, temperature=0.5),
        lambda s: info_nce(s, temperature=0.5),
        lambda s: stop_gradient_logq(s, log_q, ids, temperature=0.5),
        lambda s: blocked_in_batch_softmax(s, s, yi(log_q), temperature=0.5),
    ]:
        assert_close(loss(integers), loss(integers.astype(float)), 0)
