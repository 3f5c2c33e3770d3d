"""The state of an optimizer: slots, which are arrays named "<parameter>/<slot>"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitower.data.errors import show
from minitower.formulas.arrays import Array

Layout = dict[str, bool]
"""The slots of an optimizer: name -> True for one number per row, False for one per entry."""

SIGNED = {"first"}
"""Slots whose numbers may be negative. All other slots hold sums of squares, or counts."""


@dataclass(frozen=True)
class OptimizerSlot:
    """One slot of one parameter, seen at the rows that a step uses.

    Attributes:
        table: the whole slot; updates write to it.
        rows: index of the rows.
    """

    table: Array
    rows: Any

    def update(self, value: Array | float, *, decay: float = 1.0) -> Array:
        """Set these rows to decay * rows + value, and return them."""
        new: Array = self.table[self.rows] * decay
        new += value
        self.table[self.rows] = new
        return new


def new_slot(parameter: Array, per_row: bool, start: float) -> Array:
    """Make the slot of a parameter before its first gradient.

    >>> new_slot(np.ones((2, 3)), True, 0.5).tolist(), new_slot(np.ones(3), True, 0.5).tolist()
    ([[0.5], [0.5]], [0.5])
    """
    shape, dtype = _shape(parameter, per_row), parameter.dtype
    # np.zeros takes memory only for pages that are touched: unused rows cost nothing.
    return np.zeros(shape, dtype) if start == 0 else np.full(shape, start, dtype)


def extended_state(
    state: Mapping[str, Array], parameters: Mapping[str, Array], start: float
) -> dict[str, Array]:
    """Copy a state for parameters with more rows; the new rows hold ``start``."""
    extended = {}
    for key, slot in state.items():
        parameter = parameters[key.rpartition("/")[0]]
        rows = len(parameter) if parameter.ndim > 1 else len(slot)
        extended[key] = larger = np.empty((rows, *slot.shape[1:]), slot.dtype)
        larger[: len(slot)], larger[len(slot) :] = slot, start
    return extended


def check_state(
    state: Mapping[str, Array], layout: Layout, parameters: Mapping[str, Array]
) -> None:
    """Refuse a state that an optimizer of this layout cannot have for these parameters.

    A parameter without a gradient so far has no slots.

    Raises:
        ValueError: an array belongs to no parameter or slot, or a slot is missing, has a wrong
            shape or type, or holds an impossible number.
    """
    names = {key.rpartition("/")[0]: None for key in state if "/" in key}
    expected = {f"{name}/{slot}" for name in names for slot in layout}
    for key in state:
        if key not in expected or key.rpartition("/")[0] not in parameters:
            raise ValueError(f"{show(key)} is the state of no parameter")
    for name in names:
        for slot, per_row in layout.items():
            _check_slot(state, f"{name}/{slot}", parameters[name], per_row)


def _check_slot(state: Mapping[str, Array], key: str, parameter: Array, per_row: bool) -> None:
    if key not in state:
        raise ValueError(f"{show(key)} is missing from the state")
    slot, shape, dtype = state[key], _shape(parameter, per_row), parameter.dtype
    if slot.shape != shape or slot.dtype != dtype:
        raise ValueError(f"{show(key)}: expected {dtype} {shape}, got {slot.dtype} {slot.shape}")
    if not np.isfinite(slot).all():
        raise ValueError(f"{show(key)}: not all numbers are finite")
    if key.rpartition("/")[2] not in SIGNED and slot.min(initial=0) < 0:
        raise ValueError(f"{show(key)}: not all numbers are at least 0")


def _shape(parameter: Array, per_row: bool) -> tuple[int, ...]:
    """Shape of a slot. Per row, a vector has one number."""
    if not per_row:
        return parameter.shape
    return (*parameter.shape[:-1], 1) if parameter.ndim > 1 else (1,)
