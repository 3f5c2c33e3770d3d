"""The slots of an optimizer: arrays beside a parameter, such as the sums of its squares.

Chapter 4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minitower.data.errors import show
from minitower.formulas.arrays import Array

Layout = dict[str, bool]
"""The slots of an optimizer: name -> True for one number per row, False for one per entry."""

SIGNED = {"first"}
"""Slots whose numbers may be negative. All other slots hold sums of squares, or counts."""


@dataclass(frozen=True)
class OptimizerSlot:
    """One slot of one parameter: its table, and the rows that a step uses; None: all rows."""

    table: Array
    rows: Array | None

    def update(self, value: Array | float, *, decay: float = 1.0) -> Array:
        """Set these rows to decay * rows + value, and return them."""
        # take is twice as fast as table[rows].
        new = self.table if self.rows is None else self.table.take(self.rows, axis=0)
        if decay != 1:
            new *= decay
        new += value
        if self.rows is not None:
            self.table[self.rows] = new
        return new


Slots = dict[str, OptimizerSlot]


def check_slot(state: dict[str, Array], key: str, parameter: Array, per_row: bool) -> None:
    if key not in state:
        raise ValueError(f"{show(key)} is missing from the state")
    slot, shape, dtype = state[key], slot_shape(parameter, per_row), parameter.dtype
    if slot.shape != shape or slot.dtype != dtype:
        raise ValueError(f"{show(key)}: expected {dtype} {shape}, got {slot.dtype} {slot.shape}")
    if not np.isfinite(slot).all():
        raise ValueError(f"{show(key)}: not all numbers are finite")
    if key.rpartition("/")[2] not in SIGNED and slot.min(initial=0) < 0:
        raise ValueError(f"{show(key)}: not all numbers are at least 0")


def slot_shape(parameter: Array, per_row: bool) -> tuple[int, ...]:
    """Shape of a slot. Per row, a vector has one number."""
    if not per_row:
        return parameter.shape
    return (*parameter.shape[:-1], 1) if parameter.ndim > 1 else (1,)
