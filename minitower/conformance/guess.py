"""Which formula a function implements, from its name and the names of its parameters.

Chapter 17.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from minitower.conformance.calling import Given, parameters
from minitower.conformance.registry import FORMULAS
from minitower.conformance.samplers import SAMPLER

_OF_A_SAMPLER = {"p", "size", "rng"}


def guess(fn: Callable[..., Any], given: Given) -> tuple[str, str]:
    """The formula of a function, and why. A guess is made only where one formula fits.

    Of a formula and its variants, the name of the function says which variant it is.

    Args:
        given: as :func:`~minitower.conformance.check` takes it.

    Raises:
        ValueError: no formula fits, or several do.

    >>> guess(lambda positive, negative, margin: 0, {})
    ('triplet_hinge', 'its arguments are positive, negative, margin')
    """
    name = getattr(fn, "__name__", type(fn).__name__)
    if name in (*FORMULAS, SAMPLER):
        return name, f"the function is called {name}"
    names = set(parameters(fn))
    if inspect.isclass(fn) and hasattr(fn, "__call__"):  # noqa: B004  what its objects take
        call = next((c for n in ("forward", "call", "__call__") if (c := fn.__dict__.get(n))), None)
        names |= set(parameters(call)) - {"self"} if call else set()
    fixed = {key for key, value in given.items() if isinstance(value, int | float)}
    names = {str(given[n]) if isinstance(given.get(n), str) else n for n in names} | fixed
    if names == _OF_A_SAMPLER:
        return SAMPLER, "its arguments are p, size, rng"
    fit = [
        formula.name
        for formula in FORMULAS.values()
        if {argument.name for argument in formula.arguments} == names & _KNOWN | (fixed & _KNOWN)
        and names & _KNOWN
    ]
    plainest = min(fit, key=len, default="")
    if fit and all(formula.startswith(plainest) for formula in fit):  # the others are its variants
        variants = [f for f in fit if f != plainest and f.removeprefix(plainest + "_") in name]
        found = variants[0] if len(variants) == 1 else plainest
        expected = ", ".join(argument.name for argument in FORMULAS[found].arguments)
        others = [formula for formula in fit if formula != found]
        same = f", which {' and '.join(others)} has, too" if others else ""
        return found, f"its arguments are {expected}{same}"
    several = f"its arguments fit {', '.join(fit)}" if fit else "its arguments fit no formula"
    raise ValueError(f"{several}; say which it is with --formula NAME (--list prints all)")


_KNOWN = {argument.name for formula in FORMULAS.values() for argument in formula.arguments}
