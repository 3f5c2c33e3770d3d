"""Encoded users or items: vocabularies of rows, rows of sets, and tables of features. Chapter 3."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np

from minitower.data.columns import as_array, distinct, scalars
from minitower.data.errors import DataError, Place, show
from minitower.data.values import BOOLEANS, LONGEST, refuse
from minitower.formulas.arrays import Array


@dataclass(frozen=True)
class Ragged:
    """Row i holds values[indptr[i]:indptr[i + 1]].

    Args:
        indptr: (n + 1,) int64, from 0 to the number of values, never decreasing.
        values: (number of values,) int32.

    >>> sets = Ragged.from_counts([2, 0, 1], [7, 8, 9])
    >>> sets.take([2, 0]).values
    array([9, 7, 8], dtype=int32)
    """

    indptr: Array
    values: Array

    @staticmethod
    def from_counts(counts: Any, values: Any) -> "Ragged":
        """Rows of the given lengths, one after the other.

        Shapes: (n),(sum of counts)->Ragged of n rows
        """
        counts = np.asarray(counts, np.int64)
        indptr = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=indptr[1:])
        return Ragged(indptr, np.asarray(values, np.int32))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def counts(self) -> Array:
        """(n,) the length of every row."""
        return np.diff(self.indptr)

    def row(self, i: int) -> Array:
        """The values of one row."""
        return self.values[self.indptr[i] : self.indptr[i + 1]]

    def take(self, rows: Any) -> "Ragged":
        """The given rows in the given order; a row may occur twice."""
        rows = np.asarray(rows, np.int64)
        return self.slices(self.indptr[rows], self.indptr[rows + 1])

    def slices(self, starts: Array, ends: Array) -> "Ragged":
        """Row i holds values[starts[i]:ends[i]]. Shapes: (n),(n)->Ragged of n rows"""
        indptr = Ragged.from_counts(ends - starts, ()).indptr
        source = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], ends - starts)
        return Ragged(indptr, self.values[source])

    def replace(self, mask: Array, value: int) -> "Ragged":
        """Replace the rows where the mask holds by the one-element row [value]."""
        rows = np.where(mask, len(self), np.arange(len(self)))
        indptr = np.append(self.indptr, len(self.values) + 1)
        return Ragged(indptr, np.append(self.values, np.int32(value))).take(rows)


_VALUES, _IDS = Place("values"), Place("ids")


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """Known values and their rows. Row 0 is the default: all unknown and missing values.

    Args:
        values: distinct int64 or strings; row r >= 1 belongs to values[r - 1].

    >>> cities = Vocabulary.fit(["rome", "paris", None, "rome"])
    >>> cities.encode(["paris", "rome", "oslo", ""])
    array([1, 2, 0, 0], dtype=int32)
    >>> len(cities)             # two values and the default row
    3
    """

    values: Array

    @staticmethod
    def fit(values: Any, place: Place = _VALUES) -> "Vocabulary":
        """The distinct values in ascending order, without missing values.

        Raises:
            DataError: a value is neither integer nor string, or a column mixes both.
        """
        values, missing = scalars(as_array(values, place), place)
        if values.dtype == object:
            return Vocabulary(string_array(sorted(set(values.tolist()) - {""})))
        return Vocabulary(distinct(values[~missing]))

    def extended(self, values: Any, place: Place = _VALUES) -> "Vocabulary":
        """Append rows, in ascending order, for the values that have no row.

        >>> cities = Vocabulary.fit(["rome", "paris"])
        >>> cities.extended(["rome", "oslo"]).encode(["paris", "rome", "oslo"])
        array([1, 2, 3], dtype=int32)

        Raises:
            DataError: as :meth:`fit` and :meth:`encode`.
        """
        fresh = Vocabulary.fit(values, place).values
        if not len(self.values):
            return Vocabulary(fresh) if len(fresh) else self
        fresh = fresh[self.encode(fresh, place) == 0]
        return Vocabulary(np.concatenate([self.values, fresh])) if len(fresh) else self

    def __len__(self) -> int:
        return len(self.values) + 1

    def encode(self, values: Any, place: Place = _VALUES) -> Array:
        """(n,) int32 rows, 0 for an unknown or missing value.

        Raises:
            DataError: the values are strings and the vocabulary holds integers, or the
                reverse. Nothing could match, so this is a mistake and not unknown values.
        """
        values, missing = scalars(as_array(values, place), place)
        if not len(self.values) or missing.all():
            return np.zeros(len(values), np.int32)
        if (values.dtype == object) != (self.values.dtype.kind == "U"):
            fitted, got = ("strings", "integers")[:: 1 if values.dtype != object else -1]
            raise place.error(f"the vocabulary holds {fitted}, the values are {got}")
        if values.dtype == object:
            rows = map(self._rows.get, values.tolist(), repeat(0))
            return np.fromiter(rows, np.int32, len(values))
        order, ordered = self._sorted
        position = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
        known = (ordered[position] == values) & ~missing
        return np.where(known, order[position] + 1, 0).astype(np.int32)

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {value: row for row, value in enumerate(self.values.tolist(), start=1)}

    @cached_property
    def _sorted(self) -> tuple[Array, Array]:
        order = np.argsort(self.values)
        return order, self.values[order]


def string_array(values: list[str]) -> Array:
    """Strings as a fixed-width array, which needs no pickle."""
    return np.array(values, dtype=np.str_) if values else np.empty(0, np.int64)


Feature = Array | Ragged
Features = dict[str, Feature]


def take(features: Features, rows: Any) -> Features:
    """The given rows of every feature."""
    return {
        name: feature.take(rows) if isinstance(feature, Ragged) else feature[rows]
        for name, feature in features.items()
    }


@dataclass(frozen=True, eq=False)
class Table:
    """All users, or all items, encoded.

    Args:
        ids: (n,) the raw ids, int64 or strings, distinct.
        columns: features of n rows.
        names: (n,) strings to show to people; None: the ids are shown.
    """

    ids: Array
    columns: Features
    names: Array | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Any) -> Features:
        """Features of the given rows, the input of a tower."""
        return take(self.columns, rows)

    def updated(self, rows: Array, other: "Table") -> "Table":
        """Replace some rows by those of another table, and append new rows.

        Without names, the other table changes no name of an old row; a new row is called by
        its id.

        Args:
            rows: (m,) the row of each entity of `other`. Rows from len(self) on are new,
                and ascending.
            other: m entities of the same fields.
        """
        new = rows >= len(self)
        appended = other.ids[new]
        # Appended rows move to their place: of 3 rows and the rows [1, 3], the order is 0 3 2 4.
        order = np.arange(max(len(self), int(rows.max(initial=-1)) + 1))
        order[rows] = len(self) + np.arange(len(rows))
        columns: Features = {}
        for name, feature in self.columns.items():
            theirs = other.columns[name]
            if isinstance(feature, Ragged) and isinstance(theirs, Ragged):
                counts = np.concatenate([feature.counts, theirs.counts])
                both = Ragged.from_counts(counts, np.concatenate([feature.values, theirs.values]))
                columns[name] = both.take(order)
            elif isinstance(feature, np.ndarray) and isinstance(theirs, np.ndarray):
                columns[name] = np.concatenate([feature, theirs])[order]
        ids = np.concatenate([self.ids, appended]) if len(appended) else self.ids
        names = None
        if other.names is not None:
            names = np.concatenate([self.shown, other.names])[order]
        elif self.names is not None:
            names = np.concatenate([self.names, appended.astype(str)])
        return Table(ids, columns, names)

    def rows(self, rows: Array) -> "Table":
        """The table of the given rows."""
        names = None if self.names is None else self.names[rows]
        return Table(self.ids[rows], self.take(rows), names)

    def extended(self, other: "Table") -> "Table":
        """This table with the rows of another one, of other ids, after its own."""
        if self.names is not None and other.names is None:
            other = Table(other.ids, other.columns, other.shown)
        return self.updated(len(self) + np.arange(len(other)), other)

    @property
    def shown(self) -> Array:
        """(n,) the names, or else the ids as strings."""
        return self.ids.astype(str) if self.names is None else self.names

    def rows_of(self, ids: Any, place: Place = _IDS) -> Array:
        """(n,) int64: the table row of every id, -1 where it is unknown.

        Raises:
            DataError: an id is a boolean, or of another type than those of the table.
        """
        refuse(BOOLEANS, values := as_array(ids, place), "an integer or a string", place)
        return self._index.encode(values, place).astype(np.int64) - 1

    def parse_id(self, text: str) -> int | str:
        """Read an id that a person typed.

        Raises:
            DataError: the table holds integers and the string is no integer of 64 bits, or
                the string is too long for an id.
        """
        if self.ids.dtype.kind == "U":
            if len(text) > LONGEST:
                raise DataError(f"an id has at most {LONGEST} characters; got {show(text)}")
            return text
        # int() would also read "1_0" and " 1".
        if re.fullmatch("-?[0-9]{1,19}", text) and -(2**63) <= (number := int(text)) < 2**63:
            return number
        raise DataError(f"ids are integers of 64 bits here, got {show(text)}")

    @cached_property
    def _index(self) -> Vocabulary:
        return Vocabulary(self.ids)

    def to_arrays(self) -> dict[str, Array]:
        """Flat arrays that :meth:`from_arrays` reads back."""
        arrays = {"ids": self.ids} | ({} if self.names is None else {"names": self.names})
        for name, feature in self.columns.items():
            if isinstance(feature, Ragged):
                arrays[f"indptr.{name}"] = feature.indptr
                arrays[f"values.{name}"] = feature.values
            else:
                arrays[f"column.{name}"] = feature
        return arrays

    @staticmethod
    def from_arrays(arrays: Mapping[str, Array]) -> "Table":
        """The table that :meth:`to_arrays` wrote."""
        columns: Features = {}
        for key, array in arrays.items():
            kind, _, name = key.partition(".")
            if kind == "column":
                columns[name] = array
            elif kind == "indptr":
                columns[name] = Ragged(array, arrays[f"values.{name}"])
        return Table(arrays["ids"], columns, arrays.get("names"))
