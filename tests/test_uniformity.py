"""Every property that the docstrings of formulas/uniformity.py promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.formulas import uniformity as module
from minitower.formulas.similarity import l2_normalize
from minitower.formulas.uniformity import alignment, uniformity


@st.composite
def vectors(draw, sets=1):
    n, d = draw(st.integers(2, 9)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    vectors = [l2_normalize(rng.standard_normal((n, d)))[0] for _ in range(sets)]
    return vectors[0] if sets == 1 else vectors


scales = st.floats(0.1, 1000)


@given(vectors(2), st.floats(0.5, 4))
def test_alignment__equals_naive(both, power):
    x, y = both
    naive = sum(math.dist(a, b) ** power for a, b in zip(x, y, strict=True)) / len(x)
    assert alignment(x, y, power=power) == pytest.approx(naive, rel=1e-9)


@given(vectors(2))
def test_alignment__is_two_less_twice_the_cosine(both):
    x, y = both
    assert alignment(x, y) == pytest.approx(2 - 2 * np.mean((x * y).sum(axis=1)), abs=1e-12)


@given(vectors())
def test_alignment__zero_when_equal(x):
    assert alignment(x, x) == 0


@given(vectors(), scales)
def test_uniformity__equals_naive(x, scale):
    """In logarithms, however far apart the vectors are."""
    terms = [
        -scale * math.dist(a, b) ** 2 for i, a in enumerate(x) for j, b in enumerate(x) if i != j
    ]
    top = max(terms)
    naive = top + math.log(sum(math.exp(t - top) for t in terms) / len(terms))
    assert uniformity(x, scale=scale) == pytest.approx(naive, abs=1e-12 * max(1, scale))


@given(vectors(), scales)
def test_uniformity__zero_when_all_are_one(x, scale):
    assert uniformity(np.repeat(x[:1], 5, axis=0), scale=scale) == pytest.approx(0, abs=1e-9)


@given(scales)
def test_uniformity__two_poles(scale):
    assert uniformity([[0.0, 1.0], [0.0, -1.0]], scale=scale) == pytest.approx(-4 * scale)


@given(vectors(), st.integers(1, 40))
def test_uniformity__blocks_change_nothing(x, block):
    at_once = uniformity(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        assert uniformity(x) == pytest.approx(at_once, abs=1e-12)


@pytest.mark.parametrize("call, message", [
    (lambda: alignment(np.ones((2, 3)), np.ones((3, 3))), "x and y must be of one shape"),
    (lambda: alignment(np.ones(3), np.ones(3)), "x and y must be of one shape"),
    (lambda: alignment(np.ones((0, 3)), np.ones((0, 3))), "x and y must be of one shape"),
    (lambda: alignment(np.ones((2, 3)), np.ones((2, 3)), power=0), "power must be positive"),
    (lambda: uniformity(np.ones((1, 3))), "x must be of shape .* with n >= 2"),
    (lambda: uniformity(np.ones(3)), "x must be of shape .* with n >= 2"),
    (lambda: uniformity(np.ones((2, 3)), scale=-1), "scale must be positive"),
])  # fmt: skip
def test_uniformity__refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_uniformity__counts_twice_the_square_of_the_distance_by_default():
    x = np.array([[1.0, 0.0], [-1.0, 0.0]])
    assert uniformity(x) == uniformity(x, scale=2.0) == -8


@pytest.mark.parametrize("length", [1e-30, 1e-10, 1e25])
def test_alignment__of_float32_neither_vanishes_nor_overflows(length):
    x = np.array([[length, 0]], np.float32)
    assert alignment(x, x[:, ::-1]) == pytest.approx(2 * float(x[0, 0]) ** 2, rel=1e-12, abs=0)


def test_alignment__of_long_doubles_keeps_their_digits():
    x = np.ones((1, 1), np.longdouble)
    step = np.finfo(np.longdouble).eps
    assert alignment(x, x + step) == pytest.approx(float(step) ** 2, rel=1e-12, abs=0)


def test_uniformity__of_float32_separates_near_ones():
    x = l2_normalize(np.array([[1, 0], [1, 1e-3]], np.float32))[0].astype(np.float32)
    distance = float(((x[0].astype(float) - x[1]) ** 2).sum())
    assert uniformity(x, scale=1e6) == pytest.approx(-1e6 * distance, rel=1e-8)
