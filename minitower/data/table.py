"""Encoded users or items. A batch is an array of row numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from minitower.data.errors import DataError, Place, show
from minitower.data.ragged import Ragged
from minitower.data.values import LONGEST
from minitower.data.vocabulary import Vocabulary
from minitower.formulas.arrays import Array

Feature = Array | Ragged
Features = dict[str, Feature]


def take(features: Features, rows: Any) -> Features:
    """The given rows of every feature."""
    return {
        name: feature.take(rows) if isinstance(feature, Ragged) else feature[rows]
        for name, feature in features.items()
    }


def order_with(n: int, rows: Array) -> Array:
    """The order that moves appended rows to their place in a table of n rows.

    >>> order_with(3, np.array([1, 3]))
    array([0, 3, 2, 4])
    """
    order = np.arange(max(n, int(rows.max(initial=-1)) + 1))
    order[rows] = n + np.arange(len(rows))
    return order


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
        order = order_with(len(self), rows)
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

    def rows_of(self, ids: Any) -> Array:
        """(n,) int64: the table row of every id, -1 where it is unknown.

        Raises:
            DataError: the ids are strings and the table holds integers, or the reverse.
        """
        return self._index.encode(ids, Place("ids")).astype(np.int64) - 1

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
