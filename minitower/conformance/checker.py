"""Is your loss right? An implementation against the golden cases and the known mistakes.

Chapter 17.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance.calling import Given, at_constants, bound, parameters
from minitower.conformance.formula import (
    CHOICES,
    TOLERANCE,
    Case,
    Formula,
    Outputs,
    Unusable,
    errors,
)
from minitower.conformance.frameworks import runner
from minitower.conformance.recognition import explained
from minitower.conformance.registry import FORMULAS
from minitower.conformance.report import Report, Result
from minitower.conformance.samplers import SAMPLER, check_sampler

_NOTHING: Mapping[str, object] = {}
_OF_A_SAMPLER = {"p", "size", "rng"}
_KNOWN = {argument.name for formula in FORMULAS.values() for argument in formula.arguments}


def check(
    fn: Callable[..., Any],
    *,
    formula: str,
    framework: str = "numpy",
    dtype: str = "float64",
    given: Given = _NOTHING,
    allow: Collection[str] = (),
) -> Report:
    """Run an implementation on every golden case of a formula.

    Args:
        fn: called with the formula's arguments (``minitower check --explain NAME`` lists them),
            by name where its parameters have their names, the others in order. In NumPy it returns
            (loss, gradients), the gradients a dict by name or a tuple in order; in a framework
            the loss alone. A class is made with the arguments that its constructor names.
        formula: a name of :data:`FORMULAS`, or "sampler" (:func:`check_sampler`).
        framework: "numpy", "torch", "jax" or "tensorflow".
        dtype: "float64" or "float32", the precision asked of fn and expected of it.
        given: {parameter: argument} where fn has another name for an argument; {parameter:
            constant} for more that fn takes; {argument: number} where fn has it built in.
        allow: documented choices of fn, names of :data:`CHOICES`: their cases may fail.

    Returns:
        The report. Whatever fn does wrong, raising included, is in there.

    Raises:
        ValueError: no such formula, framework, dtype or choice.
        TypeError: fn cannot be called.
        ModuleNotFoundError: the framework is not installed.

    >>> import numpy as np
    >>> def mean_of_squares(scores, labels):
    ...     off = scores - labels
    ...     return (off**2).mean(), off / len(off)         # where is the 2?
    >>> print(check(mean_of_squares, formula="pointwise_squared").mistake.name)
    gradient without the two
    """
    if formula == SAMPLER:
        return check_sampler(fn)
    spec = at_constants(find(formula), given)
    check_options(dtype, allow)
    if not callable(fn):
        raise TypeError(f"expected a function to check, got {type(fn).__name__}")
    call = partial(_called, runner(framework), fn, spec, dtype, given)
    return run_cases(spec, call, f"{framework}, {dtype}", dtype, allow)


def check_options(dtype: str, allow: Collection[str]) -> None:
    """Refuse an unknown precision or choice.

    Raises:
        ValueError: no such dtype or choice.
    """
    if dtype not in TOLERANCE:
        raise ValueError(f"no dtype {dtype!r}; there are {', '.join(TOLERANCE)}")
    for choice in allow:
        if choice not in CHOICES:
            raise ValueError(f"no choice {choice!r}; there are {', '.join(CHOICES)}")


def run_cases(
    spec: Formula, call: Callable[[Case], Outputs], how: str, dtype: str, allow: Collection[str]
) -> Report:
    """Run every case of a formula, and look for the mistake that explains what came back.

    Args:
        call: runs the implementation on a case. Raises Unusable where nothing can be compared.
        how: what was run, in words.
        dtype, allow: as :func:`check` takes them.
    """
    expected = [spec.outputs(case) for case in spec.cases]
    results = [
        _compared(spec, case, right, call, TOLERANCE[dtype])
        for case, right in zip(spec.cases, expected, strict=True)
    ]
    results = [
        Result(r.case, None, allowed=True) if r.failure and r.case.choice in allow else r
        for r in results
    ]
    results, details = explained(spec, results, expected, TOLERANCE[dtype])
    mistake = next((r.mistake for r in results if r.mistake), None)
    return Report(spec.name, how, tuple(results), mistake, details)


def assert_conforms(fn: Callable[..., Any], *, formula: str, **options: Any) -> None:
    """:func:`check` for a test: raises AssertionError with the report unless all passed."""
    report = check(fn, formula=formula, **options)
    if not report.passed:
        raise AssertionError(str(report))


def find(formula: str) -> Formula:
    """A formula by name.

    Raises:
        ValueError: no formula has this name.
    """
    if formula not in FORMULAS:
        raise ValueError(f"no formula {formula!r}; there are {', '.join(FORMULAS)}, {SAMPLER}")
    return FORMULAS[formula]


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


def _called(
    run: Any, fn: Callable[..., Any], spec: Formula, dtype: str, given: Given, case: Case
) -> Outputs:
    with np.errstate(all="ignore"):
        outputs: Outputs = run(bound(fn, spec, given), spec, spec.inputs(case, dtype), dtype)
    return outputs


def _compared(
    spec: Formula, case: Case, right: Outputs, call: Callable[[Case], Outputs], tolerance: float
) -> Result:
    """Run one case, and compare what came back."""
    try:
        got = call(case)
    except Unusable as problem:
        return Result(case, str(problem), unusable=True)
    except (Exception, SystemExit) as problem:
        message = " ".join(str(problem).split()) or "no message"
        return Result(case, f"raised {type(problem).__name__}: {message}", unusable=True)
    if got[spec.result].shape != right[spec.result].shape:
        shapes = f"{got[spec.result].shape}, expected {right[spec.result].shape or 'one number'}"
        return Result(case, f"returned {spec.result} of shape {shapes}", unusable=True)
    for name, value in got.items():
        if np.isnan(value).any():
            return Result(case, f"returned NaN in {name}", unusable=True, got=got)
    off = errors(got, right)
    worst = max(off, key=lambda name: off[name])
    failure = None if off[worst] <= tolerance else f"{worst} off by {off[worst]:.1e}"
    return Result(case, failure, got=got)
