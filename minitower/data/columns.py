"""Read the columns of any table as NumPy arrays. Chapter 3.

A table is a dict of arrays or lists, a pandas or polars frame, or a pyarrow table. This module
imports none of those libraries. Three functions read the values of a column: :func:`scalars`
(ids and categories), :func:`numbers` and :func:`sets`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from minitower.data.errors import DataError, Place, listed, show
from minitower.data.values import LONGEST, check_strings, int64, integers, is_missing, plain
from minitower.formulas.arrays import Array

_PLAIN_NUMBERS = {int, float}
_FLOATS = re.compile("float|double|halffloat", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """Arrays of equal length by name.

    Args:
        arrays: the columns.
        place: where they came from.
        is_csv: whether they are strings of a CSV file, some of which stand for numbers.
    """

    arrays: dict[str, Array]
    place: Place
    is_csv: bool = False

    def __len__(self) -> int:
        return next((len(array) for array in self.arrays.values()), 0)

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> Array:
        if name not in self.arrays:
            known = listed(self.arrays)
            raise self.place.error(f"column '{listed([name])}' is missing; columns: {known}")
        return self.arrays[name]

    def at(self, name: str) -> Place:
        """The place of one column, for errors about its values."""
        return self.place.at(name)

    def updated(self, arrays: Mapping[str, Array]) -> "Columns":
        """The same table with some columns replaced or added."""
        return replace(self, arrays={**self.arrays, **arrays})


def read_columns(table: Any, place: Place) -> Columns:
    """The columns of anything table-like.

    Raises:
        DataError: it is not a table, or its columns differ in length.
    """
    if isinstance(table, Columns):
        return table
    if isinstance(table, Mapping):
        pairs = list(table.items())
    elif hasattr(table, "column_names"):  # pyarrow
        pairs = list(zip(table.column_names, table.columns))
    elif hasattr(table, "items") and hasattr(table, "columns"):  # pandas
        pairs = list(table.items())
    elif hasattr(table, "get_columns"):  # polars
        pairs = [(column.name, column) for column in table.get_columns()]
    else:
        raise place.error(
            "expected a dict of columns, a pandas or polars frame or a pyarrow table, "
            f"got {type(table).__name__}"
        )
    arrays: dict[str, Array] = {}
    for name, column in pairs:
        if str(name) in arrays:
            raise place.at(str(name)).error("the column occurs twice")
        arrays[str(name)] = as_array(column, place.at(str(name)))
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        sizes = listed(f"{name} {length}" for name, length in lengths.items())
        raise place.error(f"the columns must be equally long; lengths: {sizes}")
    return Columns(arrays, place)


def as_array(column: Any, place: Place) -> Array:
    """One column as a vector of numbers, of strings, or of objects."""
    if isinstance(column, str | bytes) or not isinstance(column, Iterable):
        raise place.error(f"expected a column of values, got {show(column)}")
    if hasattr(column, "columns") or hasattr(column, "levels"):  # of pandas, polars or pyarrow
        raise place.error(f"expected a column of values, got a {type(column).__name__}")
    if isinstance(column, np.ma.MaskedArray):  # a masked value is a missing one
        column = _with_holes(column)
    try:
        array: Array = column if isinstance(column, np.ndarray) else _from_library(column, place)
    except ValueError as error:
        raise _at(place, error) from None
    if array.ndim == 2:  # one set of values per row
        return np.fromiter(iter(array), object, len(array))
    if array.ndim != 1:
        raise place.error(f"a column must have one value per row, got shape {array.shape}")
    return array


def _at(place: Place, error: ValueError) -> DataError:
    """The error of the column's own library, with the place of the column."""
    return error if isinstance(error, DataError) else place.error(" ".join(str(error).split()))


def _with_holes(column: Any) -> Array:
    """A masked array whose masked values become NaN (floats), NaT (dates) or None."""
    if not column.mask.any():
        return np.asarray(column)
    if column.dtype.kind == "f":
        return np.asarray(column.filled(np.nan))
    holes = np.array(column.data, None if column.dtype.kind == "M" else object)
    holes[column.mask] = None
    return holes


def _from_library(column: Any, place: Place) -> Array:
    """An array. Integers stay integers, and floats keep their width."""
    if hasattr(column, "null_count"):  # polars (a method) or pyarrow (a property)
        kind = str(column.type if hasattr(column, "type") else column.dtype)
        if kind in ("Int128", "UInt128"):
            raise place.error(f"NumPy has no integers of type {kind}; cast the column to Int64")
        nulls = column.null_count
        if _FLOATS.match(kind) or not (nulls() if callable(nulls) else nulls):
            array = np.asarray(column)
            if array.dtype != object:
                return array
        column = column.to_pylist() if hasattr(column, "to_pylist") else column.to_list()
    elif hasattr(column, "__array__"):
        kinds: Any = getattr(column, "dtype", None)
        complete = isinstance(kinds, np.dtype) or not getattr(column, "hasnans", False)
        if complete or kinds.name == "category":
            return np.asarray(column)
        if kinds.kind == "f":
            return np.asarray(column.to_numpy(kinds.numpy_dtype, na_value=np.nan))
        return np.fromiter(column, object, len(column))  # pandas.NA stays an object
    values = list(column)
    types = set(map(type, values))
    if values and (types <= _PLAIN_NUMBERS or types == {bool}):
        array = np.asarray(values)
        if float in types or array.dtype.kind != "f":  # not of integers beyond 64 bits
            return array
    return np.fromiter(values, object, len(values))


def scalars(values: Array, place: Place, longest: int = LONGEST) -> tuple[Array, Array]:
    """Read a column of ids or categories: integers, or strings.

    Args:
        values, place: the column, and where it is from.
        longest: characters that a string may have.

    Returns:
        The values, int64 or objects of type str; and the mask of missing values (None, NaN,
        ""). A missing value is 0 or "" in the values.

    Raises:
        DataError: a number is no exact integer (see :mod:`minitower.data.values`); a column
            mixes strings and numbers; a string is too long or cannot be stored; a value is
            neither string nor number.
    """
    if values.dtype.kind in "biuf":
        return integers(values, place)
    items = plain(values, place)
    missing = np.fromiter((item is None or item == "" for item in items), bool, len(items))
    types = {type(item) for item in items if item is not None and item != ""}
    if types <= {str}:
        strings = [item or "" for item in items]
        check_strings(strings, place, longest)
        return np.fromiter(strings, object, len(strings)), missing
    if str in types:
        raise _mixed(items, missing, place)
    return int64([item or 0 for item in items], place), missing


def _mixed(items: list[Any], missing: Array, place: Place) -> DataError:
    """The error at the first value that is not of the type of those before it."""
    present = np.flatnonzero(~missing).tolist()
    is_string = isinstance(items[present[0]], str)
    row = next(row for row in present if isinstance(items[row], str) != is_string)
    return place.error(f"{show(items[row])} among {'strings' if is_string else 'numbers'}", row)


def distinct(values: Array) -> Array:
    """The distinct integers of a vector, ascending; np.unique took ten times as long."""
    ordered = np.sort(values)
    first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def numbers(values: Array, place: Place) -> Array:
    """Read a column of numbers, float64. Strings are parsed; missing values are NaN.

    Raises:
        DataError: a value is not a number, or not finite in float32.
    """
    if values.dtype.kind in "biuf":
        parsed = values.astype(np.float64)
    elif values.dtype.kind in "OUT":
        parsed = _parse(values, place)
    else:
        raise place.error(f"expected numbers, got values of type {values.dtype}")
    endless = np.abs(parsed) > np.finfo(np.float32).max
    place.refuse(endless, "the number is infinite or too large")
    return parsed


def sets(values: Array, separator: str, place: Place) -> tuple[Array, Array, Place]:
    """Read a column of sets: lists of values, or strings to split.

    Returns:
        The number of values in each row; all values in one array, for :func:`scalars`; and
        their place. Missing values count.
    """
    if values.dtype.kind in "biuf":  # one value per row, or none
        return np.ones(len(values), np.int64), values, place
    cut = separator if separator.strip() else None
    rows = [_members(value, cut, row, place) for row, value in enumerate(values)]
    counts = np.fromiter(map(len, rows), np.int64, len(rows))
    members = np.fromiter(chain.from_iterable(rows), object, int(counts.sum()))
    return counts, members, place.inside(np.repeat(np.arange(len(rows)), counts).tolist())


def _members(value: Any, cut: str | None, row: int, place: Place) -> list[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        if cut is None:
            return value.split()
        return [part.strip() for part in value.split(cut)]
    if is_missing(value):
        return []
    scalar = getattr(value, "ndim", 1) == 0  # NumPy's arrays of no dimension are Iterable, too
    if scalar or isinstance(value, Mapping | bytes) or not isinstance(value, Iterable):
        raise place.error(f"expected a list of values or a string, got {show(value)}", row)
    return sorted(value, key=repr) if isinstance(value, set | frozenset) else list(value)


def _parse(values: Array, place: Place) -> Array:
    items = values.tolist()
    text = "".join(items) if set(map(type, items)) == {str} else "_"
    try:
        if text.isascii() and text.isdigit():  # reading integers takes half the time
            return values.astype(np.int64).astype(np.float64)
        return np.fromiter(map(_number if "_" in text else float, items), np.float64, len(items))
    except (TypeError, ValueError, OverflowError):
        pass  # a value is missing or bad: find out which, and where
    parsed = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if is_missing(value):
            continue
        try:
            parsed[row] = _number(value)
        except (TypeError, ValueError, OverflowError):
            raise place.error(f"expected a number, got {show(value)}", row) from None
    return parsed


def _number(value: Any) -> float:
    if isinstance(value, str) and "_" in value:  # float() would accept it
        raise ValueError(value)
    return float(value)
