"""Recognize the kind of a feature by the values of its column, for tables without a schema.

A column of a Parquet file has a type. A column of a CSV file has strings;
:mod:`~minitower.data.csv_files` says which of them are numbers.

Chapter 3.
"""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from minitower.data.schema import Categorical, Continuous, Field, MultiValued, Transform
from minitower.data.values import FLOATS, is_missing
from minitower.formulas.arrays import Array

_CODES = {"id", "code", "zip", "zipcode", "postcode", "postal"}
_FEW = 32  # distinct integers that may be codes of a category
_SKEW = 20  # largest over median, from which on a number is compressed by log1p
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ].*)?")


def kind_of(name: str, column: Array) -> tuple[Field | None, str]:
    """The field that a column becomes, and why; None: the column is left out.

    Args:
        name: of the column.
        column: its values, of a CSV file after :func:`~minitower.data.csv_files.plain_values`.

    >>> kind_of("tags", np.array(["new|red", "red"], object))
    (MultiValued(name='tags', ..., separator='|'), "sets, split at '|'")
    """
    if column.dtype.kind == "M":
        return None, "dates"
    if column.dtype.kind == "b":
        return Categorical(name), "true or false"
    if column.dtype.kind in "iuf":
        return _number(name, column, bool(column.dtype.kind == "f" and np.isnan(column).any()))
    present = [value for value in column.tolist() if not is_missing(value)]
    if not present:
        return None, "empty"
    if all(isinstance(value, str) for value in present):
        return _words(name, present)
    if all(isinstance(value, bool | np.bool) for value in present):
        return Categorical(name), "true or false"
    if all(isinstance(value, int | float | np.number) for value in present):
        return _number(name, np.array(present), len(present) < len(column))
    not_lists = (str, bytes, Mapping)
    if all(isinstance(value, Iterable) and not isinstance(value, not_lists) for value in present):
        if any(isinstance(member, FLOATS) for value in present for member in value):
            return None, "lists of fractions"
        return MultiValued(name), "lists"
    return None, f"values of type {type(present[0]).__name__}"


def separator_of(values: Iterable[str]) -> str | None:
    """The character that separates the members of sets; None where values are single ones.

    A bar or a semicolon always separates. A comma does where the parts repeat: each of them
    occurs twice in the mean.

    >>> separator_of(["a|b", "c"]), separator_of(["a,b", "b,a"]), separator_of(["Bern, CH"])
    ('|', ',', None)
    """
    distinct = set(values)
    for separator in ("|", ";"):
        if any(separator in value for value in distinct):
            return separator
    parts = [part.strip() for value in distinct for part in value.split(",")]
    return "," if len(parts) > len(distinct) and len(parts) >= 2 * len(set(parts)) else None


def _words(name: str, present: list[str]) -> tuple[Field | None, str]:
    distinct = set(present)
    if all(_DATE.fullmatch(value) for value in distinct):
        return None, "dates"
    if all(value.startswith("[") and value.endswith("]") for value in distinct):
        return None, "lists in brackets, not a|b"
    separator = separator_of(distinct)
    if separator is not None:
        return MultiValued(name, separator=separator), f"sets, split at '{separator}'"
    return (
        (None, "one value") if len(distinct) == 1 < len(present) else (Categorical(name), "words")
    )


def _number(name: str, values: Array, has_holes: bool) -> tuple[Field | None, str]:
    values = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    distinct = len(np.unique(values))
    if distinct < 2:
        return None, "empty" if not distinct else "one value"
    is_whole = values.dtype.kind != "f" or bool((values == np.floor(values)).all())
    if is_whole and _CODES & set(re.split(r"[^a-z]+", name.lower())):
        return Categorical(name), "codes"
    if is_whole and distinct <= min(_FEW, len(values) // 2):
        return Categorical(name), f"{distinct} integers"
    middle, largest = float(np.median(values)), float(values.max())
    is_skewed = values.min() >= 0 and largest > _SKEW * middle
    transform: Transform = "log1p" if is_skewed else "standardise"
    return Continuous(name, transform, impute=has_holes), "numbers" + (
        ", some missing" if has_holes else ""
    )
