"""The corrections of logq.py against the exact full softmax, and by their identities."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minitower.formulas.logq import AccidentalHits, calibrated, uncorrected, yi
from minitower.formulas.softmax import in_batch_softmax, softmax_cross_entropy

ids_of_a_batch = arrays(np.int64, st.integers(1, 12), elements=st.integers(0, 5))


def full_softmax(catalogue, clicked):
    """Loss and gradient (per item) of one user's exact softmax over the whole catalogue."""
    loss, gradient = softmax_cross_entropy(catalogue[None], np.array([clicked]))
    return loss, gradient[0]


def per_item(gradient, ids, size):
    """A gradient by column, summed into one by item."""
    total = np.zeros(size)
    np.add.at(total, ids, gradient)
    return total


@st.composite
def whole_catalogue_batches(draw):
    """A batch that holds every item at least once: scores by item, ids, log q = log(k/n)."""
    size = draw(st.integers(2, 5))
    counts = np.array(draw(st.lists(st.integers(1, 4), min_size=size, max_size=size)))
    ids = np.repeat(np.arange(size), counts)
    catalogue = draw(arrays(float, size, elements=st.floats(-2, 2)))
    return catalogue, ids, np.log(counts / counts.sum())


def rows_of(catalogue, ids):
    """Every pair of the batch has the same user, so every row has the same scores."""
    return np.tile(catalogue[ids], (len(ids), 1))


@given(ids_of_a_batch, st.data())
def test_hits__equal_naive(ids, data):
    n = data.draw(st.integers(1, len(ids)))
    hits = AccidentalHits(ids, n)
    naive = [[j != i and ids[i] == ids[j] for j in range(len(ids))] for i in range(n)]
    assert np.array_equal(hits.dense(), naive)
    assert hits.count.tolist() == np.sum(naive, axis=1).tolist()
    start, stop = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    pairs = set(zip(*(part.tolist() for part in hits.among(start, stop)), strict=True))
    assert pairs == {(i, j) for i in range(start, stop) for j in range(len(ids)) if naive[i][j]}


@given(whole_catalogue_batches())
def test_yi__whole_catalogue_in_the_batch_is_the_full_softmax(batch):
    catalogue, ids, log_q = batch
    _, gradient = in_batch_softmax(rows_of(catalogue, ids), yi(log_q[ids]), temperature=1.0)
    for row, clicked in zip(gradient, ids, strict=True):
        _, exact = full_softmax(catalogue, clicked)
        assert len(ids) * per_item(row, ids, len(catalogue)) == pytest.approx(exact, abs=1e-12)


@given(whole_catalogue_batches())
def test_yi__loss_exceeds_the_full_one_by_log_repetitions(batch):
    catalogue, ids, log_q = batch
    loss, _ = in_batch_softmax(rows_of(catalogue, ids), yi(log_q[ids]), temperature=1.0)
    counts = np.bincount(ids)
    exact = np.mean([full_softmax(catalogue, i)[0] + math.log(counts[i]) for i in ids])
    assert loss == pytest.approx(exact, abs=1e-11)


def test_yi__masking_hits_is_wrong_when_the_positive_is_corrected():
    """Correcting the positive and masking its repetitions must not be combined."""
    catalogue, ids = np.array([0.5, -0.2, 0.1]), np.array([0, 0, 0, 1, 2])
    log_q = np.log(np.bincount(ids) / len(ids))[ids]
    scores, hits = rows_of(catalogue, ids), AccidentalHits(ids)
    _, masked = softmax_cross_entropy(scores - log_q, np.arange(5), drop=hits.dense())
    _, exact = full_softmax(catalogue, 0)
    assert np.abs(5 * per_item(masked[0], ids, 3) - exact).max() > 0.1


@given(
    arrays(float, (4, 4), elements=st.floats(-1, 1)),
    arrays(float, 4, elements=st.floats(-9, 0)),
    st.floats(-5, 5),
)
def test_yi__scale_of_q_changes_nothing(scores, log_q, shift):
    there, gradient = in_batch_softmax(scores, yi(log_q), temperature=0.2)
    back, same = in_batch_softmax(scores, yi(log_q + shift), temperature=0.2)
    assert back == pytest.approx(there, abs=1e-11)
    assert same == pytest.approx(gradient, abs=1e-11)


@given(arrays(float, (4, 4), elements=st.floats(-1, 1)), st.floats(-9, 0))
def test_yi__uniform_q_is_no_correction(scores, log_q):
    corrected, _ = in_batch_softmax(scores, yi(np.full(4, log_q)), temperature=0.2)
    plain, _ = in_batch_softmax(scores, uncorrected(np.arange(4)), temperature=0.2)
    assert corrected == pytest.approx(plain, abs=1e-12)


@given(arrays(float, 4, elements=st.floats(-9, -0.1)), st.floats(0, 1))
def test_yi__strength_leaves_a_power_law(log_q, strength):
    """Draws from q, weighted by exp(-correction), are spread as q^(1 - strength)."""
    left = np.exp(log_q - yi(log_q, strength=strength).candidates)
    assert left == pytest.approx(np.exp(log_q) ** (1 - strength), rel=1e-12)


@given(
    arrays(float, (5, 5), elements=st.floats(-1, 1)), ids_of_a_batch.filter(lambda x: len(x) > 4)
)
def test_calibrated__equals_the_definition(scores, ids):
    """correction_ij = log n_i + log q_j - log(1 - q_i) on negatives, 0 on the positive."""
    ids, q = ids[:5], np.array([0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    expected = 0.0
    for i in range(5):
        negatives = [j for j in range(5) if ids[j] != ids[i]]
        total = math.exp(scores[i, i])
        for j in negatives:
            total += math.exp(scores[i, j]) / (len(negatives) * q[ids[j]] / (1 - q[ids[i]]))
        expected += (math.log(total) - scores[i, i]) / 5
    loss, _ = in_batch_softmax(scores, calibrated(np.log(q[ids]), ids), temperature=1.0)
    assert loss == pytest.approx(expected, abs=1e-12)


@given(st.integers(2, 6), st.data())
def test_calibrated__each_other_item_once_is_the_full_softmax(size, data):
    scores = data.draw(arrays(float, (size, size), elements=st.floats(-2, 2)))
    ids = np.arange(size)
    correction = calibrated(np.full(size, -math.log(size)), ids)
    loss, gradient = in_batch_softmax(scores, correction, temperature=1.0)
    exact, exact_gradient = softmax_cross_entropy(scores, ids)
    assert loss == pytest.approx(exact, abs=1e-14)
    assert gradient == pytest.approx(exact_gradient, abs=1e-14)


@given(whole_catalogue_batches())
def test_calibrated__repeated_items_are_the_full_softmax(batch):
    """Loss and gradient, exactly, where Yi's loss is off by log of the repetitions."""
    catalogue, ids, log_q = batch
    correction = calibrated(log_q[ids], ids)
    loss, gradient = in_batch_softmax(rows_of(catalogue, ids), correction, temperature=1.0)
    exact = np.mean([full_softmax(catalogue, i)[0] for i in ids])
    assert loss == pytest.approx(exact, abs=1e-12)
    for row, clicked in zip(gradient, ids, strict=True):
        expected = full_softmax(catalogue, clicked)[1]
        assert len(ids) * per_item(row, ids, len(catalogue)) == pytest.approx(expected, abs=1e-12)


@given(arrays(float, (4, 4), elements=st.floats(-2, 2)))
def test_calibrated__gradient_equals_stop_gradient_form(scores):
    """(1 - p) times the pull of the positive against the softmax of the negatives alone."""
    q, ids = np.array([0.4, 0.3, 0.2, 0.1]), np.arange(4)
    _, gradient = in_batch_softmax(scores, calibrated(np.log(q), ids), temperature=1.0)
    for i in range(4):
        others = ids != i
        weighed = np.exp(scores[i, others]) / (q[others] / (1 - q[i]))
        missing = 1 - math.exp(scores[i, i]) / (math.exp(scores[i, i]) + weighed.mean())
        assert -4 * gradient[i, i] == pytest.approx(missing, abs=1e-14)
        assert 4 * gradient[i, others] == pytest.approx(
            missing * weighed / weighed.sum(), abs=1e-14
        )


def test_calibrated__a_batch_of_one_item_costs_nothing():
    ids = np.array([3, 3, 3])
    loss, gradient = in_batch_softmax(np.eye(3), calibrated(np.zeros(3), ids), temperature=0.1)
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: yi([0.0, -np.inf]), r"log_q\[1\] is -inf"),
        (lambda: yi([np.nan]), r"log_q\[0\] is nan"),
        (lambda: yi([[0.0]]), "one log_q per candidate"),
        (lambda: yi([0.0], strength=1.5), "strength"),
        (lambda: calibrated(np.array([-1.0, 0.0]), np.array([1, 2])), "leaves no other"),
        (lambda: calibrated(np.array([-1.0]), np.array([1, 2])), "candidate_ids"),
    ],
)
def test_corrections__refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()
