"""A formula as the checker sees it, and the comparison of two results. Chapter 17."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minitower.formulas.arrays import Array

Outputs = dict[str, Array]
Compute = Callable[..., Any]
"""The arguments in order -> (result, gradients in order)."""

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""Largest error |got - expected| / max(1, |expected|) that passes."""

CHOICES = {
    "zero_vectors": "a vector of zeros is divided by a small constant or by its length, so that "
    "its gradient is huge or NaN: F.normalize and most libraries do so",
}
"""Name of a documented choice -> what a right implementation may do otherwise."""

EXPLODED = 1e3
"""An error beyond this bound comes from NaN or a division by almost zero."""


class Unusable(Exception):
    """An implementation cannot be called as its formula, or returned outputs of another form."""


@dataclass(frozen=True)
class Argument:
    """One argument of a formula.

    Attributes:
        shape: axis letters such as "(n,d)"; "()" is a plain number.
        gradient: whether the formula has a gradient with respect to it.
        kind: type of its entries: "float", "int" or "bool".
    """

    name: str
    shape: str
    meaning: str
    gradient: bool = False
    kind: str = "float"


@dataclass(frozen=True)
class Case:
    """One input of a formula. All numbers are binary fractions, exact in float32, too.

    Attributes:
        choice: what a right implementation may do otherwise here, or "". A name of
            :data:`CHOICES`.
    """

    name: str
    why: str
    inputs: Mapping[str, Any]
    choice: str = ""

    @property
    def size(self) -> int:
        """Number of input numbers."""
        return sum(np.size(value) for value in self.inputs.values())


@dataclass(frozen=True)
class Formula:
    """A formula that implementations are checked against.

    Attributes:
        compute: minitower's own function.
        result: name of what it returns beside the gradients: "loss", "scores", ...
    """

    name: str
    summary: str
    math: str
    reference: str
    arguments: tuple[Argument, ...]
    compute: Compute
    cases: tuple[Case, ...]
    result: str = "loss"

    @property
    def gradients(self) -> tuple[str, ...]:
        """The names of the gradients, in order."""
        return tuple(f"d_{argument.name}" for argument in self.arguments if argument.gradient)

    def without_gradients(self) -> Formula:
        """The formula for implementations that return the result alone."""
        arguments = tuple(replace(argument, gradient=False) for argument in self.arguments)
        return replace(self, arguments=arguments)

    def inputs(self, case: Case, dtype: str = "float64") -> list[Any]:
        """Copy the arguments of a case, in order: arrays in this dtype, plain numbers plain."""
        return [
            np.array(value, dtype if a.kind == "float" else None) if a.shape != "()" else value
            for a, value in ((a, case.inputs[a.name]) for a in self.arguments)
        ]

    def outputs(self, case: Case, compute: Compute | None = None) -> Outputs:
        """Compute the outputs of the formula, or of a variant of it, for a case."""
        with np.errstate(all="ignore"):
            value, gradients = (compute or self.compute)(*self.inputs(case))
        named = {self.result: value}
        if self.gradients:
            named |= zip(self.gradients, gradients, strict=True)
        return {name: np.asarray(output) + 0.0 for name, output in named.items()}  # no -0.0


def error(got: Array, expected: Array) -> float:
    """Return the largest |got - expected| / max(1, |expected|); infinity for NaN.

    >>> error(np.array([1.5, 110.0]), np.array([1.0, 100.0]))
    0.5
    """
    with np.errstate(all="ignore"):
        off = np.abs(got.astype(float) - expected) / np.maximum(1, np.abs(expected))
    return float(np.where(np.isfinite(off), off, np.inf).max(initial=0))


def errors(got: Outputs, expected: Outputs) -> dict[str, float]:
    """Compute the error of each output."""
    return {name: error(got[name], value) for name, value in expected.items()}


def exploded(outputs: Outputs, right: Outputs) -> bool:
    """Whether an output is off by more than :data:`EXPLODED`."""
    return any(off > EXPLODED for off in errors(outputs, right).values())
