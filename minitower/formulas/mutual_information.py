"""Mutual information of the fields of a table, in nats. Chapter 11.

A city says little about the language where everyone speaks the same one, and nearly all where
each city has its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from minitower.formulas.arguments import (
    as_array,
    as_float64,
    as_floats,
    as_integers,
    positive_number,
    shown,
)
from minitower.formulas.arrays import Floats, Integers

Field = NDArray[Any] | tuple[Integers, NDArray[Any]]


def mutual_information(
    fields: Sequence[Field], *, weights: ArrayLike | None = None, identifiers: bool = False
) -> Floats:
    """Compute the mutual information of every pair of fields.

        MI(U, V) = sum_uv p(u, v) log(p(u, v) / (p(u) p(v)))
        p(u, v)  = sum_i w_i [u in U_i] [v in V_i] / (|U_i| |V_i|)

    Of several values in a row each weighs 1 over their number. All rows without a value share the
    value "none".

    Shapes: k fields of n rows->(k,k), symmetric and >= 0, the entropies on the diagonal
    Args:
        fields: for each field the (n) values, or (indptr, values) where row i has
            values[indptr[i]:indptr[i + 1]]. Values are only compared.
        weights: (n) weight of each row, >= 0, of any scale; equal by default.
        identifiers: whether to measure fields whose values are all distinct, such as ids. Such a
            field has MI(U, V) = H(V) with every field V. By default its row and column are NaN.
    Raises ValueError: n = 0, fields differ in length, an indptr does not fit, or weights are
        outside their domain.
    Properties: equals_naive, symmetric_and_at_most_either_entropy, zero_on_products,
        diagonal_is_the_entropy, unchanged_by_relabelling, weights_are_repetitions,
        identifiers_share_all_information

    >>> gender, city = np.array([0, 0, 1, 1]), np.array([5, 5, 7, 7])
    >>> categories = np.array([0, 2, 3, 4, 6]), np.array([8, 9, 8, 8, 8, 9])   # 8 9, 8, 8, 8 9
    >>> mutual_information([gender, city, categories]).round(3)
    array([[0.693, 0.693, 0.   ],
           [0.693, 0.693, 0.   ],
           [0.   , 0.   , 0.562]])

    Reference: T. Yao et al., Self-supervised Learning for Large-scale Item Recommendations, CIKM
        2021, Eq. 4; lecture, section 5.1; docs/11.
    """
    return count_together(fields, weights=weights).information(identifiers=identifiers)


@dataclass(frozen=True)
class Cooccurrences:
    """Counts of the values of fields and of their pairs. Counts of parts of a table add up.

    The values of a field stand in ascending order; "none" is one more value behind them.

    Attributes:
        values: for each of k fields its (v) distinct values.
        rows: for each field (v+1) int64, number of rows with the value.
        weight: for each field (v+1) summed weight of the value.
        joint: for each pair of fields i < j, in lexicographic order, (v_i+1,v_j+1) summed weight
            of two values together.
        total: summed weight of all rows.
    Properties: parts_add_up, order_of_parts_changes_nothing
    """

    values: tuple[NDArray[Any], ...]
    rows: tuple[Integers, ...]
    weight: tuple[Floats, ...]
    joint: tuple[sparse.csr_array, ...]
    total: float

    def __add__(self, other: Cooccurrences) -> Cooccurrences:
        """Add the counts of another part of the table.

        Raises ValueError: the parts differ in their number of fields, or in the types of a field.
        """
        if len(self.values) != len(other.values):
            raise ValueError(f"{len(self.values)} and {len(other.values)} fields do not add up")
        values = tuple(map(_union, self.values, other.values))
        sizes = [len(union) + 1 for union in values]
        parts = (self, other)
        at = [
            [np.append(np.searchsorted(u, v), len(u)) for u, v in zip(values, part.values)]
            for part in parts
        ]

        def spread(f: int, counts: list[NDArray[Any]]) -> NDArray[Any]:
            return np.bincount(np.concatenate([a[f] for a in at]), np.concatenate(counts))

        fields = range(len(values))
        rows = (spread(f, [part.rows[f] for part in parts]).astype(np.int64) for f in fields)
        weight = (spread(f, [part.weight[f] for part in parts]) for f in fields)
        joint = []
        for pair, (i, j) in enumerate(combinations(range(len(values)), 2)):
            tables = [part.joint[pair].tocoo() for part in parts]
            row = np.concatenate([a[i][table.row] for a, table in zip(at, tables)])
            column = np.concatenate([a[j][table.col] for a, table in zip(at, tables)])
            entries = np.concatenate([table.data for table in tables]), (row, column)
            joint.append(sparse.coo_array(entries, (sizes[i], sizes[j])).tocsr())
        total = self.total + other.total
        return Cooccurrences(values, tuple(rows), tuple(weight), tuple(joint), total)

    def information(self, *, identifiers: bool = False) -> Floats:
        """Compute :func:`mutual_information`. Raises ValueError: all weights are zero."""
        if not 0 < self.total < np.inf:
            raise ValueError(f"weights must be finite and not all zero, got a sum of {self.total}")
        k = len(self.values)
        result = np.zeros((k, k))
        p = [weight / self.total for weight in self.weight]
        for table, (i, j) in zip(self.joint, combinations(range(k), 2)):
            seen = table.tocoo()
            p_uv = seen.data / self.total
            # One division after the other: the product of two small shares would vanish.
            terms = p_uv * np.log(p_uv / p[i][seen.row] / p[j][seen.col])
            result[i, j] = result[j, i] = max(terms.sum(), 0.0)  # only rounding makes it negative
        for f, q in enumerate(p):
            result[f, f] = (q * -np.log(q, out=np.zeros_like(q), where=q > 0)).sum()
            n = self.rows[f].sum()
            if not identifiers and n > 1 and self.rows[f].max() == 1:
                result[f] = result[:, f] = np.nan
        return result


def count_together(fields: Sequence[Field], *, weights: ArrayLike | None = None) -> Cooccurrences:
    """Count the values of every field, and of every pair of fields.

    Shapes: k fields of n rows->Cooccurrences, as large as the table where values are distinct.
    Args, Raises: as in :func:`mutual_information`; here weights may all be zero.

    >>> first, second = np.array([0, 0, 1, 1]), np.array([5, 5, 7, 7])
    >>> parts = count_together([first[:1], second[:1]]) + count_together([first[1:], second[1:]])
    >>> parts.information().round(3)
    array([[0.693, 0.693],
           [0.693, 0.693]])
    """
    try:
        listed = list(fields)
    except Exception as error:  # the library of fields may raise its own kinds of errors
        raise ValueError(f"fields must be a list of columns, got {shown(fields)}") from error
    parts = [_value_shares(field) for field in listed]
    tables = [table for _, table in parts]
    if not tables or len({table.shape[0] for table in tables}) > 1 or not tables[0].shape[0]:
        raise ValueError(
            "fields must be equally long and have rows, "
            f"got lengths {[table.shape[0] for table in tables]}"
        )
    n = tables[0].shape[0]
    w = np.ones(n) if weights is None else as_float64("weights", weights)
    if w.shape != (n,):
        raise ValueError(f"weights must be {n}, one per row of the fields, got {w.size}")
    if not np.isfinite(w).all() or w.min() < 0:
        raise ValueError("weights must be finite and not negative")
    weighed = [table.multiply(w[:, None]).tocsr() for table in tables]
    return Cooccurrences(
        tuple(values for values, _ in parts),
        tuple(np.bincount(t.indices, minlength=t.shape[1]) for t in tables),
        tuple(w @ table for table in tables),
        tuple((weighed[i].T @ tables[j]).tocsr() for i, j in combinations(range(len(tables)), 2)),
        float(w.sum()),
    )


def plug_in_bias(r: ArrayLike, c: ArrayLike, n: float) -> Floats:
    """Bias of :func:`mutual_information` on n independent rows, to first order in 1/n.

        (r - 1) (c - 1) / (2 n)

    Rare values look related. Subtract the bias to compare fields of different sizes.

    Shapes: broadcast; r and c are the numbers of values of the two fields.
    Raises ValueError: n is not positive.
    Properties: bias_of_independent_rows

    >>> float(plug_in_bias(3, 11, n=100))
    0.1

    Reference: M. Roulston, Estimating the errors on measured entropy and mutual information,
        Physica D 1999.
    """
    r, c, n = as_floats("r", r), as_floats("c", c), positive_number("n", n)
    bias: Floats = (r - 1) / 2 * ((c - 1) / n)
    return bias


def _union(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    if not len(one) or not len(other):
        return one if len(one) else other
    if len({values.dtype.kind in "OUT" for values in (one, other)}) > 1:
        raise ValueError(f"a field has values of type {one.dtype} here and {other.dtype} there")
    if one.dtype != other.dtype and np.result_type(one, other).kind == "f":
        # Integers meet floats, or unsigned ones signed ones, in a float: it must hold them.
        one, other = (
            values if values.dtype.kind == "f" else _held_by_floats(values)
            for values in (one, other)
        )
    return np.union1d(one, other)


def _held_by_floats(values: NDArray[Any]) -> Integers:
    exact = as_integers("values", values)
    if exact.min() <= -(2**53) or exact.max() >= 2**53:
        raise ValueError("a field has integers beyond 2^53 here and floats there")
    return exact


def _value_shares(field: Field) -> tuple[NDArray[Any], sparse.csr_array]:
    """The v distinct values, and (n,v+1) the share of each in a row; the last column is "none"."""
    indptr, values = field if isinstance(field, tuple) else (None, field)
    values = as_array("fields", values)
    indptr = np.arange(values.size + 1) if indptr is None else as_integers("indptr", indptr)
    counts = np.diff(indptr)
    if indptr[0] != 0 or indptr[-1] != values.size or np.any(counts < 0) or values.ndim != 1:
        raise ValueError(
            "fields: values must be a vector, and indptr must rise from 0 to the number of values, "
            f"{values.size}"
        )
    distinct, codes = np.unique(values, return_inverse=True)
    # "None" is one more value, of the rows that have no other.
    codes = np.insert(codes, indptr[:-1][counts == 0], len(distinct))
    counts = np.maximum(counts, 1)
    shape = len(counts), len(distinct) + 1
    table = sparse.csr_array(
        (np.repeat(1 / counts, counts), codes, np.concatenate([[0], np.cumsum(counts)])), shape
    )
    table.sum_duplicates()
    return distinct, table
