"""What every loss asks of its arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]


def floats(x: ArrayLike) -> Floats:
    """An array of floats: float32 stays float32, whole numbers become float64.

    >>> floats([1, 0])
    array([1., 0.])
    """
    x = np.asarray(x)
    return x if x.dtype.kind == "f" else x.astype(float)


def equally_long(**vectors: ArrayLike) -> list[Floats]:
    """The named vectors as floats, refused unless equally long and not empty."""
    arrays = [floats(vector) for vector in vectors.values()]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1 or not len(arrays[0]):
        raise ValueError(
            f"{' and '.join(vectors)} must be equally long, non-empty vectors, "
            f"got shapes {' and '.join(str(array.shape) for array in arrays)}"
        )
    return arrays


def positive_number(name: str, value: float) -> float:
    """A finite number > 0, as Python's own float: NumPy's would turn float32 into float64."""
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return float(value)


def pair_weights(weights: ArrayLike | None, n: int, dtype: np.dtype[Any]) -> Floats:
    """Each pair's share of the loss: its weight, 1 by default, divided by n."""
    if weights is None:
        return np.full(n, 1 / n, dtype)
    weights = np.asarray(weights, dtype)
    if weights.shape != (n,) or not ((weights >= 0) & (weights < np.inf)).all():
        raise ValueError(f"expected {n} finite weights >= 0, got shape {weights.shape}")
    return weights / n
