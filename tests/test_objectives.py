"""The ways to train, from vectors to gradients: against naive sums and finite differences."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numerics import along, assert_slope, directional

from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.formulas.logq import yi
from minitower.formulas.similarity import l2_normalize
from minitower.training.batches import Batch
from minitower.training.objectives import (
    CrossBatchSoftmax,
    InBatchSoftmax,
    Listwise,
    Pairwise,
    Pointwise,
)

OWN = [
    Pointwise("logistic", temperature=1 / 3, bias=0.5),
    Pointwise("squared"),
    Pairwise("logistic", temperature=1 / 3),
    Pairwise("hinge", margin=0.3),
    Listwise(0.3),
    Listwise(0.3, "calibrated"),
]
SHARED = [
    InBatchSoftmax(0.3, "yi"),
    InBatchSoftmax(0.3, "mixed"),
    InBatchSoftmax(0.3, "calibrated"),
    InBatchSoftmax(0.3, "none", mask_hits=True),
]


@st.composite
def problems(draw, own=True):
    """n users, their items and e more, of which some belong to a pair, some repeat."""
    n, d = draw(st.integers(1, 4)), 3
    counts = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    pair_index = np.repeat(np.arange(n), counts)
    m = n + len(pair_index)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    rows = rng.integers(0, 4, m)
    log_q = np.log(np.array([0.1, 0.2, 0.3, 0.4]))[rows]
    users, items = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    batch = Batch({}, {}, np.arange(n), rows, log_q, pair_index if own else None, log_q[n:])
    return users, items, batch


def check(objective, users, items, batch, seed=0):
    rng = np.random.default_rng(seed)
    _, gradients = objective(users, items, batch)
    assert [g.shape for g in gradients] == [users.shape, items.shape]
    direction = [rng.standard_normal(users.shape), rng.standard_normal(items.shape)]
    slope = directional(lambda u, v: objective(u, v, batch)[0], (users, items), direction, h=1e-3)
    assert_slope(along(gradients, direction), slope, 1e-7)


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


@pytest.mark.parametrize("objective", OWN, ids=str)
@given(problem=problems())
def test_weights__a_click_of_weight_2_is_two_clicks(objective, problem):
    """Of objectives with negatives of each pair: another row of the batch changes no other."""
    users, items, batch = problem
    n = len(batch)
    own = np.flatnonzero(batch.pair_index == 0)
    again = Batch(
        {}, {}, np.append(batch.user_rows, 0),
        np.concatenate([batch.item_rows[:n], batch.item_rows[:1], batch.item_rows[n:],
                        batch.item_rows[n + own]]),
        batch.log_q,
        np.concatenate([batch.pair_index, np.full(len(own), n)]),
        np.concatenate([batch.negative_log_q, batch.negative_log_q[own]]),
    )  # fmt: skip
    twice = objective(
        np.concatenate([users, users[:1]]),
        np.concatenate([items[:n], items[:1], items[n:], items[n + own]]),
        again,
    )[0]
    heavy = objective(users, items, replace(batch, weights=np.append(2.0, np.ones(n - 1))))[0]
    terms = lambda b, size: {Pointwise: size + len(b.pair_index), Pairwise: len(b.pair_index)}.get(
        type(objective), size
    )
    assert twice * terms(again, n + 1) == pytest.approx(heavy * terms(batch, n), abs=1e-9)


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


@pytest.mark.parametrize("objective", OWN, ids=str)
@given(problem=problems())
def test_own_negatives__gradient_is_right(objective, problem):
    users, items, batch = problem
    if objective == OWN[3]:  # keep away from the hinge's kink
        shortfall = naive_scores(users, items, batch)
        gaps = [q - p + 0.3 for p, qs in shortfall for q in qs]
        if gaps and min(map(abs, gaps)) < 0.05:
            return
    check(objective, users, items, batch)


@pytest.mark.parametrize("objective", SHARED, ids=str)
@given(problem=problems(), own=st.booleans())
def test_shared_negatives__gradient_is_right(objective, problem, own):
    """Whomever extra candidates were drawn for, all users have them."""
    users, items, batch = problem
    if not own:
        batch = Batch({}, {}, batch.user_rows, batch.item_rows, batch.log_q)
    check(objective, users, items, batch)


def naive_scores(users, items, batch):
    """For each pair, its own score and those of its negatives."""
    n = len(users)
    extras = items[n:]
    return [
        (
            float(users[i] @ items[i]),
            [float(users[i] @ extras[e]) for e in range(len(extras)) if batch.pair_index[e] == i],
        )
        for i in range(n)
    ]


@given(problems())
def test_pointwise__equals_naive(problem):
    pairs = naive_scores(*problem)
    every = [(p, 1) for p, _ in pairs] + [(q, -1) for _, qs in pairs for q in qs]
    squared = sum((s - y) ** 2 for s, y in every) / len(every)
    logistic = sum(math.log1p(math.exp(-y * (3 * s + 0.5))) for s, y in every) / len(every)
    assert Pointwise("squared")(*problem)[0] == pytest.approx(squared, rel=1e-12)
    assert OWN[0](*problem)[0] == pytest.approx(logistic, rel=1e-12)


@given(problems())
def test_pairwise__equals_naive(problem):
    gaps = [q - p for p, qs in naive_scores(*problem) for q in qs]
    n = max(1, len(gaps))
    hinge = sum(max(0.0, gap + 0.3) for gap in gaps) / n
    logistic = sum(math.log1p(math.exp(3 * gap)) for gap in gaps) / n
    assert OWN[3](*problem)[0] == pytest.approx(hinge, rel=1e-12)
    assert OWN[2](*problem)[0] == pytest.approx(logistic, rel=1e-12)


@given(problems())
def test_listwise__equals_naive(problem):
    users, _, batch = problem
    q = np.exp(batch.negative_log_q)
    plain = corrected = 0.0
    place = 0
    for p, qs in naive_scores(*problem):
        mine = q[place : place + len(qs)]
        place += len(qs)
        weights = [math.exp((s - p) / 0.3) for s in qs]
        plain += math.log(1 + sum(weights))
        corrected += math.log(1 + sum(w / (len(qs) * c) for w, c in zip(weights, mine)))
    assert OWN[4](*problem)[0] == pytest.approx(plain / len(users), rel=1e-12, abs=1e-12)
    assert OWN[5](*problem)[0] == pytest.approx(corrected / len(users), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("objective", OWN, ids=str)
def test_pairs_without_negatives(objective):
    """A batch of one, and no negative at all: pairwise and listwise have nothing to say."""
    users = np.array([[1.0, 0.0]])
    batch = Batch({}, {}, np.array([0]), np.array([0]), np.zeros(1), np.empty(0, np.int64))
    loss, (d_users, d_items) = objective(users, users, batch)
    if isinstance(objective, Pointwise):
        assert math.isfinite(loss)
    else:
        assert loss == 0
        assert not d_users.any()
        assert not d_items.any()


def test_thousands_of_negatives_for_one_pair():
    rng = np.random.default_rng(0)
    users, items = rng.standard_normal((2, 3)), rng.standard_normal((5002, 3))
    pair_index = np.ones(5000, np.int64)
    batch = Batch({}, {}, np.arange(2), np.arange(5002), np.zeros(5002), pair_index, np.zeros(5000))
    for objective in (OWN[0], OWN[2], OWN[4]):
        check(objective, users, items, batch)


@pytest.mark.parametrize("objective", OWN, ids=str)
def test_negatives_of_nobody_are_refused(objective):
    users = np.eye(2)
    batch = Batch({}, {}, np.arange(2), np.arange(2), np.zeros(2))
    with pytest.raises(ValueError, match="negatives of its own"):
        objective(users, users, batch)


@pytest.mark.parametrize("objective", OWN, ids=str)
def test_own_negatives__float32_stays_float32(objective):
    rng = np.random.default_rng(0)
    users, items = rng.standard_normal((2, 3), np.float32), rng.standard_normal((5, 3), np.float32)
    pair_index = np.array([0, 0, 1])
    batch = Batch({}, {}, np.arange(2), np.arange(5), np.zeros(5), pair_index, np.zeros(3))
    _, gradients = objective(users, items, batch)
    assert all(g.dtype == np.float32 for g in gradients)


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
    assert 0 <= loss < np.inf
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


def test_cross_batch__the_bank_pulls_on_users_and_gets_no_gradient():
    objective = CrossBatchSoftmax(9, 0.3)
    for users, items, batch in steps():
        bank, bank_q = objective.vectors.copy(), objective.log_q.copy()
        loss, (d_users, d_items) = objective(users, items, batch)
    everything = np.concatenate([items, bank])
    correction = yi(np.concatenate([batch.log_q, bank_q]), n=3)
    expected, (u, v) = blocked_in_batch_softmax(users, everything, correction, temperature=0.3)
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
