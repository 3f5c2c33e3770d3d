"""How tests compare: slopes without and with differences, and the tolerances they are held to."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def directional(
    f: Callable[..., float], at: Sequence[Array], direction: Sequence[Array], h: float = 1e-3
) -> float:
    """Slope of f at a tuple of arrays along a tuple of directions.

    Central differences at steps h, h/2, h/4, extrapolated to step zero (Richardson): the
    error is of order h^6 instead of h^2, so h may stay large and rounding small.
    """

    def central(step: float) -> float:
        ahead = f(*(x + step * d for x, d in zip(at, direction, strict=True)))
        behind = f(*(x - step * d for x, d in zip(at, direction, strict=True)))
        return (ahead - behind) / (2 * step)

    a, b, c = central(h), central(h / 2), central(h / 4)
    ab, bc = (4 * b - a) / 3, (4 * c - b) / 3
    return (16 * bc - ab) / 15


def along(gradients: Sequence[Array], direction: Sequence[Array]) -> float:
    """The slope that gradients promise along a direction."""
    return float(sum(np.vdot(g, d) for g, d in zip(gradients, direction, strict=True)))


def assert_slope(promised: float, measured: float, tolerance: float) -> None:
    """|promised - measured| <= tolerance * max(1, |promised|)."""
    assert abs(promised - measured) <= tolerance * max(1.0, abs(promised)), (promised, measured)


def complex_step(f: Callable[..., Any], at: Sequence[Any]) -> list[Array]:
    """Every partial derivative of an analytic f at a tuple of real arrays or numbers.

    Im f(x + ih) / h: no difference is taken, so nothing cancels and h may be so small that
    its square vanishes. f must not take absolute values, maxima or conjugates of what is complex.
    """
    h = 1e-100
    gradients = []
    for k, x in enumerate(at):
        slope = np.empty(np.shape(x))
        for index in np.ndindex(slope.shape):
            moved = [np.array(y, complex) for y in at]
            moved[k][index] += h * 1j
            slope[index] = np.imag(f(*moved)) / h
        gradients.append(slope)
    return gradients


def assert_close(got: Any, expected: Any, tolerance: float = 1e-9) -> None:
    """|got - expected| <= tolerance * max(1, |expected|), for each entry of each array."""
    for a, b in zip(_parts(got), _parts(expected), strict=True):
        assert a.shape == b.shape
        error = np.abs(a - b) / np.maximum(1, np.abs(b))
        assert error.max(initial=0) <= tolerance, (a, b)


def assert_float32(got: Any, exact: Any, bound: Any) -> None:
    """Results in float32 are of that type and within a bound, entry by entry, of float64 ones.

    Near the smallest normal number, 1.2e-38, digits go missing whatever the formula.
    """
    for a, b, size in zip(_parts(got), _parts(exact), _parts(bound), strict=True):
        assert a.dtype == np.float32 or not a.shape
        assert (np.abs(a - b) <= size + 1e-36).all(), (np.abs(a - b) / size).max()


def _parts(nested: Any) -> list[Array]:
    """The arrays of a tree of tuples and lists."""
    if isinstance(nested, (tuple, list)):
        return [part for inner in nested for part in _parts(inner)]
    return [np.asarray(nested)]


EPS32 = float(np.finfo(np.float32).eps)
"""Twice the relative error of one float32 operation."""


def float32_bound(size, share, exact, positive):
    """What float32 may lose on logits whose terms have a size of (n,), where exact is the gradient.

    Each logit, and its distance to the largest, is known to 2 eps size; so is the logarithm of
    their sum, and the sum itself adds m eps. n losses are summed. A probability is the
    exponential of two such logarithms, and the positive's is taken from 1.
    """
    n, m = exact.shape
    loss = EPS32 * ((8 * size + m + 8) * share).sum() * (n + 1)
    probabilities = np.abs(exact)
    probabilities[np.arange(n), positive] += share
    return loss, EPS32 * (16 * size + 2 * m + 16)[:, None] * probabilities
