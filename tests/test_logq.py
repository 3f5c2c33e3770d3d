"""The corrections of logq.py against the exact full softmax, and by their identities."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minitower.formulas.hits import AccidentalHits, KnownPositives
from minitower.formulas.logq import calibrated, cross_batch, mixed, uncorrected, yi
from minitower.formulas.softmax import in_batch_softmax, softmax_cross_entropy

ids_of_a_batch = arrays(np.int64, st.integers(1, 12), elements=st.integers(0, 5))


def full_softmax(catalogue, clicked):
    """Loss and gradient (per item) of one user's exact softmax over the catalogue."""
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


@given(whole_catalogue_batches())
def test_yi__catalogue_in_the_batch_is_the_full_softmax(batch):
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
def test_yi__logq_weight_leaves_a_power_law(log_q, logq_weight):
    """Draws from q, weighted by exp(-correction), are spread as q^(1 - logq_weight)."""
    left = np.exp(log_q - yi(log_q, logq_weight=logq_weight).candidates)
    assert left == pytest.approx(np.exp(log_q) ** (1 - logq_weight), rel=1e-12)


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
        (lambda: yi([0.0], logq_weight=1.5), "logq_weight"),
        (lambda: calibrated(np.array([-1.0, 0.0]), np.array([1, 2])), "leaves no other"),
        (lambda: calibrated(np.array([-1.0]), np.array([1, 2])), "candidate_ids"),
        (lambda: calibrated(np.array([-1.0, -2.0]), np.arange(2), n=3), "3 rows"),
        (lambda: cross_batch(np.array([-1.0]), np.array([1, 2]), 1), "candidate_ids"),
        (lambda: cross_batch(np.array([np.inf]), np.array([1]), 1), r"log_q\[0\] is inf"),
        (lambda: cross_batch(np.array([-1.0, -2.0]), np.arange(2), 3), "3 rows"),
        (lambda: mixed([np.nan], 1), r"log_q\[0\] is nan"),
    ],
)
def test_corrections__refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# What each form tends to: one row, and k draws that hold every item in proportion to q.


@st.composite
def draws_in_proportion(draw):
    """A user's scores of the catalogue, their positive, log q, and k draws, k q_j of item j."""
    catalogue, ids, log_q = draw(whole_catalogue_batches())
    positive = draw(st.integers(0, len(catalogue) - 1))
    return catalogue, positive, log_q, np.tile(ids, draw(st.integers(1, 4)))


def one_row(correction, catalogue, ids):
    """Loss, and gradient by item, of one user whose candidates are ids, the first the positive."""
    loss, gradient = in_batch_softmax(catalogue[ids][None], correction, temperature=1.0)
    return loss, per_item(gradient[0], ids, len(catalogue))


@given(draws_in_proportion())
def test_yi__limit_weight(problem):
    catalogue, positive, log_q, draws = problem
    ids, k = np.concatenate([[positive], draws]), len(draws)
    _, gradient = one_row(yi(log_q[ids], n=1), catalogue, ids)
    loss, full = full_softmax(catalogue, positive)
    p, q = math.exp(-loss), math.exp(log_q[positive])
    assert gradient == pytest.approx(k * q / (p + k * q) * full, abs=1e-13)


@given(draws_in_proportion())
def test_mixed__limit_weight(problem):
    """About 1 with the hits kept, about 1 / (1 - P) without them: the rule that says which."""
    catalogue, positive, log_q, draws = problem
    ids, k = np.concatenate([[positive], draws]), len(draws)
    loss, full = full_softmax(catalogue, positive)
    p, correction = math.exp(-loss), mixed(log_q[ids], 1)
    _, gradient = one_row(correction, catalogue, ids)
    assert gradient == pytest.approx(k / (p + k) * full, abs=1e-13)
    masked = dataclasses.replace(correction, hits=AccidentalHits(ids, 1))
    _, gradient = one_row(masked, catalogue, ids)
    assert gradient == pytest.approx(k / (p + k * (1 - p)) * full, abs=1e-13)


@given(draws_in_proportion())
def test_calibrated__limit_weight(problem):
    catalogue, positive, log_q, draws = problem
    ids = np.concatenate([[positive], draws])
    loss, gradient = one_row(calibrated(log_q[ids], ids, n=1), catalogue, ids)
    expected, full = full_softmax(catalogue, positive)
    assert loss == pytest.approx(expected, abs=1e-13)
    assert gradient == pytest.approx(full, abs=1e-13)


# Unbiased, exactly: every draw of k items out of five, times its probability.

five = arrays(float, 5, elements=st.floats(-2, 2))
shares = arrays(float, 5, elements=st.floats(0.05, 1)).map(lambda x: x / x.sum())


def expectation(correct, catalogue, q, positive, k):
    """The mean over all draws of Z-hat = exp(f_positive + loss), and of its logarithm."""
    mean = mean_of_log = 0.0
    for draws in itertools.product(range(5), repeat=k):
        ids = np.array([positive, *draws])
        loss, _ = one_row(correct(np.log(q)[ids], ids), catalogue, ids)
        estimate = math.exp(catalogue[positive] + loss)
        mean += math.prod(q[list(draws)]) * estimate
        mean_of_log += math.prod(q[list(draws)]) * math.log(estimate)
    return mean, mean_of_log


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@settings(max_examples=2)
@given(catalogue=five, q=shares, positive=st.integers(0, 4))
def test_mixed__sum_of_weighted_draws_is_unbiased(k, catalogue, q, positive):
    """The positive and k draws, each 1/q of itself: in the mean, the positive and k times Z."""
    own, z = math.exp(catalogue[positive]), np.exp(catalogue).sum()
    mean, mean_of_log = expectation(lambda log_q, ids: mixed(log_q, 1), catalogue, q, positive, k)
    assert (mean - own) / k == pytest.approx(z, rel=1e-13)
    assert mean_of_log <= math.log(mean) + 1e-12


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
@settings(max_examples=2)
@given(catalogue=five, q=shares, positive=st.integers(0, 4))
def test_calibrated__sum_is_unbiased(k, catalogue, q, positive):
    """Whatever is drawn beside the positive; only where nothing is, all others are missing."""
    own, z = math.exp(catalogue[positive]), np.exp(catalogue).sum()
    mean, mean_of_log = expectation(
        lambda log_q, ids: calibrated(log_q, ids, n=1), catalogue, q, positive, k
    )
    assert mean == pytest.approx(z - q[positive] ** k * (z - own), rel=1e-13)
    assert mean_of_log <= math.log(z) + 1e-12


@pytest.mark.parametrize("k", [1, 2, 3])
@settings(max_examples=5)
@given(catalogue=five, q=shares, positive=st.integers(0, 4), known=arrays(bool, 5))
def test_calibrated__known_positives_leave_the_unclicked(k, catalogue, q, positive, known):
    """n_i still counts them: they were drawn, and count as zero."""

    def correct(log_q, ids):
        clicked = np.array([0, known.sum()]), np.flatnonzero(known)
        hits = KnownPositives(np.zeros(1, int), ids, clicked)
        return dataclasses.replace(calibrated(log_q, ids, n=1), hits=hits)

    others = np.exp(catalogue)[~known & (np.arange(5) != positive)].sum()
    mean, _ = expectation(correct, catalogue, q, positive, k)
    expected = math.exp(catalogue[positive]) + (1 - q[positive] ** k) * others
    assert mean == pytest.approx(expected, rel=1e-13)


# What is learned: clicks of three users on four items, each pair as often as it was clicked.


def table_gradient(correct, counts, table):
    """The gradient with respect to a table of scores, of a batch that holds all clicks."""
    users, items = (np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape))
    log_q = np.log(np.bincount(items) / len(items))
    scores = table[np.ix_(range(len(table)), items)][users]
    _, d_scores = in_batch_softmax(scores, correct(log_q[items], items), temperature=1.0)
    total = np.zeros(table.shape)
    np.add.at(total, (users[:, None], items[None, :]), d_scores)
    return total


tables = arrays(np.int64, (3, 4), elements=st.integers(1, 4))
constants = arrays(float, (3, 1), elements=st.floats(-3, 3))


def optimum(counts, logq_weight):
    """log p(item | user) - (1 - logq_weight) log q(item)."""
    log_q = np.log(counts.sum(axis=0) / counts.sum())
    return np.log(counts / counts.sum(axis=1, keepdims=True)) - (1 - logq_weight) * log_q


@given(tables, constants, st.floats(0, 1))
def test_yi__optimum_is_the_log_probability(counts, constant, logq_weight):
    """Of the click, at logq_weight 1: so the plain score is served. At 0, over the popularity."""
    gradient = table_gradient(
        lambda log_q, ids: yi(log_q, logq_weight=logq_weight),
        counts,
        optimum(counts, logq_weight) + constant,
    )
    assert gradient == pytest.approx(np.zeros((3, 4)), abs=1e-14)


@given(tables, constants)
def test_uncorrected__optimum_is_the_mutual_information(counts, constant):
    gradient = table_gradient(
        lambda log_q, ids: uncorrected(ids), counts, optimum(counts, 0) + constant
    )
    assert gradient == pytest.approx(np.zeros((3, 4)), abs=1e-14)


@given(tables, constants)
def test_calibrated__optimum_is_the_log_probability(counts, constant):
    gradient = table_gradient(calibrated, counts, optimum(counts, 1) + constant)
    assert gradient == pytest.approx(np.zeros((3, 4)), abs=1e-14)


@given(arrays(float, (2, 3), elements=st.floats(-1, 1)), st.floats(-5, 5))
def test_mixed__scale_of_q_is_a_head_start_of_the_positive(scores, shift):
    """Counts instead of shares are another loss, where Yi's would not notice."""
    log_q = np.log([0.5, 0.3, 0.2])
    loss, gradient = in_batch_softmax(scores, mixed(log_q + shift, 2), temperature=1.0)
    logits = scores - log_q
    logits[[0, 1], [0, 1]] = scores[[0, 1], [0, 1]] + shift
    expected, d_logits = softmax_cross_entropy(logits, np.arange(2))
    assert loss == pytest.approx(expected, abs=1e-13)
    assert gradient == pytest.approx(d_logits, abs=1e-14)


def test_yi__rare_items_keep_their_correction():
    """One of 10^20 clicks is not clipped to one of 10^6."""
    log_q = np.log([1e-20, 1e-6])
    loss, _ = in_batch_softmax(np.zeros((2, 2)), yi(log_q), temperature=1.0)
    assert loss == pytest.approx((math.log1p(1e-14) + math.log1p(1e14)) / 2, rel=1e-14)


def test_calibrated__exact_up_to_a_certain_item():
    """1 - q of a q that rounds to 1 is still known from its logarithm."""
    correction = calibrated(np.array([-1e-17, -40.0]), np.arange(2))
    assert correction.positive == pytest.approx(np.array([math.log(1e-17), -math.exp(-40)]))


@given(ids_of_a_batch, arrays(float, 12, elements=st.floats(-9, -0.1)))
def test_cross_batch__empty_bank_is_yi(ids, log_q):
    """Repetitions inside the batch included: they are kept."""
    log_q = log_q[: len(ids)]
    correction, expected = cross_batch(log_q, ids, len(ids)), yi(log_q)
    assert np.array_equal(correction.candidates, expected.candidates)
    assert np.array_equal(correction.positive, expected.positive)
    assert not correction.hits.dense().any()


@given(ids_of_a_batch, st.data())
def test_cross_batch__banked_copies_are_left_out(ids, data):
    n = data.draw(st.integers(1, len(ids)))
    naive = [[j >= n and ids[j] == ids[i] for j in range(len(ids))] for i in range(n)]
    assert np.array_equal(cross_batch(np.zeros(len(ids)), ids, n).hits.dense(), naive)


@given(whole_catalogue_batches())
def test_cross_batch__only_keeping_or_calibrating_is_exact(batch):
    """Batch and bank both hold the catalogue in proportion."""
    catalogue, ids, log_q = batch
    n, both = len(ids), np.tile(ids, 2)
    scores = rows_of(catalogue, both)[:n]
    errors = {}
    for name, correction in {
        "kept": yi(log_q[both], n=n),
        "calibrated": calibrated(log_q[both], both, n),
        "left out": cross_batch(log_q[both], both, n),
    }.items():
        _, gradient = in_batch_softmax(scores, correction, temperature=1.0)
        errors[name] = max(
            np.abs(n * per_item(row, both, len(catalogue)) - full_softmax(catalogue, own)[1]).max()
            for row, own in zip(gradient, ids, strict=True)
        )
    assert max(errors["kept"], errors["calibrated"]) < 1e-12
    assert errors["left out"] > 1e-3


@pytest.mark.parametrize(
    "form",
    [
        lambda log_q, ids, n: uncorrected(ids, n=n),
        lambda log_q, ids, n: uncorrected(ids, mask_hits=True, n=n),
        lambda log_q, ids, n: yi(log_q, logq_weight=0.5, n=n),
        lambda log_q, ids, n: mixed(log_q, len(ids) if n is None else n),
        lambda log_q, ids, n: calibrated(log_q, ids, n),
    ],
)
@given(ids=ids_of_a_batch, data=st.data())
def test_corrections__of_n_rows_are_the_first_of_the_square(form, ids, data):
    """Candidates after the positives are negatives like any others."""
    m, n = len(ids), data.draw(st.integers(1, len(ids)))
    scores = data.draw(arrays(float, (m, m), elements=st.floats(-1, 1)))
    log_q = np.log(np.linspace(0.05, 0.3, 6))[ids]
    _, square = in_batch_softmax(scores, form(log_q, ids, None), temperature=0.5)
    _, rows = in_batch_softmax(scores[:n], form(log_q, ids, n), temperature=0.5)
    assert n * rows == pytest.approx(m * square[:n], abs=1e-12)
