"""Checks of arguments: one function for each kind. Chapters 2 and 17.

Each returns the value, converted, and raises a ValueError that names the argument.
"""

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arrays import Array, Floats, Ids, Integers, Mask

TEMPERATURES = 1e-6, 1e12
"""Float32 rounds a cosine by up to 6e-8. Below 1e-6 that rounding moves a logit by more than 0.06;
at still smaller temperatures the logit overflows. Above 1e12 the gradient underflows in float32."""

SCALES = 1e-12, 1e6
"""A scale is one over a temperature."""

MARGINS = 0.0, 1e6
"""The float32 sum of a cosine and a larger margin keeps hardly a digit of the cosine."""

BIASES = -1e6, 1e6
"""The float32 sum of a score and a larger bias keeps hardly a digit of the score."""

LOG_SUM_WEIGHTS = 1.0, 100.0
"""Below 1 a softmax gains by raising every score at once, whatever the positive."""

INT64_MAX = 2**63 - 1
"""The largest integer of 64 bits."""

_NUMBERS, _INTEGERS, _STRINGS = "biuf", "iu", "US"
"""The kinds of arrays in NumPy's letters."""

LONGEST_ARRAY = 2**31 - 1
"""Bound on the rows or columns that a count asks for. More would take gigabytes."""


def as_array(name: str, x: ArrayLike) -> Array:
    """Convert to an array of any type."""
    try:
        return np.asarray(x)
    except Exception as error:  # the library of x may raise its own kinds of errors
        raise ValueError(f"{name} is not an array: {_one_line(str(error))}") from error


def as_floats(name: str, x: ArrayLike) -> Floats:
    """Convert to real numbers: float16 to float32, integers and booleans to float64.

    >>> as_floats("labels", [1, 0])
    array([1., 0.])
    >>> as_floats("scores", np.array([0.1], np.float16)).dtype
    dtype('float32')
    """
    array = as_array(name, x)
    if array.dtype.kind == "f":
        return array.astype(np.float32) if array.dtype.itemsize == 2 else array
    if array.dtype.kind in _NUMBERS:
        return np.asarray(array, np.float64)
    raise ValueError(f"{name} must be real numbers, got {array.dtype}; convert to float32 first")


def as_float64(name: str, x: ArrayLike) -> Floats:
    """Convert as :func:`as_floats`, and always to float64."""
    return np.asarray(as_floats(name, x), np.float64)


def as_integers(name: str, x: ArrayLike) -> Integers:
    """Convert to int64. Floats are accepted within the range where they hold every integer.

    >>> as_integers("rows", np.array([3.0, 7.0]))
    array([3, 7])
    """
    array = as_array(name, x)
    if array.dtype.kind == "f":
        digits = min(np.finfo(array.dtype).nmant + 1, 63)
        bad = ~((np.abs(array) < 2.0**digits) & (array == np.rint(array)))
        if bad.any():
            raise ValueError(
                f"{name} must be integers, and below 2^{digits} where they come as {array.dtype}; "
                f"got {array[bad].flat[0]}"
            )
    elif array.dtype.kind not in _INTEGERS:
        raise ValueError(f"{name} must be integers, got {array.dtype}")
    elif array.dtype == np.uint64 and array.max(initial=0) >= 2**63:
        raise ValueError(f"{name} must be below 2^63, got {array.max()}")
    return np.asarray(array, np.int64)


def as_ids(name: str, x: ArrayLike) -> Ids:
    """Convert to ids: integers as in :func:`as_integers`, 64-bit unsigned integers, or strings."""
    array = as_array(name, x)
    if array.dtype.kind in _STRINGS:
        return array
    if array.dtype == np.uint64 and array.max(initial=0) >= 2**63:
        return array
    return as_integers(name, array)


def as_rows(name: str, x: ArrayLike, end: int) -> Integers:
    """Convert to row numbers, each within 0..end - 1."""
    array = as_integers(name, x)
    if array.size and not 0 <= array.min() <= array.max() < end:
        raise ValueError(f"{name} must be within 0..{end - 1}, got {array.min()} to {array.max()}")
    return array


def as_mask(name: str, x: ArrayLike) -> Mask:
    """Convert to booleans; 0 and 1 are accepted."""
    array = as_array(name, x)
    if array.dtype.kind not in _NUMBERS or not ((array == 0) | (array == 1)).all():
        raise ValueError(f"{name} must be true or false, got {array.dtype}")
    return np.asarray(array, bool)


def number(name: str, value: float) -> float:
    """Convert to a finite Python float. (A NumPy float64 would turn float32 arrays to float64.)"""
    array = as_floats(name, value)
    if array.ndim or not np.isfinite(float(array)):  # float() also rounds a longdouble
        got = f"shape {array.shape}" if array.ndim else array
        raise ValueError(f"{name} must be one finite number, got {got}")
    return float(array)


def positive_number(name: str, value: float) -> float:
    """Convert as :func:`number`, > 0."""
    array = as_floats(name, value)
    if array.ndim or not 0 < float(array) < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {shown(value)}")
    return float(array)


def number_within(name: str, value: float, bounds: tuple[float, float]) -> float:
    """Convert as :func:`number`, within bounds, both included."""
    result, (low, high) = number(name, value), bounds
    if not low <= result <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, got {shown(value)}")
    return result


def positive_temperature(value: float) -> float:
    """Convert as :func:`positive_number`, within :data:`TEMPERATURES`."""
    return number_within("temperature", positive_number("temperature", value), TEMPERATURES)


def positive_scale(value: float) -> float:
    """Convert as :func:`positive_number`, within :data:`SCALES`."""
    return number_within("scale", positive_number("scale", value), SCALES)


def positive_margin(value: float) -> float:
    """Convert as :func:`positive_number`, within :data:`MARGINS`."""
    return number_within("margin", positive_number("margin", value), MARGINS)


def integer(name: str, value: int, least: int, most: int = INT64_MAX) -> int:
    """Convert to a Python int within bounds, both included. 3.0 is accepted, True is not."""
    array = np.asarray(value, object) if isinstance(value, int) else as_integers(name, value)
    if array.ndim or isinstance(value, bool) or not least <= array <= most:
        raise _not_an_integer(name, value, least, most)
    return int(array)


def strict_integer(name: str, value: int, least: int, most: int = INT64_MAX) -> int:
    """Convert as :func:`integer`, but only int and NumPy's integers. For options and seeds.

    >>> strict_integer("k", np.int32(7), 1)
    7
    """
    other = isinstance(value, bool | np.timedelta64)  # NumPy counts durations as integers
    if not isinstance(value, int | np.integer) or other or not least <= value <= most:
        raise _not_an_integer(name, value, least, most)
    return int(value)


def _not_an_integer(name: str, value: Any, least: int, most: int) -> ValueError:
    bound = f"of at least {least}" if most == INT64_MAX else f"within {least}..{most}"
    if most == INT64_MAX and isinstance(value, int | np.integer) and value > most:
        bound += ", and of at most 64 bits"
    return ValueError(f"{name} must be an integer {bound}, got {shown(value)}")


def choice(name: str, value: str, choices: Sequence[str]) -> str:
    """Check that a string is one of a few.

    >>> choice("rounding", "floor", ("floor", "ceil"))
    'floor'
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {shown(value)}")
    return value


def row_count(n: int | None, name: str, candidates: Array) -> int:
    """Check the number n of rows whose positives are the first n of m candidates; None: all m."""
    if candidates.ndim != 1:
        raise ValueError(f"{name} must be of shape (m,), got {candidates.shape}")
    m = len(candidates)
    rows = m if n is None else integer("n", n, 0)
    if rows > m:
        raise ValueError(
            f"n = {shown(n)} rows need at least as many candidates, their positives first, "
            f"but {name} has {m}"
        )
    return rows


def equally_long(**vectors: ArrayLike) -> list[Floats]:
    """Convert the named vectors to floats, equally long and not empty."""
    arrays = [as_floats(name, vector) for name, vector in vectors.items()]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1 or not len(arrays[0]):
        raise ValueError(
            f"{' and '.join(vectors)} must be equally long, non-empty vectors, "
            f"got shapes {' and '.join(str(array.shape) for array in arrays)}"
        )
    return arrays


def weights_over_n(weights: ArrayLike | None, n: int, dtype: np.dtype[Any]) -> Floats:
    """Compute each pair's share of a mean: its weight >= 0, 1 by default, divided by n."""
    if weights is None:
        return np.full(n, 1 / n, dtype)
    weights = np.asarray(as_floats("weights", weights), dtype)
    if weights.shape != (n,):
        raise ValueError(f"expected {n} weights, one for each pair, got shape {weights.shape}")
    bad = np.flatnonzero(~((weights >= 0) & (weights < np.inf)))
    if len(bad):
        raise ValueError(
            f"weights must be finite and >= 0, got weights[{bad[0]}] = {weights[bad[0]]}"
        )
    return weights / n


_REPR = reprlib.Repr()  # it neither recurses deeply nor reads more of a list than it shows
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 200
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = 40


def shown(value: Any) -> str:
    """Format a value for a message: on one line, at most 80 characters.

    >>> shown("long" * 99)[-7:], shown(10**99)[-7:]
    ('long...', '0000...')
    """
    return _one_line(_REPR.repr(value))


def _one_line(message: str) -> str:
    line = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in " ".join(message.split()))
    return line if len(line) <= 80 else f"{line[:77]}..."
