"""Gradients by name: dense arrays, and a few rows of a large table.

A batch touches a few thousand rows of an embedding table that may have millions,
so the gradient of a table is a pair (distinct rows, summed gradients) and never
as large as the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from minitower.formulas.arrays import Array


@dataclass(frozen=True)
class RowGradient:
    """The gradient of a table of which only some rows were used.

    Attributes:
        rows: (r,) distinct row numbers, ascending.
        values: (r,d) the summed gradient of each.
    """

    rows: Array
    values: Array


Gradient = Array | RowGradient
Gradients = dict[str, Gradient]


def sum_by_row(
    rows: Array, values: Array, indptr: Array | None = None, share: Array | None = None
) -> RowGradient:
    """Gather what belongs to the same row of a table. Duplicates add up.

    Shapes: (k,),(k,d)->RowGradient, or for bags (k,),(n,d),(n+1,),(k,)->RowGradient

    Args:
        rows: the table row of each use.
        values: the gradient of each use; with indptr, of each bag of uses.
        indptr: bag i made the uses indptr[i] to indptr[i+1]; by default one each.
        share: the factor with which each use entered its bag; by default 1.

    ``table[rows] += values`` would keep only one of two uses of a row, and
    ``np.add.at`` is correct but slow; this is one sparse product.

    >>> sum_by_row(np.array([5, 2, 5]), np.array([[1.0], [2.0], [3.0]]))
    RowGradient(rows=array([2, 5]), values=array([[2.],
           [4.]]))
    """
    distinct, place = np.unique(rows, return_inverse=True)
    if indptr is None:
        indptr = np.arange(len(rows) + 1)
    if share is None:
        share = np.ones(len(rows), values.dtype)
    uses = sparse.csr_array((share, place, indptr), shape=(len(indptr) - 1, len(distinct)))
    return RowGradient(distinct, uses.T @ values)


def add_gradients(*parts: Gradients) -> Gradients:
    """Sum gradients by name: a parameter used twice in a step gets both."""
    total: Gradients = {}
    for part in parts:
        for name, gradient in part.items():
            total[name] = _add(total[name], gradient) if name in total else gradient
    return total


def _add(a: Gradient, b: Gradient) -> Gradient:
    if isinstance(a, RowGradient) and isinstance(b, RowGradient):
        rows = np.union1d(a.rows, b.rows)
        values = np.zeros((len(rows), *a.values.shape[1:]), np.result_type(a.values, b.values))
        values[np.searchsorted(rows, a.rows)] = a.values
        values[np.searchsorted(rows, b.rows)] += b.values  # each row stands there once
        return RowGradient(rows, values)
    if isinstance(a, RowGradient) or isinstance(b, RowGradient):
        raise TypeError("one gradient of a name is of rows, the other of the whole array")
    return a + b


def first_not_finite(arrays: Iterable[tuple[str, Array]]) -> str | None:
    """The name of the first array that holds NaN or infinity, or None.

    A sum of squares is finite only if every entry is; it is one pass at memory
    speed, and only when it is not finite is the array looked at entry by entry
    (large finite entries may overflow it).
    """
    with np.errstate(over="ignore", invalid="ignore"):
        for name, array in arrays:
            flat = array.ravel()
            if not np.isfinite(flat @ flat) and not np.isfinite(flat).all():
                return name
    return None
