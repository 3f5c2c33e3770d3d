"""The alias table: sample from any distribution over K ids in constant time. Chapter 7.

A table has K equally likely slots. Slot i returns id i with probability keep_i, and the
other id alias_i otherwise:

    p_j = (keep_j + sum_{i: alias_i = j} (1 - keep_i)) / K

:func:`build_alias_table_vose` is the textbook form. The samplers use :func:`build_alias_table`: no
Python loop, the same distribution.
"""

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import as_float64, as_floats, as_rows
from minitower.formulas.arrays import Floats, Rows


def build_alias_table_vose(p: ArrayLike) -> tuple[Floats, Rows]:
    """Build the table (keep, alias) of probabilities p, with two stacks.

    Scale p by K. Take a slot with less than 1 and a slot with at least 1: the second fills
    the first and keeps what is left over.

    Shapes: (K)->(K),(K). An id of probability 0 has keep 0 and is nobody's alias.
    Raises ValueError: p is not a vector of probabilities with sum 1.
    Properties: rebuilds_p, zeros_are_never_drawn

    >>> keep, alias = build_alias_table_vose([0.5, 0.3, 0.2])
    >>> keep.round(2), alias
    (array([1. , 0.9, 0.6]), array([0, 0, 0]))
    >>> distribution(keep, alias).round(2)
    array([0.5, 0.3, 0.2])

    Reference: M. Vose, A Linear Algorithm for Generating Random Numbers with a Given Distribution,
        IEEE TSE 1991; A. Walker, ACM TOMS 1977.
    """
    p = _probabilities(p)
    keep, alias = len(p) * p, np.full(len(p), p.argmax())
    small = [i for i, mass in enumerate(keep) if mass < 1]
    large = [i for i, mass in enumerate(keep) if mass >= 1]
    while small and large:
        lacking, donor = small.pop(), large.pop()
        alias[lacking] = donor
        keep[donor] -= 1 - keep[lacking]
        (small if keep[donor] < 1 else large).append(donor)
    keep[small + large] = 1  # only rounding keeps these slots from exactly 1
    return keep, alias


def build_alias_table(p: ArrayLike) -> tuple[Floats, Rows]:
    """Build the same with cumulative sums; alias_i = i where keep_i = 1.

    Lay the gaps of all light slots end to end, and the surpluses of all heavy slots on a
    second line. The heavy slot below the start of a gap fills that gap. Where the gap
    extends beyond its donor, the donor itself becomes light and the next donor fills it.
    In quarters of a slot, with K p = 0.25, 0.5, 1.5, 1.75:

        gaps         0 0 0 1 1      slot 2 fills gap 0, and overdraws by a quarter:
        surpluses    2 2 3 3 3      slot 3 fills that quarter, and gap 1

    Shapes, Raises: as in :func:`build_alias_table_vose`.
    Properties: draws_as_vose, rebuilds_p, zeros_are_never_drawn, leftovers_are_one

    >>> build_alias_table([0.0625, 0.125, 0.375, 0.4375])
    (array([0.25, 0.5 , 0.75, 1.  ]), array([2, 3, 3, 3]))

    Reference: L. Hübschle-Schneider, P. Sanders, Parallel Weighted Random Sampling, ESA 2019.
    """
    p = _probabilities(p)
    keep = len(p) * p
    # A slot is `one` integer units, so that the sums below are exact.
    one = 2 ** (62 - len(p).bit_length())
    units = np.rint(keep * one).astype(np.int64)
    is_heavy = units >= min(one, units.max())
    light, heavy = np.flatnonzero(~is_heavy), np.flatnonzero(is_heavy)
    # The two lines of the drawing; gap g starts at gap_end[g].
    surplus_end = np.cumsum(np.maximum(units[heavy] - one, 0))
    gap_end = np.concatenate([[0], np.cumsum(one - units[light])])
    gap_end = np.minimum(gap_end, surplus_end[-1])  # rounding of K p makes the totals differ
    donor = np.searchsorted(surplus_end, gap_end[:-1], side="right")
    donor = np.minimum(donor, len(heavy) - 1)
    # The last gap that a donor fills ends where the next gap starts.
    overdrawn = gap_end[np.searchsorted(gap_end[:-1], surplus_end)] - surplus_end

    keep[heavy] = 1 - np.maximum(overdrawn, 0) / one
    alias = np.arange(len(p))
    alias[light] = heavy[donor]
    alias[heavy[:-1]] = np.where(keep[heavy[:-1]] < 1, heavy[1:], heavy[:-1])
    return keep, alias


def distribution(keep: ArrayLike, alias: ArrayLike) -> Floats:
    """Add up the probabilities that a table draws with. Shapes: (K),(K)->(K)

    Raises ValueError: keep and alias are not two vectors of one length, or an alias is no slot.
    """
    keep, alias = as_floats("keep", keep), as_rows("alias", alias, np.size(keep))
    if keep.ndim != 1 or keep.shape != alias.shape:
        raise ValueError(f"keep and alias must be (K) and (K), got {keep.shape} and {alias.shape}")
    # Count the slots of an alias exactly; then subtract the parts that these slots keep.
    slots = np.bincount(alias, minlength=len(keep))
    kept = np.bincount(alias, weights=keep, minlength=len(keep))
    result: Floats = (slots - kept + keep) / len(keep)
    return result


def _probabilities(p: ArrayLike) -> Floats:
    p = as_float64("p", p)
    if p.ndim != 1 or not np.all(p >= 0) or not abs(p.sum() - 1) < 1e-6:
        raise ValueError(
            f"p must be a vector of probabilities with sum 1, got shape {p.shape} "
            f"with sum {p.sum()}; divide the weights by their sum"
        )
    return p
