"""Two views of one item, for self-supervision. Chapter 11.

A view hides some of an item's k fields, or drops some values of a field. A hidden field reads
as the default value. A mask is (n,k), true where a field is hidden. Every view keeps at least
one field.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import (
    LONGEST_ARRAY,
    as_array,
    as_float64,
    as_integers,
    choice,
    integer,
    number,
)
from minitower.formulas.arrays import Array, Integers, Mask


def random_mask(
    rng: np.random.Generator, n: int, k: int, hidden: int, *, per_item: bool = True
) -> Mask:
    """Hide a random set of fields.

    Shapes: ->(n,k) of n items and k fields
    Args:
        hidden: number of hidden fields, 0 to k - 1; every set of that size is equally likely.
        per_item: whether each item has its own set, or all items of the batch share one.
    Raises ValueError: hidden is outside 0 to k - 1.
    Properties: hides_the_stated_number, every_choice_is_equally_likely, one_for_the_batch

    >>> random_mask(np.random.default_rng(0), 2, 4, hidden=1).astype(int)
    array([[0, 1, 0, 0],
           [0, 0, 0, 1]])

    Reference: lecture, section 5.1, "random mask"; docs/11.
    """
    n, k = integer("n", n, 0, LONGEST_ARRAY), integer("k", k, 0, LONGEST_ARRAY)
    hidden = integer("hidden", hidden, 0)
    if hidden >= k:
        raise ValueError(
            f"hiding {hidden} of {k} fields leaves no view: hidden must be below k, 0 to {k - 1}"
        )
    sets = np.tile(np.arange(k) < hidden, (n if per_item else 1, 1))
    return _repeated(rng.permuted(sets, axis=1), n)


def complementary_masks(
    rng: np.random.Generator, n: int, k: int, *, per_item: bool = True
) -> tuple[Mask, Mask]:
    """Split the fields into two random halves: each view hides what the other shows.

    Shapes: ->(n,k),(n,k). For odd k the first view hides the smaller half.
    Args: as in :func:`random_mask`.
    Raises ValueError: k < 2.
    Properties: split_the_fields_in_halves, every_choice_is_equally_likely

    Reference: lecture, section 5.1, "complementary"; T. Yao et al., Self-supervised Learning for
        Large-scale Item Recommendations, CIKM 2021; docs/11.
    """
    k = integer("k", k, 2, LONGEST_ARRAY)
    first = random_mask(rng, n, k, k // 2, per_item=per_item)
    return first, ~first


def correlated_masks(
    rng: np.random.Generator,
    n: int,
    pairwise_mi: ArrayLike,
    *,
    rounding: Literal["floor", "ceil"] = "floor",
    per_item: bool = False,
) -> tuple[Mask, Mask]:
    """Hide a random seed field and its most related fields; the second view hides the rest.

    A related field that stays visible would give a hidden field away.

    Shapes: (k,k)->(n,k),(n,k)
    Args:
        pairwise_mi: :func:`~minitower.formulas.mutual_information.mutual_information` of each
            two fields, or a similar measure. The diagonal is not read. Of equally related
            fields the lower numbers come first.
        rounding: of k / 2, the number of related fields that the first view hides. The paper's
            wording means floor; a translation prints the ceiling.
        per_item: whether each item has its own seed. By default the batch has one (the paper):
            seeds per item let a tower tell items apart by their hidden fields.
    Raises ValueError: pairwise_mi is not a finite square matrix, rounding is neither, or k < 3
        with floor, k < 4 with ceil: a view would keep no field.
    Properties: hides_the_seed_and_its_most_related, every_seed_is_equally_likely,
        floor_and_ceil_differ_for_odd_numbers

    >>> mi = [[9, 3, 0, 1], [3, 9, 0, 0], [0, 0, 9, 2], [1, 0, 2, 9]]
    >>> first, second = correlated_masks(np.random.default_rng(0), 1, mi)
    >>> first.astype(int), second.astype(int)           # the seed is the last field
    (array([[1, 0, 1, 1]]), array([[0, 1, 0, 0]]))

    Reference: T. Yao et al., CIKM 2021, correlated feature masking; lecture, section 5.1; docs/11.
    """
    related = as_float64("pairwise_mi", pairwise_mi).copy()
    n = integer("n", n, 0, LONGEST_ARRAY)
    if related.ndim != 2 or len(set(related.shape)) != 1 or not np.isfinite(related).all():
        raise ValueError(
            f"pairwise_mi must be a finite (k,k) matrix, got shape {related.shape}; "
            "leave out the fields that were not measured"
        )
    choice("rounding", rounding, ("floor", "ceil"))
    k = len(related)
    hidden = 1 + (k + (rounding == "ceil")) // 2
    if hidden >= k:
        raise ValueError(
            f"a seed and its {hidden - 1} related fields ({rounding}) are all of {k} fields: "
            "the first view would keep nothing"
        )
    np.fill_diagonal(related, np.inf)  # the seed is its own closest relative
    closest = np.argsort(-related, kind="stable")[:, :hidden]
    groups = np.zeros((k, k), bool)  # row i: the hidden fields of seed i
    np.put_along_axis(groups, closest, True, axis=1)
    first = _repeated(groups[rng.integers(k, size=n if per_item else 1)], n)
    return first, ~first


def drop_values(
    rng: np.random.Generator, indptr: Integers, values: Array, rate: float = 0.5
) -> tuple[Integers, Array]:
    """Drop a share of the values of a multi-valued field.

    Of a row with s values floor(rate s) random ones are dropped. The others keep their order,
    and at least one stays. A row with one value, or none, does not change.

    Shapes: CSR (n+1),(v)->(n+1),(<=v); the arguments are not modified.
    Args:
        indptr: row i has values[indptr[i]:indptr[i + 1]]; indptr[0] = 0.
        rate: share of values to drop, in [0, 1).
    Raises ValueError: rate is outside [0, 1), or indptr does not fit the values.
    Properties: drops_the_stated_number, every_choice_is_equally_likely, keeps_single_values,
        leaves_its_arguments_alone

    >>> drop_values(np.random.default_rng(0), np.array([0, 2, 3]), np.array([7, 8, 9]))
    (array([0, 1, 2]), array([7, 9]))

    Reference: lecture, section 5.1, "dropout"; T. Yao et al., CIKM 2021; docs/11.
    """
    indptr, values = as_integers("indptr", indptr), as_array("values", values)
    rate = number("rate", rate)
    if indptr.ndim != 1 or not len(indptr) or values.ndim != 1:
        raise ValueError(
            f"indptr and values must be vectors, got shapes {indptr.shape} and {values.shape}"
        )
    if not 0 <= rate < 1:
        raise ValueError(f"the rate must be in [0, 1), so that a value stays, got {rate}")
    counts = np.diff(indptr)
    if indptr[0] != 0 or indptr[-1] != len(values) or np.any(counts < 0):
        raise ValueError(f"indptr must rise from 0 to the number of values, {len(values)}")
    dropped = np.floor(np.round(rate * counts, 9)).astype(np.int64)  # 0.29 of 100 are 29
    dropped = np.minimum(dropped, np.maximum(counts - 1, 0))
    row = np.repeat(np.arange(len(counts)), counts)
    shuffled = np.lexsort((rng.random(len(values)), row))  # within each row
    keep = np.empty(len(values), bool)
    keep[shuffled] = np.arange(len(values)) >= (indptr[:-1] + dropped)[row]
    return np.concatenate([[0], np.cumsum(counts - dropped)]), values[keep]


def _repeated(mask: Mask, n: int) -> Mask:
    """Repeat a mask that all n items share."""
    return mask if len(mask) == n else np.repeat(mask, n, axis=0)
