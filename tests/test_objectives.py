"""The ways to train, from vectors to gradients: against naive sums and finite differences."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from objectives import OWN, SHARED, check, problems

from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.formulas.logq import calibrated, mixed, uncorrected, yi
from minitower.formulas.similarity import l2_normalize
from minitower.formulas.softmax import corrected_logits, softmax_cross_entropy
from minitower.training.batches import Batch
from minitower.training.objectives import CrossBatchSoftmax, InBatchSoftmax, check_bounded
from minitower.training.sampled_objectives import Listwise, Pairwise, Pointwise


@pytest.mark.parametrize("objective", [*OWN, *SHARED], ids=str)
@given(problem=problems(), weights=st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_weights__are_linear_and_ones_are_none(objective, problem, weights):
    """The mean of n terms, each times its weight: Yi et al., Eq. 2."""
    users, items, batch = problem
    n = len(batch)
    one = [np.eye(n)[i] for i in range(n)]
    of = lambda w: objective(users, items, replace(batch, weights=np.asarray(w, float)))
    each = [of(w) for w in one]
    loss, gradients = of(weights[:n])
    assert loss == pytest.approx(sum(w * x[0] for w, x in zip(weights, each)), abs=1e-12)
    for side in (0, 1):
        expected = sum(w * x[1][side] for w, x in zip(weights, each))
        np.testing.assert_allclose(gradients[side], expected, atol=1e-12)
    assert of(np.ones(n))[0] == pytest.approx(objective(users, items, batch)[0], abs=1e-12)


@pytest.mark.parametrize("correction", ["yi", "mixed", "calibrated", "none"])
@given(problems(own=False))
def test_mask_known__leaves_out_what_the_user_has_clicked(correction, problem):
    """The positive stays, and its copies wherever log q counts them."""
    users, items, batch = problem
    n = len(batch)
    make = {
        "yi": lambda: yi(batch.log_q, n=n),
        "mixed": lambda: mixed(batch.log_q, n),
        "calibrated": lambda: calibrated(batch.log_q, batch.item_rows, n=n),
        "none": lambda: uncorrected(batch.item_rows, n=n),
    }
    plain = corrected_logits(users @ items.T, make[correction](), 0.3)[0]
    drop = np.zeros(plain.shape, bool)
    for i in range(n):
        for j, item in enumerate(batch.item_rows):
            is_copy = item == batch.item_rows[i]
            known = item in batch.known.row(i)
            drop[i, j] = j != i and (correction == "calibrated" if is_copy else known)
    expected, _ = softmax_cross_entropy(plain, np.arange(n), drop=drop)
    objective = InBatchSoftmax(0.3, correction, mask_known=True)
    assert objective(users, items, batch)[0] == pytest.approx(expected, abs=1e-12)


def test_mask_known__needs_batches_that_look_up_clicks():
    batch = Batch({}, {}, np.arange(2), np.arange(2), np.zeros(2))
    with pytest.raises(ValueError, match="without known items: take it from Batches"):
        InBatchSoftmax(mask_known=True)(np.eye(2), np.eye(2), batch)


@given(problems(), st.floats(1, 3))
def test_log_sum_weight__multiplies_the_log_sum(problem, omega):
    """Of each user, over all candidates; the score of the positive keeps its weight."""
    users, items, _ = problem
    log_sum = np.log(np.exp(users @ items.T / 0.3).sum(axis=1)).mean()
    plain, weighted = (InBatchSoftmax(0.3, "none", log_sum_weight=w) for w in (1, omega))
    added = weighted(*problem)[0] - plain(*problem)[0]
    assert added == pytest.approx((omega - 1) * log_sum, abs=1e-12)


def test_log_sum_weight__is_off_by_default():
    """Bit for bit: no objective hands the formula another weight than 1."""
    users, items, batch = next(steps())
    expected, gradients = blocked_in_batch_softmax(
        users, items, yi(batch.log_q, n=len(users)), temperature=0.07
    )
    for objective in (InBatchSoftmax(), CrossBatchSoftmax()):
        loss, got = objective(users, items, batch)
        assert loss == expected
        assert all(map(np.array_equal, got, gradients))


@given(st.floats(1, 100, exclude_min=True))
def test_check_bounded__needs_cosines(omega):
    for make in (InBatchSoftmax, CrossBatchSoftmax, Listwise):
        check_bounded(make(log_sum_weight=omega), "cosine")
        check_bounded(make(), "inner_product")
        with pytest.raises(ValueError, match="has no minimum with similarity 'inner_product'"):
            check_bounded(make(log_sum_weight=omega), "inner_product")
    check_bounded(Pairwise(), "inner_product")
    check_bounded(InBatchSoftmax(decoupled=True), "cosine")
    with pytest.raises(ValueError, match="a decoupled loss has no minimum with similarity 'inner"):
        check_bounded(InBatchSoftmax(decoupled=True), "inner_product")


def test_check_bounded__what_it_refuses_has_no_minimum():
    """Longer vectors that point apart lower the loss without end."""
    batch = Batch({}, {}, np.arange(2), np.arange(2), np.zeros(2))
    objective = InBatchSoftmax(1.0, "none", log_sum_weight=1.25)
    losses = [objective(np.ones((2, 1)), np.full((2, 1), -a), batch)[0] for a in (0, 10, 1000)]
    assert losses == pytest.approx([1.25 * np.log(2) - 0.25 * a for a in (0, 10, 1000)])

    objective = InBatchSoftmax(1.0, "none", decoupled=True)
    apart = np.array([[1.0], [-1.0]])
    losses = [objective(apart, a * apart, batch)[0] for a in (0, 10, 1000)]
    assert losses == pytest.approx([-2 * a for a in (0, 10, 1000)])


@given(problem=problems(own=False), seed=st.integers(0, 9))
def test_weights__of_the_bank_are_those_of_its_pairs(problem, seed):
    """Vectors of the bank are negatives only: a click of weight 0 still enters the bank."""
    users, items, batch = problem
    light = replace(batch, weights=np.zeros(len(batch)))
    objective = CrossBatchSoftmax(8, 0.3)
    assert objective(users, items, light)[0] == 0
    plain = CrossBatchSoftmax(8, 0.3)
    plain(users, items, batch)
    assert objective(users, items, batch)[0] == plain(users, items, batch)[0]


@pytest.mark.parametrize("objective", SHARED, ids=str)
@given(problem=problems(), own=st.booleans())
def test_shared_negatives__gradient_is_right(objective, problem, own):
    """Whomever extra candidates were drawn for, all users have them."""
    users, items, batch = problem
    if not own:
        batch = Batch({}, {}, batch.user_rows, batch.item_rows, batch.log_q, known=batch.known)
    check(objective, users, items, batch)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Pointwise("log"), "logistic, squared"),
        (lambda: Pointwise(temperature=0), "temperature must be a number from"),
        (lambda: Pointwise(bias=math.nan), "bias must be one finite"),
        (lambda: Pairwise("log"), "hinge, logistic"),
        (lambda: Pairwise(margin=math.inf), "margin must be a number above 0"),
        (lambda: InBatchSoftmax(math.inf), "temperature must be a number from"),
        (lambda: Pairwise(margin=0), "margin must be a number above 0"),
        (lambda: Listwise(correction="yi"), "none, calibrated"),
        (lambda: InBatchSoftmax(1e-300), "temperature must be a number from 1e-06 to 1e"),
        (lambda: InBatchSoftmax(1e300), "temperature must be a number from 1e-06 to 1e"),
        (lambda: CrossBatchSoftmax(8, 1e-300), "temperature must be a number from"),
        (lambda: Listwise(1e-300), "temperature must be a number from"),
        (lambda: Pairwise(temperature=1e300), "temperature must be a number from"),
        (lambda: Pairwise(temperature=1e-300), "temperature must be a number from"),
        (lambda: Pairwise(margin=1e300), "margin must be a number above 0 and at most 1e"),
        (lambda: Pointwise(temperature=1e300), "temperature must be a number from"),
        (lambda: Pointwise(bias=1e300), "bias must be from"),
        (lambda: Listwise(0), "temperature"),
        (
            lambda: InBatchSoftmax(correction="mixed", mask_hits=True),
            "mask_hits belongs to none and calibrated: log q of mixed already",
        ),
        (lambda: CrossBatchSoftmax(-1), "size must be an integer of at least 0"),
        (lambda: CrossBatchSoftmax(1, 0), "temperature must be a number from"),
        (lambda: InBatchSoftmax(log_sum_weight=0.9), "log_sum_weight must be a number from 1 to"),
        (lambda: CrossBatchSoftmax(log_sum_weight=math.nan), "log_sum_weight must be a number"),
        (lambda: Listwise(log_sum_weight=101), "log_sum_weight must be a number from 1 to 100"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


EXTREMES = [
    *(make(t) for t in (1e-6, 1e12) for make in (InBatchSoftmax, Listwise)),
    *(CrossBatchSoftmax(4, t) for t in (1e-6, 1e12)),
    *(InBatchSoftmax(t, correction) for t in (1e-6, 1e12) for correction in ("calibrated", "none")),
    *(Pairwise(temperature=t) for t in (1e-6, 1e12)),
    *(InBatchSoftmax(t, "none", log_sum_weight=100) for t in (1e-6, 1e12)),
    Pairwise("hinge", margin=1e6),
    *(Pointwise(temperature=t, bias=b) for t in (1e-6, 1e12) for b in (-1e6, 1e6)),
]


@pytest.mark.parametrize("objective", EXTREMES, ids=str)
@given(st.integers(0, 99))
def test_objectives__are_finite_in_float32_up_to_the_ends_of_their_domains(objective, seed):
    """And something is learned, from the steps of any optimizer."""
    rng = np.random.default_rng(seed)
    unit = lambda n: l2_normalize(rng.standard_normal((n, 3)).astype(np.float32))[0]
    own = isinstance(objective, Listwise | Pairwise | Pointwise)
    users, items = unit(3), unit(6)
    users[0] = items[3]  # one that the model has wrong
    pair_index = np.arange(3) if own else None
    log_q = np.log(rng.uniform(0.1, 0.9, 6))
    batch = Batch({}, {}, np.arange(3), np.arange(6), log_q, pair_index, log_q[3:])
    loss, gradients = objective(users, items, batch)
    low = 0 if getattr(objective, "log_sum_weight", 1) == 1 else -np.inf
    assert low <= loss < np.inf
    for gradient in gradients:
        assert gradient.dtype == np.float32
        assert np.isfinite(gradient).all()
    assert np.abs(gradients[0]).max() > np.finfo(np.float32).tiny


# The bank.


def steps(k=4, n=3, d=2, seed=0):
    rng = np.random.default_rng(seed)
    for step in range(k):
        rows = np.arange(n) + n * step
        users, items = rng.standard_normal((n, d)), rng.standard_normal((n, d))
        yield users, items, Batch({}, {}, np.arange(n), rows, np.log(rng.uniform(0.1, 0.9, n)))


def test_cross_batch__without_a_bank_it_is_yi():
    objective = CrossBatchSoftmax(0, 0.3)
    for users, items, batch in steps():
        loss, (d_users, d_items) = objective(users, items, batch)
        plain, (u, v) = InBatchSoftmax(0.3)(users, items, batch)
        assert loss == plain
        assert np.array_equal(d_users, u)
        assert np.array_equal(d_items, v)


def test_cross_batch__oldest_is_forgotten_first():
    objective = CrossBatchSoftmax(5, 0.3)
    for users, items, batch in steps():
        objective(users, items, batch)
    assert objective.rows.tolist() == [7, 8, 9, 10, 11]
    assert np.array_equal(objective.vectors[-3:], items)
    assert np.array_equal(objective.log_q[-3:], batch.log_q)


@pytest.mark.parametrize("omega", [1, 1.25])
def test_cross_batch__the_bank_pulls_on_users_and_gets_no_gradient(omega):
    objective = CrossBatchSoftmax(9, 0.3, log_sum_weight=omega)
    for users, items, batch in steps():
        bank, bank_q = objective.vectors.copy(), objective.log_q.copy()
        loss, (d_users, d_items) = objective(users, items, batch)
    everything = np.concatenate([items, bank])
    correction = yi(np.concatenate([batch.log_q, bank_q]), n=3)
    how = {"temperature": 0.3, "log_sum_weight": omega}
    expected, (u, v) = blocked_in_batch_softmax(users, everything, correction, **how)
    assert loss == pytest.approx(expected, rel=1e-12)
    assert d_users == pytest.approx(u, abs=1e-12)
    assert d_items == pytest.approx(v[:3], abs=1e-12)
    assert len(d_items) == 3


def test_cross_batch__waits_for_the_warm_up_and_remembers_meanwhile():
    objective = CrossBatchSoftmax(9, 0.3, warmup=2)
    for step, (users, items, batch) in enumerate(steps()):
        loss, _ = objective(users, items, batch)
        plain, _ = InBatchSoftmax(0.3)(users, items, batch)
        assert (loss == plain) == (step < 2)


def test_cross_batch__a_banked_copy_of_the_own_item_is_no_negative():
    users, items = np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]])
    batch = Batch({}, {}, np.array([0]), np.array([5]), np.log([0.5]))
    objective = CrossBatchSoftmax(4, 0.3)
    assert [objective(users, items, batch)[0] for _ in range(3)] == [0, 0, 0]


def test_cross_batch__drift_is_how_far_a_remembered_item_has_moved():
    objective = CrossBatchSoftmax(4, 0.3)
    batch = Batch({}, {}, np.array([0]), np.array([5]), np.log([0.5]))
    objective(np.ones((1, 2)), np.array([[1.0, 0.0]]), batch)
    assert math.isnan(objective.drift)
    objective(np.ones((1, 2)), np.array([[1.0, 3.0]]), batch)
    assert objective.drift == 3
