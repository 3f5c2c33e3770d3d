"""What an optimizer keeps of each parameter: arrays by the name "<parameter>/<slot>"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from minitower.data.errors import show
from minitower.formulas.arrays import Array

Slots = dict[str, bool]
"""The slots of an optimizer: name -> whether it holds one number a row, else one an entry."""

SIGNED = {"first"}
"""Slots whose numbers may be negative; all others hold sums of squares, or counts."""


def shape_of_slot(parameter: Array, per_row: bool) -> tuple[int, ...]:
    """The shape of a slot; "one number a row" of a vector is one in all.

    >>> shape_of_slot(np.ones((7, 4)), True), shape_of_slot(np.ones(4), True)
    ((7, 1), (1,))
    """
    if not per_row:
        return parameter.shape
    return (*parameter.shape[:-1], 1) if parameter.ndim > 1 else (1,)


def check_state(state: Mapping[str, Array], slots: Slots, parameters: Mapping[str, Array]) -> None:
    """Refuse a state that an optimizer of these slots cannot have for these parameters.

    A parameter that has had no gradient has no slots.

    Raises:
        ValueError: an array belongs to no parameter or slot, is missing, has another shape or
            type than its parameter asks for, or holds a number that no gradient leads to.
    """
    names = {key.rpartition("/")[0]: None for key in state if "/" in key}
    expected = {f"{name}/{slot}" for name in names for slot in slots}
    for key in state:
        if key not in expected or key.rpartition("/")[0] not in parameters:
            raise ValueError(f"{show(key)} is the state of no parameter")
    for name in names:
        for slot, per_row in slots.items():
            _check_slot(state, f"{name}/{slot}", parameters[name], per_row)


def _check_slot(state: Mapping[str, Array], key: str, parameter: Array, per_row: bool) -> None:
    if key not in state:
        raise ValueError(f"{show(key)} is missing from the state")
    kept, shape, dtype = state[key], shape_of_slot(parameter, per_row), parameter.dtype
    if kept.shape != shape or kept.dtype != dtype:
        raise ValueError(f"{show(key)}: expected {dtype} {shape}, got {kept.dtype} {kept.shape}")
    if not np.isfinite(kept).all():
        raise ValueError(f"{show(key)}: not all numbers are finite")
    if key.rpartition("/")[2] not in SIGNED and kept.min(initial=0) < 0:
        raise ValueError(f"{show(key)}: not all numbers are at least 0")


class Kept:
    """The state of one parameter, at the rows of this step.

    Args:
        state: of the optimizer.
        slots: of the optimizer.
        start: what a slot begins with.
        name: of the parameter.
        parameter: the parameter.
        rows: those of the step.
    """

    def __init__(
        self,
        state: dict[str, Array],
        slots: Slots,
        start: float,
        name: str,
        parameter: Array,
        rows: Any,
    ) -> None:
        self._state, self._slots, self._start = state, slots, start
        self._name, self._parameter, self._rows = name, parameter, rows

    def accumulate(self, slot: str, value: Array | float, *, decay: float = 1.0) -> Array:
        """state = decay * state + value at these rows; the new state is returned."""
        key = f"{self._name}/{slot}"
        if key not in self._state:
            shape = shape_of_slot(self._parameter, self._slots[slot])
            dtype, start = self._parameter.dtype, self._start
            # Zeros are given out by the system when first touched: rows never used cost nothing.
            self._state[key] = (
                np.zeros(shape, dtype) if start == 0 else np.full(shape, start, dtype)
            )
        table = self._state[key]
        new: Array = table[self._rows] * decay
        new += value
        table[self._rows] = new
        return new
