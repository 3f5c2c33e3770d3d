"""A known mistake: a variant of a formula, or a family of variants that differ in a constant.

The constant is a clip, a cap, a mask, an epsilon: :func:`fitting` estimates it. Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance.composition import summed
from minitower.conformance.formula import Case, Compute, Formula, Outputs, errors, exploded

Words = tuple[str, str]
"""(name, fix) of a mistake."""

SUM = "sum instead of mean", "divide the loss by the number of rows"

_GRID = 48
"""How many constants are tried, evenly on the logarithmic scale, before one is searched for."""

_ROUNDING = 1e-12
"""The largest error of two computations of one formula in float64."""


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

    def lifted(self, lift: Callable[[Compute], Compute]) -> Mistake:
        """The same mistake in a formula that is made from this one."""
        return replace(self, compute=lift(self.compute))


@dataclass(frozen=True)
class Family:
    """Mistakes that differ in one positive constant.

    Attributes:
        name, fix: words with {c}, the constant, and {cap}, its logarithm turned positive.
        make: the variant with a constant.
        low, high: bounds of the constant.
    """

    name: str
    fix: str
    make: Callable[[float], Compute]
    low: float
    high: float

    def lifted(self, lift: Callable[[Compute], Compute]) -> Family:
        """The same mistakes in a formula that is made from this one."""
        return replace(self, make=lambda c: lift(self.make(c)))

    def summed(self) -> Family:
        """The same mistakes with the sum over the rows instead of the mean."""
        name, fix = SUM
        both = f"{self.name}, and {name}", f"{self.fix}; {fix}"
        return Family(*both, self.lifted(summed).make, self.low, self.high)

    def at(self, c: float) -> Mistake:
        """The mistake with a constant.

        >>> Family("q + {c}", "at most {cap}", lambda c: max, 0, 1).at(1e-6).name
        'q + 1e-6'
        """
        words = {"c": shown(c), "cap": f"{-np.log(c):.3g}"}
        return Mistake(self.name.format(**words), self.fix.format(**words), self.make(c))


Known = list[Mistake | Family]
Mistakes = Mapping[str, Sequence[Mistake | Family]]
"""Name of a formula -> its known mistakes."""


def table(
    mistakes: Mapping[Words, Any], make: Callable[[Any], Compute] = lambda compute: compute
) -> list[Mistake]:
    """Make mistakes from {(name, fix): the part that differs}; ``make`` completes the formula."""
    return [Mistake(*words, make(part)) for words, part in mistakes.items()]


def replacing(right: Compute, link: str) -> Callable[[Any], Compute]:
    """Make variants of a formula that differ in one of its keyword arguments."""
    return lambda part: partial(right, **{link: part})


def lifted(lift: Compute, mistakes: Sequence[Mistake | Family], *without: str) -> Known:
    """Mistakes of a formula in its plain form, but those with one of these words in their name.

    Args:
        lift: the plain form, as a function of its arguments and of the formula, ``compute``.
    """
    return [
        mistake.lifted(replacing(lift, "compute"))
        for mistake in mistakes
        if not any(words in mistake.name for words in without)
    ]


def shown(c: float) -> str:
    """A constant in the digits that it needs, at most four."""
    mantissa, e, exponent = f"{c:.4g}".partition("e")
    return f"{mantissa}{e}{int(exponent)}" if e else mantissa


def fitting(
    family: Family,
    formula: Formula,
    cases: Sequence[tuple[Case, Outputs, Outputs]],
    fits: Callable[[Mistake], bool],
) -> Mistake | None:
    """The mistake of a family that fits, or None.

    The constant is a root: there the family's loss is the loss that was returned, in the case that
    is off by most. A constant of few digits is preferred.

    Args:
        cases: (case, outputs that were returned, right outputs) of those that can be compared.
        fits: whether a mistake explains them all.
    """
    far = [
        (abs(_number(got[formula.result]) - _number(right[formula.result])), place)
        for place, (_, got, right) in enumerate(cases)
        if not exploded(got, right)
    ]
    far = sorted((x for x in far if np.isfinite(x[0]) and x[0] > 0), reverse=True)
    for _, place in far[:2]:
        case, got, _ = cases[place]
        inputs, target = formula.inputs(case), _number(got[formula.result])

        def off(log_c: float, inputs: list[Any] = inputs, target: float = target) -> float:
            with np.errstate(all="ignore"):
                return _number(family.make(float(np.exp(log_c)))(*inputs)[0]) - target

        for root in _roots(off, float(np.log(family.low)), float(np.log(family.high))):
            for c in _plain(float(np.exp(root))):
                if family.low <= c <= family.high and fits(mistake := family.at(c)):
                    return None if _right(family.make(float(shown(c))), formula, cases) else mistake
    return None


def _right(
    compute: Compute, formula: Formula, cases: Sequence[tuple[Case, Outputs, Outputs]]
) -> bool:
    """Whether a variant is the formula itself, as a scale of 2.5 is where 2.5 is given."""
    return all(
        max(errors(formula.outputs(case, compute), right).values()) <= _ROUNDING
        for case, _, right in cases
    )


def _number(result: Any) -> float:
    """The loss, or the first number of an array."""
    return float(np.asarray(result).flat[0])


def _roots(off: Callable[[float], float], low: float, high: float) -> Iterator[float]:
    """Where a function changes its sign, by bisection."""
    xs = np.linspace(low, high, _GRID)
    ys = [off(x) for x in xs]
    for a, b, at_a, at_b in zip(xs, xs[1:], ys, ys[1:]):
        if not np.isfinite(at_a) or not np.isfinite(at_b) or (at_a > 0) == (at_b > 0):
            continue
        for _ in range(50):
            middle = (a + b) / 2
            if (off(middle) > 0) == (at_a > 0):
                a = middle
            else:
                b = middle
        yield (a + b) / 2


def _plain(c: float) -> Iterator[float]:
    """A number with 1 digit, with 2, with 3, and as it is."""
    for digits in (1, 2, 3):
        yield float(f"{c:.{digits - 1}e}")
    yield c
