"""Over-fetching: how much each query asks for, and what is kept of it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minitower.search.exclusion import by_fetch_size, first_kept, scaled_effort


@given(st.lists(st.integers(0, 100), max_size=20), st.integers(1, 20), st.integers(0, 100))
def test_by_fetch_size__every_query_once_and_enough_for_each(extra, k, more):
    wanted = k + np.array(extra, np.int64)
    groups = [*by_fetch_size(wanted, k, k + more)]
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


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 100))
def test_scaled_effort__in_proportion_and_never_below_the_tuned_one(effort, size, k):
    assert scaled_effort(effort, size, k) >= effort
    assert scaled_effort(effort, size, k) * k >= effort * size
    assert scaled_effort(effort, k, k) == effort
