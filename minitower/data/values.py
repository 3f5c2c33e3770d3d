"""Read ids and categories as integers or strings, exactly or not at all. Chapter 3.

A float is read as an integer while its type can hold every integer up to it: below 2^53 for
float64, 2^24 for float32, 2^11 for float16. From there on one float stands for several
integers, and two users would become one.
"""

from typing import Any, Literal

import numpy as np

from minitower.data.errors import Place, show
from minitower.formulas.arrays import Array

IdType = Literal["integer", "string"]

BOOLEANS = (bool, np.bool)
FLOATS = (float, np.floating)
_INTEGERS = (int, np.integer)

LONGEST = 256
"""Characters of an id or a value. NumPy stores strings equally wide, so one long string would
multiply the memory of all."""


def is_missing(value: Any) -> bool:
    """None, NaN, the empty string, pandas.NA or pandas.NaT."""
    if value is None or (isinstance(value, str) and not value):
        return True
    if isinstance(value, FLOATS):
        return bool(np.isnan(value))
    return type(value).__name__ in ("NAType", "NaTType")  # pandas.NA, pandas.NaT


def integers(values: Array, place: Place) -> tuple[Array, Array]:
    """An array of numbers or booleans as int64 (NaN becomes 0), and the mask of NaN.

    Raises:
        DataError: a number is no integer, not exact, or beyond 64 bits.
    """
    missing = np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        missing = np.isnan(values)
        values = np.where(missing, 0, values)
        with np.errstate(invalid="ignore"):  # the remainder of infinity is NaN, and not 0
            bad = (values % 1 != 0) | (np.abs(values) >= _exact_below(values.dtype))
    else:
        bad = values > 2**63 - 1
    place.refuse(bad, lambda row: _refusal(values[row]))
    return values.astype(np.int64), missing


def plain(values: Array, place: Place) -> list[Any]:
    """The values of a column of strings or objects, as Python int, bool, str or None.

    Raises:
        DataError: a value is neither an exact integer nor a string.
    """
    if values.dtype.kind not in "OUT":
        raise place.error(f"expected integers or strings, got values of type {values.dtype}")
    items: list[Any] = values.tolist()
    if set(map(type, items)) <= {int, str}:
        return items
    for row, value in enumerate(items):
        try:
            items[row] = _plain(value)
        except ValueError as error:
            raise place.error(str(error), row) from None
    return items


def int64(items: list[int] | list[int | str], place: Place) -> Array:
    """Python integers, or strings of their digits, as an array.

    Raises:
        DataError: an integer has more than 64 bits.
    """
    try:
        return np.fromiter(items, np.int64, len(items))
    except OverflowError:
        row = next(row for row, item in enumerate(items) if not -(2**63) <= int(item) < 2**63)
        raise place.error(_refusal(int(items[row])), row) from None


def check_strings(strings: list[str], place: Place, longest: int = LONGEST) -> None:
    """Check that NumPy and UTF-8 can store the strings, and that each is short.

    Raises:
        DataError: a string is too long, or holds a zero character or half a surrogate pair.
    """
    if max(map(len, strings), default=0) <= longest and is_storable("".join(strings)):
        return
    for row, text in enumerate(strings):
        if len(text) > longest:
            raise place.error(
                f"a string of {len(text):,} characters, more than {longest:,}: {show(text)}", row
            )
        if not is_storable(text):
            what = "a zero character" if "\0" in text else "half a surrogate pair"
            raise place.error(f"a string with {what}: {show(text)}", row)


def typed_ids(values: Array, kind: IdType, place: Place) -> Array:
    """A column of ids of a given type: (n,) int64, or objects that are all str.

    A string of digits can be read as an integer, and an integer as the string of its digits.

    Raises:
        DataError: names the place of an id that is missing, negative or of another type.
    """
    wanted = "an integer" if kind == "integer" else "a string"
    are_strings = values.dtype == object and set(map(type, values.tolist())) == {str}
    if not are_strings:
        refuse(BOOLEANS if kind == "integer" else (*BOOLEANS, *FLOATS), values, wanted, place)
    if values.dtype.kind in "iuf":
        ids, missing = integers(values, place)
        place.refuse(missing, "missing id")
        if kind == "string":
            return np.fromiter(map(str, ids.tolist()), object, len(ids))
    else:
        items = values.tolist() if are_strings else plain(values, place)
        strings = items if are_strings else [item for item in items if type(item) is not int]
        if not (all(strings) and (kind == "string" or _is_digits("".join(strings)))):
            row = next(r for r, item in enumerate(items) if not _is_id(item, kind))
            raise place.error(f"expected {wanted}, got {show(items[row])}", row)
        if kind == "string":
            strings = [_digits(item) if type(item) is int else str(item) for item in items]
            check_strings(strings, place)
            return np.fromiter(strings, object, len(strings))
        check_strings(items if are_strings else [i if type(i) is str else "" for i in items], place)
        ids = int64(items, place)
    place.refuse(ids < 0, lambda row: f"negative id {ids[row]}")
    return ids


def is_storable(text: str) -> bool:
    """Whether NumPy and UTF-8 can hold it: no final zero character, no half surrogate pair."""
    return "\0" not in text and (
        text.isascii() or text == text.encode("utf-8", "ignore").decode("utf-8")
    )


def refuse(kinds: tuple[type, ...], values: Array, wanted: str, place: Place) -> None:
    """Refuse values of these types, such as BOOLEANS, which Python takes for numbers.

    Raises:
        DataError: a value has one of the types.
    """
    types = set(map(type, values.tolist())) if values.dtype == object else {values.dtype.type}
    if any(issubclass(each, kinds) for each in types):
        for row, value in enumerate(values):
            if isinstance(value, kinds):
                raise place.error(f"expected {wanted}, got {show(value)}", row)


def _is_id(item: int | str | None, kind: IdType) -> bool:
    """A string is not empty; as an integer it has digits only."""
    return type(item) is int or bool(item and (kind == "string" or _is_digits(str(item))))


def _is_digits(text: str) -> bool:
    return text.isascii() and (text.encode().isdigit() or not text)  # faster than of str


def _digits(number: int) -> str:
    """The digits of an integer. Python refuses to write more than 4,300, too many for an id."""
    return str(number) if number.bit_length() < 8 * LONGEST else "9" * (2 * LONGEST)


def _plain(value: Any) -> int | str | None:
    """One value as a plain Python object; a ValueError says why it cannot be one."""
    if is_missing(value):
        return None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, FLOATS):
        limit = _exact_below(np.dtype(type(value)))
        if float(value).is_integer() and abs(float(value)) < limit:
            return int(value)
    elif isinstance(value, BOOLEANS):
        return bool(value)
    elif _is_integer(value):
        return int(value)
    raise ValueError(_refusal(value))


def _is_integer(value: Any) -> bool:
    """Whether it is an integer; NumPy counts its durations among integers, we do not."""
    return isinstance(value, _INTEGERS) and not isinstance(value, np.timedelta64)


def _exact_below(kind: np.dtype[Any]) -> float:
    """A float of this type holds every integer below this magnitude."""
    return float(min(2 ** (int(np.finfo(kind).nmant) + 1), 2**63))


def _refusal(value: Any) -> str:
    shown = show(value)
    if _is_integer(value):
        return f"expected an integer of 64 bits, got {shown}"
    if isinstance(value, FLOATS) and float(value).is_integer():
        return f"the float {shown} stands for several integers; store integers or strings"
    return f"expected an integer or a string, got {shown}"
