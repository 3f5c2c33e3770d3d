"""Searching around what must not come, against a database that is a sorted list."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minitower.search.exclusion import first_kept, nearest_but, together

M = 40


class Forgetful:
    """Cosines of M items; an answer lacks some of them, as a graph's does, by chance."""

    def __init__(self, seed, lost):
        self.rng, self.lost, self.calls = np.random.default_rng(seed), lost, []
        self.cosines = self.rng.permutation(M) / M

    def __call__(self, queries, size, without):
        self.calls.append((len(queries), size, len(without)))
        best = [i for i in np.argsort(-self.cosines).tolist() if i not in set(without)][:size]
        answers = []
        for _ in queries:
            there = [i for i in best if self.rng.random() >= self.lost]
            answers.append({i: self.cosines[i] for i in there or best[:1]})
        return answers


queries = lambda n: np.ones((n, 2), np.float32)
some_ids = st.lists(st.sets(st.integers(0, M + 5)), min_size=1, max_size=8)


@given(some_ids, st.integers(1, M + 5), st.integers(0, 9), st.integers(0, M))
def test_nearest_but__what_remains_best_first_whatever_the_most(left_out, k, seed, more):
    ask = Forgetful(seed, lost=0)
    answers = nearest_but(ask, queries(len(left_out)), k, left_out, k + more)
    for answer, out in zip(answers, left_out):
        right = [i for i in np.argsort(-ask.cosines).tolist() if i not in out][:k]
        assert [*answer.items()] == [(i, ask.cosines[i]) for i in right]


@given(some_ids, st.integers(1, M + 5), st.integers(0, 9))
def test_nearest_but__fills_up_as_far_as_items_remain(left_out, k, seed):
    ask = Forgetful(seed, lost=0.6)
    for answer, out in zip(nearest_but(ask, queries(len(left_out)), k, left_out, 99), left_out):
        assert len(answer) == min(k, len({*range(M)} - out))
        assert not {*answer} & out
        assert [*answer.values()] == sorted(answer.values(), reverse=True)


def test_nearest_but__one_call_where_nothing_is_left_out():
    ask = Forgetful(0, lost=0)
    nearest_but(ask, queries(50), 5, [set()] * 50, 99)
    assert ask.calls == [(50, 5, 0)]
    assert nearest_but(ask, queries(0), 5, [], 99) == []


@given(st.lists(st.integers(0, 100), max_size=20), st.integers(1, 20), st.integers(0, 100))
def test_together__every_query_once_and_enough_for_each(extra, k, more):
    wanted = k + np.array(extra, np.int64)
    groups = [*together(wanted, k, k + more)]
    assert sorted(np.concatenate([np.zeros(0), *(rows for _, rows in groups)])) == [
        *range(len(extra))
    ]
    for size, rows in groups:
        assert (np.minimum(wanted[rows], k + more) <= size).all()
        assert size <= k + more
        assert size == k or (size < 2 * wanted[rows]).all()
        assert (size == k) == (wanted[rows] == k).all() or more == 0 or size == k + more
    assert len(groups) <= 8


def test_first_kept():
    rows = np.array([[3, 1, 2, -1], [5, 4, 0, 6]])
    cosines = np.array([[0.9, 0.8, 0.7, -np.inf], [0.9, 0.8, 0.7, 0.6]], np.float32)
    kept = np.array([[False, True, False, False], [True, False, True, True]])
    found, scores = first_kept(2, rows, cosines, kept)
    assert found.tolist() == [[1, -1], [5, 0]]
    np.testing.assert_array_equal(scores, np.array([[0.8, -np.inf], [0.9, 0.7]], np.float32))
