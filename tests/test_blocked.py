"""The blocked softmax is the textbook one, whatever the block, the precision, the extremes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.formulas.hits import KnownPositives
from minitower.formulas.logq import Correction, calibrated, cross_batch, mixed, uncorrected, yi
from minitower.formulas.softmax import in_batch_softmax

CORRECTIONS = {
    "none": lambda ids, log_q: uncorrected(ids),
    "masked": lambda ids, log_q: uncorrected(ids, mask_hits=True),
    "yi": lambda ids, log_q: yi(log_q),
    "calibrated": lambda ids, log_q: calibrated(log_q, ids),
    "known positives": lambda ids, log_q: dataclasses.replace(
        yi(log_q), hits=KnownPositives(np.arange(len(ids)) % 2, ids, CLICKED)
    ),
}
CORRECTIONS["decoupled"] = lambda ids, log_q: dataclasses.replace(yi(log_q), decoupled=True)
CORRECTIONS["decoupled, masked"] = lambda ids, log_q: dataclasses.replace(
    uncorrected(ids, mask_hits=True), decoupled=True
)
CLICKED = np.array([0, 3, 4]), np.array([0, 2, 0, 1])
"""Of two users, with a repetition."""


@st.composite
def problems(draw):
    n, d, distinct = draw(st.integers(1, 9)), draw(st.integers(1, 4)), draw(st.integers(1, 5))
    users = draw(arrays(float, (n, d), elements=st.floats(-2, 2)))
    ids = draw(arrays(np.int64, n, elements=st.integers(0, distinct - 1)))
    items = draw(arrays(float, (distinct, d), elements=st.floats(-2, 2)))[ids]
    log_q = np.log(np.linspace(0.02, 0.3, distinct))[ids]
    weights = draw(st.none() | arrays(float, n, elements=st.floats(0, 2)))
    return users, items, ids, log_q, weights


def textbook(users, items, correction, **options):
    loss, d_scores = in_batch_softmax(users @ items.T, correction, **options)
    return loss, (d_scores @ items, d_scores.T @ users)


def assert_same(got, expected, tolerance):
    assert got[0] == pytest.approx(expected[0], rel=tolerance, abs=tolerance)
    for a, b in zip(got[1], expected[1], strict=True):
        assert np.abs(a - b).max() <= tolerance * max(1, np.abs(b).max())


@pytest.mark.parametrize("form", CORRECTIONS)
@given(
    problem=problems(),
    temperature=st.floats(0.01, 3),
    omega=st.floats(1, 3),
    block=st.integers(1, 10),
)
def test_blocked__equals_the_textbook(form, problem, temperature, omega, block):
    users, items, ids, log_q, weights = problem
    correction = CORRECTIONS[form](ids, log_q)
    options = {"temperature": temperature, "weights": weights, "log_sum_weight": omega}
    got = blocked_in_batch_softmax(users, items, correction, block=block, **options)
    assert_same(got, textbook(users, items, correction, **options), 1e-10)


@pytest.mark.parametrize("form", CORRECTIONS)
@given(problem=problems(), block=st.integers(1, 10))
def test_blocked__block_changes_nothing(form, problem, block):
    users, items, ids, log_q, _ = problem
    correction = CORRECTIONS[form](ids, log_q)
    at_once = blocked_in_batch_softmax(users, items, correction, temperature=0.2)
    parts = blocked_in_batch_softmax(users, items, correction, temperature=0.2, block=block)
    assert_same(parts, at_once, 1e-12)


@given(problems(), st.integers(1, 4), st.integers(1, 10))
def test_blocked__extra_candidates_are_negatives(problem, extra, block):
    users, items, ids, _, _ = problem
    wider = np.concatenate([items, np.full((extra, items.shape[1]), 0.3)])
    n, ids = len(users), np.concatenate([ids, np.zeros(extra, int)])
    log_q = np.linspace(-2, -1, len(wider))
    for correction in (
        Correction(np.linspace(-1, 1, len(wider)), np.linspace(0, 1, n)),
        uncorrected(ids, mask_hits=True, n=n),
        yi(log_q, n=n),
        mixed(log_q, n),
        cross_batch(log_q, ids, n),
        calibrated(log_q, ids, n),
    ):
        got = blocked_in_batch_softmax(users, wider, correction, temperature=0.5, block=block)
        assert_same(got, textbook(users, wider, correction, temperature=0.5), 1e-11)


@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
def test_blocked__float32_is_close_to_float64(temperature):
    """Of 500 unit vectors, at the popularity of a long tail."""
    rng = np.random.default_rng(0)
    users, items = rng.standard_normal((2, 500, 16))
    users /= np.linalg.norm(users, axis=1, keepdims=True)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    correction = yi(-np.log(np.arange(1, 501) * 7.0))
    exact = blocked_in_batch_softmax(users, items, correction, temperature=temperature)
    single = blocked_in_batch_softmax(
        users.astype(np.float32), items.astype(np.float32), correction, temperature=temperature
    )
    assert single[1][0].dtype == single[1][1].dtype == np.float32
    assert single[0] == pytest.approx(exact[0], rel=2e-6)
    for a, b in zip(single[1], exact[1], strict=True):
        assert np.abs(a - b).max() <= 2e-5 * np.abs(b).max()


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 2e-4), (np.float64, 1e-12)])
@pytest.mark.parametrize("form", CORRECTIONS)
def test_blocked__extremes_stay_finite(form, dtype, tolerance):
    """Logits of +-1e4: the positive far above, far below, and level with its negatives.

    A float32 logit of 1e4 is known to 1e-3, and its exponential no better.
    """
    users = np.array([[1.0], [-1.0], [1.0], [0.0]], dtype)
    items = np.array([[100.0], [100.0], [-100.0], [100.0]], dtype)
    ids, log_q = np.arange(4), np.log(np.array([0.1, 0.2, 0.3, 0.4]))
    correction = CORRECTIONS[form](ids, log_q)
    got = blocked_in_batch_softmax(users, items, correction, temperature=0.01, block=3)
    assert_same(got, textbook(users, items, correction, temperature=0.01), tolerance)
    assert all(np.isfinite(part).all() for part in got[1])


def test_blocked__a_rare_loose_row_is_exact_in_float32():
    """One long item makes Cauchy-Schwarz's bound useless for the rows that do not meet it."""
    users = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    items = np.array([[0.5, 0.2], [0.0, -300.0]], np.float32)
    correction = uncorrected(np.arange(2))
    got = blocked_in_batch_softmax(users, items, correction, temperature=1.0)
    exact = textbook(users.astype(float), items.astype(float), correction, temperature=1.0)
    assert_same(got, exact, 1e-5)


@pytest.mark.parametrize("bits", range(40, 240, 10))
def test_blocked__however_loose_the_bound_is(bits):
    """All items are orthogonal to all users: nothing is to choose, at any length."""
    users = np.array([[1.0, 0.0]] * 3, np.float32)
    items = np.array([[0.0, bits * np.log(2)]] * 3, np.float32)
    loss, _ = blocked_in_batch_softmax(users, items, uncorrected(np.arange(3)), temperature=1.0)
    assert loss == pytest.approx(np.log(3), rel=1e-6)


@pytest.mark.parametrize(
    "users, items, candidates, temperature",
    [
        ([[1.0, 0.0]], [[0.0, 1.0], [100.0, 0.0]], [0.0, 0.0], 0.1),
        ([[0.0]], [[0.0], [0.0]], [0.0, -1000.0], 1.0),
    ],
)
def test_blocked__the_bound_is_one(users, items, candidates, temperature):
    """The negative leads by 1000 nats: taken off less, its exponential would overflow."""
    correction = Correction(np.array(candidates), np.zeros(1))
    loss, _ = blocked_in_batch_softmax(users, items, correction, temperature=temperature)
    assert loss == pytest.approx(1000, rel=1e-14)


def test_blocked__each_row_has_its_own_maximum():
    """Two rows, both far below their bounds, one of them 500,000 nats below the other."""
    users, items = np.array([[1.0, 0.0], [0.0, 100.0]]), np.array([[0.0, 0.0], [0.0, -5000.0]])
    correction = uncorrected(np.arange(2))
    got = blocked_in_batch_softmax(users, items, correction, temperature=1.0)
    assert got[0] == pytest.approx((np.log(2) + 500_000) / 2)
    assert_same(got, textbook(users, items, correction, temperature=1.0), 1e-12)


@pytest.mark.parametrize("single", [0, 1])
def test_blocked__of_mixed_precision_is_float64(single):
    both = [np.array([[1.0, 0.3], [0.2, -0.4]]), np.array([[0.1, 0.7], [0.6, 0.4]])]
    both[single] = both[single].astype(np.float32)
    loss = lambda *vectors: blocked_in_batch_softmax(
        *vectors, uncorrected(np.arange(2)), temperature=0.1
    )
    got = loss(*both)
    assert_same(got, loss(*(x.astype(float) for x in both)), 1e-15)
    assert [x.dtype for x in got[1]] == [np.float64] * 2


@pytest.mark.parametrize(
    "users, items", [((2, 3), (2, 4)), ((2,), (2, 2)), ((2, 2), (2,)), ((2, 2, 1), (2, 2))]
)
def test_blocked__refuses_vectors_that_do_not_meet(users, items):
    with pytest.raises(ValueError, match=r"\(n,d\) and \(m,d\)"):
        blocked_in_batch_softmax(
            np.zeros(users), np.zeros(items), uncorrected(np.arange(2)), temperature=1.0
        )


def test_blocked__of_float32_vectors_whose_lengths_multiply_beyond_float32():
    users, items = np.array([[1e19, 0]] * 2, "f4"), np.array([[0, 1e19]] * 2, "f4")
    loss, gradients = blocked_in_batch_softmax(
        users, items, uncorrected(np.arange(2)), temperature=1e-3
    )
    assert loss == pytest.approx(np.log(2))
    assert np.isfinite(gradients).all()


@pytest.mark.parametrize("form", CORRECTIONS)
@pytest.mark.parametrize("length", [1e19, 1e25, 1e36])
def test_blocked__of_float32_vectors_whose_squares_overflow(form, length):
    """Their products do not, so neither does the textbook's matrix of scores."""
    rng = np.random.default_rng(0)
    users = (rng.standard_normal((4, 3)) * length).astype(np.float32)
    items = (rng.standard_normal((4, 3)) / length).astype(np.float32)
    correction = CORRECTIONS[form](np.array([0, 1, 2, 0]), np.log(np.array([0.1, 0.2, 0.3, 0.1])))
    loss, _ = blocked_in_batch_softmax(users, items, correction, temperature=0.5, block=3)
    expected, _ = textbook(users, items, correction, temperature=0.5)
    assert loss == pytest.approx(expected, rel=1e-4)
