"""Layers: functions that return their output and the function that sends gradients back.

``output, backward = layer(input, parameters)``, and ``backward(d_output)`` returns the
gradients of the layer's array arguments, in order. The closure holds what the forward pass
computed. A layer stores nothing, so any number of threads can share one set of parameters.

A batch uses a few thousand rows of an embedding table that may have millions. The gradient
of a table is therefore a :class:`RowGradient`: distinct rows, and a summed gradient for each.

The pattern is that of Thinc (https://thinc.ai).

Chapters 2, 3 and 12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from minitower.data.table import Ragged
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
        rows, place = _merge(a.rows, b.rows)
        values = np.zeros((len(rows), *a.values.shape[1:]), np.result_type(a.values, b.values))
        values[place[: len(a.rows)]] = a.values
        values[place[len(a.rows) :]] += b.values  # the rows of b are distinct
        return RowGradient(rows, values)
    if isinstance(a, RowGradient) or isinstance(b, RowGradient):
        raise TypeError("one gradient of a name is of rows, the other of the full array")
    return a + b


def _merge(a: Array, b: Array) -> tuple[Array, Array]:
    """The distinct rows of two ascending lists, and the place of each row of a, then of b.

    Linear in their lengths: a stable sort finds the two ascending runs.
    """
    both = np.concatenate([a, b])
    order = np.argsort(both, kind="stable")
    ordered = both[order]
    first = np.append(True, ordered[1:] != ordered[:-1])[: len(both)]
    place = np.empty(len(both), np.int64)
    place[order] = np.cumsum(first) - 1
    return ordered[first], place


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


def embedding(rows: Array, table: Array) -> tuple[Array, Callable[[Array], RowGradient]]:
    """Look up one row of the table for each value.

    Shapes: (n),(v,d)->(n,d)
    Gradient: d_table[r] is the sum of dy over the uses of row r.

    >>> table = np.array([[0.0, 0.0], [1.0, 2.0]])
    >>> y, backward = embedding(np.array([1, 1]), table)
    >>> backward(np.ones((2, 2)))
    RowGradient(rows=array([1]), values=array([[2., 2.]]))
    """

    def backward(dy: Array) -> RowGradient:
        return sum_by_row(rows, dy)

    return table.take(rows, axis=0), backward


def embedding_bag(
    bags: Ragged, table: Array, *, pool: str = "mean"
) -> tuple[Array, Callable[[Array], RowGradient]]:
    """Average, or sum, the table's rows of a set of values.

        y_i = (1/|S_i|) sum_{v in S_i} table_v

    A repeated value counts twice. An empty bag gives zero; encoded tables hold the default
    row in its place.

    Shapes: n bags,(v,d)->(n,d)
    Args:
        pool: "mean" or "sum".
    Raises ValueError: pool is neither.
    Gradient: d_table[v] += dy_i / |S_i| for each occurrence of v.

    Reference: pooling of multi-valued features, X. Yi et al., RecSys 2019, section 5.1.
    """
    if pool not in ("mean", "sum"):
        raise ValueError(f"pool must be mean or sum, got {pool!r}")
    counts = np.diff(bags.indptr)
    each = np.ones(len(counts)) if pool == "sum" else 1 / np.maximum(counts, 1)
    share = np.repeat(each, counts).astype(table.dtype)
    uses = sparse.csr_array((share, bags.values, bags.indptr), shape=(len(counts), len(table)))

    def backward(dy: Array) -> RowGradient:
        return sum_by_row(bags.values, dy, bags.indptr, share)

    return uses @ table, backward


def dense(
    x: Array, weight: Array, bias: Array
) -> tuple[Array, Callable[[Array], tuple[Array, Array, Array]]]:
    """Apply an affine map: y = x W + b.

    Shapes: (n,i),(i,o),(o)->(n,o)
    Gradient: dx = dy W', d_weight = x' dy, d_bias = sum of dy over the rows.
    """
    y = x @ weight
    y += bias

    def backward(dy: Array) -> tuple[Array, Array, Array]:
        return dy @ weight.T, x.T @ dy, dy.sum(axis=0)

    return y, backward


def relu(x: Array) -> tuple[Array, Callable[[Array], Array]]:
    """Apply max(x, 0). The gradient at the kink is 0.

    Shapes: (n,d)->(n,d)
    """
    y = np.maximum(x, 0)

    def backward(dy: Array) -> Array:
        return dy * (y > 0)

    return y, backward


def concatenate(parts: Sequence[Array]) -> tuple[Array, Callable[[Array], list[Array]]]:
    """Put the parts side by side. The backward pass cuts the gradient at the same places.

    Shapes: (n,d1),(n,d2),...->(n,d1+d2+...)
    """

    def backward(dy: Array) -> list[Array]:
        cuts = np.cumsum([part.shape[1] for part in parts])[:-1]
        return np.split(dy, cuts, axis=1)

    return np.concatenate(parts, axis=1), backward
