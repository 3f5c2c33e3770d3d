"""Every property that the docstrings of similarity.py promise, one test each."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numerics import along, assert_slope, directional

from minitower.formulas.similarity import l2_normalize

shapes = st.shared(st.tuples(st.integers(1, 5), st.integers(1, 6)), key="shape")
vectors = shapes.flatmap(lambda shape: arrays(float, shape, elements=st.floats(-3, 3)))


def unit(x):
    return l2_normalize(x)[0]


@given(vectors)
def test_l2_normalize__equals_naive(x):
    for row, y in zip(x, unit(x), strict=True):
        length = sum(v * v for v in row) ** 0.5
        expected = [v / length for v in row] if length > 1e-6 else [0.0] * len(row)
        assert y == pytest.approx(expected, abs=1e-14)


@given(vectors, vectors, vectors)
def test_l2_normalize__gradient_is_right(x, dy, direction):
    assume(np.linalg.norm(x, axis=1).min() > 0.05)
    _, backward = l2_normalize(x)
    slope = directional(lambda z: np.vdot(dy, unit(z)), [x], [direction], h=1e-3)
    assert_slope(along([backward(dy)], [direction]), slope, 1e-7)


@given(vectors)
def test_l2_normalize__unit_length(x):
    lengths = np.linalg.norm(unit(x), axis=1)
    assert np.all((np.abs(lengths - 1) < 1e-14) | (np.linalg.norm(x, axis=1) <= 1e-6))


@given(vectors, st.floats(0.01, 100))
def test_l2_normalize__unmoved_by_rescaling(x, scale):
    assume(np.linalg.norm(x, axis=1).min() > 1e-3)
    assert unit(scale * x) == pytest.approx(unit(x), abs=1e-13)


@given(vectors, vectors)
def test_l2_normalize__gradient_is_across(x, dy):
    assume(np.linalg.norm(x, axis=1).min() > 1e-3)
    dx = l2_normalize(x)[1](dy)
    assert np.einsum("nd,nd->n", x, dx) == pytest.approx(np.zeros(len(x)), abs=1e-12)


@given(vectors, vectors, st.floats(1, 100))
def test_l2_normalize__gradient_shrinks_with_length(x, dy, scale):
    assume(np.linalg.norm(x, axis=1).min() > 1e-3)
    near, far = l2_normalize(x)[1](dy), l2_normalize(scale * x)[1](dy)
    assert scale * far == pytest.approx(near, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("length", [0.0, 1e-30, 0.9e-6])
def test_l2_normalize__zero_stays_zero(dtype, length):
    y, backward = l2_normalize(np.array([[length, 0.0]], dtype))
    assert not y.any()
    assert not backward(np.ones((1, 2), dtype)).any()
    assert y.dtype == dtype


@pytest.mark.parametrize("dtype, size", [(np.float32, 1e30), (np.float64, 1e200)])
def test_l2_normalize__survives_squares_that_overflow(dtype, size):
    y, backward = l2_normalize(np.array([[3 * size, 4 * size]], dtype))
    assert y == pytest.approx(np.array([[0.6, 0.8]]), rel=1e-6)
    assert np.isfinite(backward(np.ones((1, 2), dtype))).all()


def test_l2_normalize__epsilon_zero_normalises_whatever_has_a_direction():
    for tiny in (np.array([[3e-200, 4e-200]]), np.array([[3e-40, 4e-40]], np.float32)):
        assert l2_normalize(tiny, epsilon=0)[0] == pytest.approx(np.array([[0.6, 0.8]]), rel=1e-5)


@pytest.mark.parametrize(
    "x, epsilon, message", [([1.0, 2.0], 0.1, "vector a row"), ([[1.0]], -1.0, "negative")]
)
def test_l2_normalize__refuses(x, epsilon, message):
    with pytest.raises(ValueError, match=message):
        l2_normalize(np.array(x), epsilon=epsilon)
