"""Values of a CSV file: strings, some of which stand for integers, numbers or booleans.

Chapter 3.
"""

import re
from typing import Any

import numpy as np

from minitower.data.columns import Columns, numbers
from minitower.data.errors import DataError, Place
from minitower.data.feature_encoder import FeatureEncoder
from minitower.data.schema import Categorical
from minitower.data.values import is_missing
from minitower.formulas.arrays import Array

_INTEGER = re.compile("0|-?[1-9][0-9]{0,18}")
_WORDS = {"true": True, "false": False}


def integers_of(column: Array) -> Array | None:
    """The integers that strings stand for; None unless all of them are written plainly.

    "007", "+7" and "7.0" are not: as integers they would be one value with "7".

    >>> integers_of(np.array(["7", "12"], object)), integers_of(np.array(["7", "07"], object))
    (array([ 7, 12]), None)
    """
    values = column.tolist()
    distinct = set(values)
    if not all(type(value) is str and _INTEGER.fullmatch(value) for value in distinct):
        return None
    found = {value: int(value) for value in distinct}
    if not all(-(2**63) <= number < 2**63 for number in found.values()):
        return None
    return np.fromiter(map(found.__getitem__, values), np.int64, len(values))


def plain_values(column: Array) -> Array:
    """A column of strings as integers, numbers or booleans, where all of its values are such.

    Missing values do not count. Strings stay strings as soon as one value is something else.
    """
    if column.dtype != object:
        return column
    if set(map(type, column.tolist())) == {str}:
        missing = ~column.astype(bool)  # ""
    else:
        missing = np.fromiter(map(is_missing, column.tolist()), bool, len(column))
    present = column[~missing]
    if set(map(type, present.tolist())) != {str}:
        return column
    found, distinct = integers_of(present), set(present.tolist())
    if found is None and {value.lower() for value in distinct} <= _WORDS.keys():
        found = np.array([_WORDS[value.lower()] for value in present])
    if found is None and not any(map(_has_leading_zero, distinct)):
        try:
            found = numbers(present, Place(""))
        except DataError:
            return column
        if np.isnan(found).any():  # the string "nan" is a word
            return column
    if found is None or not missing.any():
        return column if found is None else found
    if found.dtype.kind == "f":
        holes = np.full(len(column), np.nan)
    else:
        holes = np.full(len(column), None, object)
    holes[~missing] = found.tolist()
    return holes


def as_fitted(columns: Columns, encoder: FeatureEncoder) -> Columns:
    """Categories with the type of a fitted vocabulary: integers, or strings.

    A string that stands for no integer is unknown to a vocabulary of integers: it is missing.

    Args:
        columns: of a CSV file.
        encoder: of the side.
    """
    names = [f.name for f in encoder.fields if isinstance(f, Categorical) and f.name in columns]
    kinds = {name: encoder.vocabulary(name).values.dtype.kind for name in names}
    return columns.updated({name: _of_kind(columns[name], kind) for name, kind in kinds.items()})


def _of_kind(column: Array, kind: str) -> Array:
    if kind == "U":
        values: list[Any] = [
            None if is_missing(v) else v if isinstance(v, str) else str(v) for v in column
        ]
    elif column.dtype != object:
        return column
    else:
        values = [_integer(v) if isinstance(v, str) else v for v in column]
    return np.fromiter(values, object, len(column))


def _integer(value: str) -> int | None:
    word = _WORDS.get(value.lower())
    return int(value) if _INTEGER.fullmatch(value) else None if word is None else int(word)


def _has_leading_zero(value: str) -> bool:
    return len(value) > 1 and value[0] == "0" and value[1].isdigit()
