"""How much one field of an item tells about another.

A city says little about the language where everyone speaks the same one, and nearly all
where each has its own. Mutual information measures it, in nats, from a table of items.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from minitower.formulas.sampling import normalised

Floats = NDArray[np.float64]
Field = NDArray[Any] | tuple[NDArray[np.integer[Any]], NDArray[Any]]


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
    tables = [_value_shares(field) for field in fields]
    if not tables or len({table.shape[0] for table in tables}) > 1 or not tables[0].shape[0]:
        raise ValueError(
            "fields must be equally long and have rows, "
            f"got lengths {[table.shape[0] for table in tables]}"
        )
    n = tables[0].shape[0]
    w = normalised("weights", np.ones(n) if weights is None else weights)
    if len(w) != n:
        raise ValueError(f"expected {n} weights, one per row, got {len(w)}")
    measured = [f for f, table in enumerate(tables) if identifiers or not _identifies(table)]
    result = np.full((len(tables), len(tables)), np.nan)
    if not measured:
        return result

    # All values of all fields side by side: one product counts every pair of them.
    table = sparse.hstack([tables[f] for f in measured], format="csr")
    k = len(measured)
    owner = np.repeat(np.arange(k), [tables[f].shape[1] for f in measured])
    p = w @ table
    table.data *= np.sqrt(w).repeat(np.diff(table.indptr))
    joint = (table.T @ table).tocoo()
    above = owner[joint.row] < owner[joint.col]
    u, v, p_uv = joint.row[above], joint.col[above], joint.data[above]
    terms = p_uv * np.log(p_uv / (p[u] * p[v]))
    pairs = np.bincount(owner[u] * k + owner[v], terms, minlength=k * k).reshape(k, k)
    pairs = np.maximum(pairs, 0)  # only rounding makes one negative
    surprise = -p * np.log(p, out=np.zeros_like(p), where=p > 0)
    entropy = np.bincount(owner, surprise)
    result[np.ix_(measured, measured)] = pairs + pairs.T + np.diag(entropy)
    return result


def plug_in_bias(r: ArrayLike, c: ArrayLike, n: float) -> Floats:
    """By how much :func:`mutual_information` of n independent rows comes out too large.

        (r - 1) (c - 1) / (2 n)

    to first order in 1/n, of fields with r and c values, related or not. Rare values are
    what looks like a relation: subtract it to compare fields of different sizes.

    Shapes: broadcast.

    Properties: bias_of_independent_rows

    Reference: M. Roulston, Estimating the errors on measured entropy and mutual
        information, Physica D 1999.
    """
    bias: Floats = np.subtract(r, 1.0) * np.subtract(c, 1.0) / (2 * n)
    return bias


def _value_shares(field: Field) -> sparse.csr_array:
    """(n,V+1): of each row's values the share of each distinct one; last, whether it has none."""
    indptr, values = field if isinstance(field, tuple) else (np.arange(len(field) + 1), field)
    indptr, values = np.asarray(indptr), np.asarray(values)
    counts = np.diff(indptr)
    if indptr[0] != 0 or indptr[-1] != len(values) or np.any(counts < 0) or values.ndim != 1:
        raise ValueError(f"indptr must rise from 0 to the number of values, {len(values)}")
    distinct, codes = np.unique(values, return_inverse=True)
    # "None" is one more value, of the rows that have no other.
    codes = np.insert(codes, indptr[:-1][counts == 0], len(distinct))
    counts = np.maximum(counts, 1)
    shape = len(counts), len(distinct) + 1
    table = sparse.csr_array(
        (np.repeat(1 / counts, counts), codes, np.concatenate([[0], np.cumsum(counts)])), shape
    )
    table.sum_duplicates()
    return table


def _identifies(table: sparse.csr_array) -> bool:
    """Whether no two rows share a value."""
    return table.shape[0] > 1 and bool(np.bincount(table.indices).max() == 1)
