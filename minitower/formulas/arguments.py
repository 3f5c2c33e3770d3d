"""What every formula asks of its arguments: one function for each kind.

floats      numbers to compute with
integers    counts, and numbers of rows and columns
ids         names of items or users, which are only compared
mask        true and false
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Integers = NDArray[np.int64]

TEMPERATURES = 1e-6, 1e12
"""Float32 rounds a cosine by up to 6e-8. Below 1e-6 that rounding moves a logit by more than 0.06,
and later the logit overflows. Above 1e12 the gradient underflows in float32."""

SCALES = 1e-12, 1e6
"""A scale is one over a temperature."""

MARGINS = 0.0, 1e6
"""In float32 the sum of a cosine and a larger margin keeps hardly a digit of the cosine."""

BIASES = -1e6, 1e6
"""Beyond, the sum of a score and the bias keeps hardly a digit of the score in float32."""


def floats(name: str, x: ArrayLike) -> Floats:
    """An array to compute with, in float32 at least.

    float32, float64 and longdouble stay as they are. float16 becomes float32, because sums and
    exponentials of float16 lose most digits or overflow. Integers and booleans become float64.

    Raises:
        ValueError: x holds anything else: complex numbers, strings, objects, times.

    >>> floats("labels", [1, 0])
    array([1., 0.])
    >>> floats("scores", np.array([0.1], np.float16)).dtype
    dtype('float32')
    """
    array = _array(name, x)
    if array.dtype.kind == "f":
        return array.astype(np.float32) if array.dtype.itemsize == 2 else array
    if array.dtype.kind in "biu":
        return array.astype(np.float64)
    raise ValueError(f"{name} must be real numbers, got {array.dtype}; convert to float32 first")


def integers(name: str, x: ArrayLike) -> Integers:
    """An array of integers, as int64; floats are accepted where they hold integers exactly.

    A float64 holds every integer below 2^53 exactly, a float32 below 2^24, a float16 below 2^11.
    Beyond, two ids or two counts may have become one.

    Raises:
        ValueError: x holds fractions, NaN, integers beyond these bounds, or anything else.

    >>> integers("rows", np.array([3.0, 7.0]))
    array([3, 7])
    """
    array = _array(name, x)
    if array.dtype.kind == "f":
        digits = min(np.finfo(array.dtype).nmant + 1, 63)
        bad = ~((np.abs(array) < 2.0**digits) & (array == np.rint(array)))
        if bad.any():
            raise ValueError(
                f"{name} must be integers, and below 2^{digits} where they come as {array.dtype}; "
                f"got {array[bad].flat[0]}"
            )
    elif array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers, got {array.dtype}")
    elif array.dtype == np.uint64 and array.max(initial=0) >= 2**63:
        raise ValueError(f"{name} must be below 2^63, got {array.max()}")
    return array.astype(np.int64, copy=False)


def ids(name: str, x: ArrayLike) -> NDArray[Any]:
    """An array of ids: integers, as :func:`integers` takes them, unsigned 64-bit ones, or strings.

    Raises:
        ValueError: x holds anything else.
    """
    array = _array(name, x)
    if array.dtype.kind in "US":
        return array
    if array.dtype == np.uint64 and array.max(initial=0) >= 2**63:
        return array
    return integers(name, array)


def rows(name: str, x: ArrayLike, end: int) -> Integers:
    """Numbers of rows, each within 0..end - 1.

    Raises:
        ValueError: x is not made of integers, or one of them is outside.
    """
    array = integers(name, x)
    if array.size and not 0 <= array.min() <= array.max() < end:
        raise ValueError(f"{name} must be within 0..{end - 1}, got {array.min()} to {array.max()}")
    return array


def mask(name: str, x: ArrayLike) -> NDArray[np.bool_]:
    """An array of booleans; 0 and 1 are accepted.

    Raises:
        ValueError: x holds anything else.
    """
    array = _array(name, x)
    kind = array.dtype.kind
    if kind not in "biuf" or (kind != "b" and not ((array == 0) | (array == 1)).all()):
        raise ValueError(f"{name} must be true or false, got {array.dtype}")
    return array.astype(bool, copy=False)


def number(name: str, value: float) -> float:
    """A finite number as Python's own float: NumPy's float64 would turn float32 into float64.

    Raises:
        ValueError: value is not one finite number.
    """
    array = floats(name, value)
    if array.ndim or not np.isfinite(array):
        got = f"shape {array.shape}" if array.ndim else array
        raise ValueError(f"{name} must be one finite number, got {got}")
    return float(array)


def positive_number(name: str, value: float) -> float:
    """A finite number > 0, as :func:`number` gives it."""
    result = float(floats(name, value)) if np.ndim(value) == 0 else np.nan
    if not 0 < result < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return result


def number_within(name: str, value: float, bounds: tuple[float, float]) -> float:
    """A number within bounds, both included, as :func:`number` gives it."""
    result, (low, high) = number(name, value), bounds
    if not low <= result <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value}")
    return result


def positive_temperature(value: float) -> float:
    """A temperature within :data:`TEMPERATURES`, as :func:`number` gives it."""
    return number_within("temperature", positive_number("temperature", value), TEMPERATURES)


def positive_scale(value: float) -> float:
    """A scale within :data:`SCALES`, as :func:`number` gives it."""
    return number_within("scale", positive_number("scale", value), SCALES)


def positive_margin(value: float) -> float:
    """A margin within :data:`MARGINS`, as :func:`number` gives it."""
    return number_within("margin", positive_number("margin", value), MARGINS)


def integer(name: str, value: int, least: int, most: int | None = None) -> int:
    """An integer within bounds, both included, as Python's own int, which cannot overflow."""
    array = integers(name, value)
    if array.ndim or array < least or (most is not None and array > most):
        bound = f"at least {least}" if most is None else f"within {least}..{most}"
        raise ValueError(f"{name} must be an integer {bound}, got {value}")
    return int(array)


def equally_long(**vectors: ArrayLike) -> list[Floats]:
    """The named vectors as floats, refused unless equally long and not empty."""
    arrays = [floats(name, vector) for name, vector in vectors.items()]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1 or not len(arrays[0]):
        raise ValueError(
            f"{' and '.join(vectors)} must be equally long, non-empty vectors, "
            f"got shapes {' and '.join(str(array.shape) for array in arrays)}"
        )
    return arrays


def pair_weights(weights: ArrayLike | None, n: int, dtype: np.dtype[Any]) -> Floats:
    """Each pair's share of the loss: its weight, 1 by default, divided by n."""
    if weights is None:
        return np.full(n, 1 / n, dtype)
    weights = floats("weights", weights).astype(dtype, copy=False)
    if weights.shape != (n,) or not ((weights >= 0) & (weights < np.inf)).all():
        raise ValueError(f"expected {n} finite weights >= 0, got shape {weights.shape}")
    return weights / n


def _array(name: str, x: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} is no array: {error}") from error
