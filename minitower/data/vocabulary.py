"""Map values to rows of an embedding table."""

from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np

from minitower.data.columns import as_array, distinct, scalars
from minitower.data.errors import Place
from minitower.formulas.arrays import Array

_VALUES = Place("values")


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
            return Vocabulary(text_array(sorted(set(values.tolist()) - {""})))
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


def text_array(values: list[str]) -> Array:
    """Strings as a fixed-width array, which needs no pickle."""
    return np.array(values, dtype=np.str_) if values else np.empty(0, np.int64)
