"""What is left out of the negatives, against loops over all pairs."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minitower.formulas.hits import (
    AccidentalHits,
    KnownPositives,
    accidental_hits,
    known_positives,
)
from minitower.formulas.logq import calibrated, uncorrected
from minitower.formulas.softmax import in_batch_softmax, softmax_cross_entropy

ids_of_a_batch = arrays(np.int64, st.integers(1, 12), elements=st.integers(0, 5))
clicks = st.lists(st.lists(st.integers(0, 7), max_size=6), min_size=1, max_size=4)


def csr(lists):
    """(indptr, indices) of a list of lists."""
    return np.cumsum([0, *map(len, lists)]), np.array([i for row in lists for i in row], int)


def assert_hits(hits, naive, data):
    """dense, count and among, on any part, say what a matrix of bools says."""
    n = len(naive)
    assert np.array_equal(hits.dense(), naive)
    assert hits.count.tolist() == np.sum(naive, axis=1).tolist()
    start, stop = sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))
    listed = list(zip(*(part.tolist() for part in hits.among(start, stop)), strict=True))
    assert len(listed) == len(set(listed))
    assert set(listed) == {(i, j) for i, j in np.argwhere(naive).tolist() if start <= i < stop}


@given(ids_of_a_batch, st.data())
def test_accidental_hits__equals_the_textbook(ids, data):
    """The textbook form, too, against loops."""
    n, since = data.draw(st.integers(1, len(ids))), data.draw(st.integers(0, len(ids)))
    naive = [
        [j != i and ids[i] == ids[j] and j >= since for j in range(len(ids))] for i in range(n)
    ]
    assert accidental_hits(ids, n, since=since).tolist() == naive
    assert_hits(AccidentalHits(ids, n, since=since), naive, data)
    if n == len(ids) and not since:
        assert accidental_hits(ids).tolist() == naive
        assert_hits(AccidentalHits(ids), naive, data)


@given(ids_of_a_batch, clicks, st.booleans(), st.data())
def test_known_positives__equals_the_textbook(ids, clicks, own, data):
    """Users with repeated clicks, without any, and with items that are not in the batch."""
    n = data.draw(st.integers(1, len(ids)))
    users = data.draw(arrays(np.int64, n, elements=st.integers(0, len(clicks) - 1)))
    naive = [
        [
            j != i and (own if ids[j] == ids[i] else ids[j] in clicks[users[i]])
            for j in range(len(ids))
        ]
        for i in range(n)
    ]
    assert known_positives(users, ids, csr(clicks), own=own).tolist() == naive
    assert_hits(KnownPositives(users, ids, csr(clicks), own=own), naive, data)


@given(ids_of_a_batch, st.data())
def test_known_positives__own_item_alone_is_accidental_hits(ids, data):
    n = data.draw(st.integers(1, len(ids)))
    known = KnownPositives(np.arange(n), ids, csr([[i] for i in ids[:n]]))
    assert np.array_equal(known.dense(), AccidentalHits(ids, n).dense())


@pytest.mark.parametrize("form", [uncorrected, lambda ids: calibrated(np.full(4, -2.0), ids)])
def test_known_positives__dropping_is_removing(form):
    """Not only pushed down: the loss and every other gradient are those without the column."""
    scores, ids = np.random.default_rng(0).normal(size=(4, 4)), np.arange(4)
    plain = form(ids)
    hits = KnownPositives(np.arange(4), ids, csr([[0, 2], [1], [2], [3]]))
    _, gradient = in_batch_softmax(scores, dataclasses.replace(plain, hits=hits), temperature=0.5)
    logits = scores / 0.5 - plain.candidates
    logits[0, 0] = scores[0, 0] / 0.5 - plain.positive[0]
    _, expected = softmax_cross_entropy(np.delete(logits[:1], 2, axis=1), np.array([0]))
    assert gradient[0, 2] == 0
    assert 4 * 0.5 * np.delete(gradient[0], 2) == pytest.approx(expected[0], abs=1e-15)


@pytest.mark.parametrize("users", [[3], [-1]])
def test_known_positives__refuse_a_stranger(users):
    for form in (KnownPositives, known_positives):
        with pytest.raises(ValueError, match="user"):
            form(np.array(users), np.array([0]), csr([[0], [1], [2]]))


def test_hits__refuse_more_rows_than_candidates():
    with pytest.raises(ValueError, match="3 rows"):
        AccidentalHits(np.arange(2), 3)
    with pytest.raises(ValueError, match="n must be"):
        AccidentalHits(np.arange(2), -1)
    with pytest.raises(ValueError, match="3 rows"):
        KnownPositives(np.zeros(3, int), np.arange(2), csr([[0]]))


def test_hits__are_of_all_columns_and_of_the_own_item_by_default():
    ids, clicked = np.array([7, 7]), csr([[], []])
    both = [[False, True], [True, False]]
    assert accidental_hits(ids).tolist() == AccidentalHits(ids).dense().tolist() == both
    for form in (known_positives, lambda *batch: KnownPositives(*batch).dense()):
        assert form([0, 1], ids, clicked).tolist() == both


def test_hits__of_nothing_are_none():
    none = np.zeros(0, int)
    assert AccidentalHits(none).dense().shape == (0, 0)
    assert KnownPositives(none, none, csr([[0]])).dense().shape == (0, 0)
    assert KnownPositives(none, np.arange(3), csr([[0]])).dense().shape == (0, 3)
