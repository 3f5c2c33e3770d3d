"""Known mistakes, and the names of those that several formulas share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitower.conformance.formula import Compute

Words = tuple[str, str]
"""(name, fix) of a mistake."""


@dataclass(frozen=True)
class Mistake:
    """A known way to get a formula wrong.

    Attributes:
        name: the mistake, in the words of the field.
        fix: what to do about it, in one line.
        compute: the formula with the mistake in it.
    """

    name: str
    fix: str
    compute: Compute


def table(mistakes: Mapping[Words, Compute]) -> list[Mistake]:
    """Make mistakes from {(name, fix): compute}."""
    return [Mistake(*words, compute) for words, compute in mistakes.items()]


def then(right: Compute, change: Callable[[Any], Any]) -> Compute:
    """Change the gradients of the right formula."""

    def compute(*arguments: Any) -> Any:
        value, gradients = right(*arguments)
        return value, change(gradients)

    return compute


def half(loss: Compute, gradient: Compute) -> Compute:
    """Combine the loss of one variant with the gradients of another."""
    return lambda *arguments: (loss(*arguments)[0], gradient(*arguments)[1])


def value_alone(compute: Callable[..., Any]) -> Compute:
    """Make a formula without gradients."""
    return lambda *arguments: (compute(*arguments), ())


LN2 = float(np.log(2))

SUM = "sum instead of mean", "divide the loss by the number of rows"
BITS = "logarithm to base two", "use the natural logarithm"
FLIPPED = "sign of the gradient", "return d loss / d input; the optimizer is what subtracts it"
OVERFLOW = (
    "exp overflows, or log of zero",
    "log sum exp(z) = max + log sum exp(z - max), log(1 + exp(z)) = max(z, 0) + log1p(exp(-|z|))",
)
CLIPPED = (
    "log of a clipped probability",
    "clipping at 1e-7 stops learning where it is most wrong; take the loss of logits",
)
