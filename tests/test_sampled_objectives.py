"""Objectives with negatives of each pair: against naive sums and finite differences."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from objectives import OWN, check, naive_scores, problems

from minitower.training.batches import Batch
from minitower.training.sampled_objectives import Listwise, Pairwise, Pointwise


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


@given(problems(), st.floats(1, 3))
def test_listwise__log_sum_weight_multiplies_the_log_sum(problem, omega):
    """Of each list, its positive included."""
    log_sums = [
        math.log(sum(math.exp(s / 0.3) for s in (p, *qs))) for p, qs in naive_scores(*problem)
    ]
    added = Listwise(0.3, log_sum_weight=omega)(*problem)[0] - Listwise(0.3)(*problem)[0]
    assert added == pytest.approx((omega - 1) * np.mean(log_sums), abs=1e-12)


@pytest.mark.parametrize("objective", OWN[:6], ids=str)
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
