"""Row gradients add up exactly what np.add.at would, and sums by name lose nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minitower.towers.gradients import RowGradient, add_gradients, first_not_finite, sum_by_row

row_lists = st.lists(st.integers(0, 6), min_size=1, max_size=12).map(np.array)


def dense(gradient, rows=7):
    table = np.zeros((rows, gradient.values.shape[1]))
    table[gradient.rows] = gradient.values
    return table


def slow_sum(rows, values):
    table = np.zeros((7, values.shape[1]))
    np.add.at(table, rows, values)
    return table


@given(row_lists, st.data())
def test_sum_by_row__equals_add_at(rows, data):
    values = data.draw(arrays(float, (len(rows), 2), elements=st.floats(-9, 9)))
    gradient = sum_by_row(rows, values)
    assert dense(gradient) == pytest.approx(slow_sum(rows, values), abs=1e-12)
    assert gradient.rows.tolist() == sorted(set(rows.tolist()))


@given(st.lists(row_lists | st.just(np.zeros(0, int)), min_size=1, max_size=5), st.data())
def test_sum_by_row__of_bags_weighs_every_use(bags, data):
    values = data.draw(arrays(float, (len(bags), 2), elements=st.floats(-9, 9)))
    rows = np.concatenate(bags).astype(int)
    share = data.draw(arrays(float, len(rows), elements=st.floats(0, 1)))
    counts = [len(bag) for bag in bags]
    indptr = np.cumsum([0, *counts])
    expected = slow_sum(rows, np.repeat(values, counts, axis=0) * share[:, None])
    assert dense(sum_by_row(rows, values, indptr, share)) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(row_lists, st.floats(-5, 5)), min_size=1, max_size=4))
def test_add_gradients__sums_a_name_used_again(uses):
    parts = [
        {"t": sum_by_row(rows, np.full((len(rows), 1), v)), "b": np.full(2, v)} for rows, v in uses
    ]
    total = add_gradients(*parts)
    expected = sum(slow_sum(rows, np.full((len(rows), 1), v)) for rows, v in uses)
    assert dense(total["t"]) == pytest.approx(expected, abs=1e-12)
    assert len(set(total["t"].rows.tolist())) == len(total["t"].rows)
    assert total["b"] == pytest.approx(np.full(2, sum(v for _, v in uses)), abs=1e-12)


def test_add_gradients__keeps_names_apart_and_its_arguments_unchanged():
    a, b = {"x": np.ones(2)}, {"x": np.ones(2), "y": np.zeros(1)}
    assert {n: g.tolist() for n, g in add_gradients(a, b).items()} == {"x": [2, 2], "y": [0]}
    assert a["x"].tolist() == [1, 1]


def test_add_gradients__refuses_rows_with_a_whole_array():
    with pytest.raises(TypeError, match="whole array"):
        add_gradients({"x": np.ones((2, 1))}, {"x": RowGradient(np.array([0]), np.ones((1, 1)))})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_first_not_finite__names_the_first(bad):
    fine, broken = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    broken[1, 2] = bad
    assert first_not_finite([("a", fine), ("b", broken), ("c", broken)]) == "b"


def test_first_not_finite__large_is_still_finite():
    assert first_not_finite([("a", np.full((2, 2), 1e30, np.float32))]) is None
