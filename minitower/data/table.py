"""Encoded entities: a batch is nothing but row indices of such a table."""

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
    """Where to find every row of a table once others, for these rows, stand behind its n.

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
        ids: (n,) the raw ids, int64 or text, distinct.
        columns: features of n rows.
    """

    ids: Array
    columns: Features

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Any) -> Features:
        """Features of the given rows: what a tower reads."""
        return take(self.columns, rows)

    def updated(self, rows: Array, other: "Table") -> "Table":
        """This table with other entities in place of some rows, or behind the last.

        Args:
            rows: (m,) the row of each of the others; from len(self) on, ascending, they
                are new.
            other: m entities of the same fields.
        """
        appended = other.ids[rows >= len(self)]
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
        return Table(np.concatenate([self.ids, appended]) if len(appended) else self.ids, columns)

    def rows_of(self, ids: Any) -> Array:
        """(n,) int64: the table row of every id, -1 where it is unknown.

        Raises:
            DataError: texts are looked up among integers, or the reverse.
        """
        return self._index.encode(ids, Place("ids")).astype(np.int64) - 1

    def parse_id(self, text: str) -> int | str:
        """An id typed by a person, as this table stores ids.

        Raises:
            DataError: ids are integers and the text is not one of 64 bits, or the text is longer
                than an id can be.
        """
        if self.ids.dtype.kind == "U":
            if len(text) > LONGEST:
                raise DataError(f"an id has at most {LONGEST} characters, got {show(text)}")
            return text
        # int() would also read "1_0" and " 1"; beyond 64 bits there is no id.
        if re.fullmatch("-?[0-9]{1,19}", text) and -(2**63) <= (number := int(text)) < 2**63:
            return number
        raise DataError(f"ids are integers of 64 bits here, got {show(text)}")

    @cached_property
    def _index(self) -> Vocabulary:
        return Vocabulary(self.ids)

    def to_arrays(self) -> dict[str, Array]:
        """Flat arrays that :meth:`from_arrays` reads back."""
        arrays = {"ids": self.ids}
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
        return Table(arrays["ids"], columns)
