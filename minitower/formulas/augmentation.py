"""Two views of one item: what self-supervision compares.

A view hides some of an item's k fields, or some of the values of a field. Hidden fields
read as the default value. A mask is (n,k), true where the field is hidden; every view keeps
at least one field, and what is random comes anew for every item, or once for the batch.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minitower.formulas.arguments import (
    LONGEST_ARRAY,
    as_array,
    choice,
    floats,
    integer,
    integers,
    number,
)
from minitower.formulas.arrays import Integers, Mask


def random_mask(
    rng: np.random.Generator, n: int, k: int, hidden: int, *, per_item: bool = True
) -> Mask:
    """Hide so many fields, whichever.

    Shapes: ->(n,k)

    Args:
        hidden: how many of the k fields, 0..k-1; every choice of them is as likely.
        per_item: whether each item has a choice of its own, or the batch one for all.

    Raises:
        ValueError: the view would keep nothing, or hidden < 0.

    Properties: hides_so_many, every_choice_is_as_likely, one_for_the_batch

    >>> random_mask(np.random.default_rng(0), 2, 4, hidden=1)
    array([[False,  True, False, False],
           [False, False, False,  True]])

    Reference: the lecture, section 5.1, "random mask".
    """
    n, k = integer("n", n, 0, LONGEST_ARRAY), integer("k", k, 0, LONGEST_ARRAY)
    hidden = integer("hidden", hidden, 0)
    if hidden >= k:
        raise ValueError(
            f"hiding {hidden} of {k} fields leaves no view: hidden must be below k, 0 to {k - 1}"
        )
    choices = np.tile(np.arange(k) < hidden, (n if per_item else 1, 1))
    return _for_all(rng.permuted(choices, axis=1), n)


def complementary_masks(
    rng: np.random.Generator, n: int, k: int, *, per_item: bool = True
) -> tuple[Mask, Mask]:
    """Part the fields into two random halves: each view hides what the other shows.

    Shapes: ->(n,k),(n,k). Of an odd number the first view hides the smaller half.

    Args:
        per_item: as in :func:`random_mask`.

    Raises:
        ValueError: k < 2: one of the views would keep nothing.

    Properties: part_the_fields_in_halves, every_choice_is_as_likely

    Reference: the lecture, section 5.1, "complementary"; T. Yao et al., Self-supervised
        Learning for Large-scale Item Recommendations, CIKM 2021, random feature masking.
    """
    k = integer("k", k, 2, LONGEST_ARRAY)
    first = random_mask(rng, n, k, k // 2, per_item=per_item)
    return first, ~first


def correlated_masks(
    rng: np.random.Generator,
    n: int,
    relatedness: ArrayLike,
    *,
    rounding: Literal["floor", "ceil"] = "floor",
    per_item: bool = False,
) -> tuple[Mask, Mask]:
    """Hide a random field together with its closest relatives; the other view hides the rest.

    Where a relative of a hidden field is seen, the field is as good as seen. Hidden
    together, an item must be recognised by what is really another side of it.

    Shapes: (k,k)->(n,k),(n,k)

    Args:
        relatedness: how much field i tells about field j, such as
            :func:`~minitower.formulas.mutual_information.mutual_information`. The
            diagonal is not read. Of equals the first fields are the closer.
        rounding: with its seed the first view hides k / 2 relatives, rounded so, and the
            second view hides the k - 1 - k / 2 others. The paper's text reads as floor,
            which leaves more to see; a translation prints the ceiling.
        per_item: by default one seed for the batch, as in the paper. With one for each
            item, which fields are hidden tells items apart, and a tower can learn to
            look at that instead.

    Raises:
        ValueError: relatedness is not a finite square matrix, rounding is neither, or
            a view would keep nothing: k < 3 with floor, k < 4 with ceil.

    Properties: seed_and_its_relatives, every_seed_is_as_likely,
        floor_and_ceil_differ_for_odd_numbers

    >>> relatedness = [[9, 3, 0, 1], [3, 9, 0, 0], [0, 0, 9, 2], [1, 0, 2, 9]]
    >>> first, second = correlated_masks(np.random.default_rng(0), 1, relatedness)
    >>> first, second           # the seed is the last field
    (array([[ True, False,  True,  True]]), array([[False,  True, False, False]]))

    Reference: T. Yao et al., CIKM 2021, correlated feature masking; the lecture, section 5.1.
    """
    related = np.array(floats("relatedness", relatedness), dtype=float)
    n = integer("n", n, 0, LONGEST_ARRAY)
    if related.ndim != 2 or len(set(related.shape)) != 1 or not np.isfinite(related).all():
        raise ValueError(
            f"relatedness must be a finite (k,k) matrix, got shape {related.shape}; "
            "leave out the fields that were not measured"
        )
    choice("rounding", rounding, ("floor", "ceil"))
    k = len(related)
    hidden = 1 + (k + (rounding == "ceil")) // 2
    if hidden >= k:
        raise ValueError(
            f"a seed and its {hidden - 1} relatives ({rounding}) are all of {k} fields: "
            "the first view would keep nothing"
        )
    np.fill_diagonal(related, np.inf)  # nothing is closer to the seed than itself
    groups = np.zeros((k, k), bool)
    closest = np.argsort(-related, kind="stable")[:, :hidden]
    np.put_along_axis(groups, closest, True, axis=1)
    first = _for_all(groups[rng.integers(k, size=n if per_item else 1)], n)
    return first, ~first


def drop_values(
    rng: np.random.Generator, indptr: Integers, values: NDArray[Any], rate: float = 0.5
) -> tuple[Integers, NDArray[Any]]:
    """Drop a share of the values of a field that has several.

    Of a row with s values floor(rate s) are dropped, any of them as likely, and the others
    keep their order. At least one stays; rows with one value, or none, stay as they are.

    Shapes: CSR (n+1),(v)->(n+1),(<=v). New arrays; the given ones are left alone.

    Args:
        indptr: row i has values[indptr[i]:indptr[i + 1]]; indptr[0] = 0.
        rate: the share to drop, in [0, 1).

    Raises:
        ValueError: rate is outside [0, 1), or indptr does not fit the values.

    Properties: drops_so_many, every_choice_is_as_likely, keeps_single_values,
        leaves_its_arguments_alone

    >>> drop_values(np.random.default_rng(0), np.array([0, 2, 3]), np.array([7, 8, 9]))
    (array([0, 1, 2]), array([7, 9]))

    Reference: the lecture, section 5.1, "dropout"; T. Yao et al., CIKM 2021.
    """
    indptr, values, rate = (
        integers("indptr", indptr),
        as_array("values", values),
        number("rate", rate),
    )
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


def _for_all(mask: Mask, n: int) -> Mask:
    """A mask of n items, or of the whole batch, as one of n items."""
    return mask if len(mask) == n else np.repeat(mask, n, axis=0)
