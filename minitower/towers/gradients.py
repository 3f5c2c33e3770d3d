"""Gradients by parameter name: dense arrays, or rows of a table.

A batch uses a few thousand rows of an embedding table that may have millions. The gradient
of a table is therefore a pair (distinct rows, summed gradients).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from minitower.formulas.arrays import Array


@dataclass(frozen=True)
class RowGradient:
    """The gradient of a table of which a step used some rows.

    Attributes:
        rows: (r) distinct row numbers, ascending.
        values: (r,d) summed gradient of each row.
    """

    rows: Array
    values: Array


Gradient = Array | RowGradient
Gradients = dict[str, Gradient]


def sum_by_row(
    rows: Array, values: Array, indptr: Array | None = None, share: Array | None = None
) -> RowGradient:
    """Sum the gradients of all uses of each row.

    ``table[rows] += values`` keeps only one of two uses of a row, and ``np.add.at`` is slow;
    this is one sparse product.

    Shapes: (u),(u,d)->RowGradient; in bags (u),(n,d),(n+1),(u)->RowGradient

    Args:
        rows: table row of each of u uses.
        values: gradient of each use; with ``indptr``, of each bag of uses.
        indptr: bag i has the uses indptr[i] to indptr[i + 1]. Default: one use per bag.
        share: factor of each use in its bag. Default: 1.

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
    """Sum gradients by name, for parameters that a step uses more than once.

    Raises:
        TypeError: a name has a RowGradient in one part and an array in another.
    """
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
        values[np.searchsorted(rows, b.rows)] += b.values  # the rows of b are distinct
        return RowGradient(rows, values)
    if isinstance(a, RowGradient) or isinstance(b, RowGradient):
        raise TypeError("one gradient of a name is of rows, the other of the whole array")
    return a + b


def first_not_finite(arrays: Iterable[tuple[str, Array]]) -> str | None:
    """Return the name of the first array that holds NaN or infinity, or None.

    The sum of squares is finite only if every entry is, and takes one pass at memory speed.
    Large finite entries may overflow the sum; only then the entries themselves are checked.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        for name, array in arrays:
            flat = array.ravel()
            if not np.isfinite(flat @ flat) and not np.isfinite(flat).all():
                return name
    return None
