"""Alignment and uniformity: two measures of contrastive learning, lower is better.

Alignment is small when related vectors are close; one vector for all items minimizes it.
Uniformity is small when vectors spread over the sphere; random vectors minimize it. Watch both
beside recall.

Chapters 11 and 12.
"""

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import as_floats, positive_number, positive_scale
from minitower.formulas.arrays import Floats

_BLOCK = 1 << 21  # pairs at a time


def alignment(x: ArrayLike, y: ArrayLike, *, power: float = 2.0) -> float:
    """Compute the mean distance of related vectors.

        mean_i |x_i - y_i|^power

    Shapes: (n,d),(n,d)->() of unit vectors. Row i of both: two views of an item, or the user and
        the item of a click.
    Args:
        power: > 0. With power 2 the result is 2 - 2 mean cosine, in [0, 4].
    Raises ValueError: the shapes differ, n = 0, or power <= 0.
    Properties: equals_naive, is_two_less_twice_the_cosine, zero_when_equal

    >>> alignment([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, -1.0]])
    2.0

    Reference: T. Wang, P. Isola, Understanding Contrastive Representation Learning through
        Alignment and Uniformity on the Hypersphere, ICML 2020, Eq. 1; docs/12.
    """
    x, y = _float64("x", x), _float64("y", y)
    if x.ndim != 2 or x.shape != y.shape or not len(x):
        raise ValueError(
            f"x and y must be of one shape (n,d) with n >= 1, got {x.shape} and {y.shape}"
        )
    power = positive_number("power", power)
    return float((np.linalg.norm(x - y, axis=1) ** power).mean())


def uniformity(x: ArrayLike, *, scale: float = 2.0) -> float:
    """Compute how evenly vectors spread over the sphere.

        log mean_{i != j} exp(-scale |x_i - x_j|^2)

    Shapes: (n,d)->() of unit vectors, in [-4 scale, 0]: 0 where all vectors are equal, near
        -2 scale where they spread evenly over a sphere of many dimensions. Time grows with n^2,
        memory does not.
    Args:
        scale: 1e-12 to 1e6, the paper's t.
    Raises ValueError: there are fewer than two vectors, or scale is outside its domain.
    Properties: equals_naive, zero_when_all_are_one, two_poles, blocks_change_nothing

    >>> uniformity([[1.0, 0.0], [-1.0, 0.0]])
    -8.0

    Reference: as :func:`alignment`, Eq. 2.
    """
    x, scale = _float64("x", x), positive_scale(scale)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"x must be of shape (n,d) with n >= 2, got {x.shape}")
    n = len(x)
    square = np.einsum("nd,nd->n", x, x)
    step, log_sum = max(1, _BLOCK // n), -np.inf
    for start in range(0, n, step):
        rows = np.arange(start, min(start + step, n))
        distance = np.maximum(square[rows, None] + square - 2 * (x[rows] @ x.T), 0)
        distance[rows - start, rows] = np.inf
        nearest = distance.min()
        near = np.exp(-scale * (distance - nearest)).sum()
        log_sum = np.logaddexp(log_sum, np.log(near) - scale * nearest)
    return float(log_sum - np.log(n * (n - 1)))


def _float64(name: str, x: ArrayLike) -> Floats:
    """In float32 the square of a distance below 1e-22 is 0, and close vectors cancel."""
    x = as_floats(name, x)
    return np.asarray(x, np.result_type(x, np.float64))
