"""A ragged array is a list of lists in two flat arrays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import Ragged

lists = st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=6)


def ragged(rows):
    return Ragged.from_counts([len(row) for row in rows], [v for row in rows for v in row])


def unragged(array):
    return [array.row(i).tolist() for i in range(len(array))]


@given(lists, st.data())
def test_ragged__take_equals_naive(rows, data):
    wanted = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    taken = ragged(rows).take(np.array(wanted, np.int32))
    assert unragged(taken) == [rows[i] for i in wanted]
    assert (taken.indptr.dtype, taken.values.dtype) == (np.int64, np.int32)


@given(lists, st.data())
def test_ragged__replace_equals_naive(rows, data):
    mask = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    before = ragged(rows)
    replaced = before.replace(np.array(mask), 3)
    assert unragged(replaced) == [[3] if hit else row for row, hit in zip(rows, mask)]
    assert unragged(before) == rows  # the input stays


@given(lists)
def test_ragged__knows_its_lengths(rows):
    array = ragged(rows)
    assert len(array) == len(rows)
    assert array.counts.tolist() == [len(row) for row in rows]
