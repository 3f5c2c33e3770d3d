"""Every property that the docstrings of similarity.py promise, one test each."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numerics import (
    EPS32,
    along,
    assert_close,
    assert_float32,
    assert_slope,
    complex_step,
    directional,
)

from minitower.formulas.similarity import cosine, inner_product, l2_normalize

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
def test_l2_normalize__slope_is_right(x, dy, direction):
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
def test_l2_normalize__gradient_is_orthogonal(x, dy):
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


def test_l2_normalize__at_epsilon_there_is_no_direction():
    x = np.array([[3.0, 4.0]])
    assert not l2_normalize(x, epsilon=5.0)[0].any()
    assert l2_normalize(x, epsilon=np.nextafter(5.0, 0))[0] == pytest.approx(x / 5)


def test_l2_normalize__of_no_dimensions_is_empty():
    y, backward = l2_normalize(np.zeros((2, 0)))
    assert y.shape == backward(y).shape == (2, 0)


def test_l2_normalize__epsilon_zero_normalises_whatever_has_a_direction():
    for tiny in (np.array([[3e-200, 4e-200]]), np.array([[3e-40, 4e-40]], np.float32)):
        assert l2_normalize(tiny, epsilon=0)[0] == pytest.approx(np.array([[0.6, 0.8]]), rel=1e-5)


@pytest.mark.parametrize(
    "x, epsilon, message", [([1.0, 2.0], 0.1, "x must be of shape"), ([[1.0]], -1.0, "negative")]
)
def test_l2_normalize__refuses(x, epsilon, message):
    with pytest.raises(ValueError, match=message):
        l2_normalize(np.array(x), epsilon=epsilon)


pairs = shapes.flatmap(lambda shape: arrays(float, (2, *shape), elements=st.floats(-3, 3)))
pulls = shapes.flatmap(lambda shape: arrays(float, shape[0], elements=st.floats(-2, 2)))
SIMILARITIES = [inner_product, cosine]


def naive_inner_product(users, items):
    return [
        sum(a * b for a, b in zip(u, v, strict=True)) for u, v in zip(users, items, strict=True)
    ]


def naive_cosine(users, items):
    directions = [
        [[v / np.sqrt(sum(w * w for w in row)) for v in row] for row in side]
        for side in (users, items)
    ]
    return naive_inner_product(*directions)


NAIVE = {inner_product: naive_inner_product, cosine: naive_cosine}
has_direction = lambda x: np.linalg.norm(x, axis=-1).min() > 0.05


@pytest.mark.parametrize("similarity", SIMILARITIES)
@given(both=pairs)
def test_similarity__equals_naive(similarity, both):
    assume(has_direction(both))
    assert_close(similarity(*both)[0], np.array(NAIVE[similarity](*both)), 1e-13)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@given(both=pairs, d_scores=pulls)
def test_similarity__gradient_is_right(similarity, both, d_scores):
    assume(has_direction(both))
    exact = complex_step(
        lambda u, v: sum(d * s for d, s in zip(d_scores, NAIVE[similarity](u, v), strict=True)),
        both,
    )
    assert_close(similarity(*both)[1](d_scores), exact)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@given(both=pairs, d_scores=pulls)
def test_similarity__symmetric(similarity, both, d_scores):
    users, items = both
    there, back = similarity(users, items), similarity(items, users)
    assert np.array_equal(there[0], back[0])
    for a, b in zip(there[1](d_scores), reversed(back[1](d_scores)), strict=True):
        assert np.array_equal(a, b)


@given(pairs, pairs, st.floats(-3, 3))
def test_inner_product__linear_in_each(both, other, factor):
    (users, items), (more, _) = both, other
    sum_of_two = inner_product(factor * users + more, items)[0]
    two_sums = factor * inner_product(users, items)[0] + inner_product(more, items)[0]
    assert_close(sum_of_two, two_sums, 1e-12)


@given(pairs)
def test_cosine__within_one(both):
    scores, _ = cosine(*both)
    assert (np.abs(scores) <= 1 + 4 * np.finfo(float).eps).all()


@given(pairs, st.floats(0.01, 100), st.floats(0.01, 100))
def test_cosine__unmoved_by_rescaling(both, a, b):
    assume(has_direction(both))
    users, items = both
    assert_close(cosine(a * users, b * items)[0], cosine(users, items)[0], 1e-13)


@given(pairs, pulls)
def test_cosine__gradient_is_orthogonal(both, d_scores):
    assume(has_direction(both))
    for x, dx in zip(both, cosine(*both)[1](d_scores), strict=True):
        assert np.abs(np.einsum("nd,nd->n", x, dx)).max() < 1e-12


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_cosine__zero_stays_zero(dtype):
    """Neither NaN nor the 10^6 of a clamped length comes back, on either side."""
    zero, one = np.zeros((1, 2), dtype), np.ones((1, 2), dtype)
    for users, items in [(zero, one), (one, zero), (zero, zero)]:
        scores, backward = cosine(users, items)
        assert scores == 0
        assert not any(d.any() for d in backward(np.ones(1, dtype)))


@pytest.mark.parametrize("dtype, small, large", [(np.float32, -18, 18), (np.float64, -160, 160)])
def test_cosine__lengths_may_differ_wildly(dtype, small, large):
    """The square of either, and the product of two short ones, is outside the type."""
    x = np.array([[3, 4]], dtype)
    for a, b in [(small, large), (small, small), (large, large)]:
        short, long = x * dtype(10.0) ** a, x * dtype(10.0) ** b
        assert cosine(short, long, epsilon=0)[0] == pytest.approx(1, rel=1e-6)


@given(pairs, pulls)
def test_cosine__of_unit_vectors_is_the_inner_product(both, d_scores):
    assume(has_direction(both))
    users, items = unit(both[0]), unit(both[1])
    cosines, backward = cosine(users, items)
    products, plain = inner_product(users, items)
    assert_close(cosines, products, 1e-14)
    across = [
        d - x * np.einsum("nd,nd->n", d, x)[:, None]
        for x, d in zip((users, items), plain(d_scores))
    ]
    assert_close(backward(d_scores), across, 1e-13)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@given(both=pairs, d_scores=pulls)
def test_similarity__float32_is_close(similarity, both, d_scores):
    """d products and their sum lose d eps of the sum of their sizes, which is at most 1 for
    cosines; each length adds as much again, and a constant number of operations more.
    """
    both, d_scores = both.astype(np.float32), d_scores.astype(np.float32)
    assume(has_direction(both))
    scores, backward = similarity(*both)
    exact, exactly = similarity(*both.astype(float))
    d = both.shape[-1]
    users, items = both.astype(float)
    length = lambda x: np.linalg.norm(x, axis=1, keepdims=True)
    slope = np.abs(d_scores)[:, None].astype(float)
    if similarity is inner_product:
        size = (np.abs(users * items).sum(axis=1), slope * np.abs(items), slope * np.abs(users))
    else:
        size = (np.ones(len(users)), slope / length(users), slope / length(items))
    bound = [(4 * d + 16) * EPS32 * part for part in size]
    assert_float32((scores, backward(d_scores)), (exact, exactly(d_scores.astype(float))), bound)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize(
    "users, items", [((2, 3), (2, 4)), ((2, 3), (1, 3)), ((3,), (3,)), ((1, 2, 3), (1, 2, 3))]
)
def test_similarity__refuses(similarity, users, items):
    with pytest.raises(ValueError, match=r"one shape|x must be of shape"):
        similarity(np.ones(users), np.ones(items))


def test_cosine__refuses_a_negative_epsilon():
    with pytest.raises(ValueError, match="negative"):
        cosine(np.ones((1, 2)), np.ones((1, 2)), epsilon=-1)


@given(vectors, vectors)
def test_l2_normalize__gradient_is_right(x, dy):
    """Entry by entry, by complex step on the naive form."""
    assume(has_direction(x))
    naive = lambda z: sum(
        d * v / np.sqrt(sum(w * w for w in row))
        for row, upstream in zip(z, dy, strict=True)
        for v, d in zip(row, upstream, strict=True)
    )
    assert_close([l2_normalize(x)[1](dy)], complex_step(naive, [x]))
