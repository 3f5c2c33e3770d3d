"""How much one field of an item tells about another.

A city says little about the language where everyone speaks the same one, and nearly all
where each has its own. Mutual information measures it, in nats, from a table of items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from minitower.formulas.arguments import as_array, floats, integers, positive_number, shown
from minitower.formulas.arrays import Floats, Integers

Field = NDArray[Any] | tuple[Integers, NDArray[Any]]


def mutual_information(
    fields: Sequence[Field], *, weights: ArrayLike | None = None, identifiers: bool = False
) -> Floats:
    """The mutual information of every pair of fields.

        MI(U, V) = sum_uv p(u, v) log(p(u, v) / (p(u) p(v)))

    Of a row with several values, each weighs 1 over their number, as if one were drawn:

        p(u, v) = sum_i w_i [u in U_i] [v in V_i] / (|U_i| |V_i|)

    A row without a value has the value "none", the same for all such rows.

    Shapes: k fields of n rows->(k,k)

    Args:
        fields: of each field the (n,) values, or (indptr, values), where row i has
            values[indptr[i]:indptr[i + 1]]. Values are compared, nothing else.
        weights: (n,) >= 0, any scale. By default every item counts alike, which is right
            where items are drawn uniformly; clicks count them as training sees them.
        identifiers: whether to measure fields of which no two rows share a value, ids
            above all. Such a field tells of every V as much as anything can, where each
            row has one value H(V), and would be the closest relative of all fields. By
            default its row and column are NaN: not measured.

    Returns:
        Symmetric and >= 0; on the diagonal the fields' entropies.

    Raises:
        ValueError: there is no row, fields differ in length, an indptr is not one, or
            weights are negative, not finite, all zero or not one per row.

    Properties: equals_naive, symmetric_and_at_most_either_entropy, zero_on_products,
        diagonal_is_the_entropy, unchanged_by_relabelling, weights_are_repetitions,
        identifiers_tell_everything

    >>> gender, city = np.array([0, 0, 1, 1]), np.array([5, 5, 7, 7])
    >>> categories = np.array([0, 2, 3, 4, 6]), np.array([8, 9, 8, 8, 8, 9])   # 8 9, 8, 8, 8 9
    >>> mutual_information([gender, city, categories]).round(3)
    array([[0.693, 0.693, 0.   ],
           [0.693, 0.693, 0.   ],
           [0.   , 0.   , 0.562]])

    Reference: T. Yao et al., Self-supervised Learning for Large-scale Item Recommendations,
        CIKM 2021, Eq. 4; the lecture, section 5.1.
    """
    return count_together(fields, weights=weights).information(identifiers=identifiers)


@dataclass(frozen=True)
class Cooccurrences:
    """How often the values of fields occur, and meet: of parts of a table, these add up.

    Of every field its distinct values stand in order, the value "none" behind them.

    Attributes:
        values: of each of k fields the (v,) distinct values, ascending.
        rows: of each field (v+1,) int64, how many rows have the value, whatever their weight.
        weight: of each field (v+1,) the weight of its shares in rows.
        joint: of each two fields (v_i+1,v_j+1), i < j in lexicographic order, the weight with
            which two values meet.
        total: the weight of all rows.

    Properties: parts_add_up, order_of_parts_is_no_matter
    """

    values: tuple[NDArray[Any], ...]
    rows: tuple[Integers, ...]
    weight: tuple[Floats, ...]
    joint: tuple[sparse.csr_array, ...]
    total: float

    def __add__(self, other: Cooccurrences) -> Cooccurrences:
        """What both parts of a table hold.

        Raises:
            ValueError: they have other numbers of fields, texts in a field of numbers, or
                floats in a field of integers that no float holds.
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
        for pair, (i, j) in enumerate(_pairs(len(values))):
            tables = [part.joint[pair].tocoo() for part in parts]
            row = np.concatenate([a[i][table.row] for a, table in zip(at, tables)])
            column = np.concatenate([a[j][table.col] for a, table in zip(at, tables)])
            entries = np.concatenate([table.data for table in tables]), (row, column)
            joint.append(sparse.coo_array(entries, (sizes[i], sizes[j])).tocsr())
        total = self.total + other.total
        return Cooccurrences(values, tuple(rows), tuple(weight), tuple(joint), total)

    def information(self, *, identifiers: bool = False) -> Floats:
        """The mutual information of every pair of fields, as :func:`mutual_information`.

        Raises:
            ValueError: all weights are zero.
        """
        if not 0 < self.total < np.inf:
            raise ValueError(f"weights must be finite and not all zero, got a sum of {self.total}")
        k = len(self.values)
        result = np.zeros((k, k))
        p = [weight / self.total for weight in self.weight]
        for table, (i, j) in zip(self.joint, _pairs(k)):
            met = table.tocoo()
            p_uv = met.data / self.total
            # One division after the other: the product of two small shares would vanish.
            terms = p_uv * np.log(p_uv / p[i][met.row] / p[j][met.col])
            result[i, j] = result[j, i] = max(terms.sum(), 0.0)  # only rounding makes it negative
        for f, q in enumerate(p):
            result[f, f] = (q * -np.log(q, out=np.zeros_like(q), where=q > 0)).sum()
            n = self.rows[f].sum()
            if not identifiers and n > 1 and self.rows[f].max() == 1:
                result[f] = result[:, f] = np.nan
        return result


def count_together(fields: Sequence[Field], *, weights: ArrayLike | None = None) -> Cooccurrences:
    """Count the values of every field, and of every pair of fields.

    A field of which hardly two rows share a value makes the counts as large as the table.

    Shapes: k fields of n rows->Cooccurrences

    Args:
        fields, weights: as in :func:`mutual_information`; here weights may all be zero.

    Raises:
        ValueError: as :func:`mutual_information`.

    >>> first, second = np.array([0, 0, 1, 1]), np.array([5, 5, 7, 7])
    >>> whole = count_together([first, second])
    >>> parts = count_together([first[:1], second[:1]]) + count_together([first[1:], second[1:]])
    >>> parts.information().round(3)
    array([[0.693, 0.693],
           [0.693, 0.693]])
    """
    if not isinstance(fields, Iterable) or getattr(fields, "ndim", 1) == 0:
        raise ValueError(f"fields must be a list of columns, got {shown(fields)}")
    parts = [_value_shares(field) for field in fields]
    tables = [table for _, table in parts]
    if not tables or len({table.shape[0] for table in tables}) > 1 or not tables[0].shape[0]:
        raise ValueError(
            "fields must be equally long and have rows, "
            f"got lengths {[table.shape[0] for table in tables]}"
        )
    n = tables[0].shape[0]
    w = np.ones(n) if weights is None else floats("weights", weights).astype(float)
    if w.shape != (n,):
        raise ValueError(f"weights must be {n}, one per row of the fields, got {w.size}")
    if not np.isfinite(w).all() or w.min() < 0:
        raise ValueError("weights must be finite and not negative")
    weighed = [table.multiply(w[:, None]).tocsr() for table in tables]
    return Cooccurrences(
        tuple(values for values, _ in parts),
        tuple(np.bincount(t.indices, minlength=t.shape[1]) for t in tables),
        tuple(w @ table for table in tables),
        tuple((weighed[i].T @ tables[j]).tocsr() for i, j in _pairs(len(tables))),
        float(w.sum()),
    )


def plug_in_bias(r: ArrayLike, c: ArrayLike, n: float) -> Floats:
    """By how much :func:`mutual_information` of n independent rows comes out too large.

        (r - 1) (c - 1) / (2 n)

    to first order in 1/n, of fields with r and c values, related or not. Rare values are
    what looks like a relation: subtract it to compare fields of different sizes.

    Shapes: broadcast.

    Raises:
        ValueError: n is not positive.

    Properties: bias_of_independent_rows

    Reference: M. Roulston, Estimating the errors on measured entropy and mutual
        information, Physica D 1999.
    """
    r, c, n = floats("r", r), floats("c", c), positive_number("n", n)
    bias: Floats = (r - 1) / 2 * ((c - 1) / n)
    return bias


def _pairs(k: int) -> Iterator[tuple[int, int]]:
    return combinations(range(k), 2)


def _union(one: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """All values, ascending."""
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
    exact = integers("values", values)
    if exact.min() <= -(2**53) or exact.max() >= 2**53:
        raise ValueError("a field has integers beyond 2^53 here and floats there")
    return exact


def _value_shares(field: Field) -> tuple[NDArray[Any], sparse.csr_array]:
    """The v distinct values; (n,v+1) the share of each in a row; last, whether it has none."""
    indptr, values = field if isinstance(field, tuple) else (None, field)
    values = as_array("fields", values)
    indptr = np.arange(values.size + 1) if indptr is None else integers("indptr", indptr)
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
