"""Each layer against loops, and each way back against finite differences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numerics import along, assert_slope, directional

from minitower.data.table import Ragged
from minitower.towers.layers import (
    RowGradient,
    add_gradients,
    concatenate,
    dense,
    embedding,
    embedding_bag,
    first_not_finite,
    relu,
    sum_by_row,
)

TABLE = arrays(float, (5, 3), elements=st.floats(-2, 2))
rows = st.lists(st.integers(0, 4), min_size=1, max_size=6)


def matrix(n, d):
    return arrays(float, (n, d), elements=st.floats(-2, 2))


def scattered(gradient, shape):
    table = np.zeros(shape)
    table[gradient.rows] = gradient.values
    return table


@given(rows, TABLE, st.data())
def test_embedding(used, table, data):
    y, backward = embedding(np.array(used), table)
    assert y.tolist() == [table[row].tolist() for row in used]
    dy, direction = data.draw(matrix(len(used), 3)), data.draw(TABLE)
    slope = directional(
        lambda t: np.vdot(dy, embedding(np.array(used), t)[0]), [table], [direction]
    )
    assert_slope(along([scattered(backward(dy), (5, 3))], [direction]), slope, 1e-9)


@pytest.mark.parametrize("pool", ["mean", "sum"])
@given(sets=st.lists(rows | st.just([]), min_size=1, max_size=4), table=TABLE, data=st.data())
def test_embedding_bag(pool, sets, table, data):
    bags = Ragged.from_counts([len(s) for s in sets], np.concatenate([[], *sets]).astype(np.int32))
    y, backward = embedding_bag(bags, table, pool=pool)
    for row, s in zip(y, sets, strict=True):
        total = sum((table[v] for v in s), np.zeros(3))
        expected = total / len(s) if pool == "mean" and s else total
        assert row == pytest.approx(expected, abs=1e-13)
    dy, direction = data.draw(matrix(len(sets), 3)), data.draw(TABLE)
    f = lambda t: np.vdot(dy, embedding_bag(bags, t, pool=pool)[0])
    gradient = scattered(backward(dy), (5, 3))
    assert_slope(along([gradient], [direction]), directional(f, [table], [direction]), 1e-9)


@given(st.data(), st.integers(1, 4))
def test_dense(data, n):
    at = [
        data.draw(a)
        for a in (matrix(n, 3), matrix(3, 2), arrays(float, 2, elements=st.floats(-2, 2)))
    ]
    direction = [data.draw(arrays(float, a.shape, elements=st.floats(-1, 1))) for a in at]
    y, backward = dense(*at)
    naive = [
        [sum(at[0][i, k] * at[1][k, j] for k in range(3)) + at[2][j] for j in range(2)]
        for i in range(n)
    ]
    assert y == pytest.approx(np.array(naive), abs=1e-13)
    dy = data.draw(matrix(n, 2))
    slope = directional(lambda *z: np.vdot(dy, dense(*z)[0]), at, direction)
    assert_slope(along(backward(dy), direction), slope, 1e-9)


away_from_the_kink = st.floats(0.01, 2) | st.floats(-2, -0.01)


@given(arrays(float, (3, 2), elements=away_from_the_kink), matrix(3, 2), matrix(3, 2))
def test_relu(x, dy, direction):
    y, backward = relu(x)
    assert np.array_equal(y, [[max(v, 0) for v in row] for row in x])
    slope = directional(lambda z: np.vdot(dy, relu(z)[0]), [x], [direction], h=1e-3)
    assert_slope(along([backward(dy)], [direction]), slope, 1e-9)


def test_relu__at_the_kink_nothing_flows():
    assert relu(np.zeros((1, 1)))[1](np.ones((1, 1))) == 0


@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.data())
def test_concatenate(widths, data):
    parts = [data.draw(matrix(2, width)) for width in widths]
    y, backward = concatenate(parts)
    assert y.tolist() == [[v for part in parts for v in part[i]] for i in range(2)]
    for part, back in zip(parts, backward(y), strict=True):
        assert np.array_equal(part, back)


def test_embedding_bag__refuses_another_pool():
    bags = Ragged.from_counts([1], np.array([0], np.int32))
    with pytest.raises(ValueError, match="pool"):
        embedding_bag(bags, np.ones((1, 1)), pool="max")


row_lists = st.lists(st.integers(0, 6), min_size=1, max_size=12).map(np.array)


def spread(gradient, rows=7):
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
    assert spread(gradient) == pytest.approx(slow_sum(rows, values), abs=1e-12)
    assert gradient.rows.tolist() == sorted(set(rows.tolist()))


@given(st.lists(row_lists | st.just(np.zeros(0, int)), min_size=1, max_size=5), st.data())
def test_sum_by_row__of_bags_weighs_every_use(bags, data):
    values = data.draw(arrays(float, (len(bags), 2), elements=st.floats(-9, 9)))
    rows = np.concatenate(bags).astype(int)
    share = data.draw(arrays(float, len(rows), elements=st.floats(0, 1)))
    counts = [len(bag) for bag in bags]
    indptr = np.cumsum([0, *counts])
    expected = slow_sum(rows, np.repeat(values, counts, axis=0) * share[:, None])
    assert spread(sum_by_row(rows, values, indptr, share)) == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(row_lists, st.floats(-5, 5)), min_size=1, max_size=4))
def test_add_gradients__sums_a_name_used_again(uses):
    parts = [
        {"t": sum_by_row(rows, np.full((len(rows), 1), v)), "b": np.full(2, v)} for rows, v in uses
    ]
    total = add_gradients(*parts)
    expected = sum(slow_sum(rows, np.full((len(rows), 1), v)) for rows, v in uses)
    assert spread(total["t"]) == pytest.approx(expected, abs=1e-12)
    assert len(set(total["t"].rows.tolist())) == len(total["t"].rows)
    assert total["b"] == pytest.approx(np.full(2, sum(v for _, v in uses)), abs=1e-12)


def test_add_gradients__keeps_names_apart_and_its_arguments_unchanged():
    a, b = {"x": np.ones(2)}, {"x": np.ones(2), "y": np.zeros(1)}
    assert {n: g.tolist() for n, g in add_gradients(a, b).items()} == {"x": [2, 2], "y": [0]}
    assert a["x"].tolist() == [1, 1]


def test_add_gradients__refuses_rows_with_a_whole_array():
    with pytest.raises(TypeError, match="full array"):
        add_gradients({"x": np.ones((2, 1))}, {"x": RowGradient(np.array([0]), np.ones((1, 1)))})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_first_not_finite__names_the_first(bad):
    fine, broken = np.ones((2, 3), np.float32), np.ones((2, 3), np.float32)
    broken[1, 2] = bad
    assert first_not_finite([("a", fine), ("b", broken), ("c", broken)]) == "b"


def test_first_not_finite__large_is_still_finite():
    assert first_not_finite([("a", np.full((2, 2), 1e30, np.float32))]) is None
