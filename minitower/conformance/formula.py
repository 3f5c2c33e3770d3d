"""What the checker knows of a formula, and when two results agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitower.formulas.arrays import Array

Outputs = dict[str, Array]
Compute = Callable[..., Any]
"""The arguments in order -> the result, and a gradient for each argument that has one."""

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
"""How far a number may be off: times max(1, |expected|)."""

EXPLODED = 1e3
"""A number this far off, on the same scale, is a division by almost nothing, or not a number."""


@dataclass(frozen=True)
class Argument:
    """One argument of a formula.

    Attributes:
        shape: in axis letters, "(n,d)"; "()" is a plain number.
        gradient: whether the formula has a gradient with respect to it.
        kind: what it holds: "float", "int" or "bool".
    """

    name: str
    shape: str
    meaning: str
    gradient: bool = False
    kind: str = "float"


@dataclass(frozen=True)
class Case:
    """One input of a formula; the numbers are binary fractions, exact in float32 too."""

    name: str
    why: str
    inputs: Mapping[str, Any]

    @property
    def size(self) -> int:
        """How many numbers go in."""
        return sum(np.size(value) for value in self.inputs.values())


@dataclass(frozen=True)
class Formula:
    """A formula that implementations are checked against.

    Attributes:
        compute: the formula itself, as minitower has it.
        result: what it returns beside the gradients: "loss", "scores", ...
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

    def inputs(self, case: Case, dtype: str = "float64") -> list[Any]:
        """Fresh arguments in order: arrays in this dtype, plain numbers plain."""
        return [
            np.array(value, dtype if a.kind == "float" else None) if a.shape != "()" else value
            for a, value in ((a, case.inputs[a.name]) for a in self.arguments)
        ]

    def outputs(self, case: Case, compute: Compute | None = None) -> Outputs:
        """What the formula, or a variant of it, makes of a case."""
        with np.errstate(all="ignore"):
            value, gradients = (compute or self.compute)(*self.inputs(case))
        named = {self.result: value, **dict(zip(self.gradients, gradients, strict=True))}
        return {name: np.asarray(output) + 0.0 for name, output in named.items()}  # no -0.0


def error(got: Array, expected: Array) -> float:
    """The largest |got - expected| / max(1, |expected|); infinite where not a number.

    >>> error(np.array([1.5, 110.0]), np.array([1.0, 100.0]))
    0.5
    """
    with np.errstate(all="ignore"):
        off = np.abs(got.astype(float) - expected) / np.maximum(1, np.abs(expected))
    return float(np.where(np.isfinite(off), off, np.inf).max(initial=0))


def errors(got: Outputs, expected: Outputs) -> dict[str, float]:
    """The error of every output."""
    return {name: error(got[name], value) for name, value in expected.items()}


def exploded(outputs: Outputs, right: Outputs) -> bool:
    """Whether a number of a case has left all bounds."""
    return any(off > EXPLODED for off in errors(outputs, right).values())
