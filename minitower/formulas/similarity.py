"""Similarity: how two vectors are compared.

The towers meet only here ("late fusion"). With unit vectors the inner product
*is* the cosine, so a tower normalises its output once and everything after it,
training and index alike, takes plain inner products.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating[Any]]


def l2_normalize(
    x: Vectors, *, epsilon: float = 1e-6
) -> tuple[Vectors, Callable[[Vectors], Vectors]]:
    """Scale every row to length one; a row too short to have a direction stays zero.

        y_i = x_i / |x_i|   where |x_i| > epsilon, else 0

    Shapes: (n,d)->(n,d)

    Args:
        x: vectors, one a row.
        epsilon: the length at or below which a vector has no direction, >= 0.

    Returns:
        The unit vectors, and the function that sends their gradient back to x.

    Raises:
        ValueError: x is not a matrix, or epsilon < 0.

    Gradient:
        dx_i = (dy_i - y_i (y_i . dy_i)) / |x_i|: only the part across y_i turns
        it. A row at or below epsilon gets no gradient. (The usual clamp
        x / max(|x|, epsilon) has the gradient dy / epsilon there, a kick of
        10^6 that throws a dead row across the space.)

    Properties: unit_length, unmoved_by_rescaling, gradient_is_across,
        gradient_shrinks_with_length, zero_stays_zero, equals_naive,
        gradient_is_right

    >>> y, backward = l2_normalize(np.array([[3.0, 4.0], [0.0, 0.0]]))
    >>> y
    array([[0.6, 0.8],
           [0. , 0. ]])
    >>> backward(np.array([[1.0, 0.0], [1.0, 0.0]])).round(3)
    array([[ 0.128, -0.096],
           [ 0.   ,  0.   ]])

    Reference: X. Yi et al., Sampling-Bias-Corrected Neural Modeling for Large
        Corpus Item Recommendations, RecSys 2019, section 3, "Normalization".
    """
    x = np.asarray(x)
    if x.ndim != 2:
        raise ValueError(f"expected one vector a row, got an array of shape {x.shape}")
    if epsilon < 0:
        raise ValueError(f"epsilon must not be negative, got {epsilon}")
    # A row is divided by its largest entry first: squares neither overflow nor vanish.
    size = np.abs(x).max(axis=1, initial=0)
    scaled = x / np.where(size > 0, size, 1)[:, None]
    shape = np.sqrt(np.einsum("nd,nd->n", scaled, scaled))
    length = size * shape
    has_direction = length > epsilon
    one = np.divide(1, shape, out=np.zeros_like(shape), where=has_direction)[:, None]
    y = scaled * one

    def backward(dy: Vectors) -> Vectors:
        along = np.einsum("nd,nd->n", y, dy)[:, None]
        dx: Vectors = (dy - y * along) * one / np.where(has_direction, size, 1)[:, None]
        return dx

    return y, backward
