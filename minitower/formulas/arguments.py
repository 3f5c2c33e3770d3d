"""What every formula asks of its arguments: one function for each kind.

floats      numbers to compute with
integers    counts, and numbers of rows and columns
ids         names of items or users, which are only compared
mask        true and false

number      one number
integer     one integer; strict_integer is for options, such as a seed
choice      one of a few words
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minitower.formulas.arrays import Floats, Integers

TEMPERATURES = 1e-6, 1e12
"""Float32 rounds a cosine by up to 6e-8. Below 1e-6 that rounding moves a logit by more than 0.06,
and later the logit overflows. Above 1e12 the gradient underflows in float32."""

SCALES = 1e-12, 1e6
"""A scale is one over a temperature."""

MARGINS = 0.0, 1e6
"""In float32 the sum of a cosine and a larger margin keeps hardly a digit of the cosine."""

BIASES = -1e6, 1e6
"""Beyond, the sum of a score and the bias keeps hardly a digit of the score in float32."""

LARGEST = 2**63 - 1
"""The largest integer of 64 bits."""

LONGEST_ARRAY = 2**31 - 1
"""The most rows or columns that a count may ask for. More would take gigabytes."""


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
    array = as_array(name, x)
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
    array = as_array(name, x)
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
    array = as_array(name, x)
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
    array = as_array(name, x)
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
    if array.ndim or not np.isfinite(float(array)):  # of a longdouble, too
        got = f"shape {array.shape}" if array.ndim else array
        raise ValueError(f"{name} must be one finite number, got {got}")
    return float(array)


def positive_number(name: str, value: float) -> float:
    """A finite number > 0, as :func:`number` gives it."""
    result = float(floats(name, value)) if np.ndim(value) == 0 else np.nan
    if not 0 < result < np.inf:
        raise ValueError(f"{name} must be positive and finite, got {shown(value)}")
    return result


def number_within(name: str, value: float, bounds: tuple[float, float]) -> float:
    """A number within bounds, both included, as :func:`number` gives it."""
    result, (low, high) = number(name, value), bounds
    if not low <= result <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, got {shown(value)}")
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


def integer(name: str, value: int, least: int, most: int = LARGEST) -> int:
    """An integer within bounds, both included, as Python's own int, which cannot overflow.

    Raises:
        ValueError: value is outside, or none of the integers that :func:`integers` takes.
    """
    array = np.asarray(value, object) if isinstance(value, int) else integers(name, value)
    if array.ndim or isinstance(value, bool) or not least <= array <= most:
        raise _no_integer(name, value, least, most)
    return int(array)


def strict_integer(name: str, value: int, least: int, most: int = LARGEST) -> int:
    """An option that counts, or a seed: as :func:`integer`, but no float stands for it.

    Raises:
        ValueError: value is outside, or of another type than int and NumPy's integers. Python
            would count with a boolean, too.

    >>> strict_integer("k", np.int32(7), 1)
    7
    """
    other = isinstance(value, bool | np.timedelta64)  # NumPy counts durations as integers
    if not isinstance(value, int | np.integer) or other or not least <= value <= most:
        raise _no_integer(name, value, least, most)
    return int(value)


def _no_integer(name: str, value: Any, least: int, most: int) -> ValueError:
    bound = f"of at least {least}" if most == LARGEST else f"within {least}..{most}"
    if most == LARGEST and isinstance(value, int | np.integer) and value > most:
        bound += ", and of at most 64 bits"
    return ValueError(f"{name} must be an integer {bound}, got {shown(value)}")


def choice(name: str, value: str, choices: Sequence[str]) -> str:
    """One of a few words.

    Raises:
        ValueError: value is another word, or no word.

    >>> choice("rounding", "floor", ("floor", "ceil"))
    'floor'
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """A value in a message: on one line, at most 80 characters.

    >>> shown("long" * 99)[-7:], shown(10**99)[-7:]
    ('long...', '0000...')
    """
    return _one_line(_REPR.repr(value))


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= 80 else f"{text[:77]}..."


def row_count(n: int | None, name: str, candidates: NDArray[Any]) -> int:
    """The number of rows of m candidates, as Python's own int; None is all candidates.

    Args:
        n: the number, or None.
        name, candidates: one value for each candidate.

    Raises:
        ValueError: candidates are no vector, or n is no integer, negative, or more than m.
    """
    if candidates.ndim != 1:
        raise ValueError(f"{name} must be of shape (m,), got {candidates.shape}")
    m = len(candidates)
    rows = m if n is None else integer("n", n, 0)
    if rows > m:
        raise ValueError(
            f"n = {shown(n)} rows need as many candidates as their positives, but {name} has {m}"
        )
    return rows


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


_REPR = reprlib.Repr()  # it neither recurses deeply nor reads more of a list than it shows
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 200
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = _REPR.maxset = 40


def as_array(name: str, x: ArrayLike) -> NDArray[Any]:
    """Any array; a ValueError names what is none."""
    try:
        return np.asarray(x)
    except Exception as error:  # of the library that x is of, which may have its own kinds
        raise ValueError(f"{name} is no array: {_one_line(str(error))}") from error
