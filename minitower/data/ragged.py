"""Rows of different lengths in two flat arrays (the CSR layout)."""

from dataclasses import dataclass
from typing import Any

import numpy as np

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
        starts = self.indptr[rows]
        taken = Ragged.from_counts(self.indptr[rows + 1] - starts, ())
        indptr = taken.indptr
        source = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], np.diff(indptr))
        return Ragged(indptr, self.values[source])

    def replace(self, mask: Array, value: int) -> "Ragged":
        """Replace the rows where the mask holds by the one-element row [value]."""
        rows = np.where(mask, len(self), np.arange(len(self)))
        indptr = np.append(self.indptr, len(self.values) + 1)
        return Ragged(indptr, np.append(self.values, np.int32(value))).take(rows)
