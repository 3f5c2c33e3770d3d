"""How an implementation takes the arguments of a formula: by name, in order, or as it is said.

Chapter 17.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from inspect import Parameter
from itertools import takewhile
from typing import Any

from minitower.conformance.formula import Formula, Unusable

Given = Mapping[str, object]
"""{parameter: the argument that it takes, or a constant}; {argument: its number in every case}."""

_IN_ORDER = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_SEVERAL = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def at_constants(formula: Formula, given: Given) -> Formula:
    """The formula with cases in which the given arguments have the given numbers.

    Raises:
        ValueError: a number is given for an argument that is an array.
    """
    numbers: dict[str, Any] = {}
    for argument in formula.arguments:
        value = given.get(argument.name)
        if value is None or isinstance(value, str):
            continue
        if argument.shape != "()" or not isinstance(value, int | float):
            raise ValueError(
                f"{argument.name}={value!r}: {argument.name} is an array {argument.shape} in "
                f"{formula.name}; only a plain number can be the same in every case"
            )
        numbers[argument.name] = int(value) if argument.kind == "int" else float(value)
    if not numbers:
        return formula
    cases = [replace(case, inputs={**case.inputs, **numbers}) for case in formula.cases]
    return replace(formula, cases=tuple(cases))


def bound(fn: Callable[..., Any], formula: Formula, given: Given) -> Callable[..., Any]:
    """Make a function of the formula's arguments in order.

    A parameter takes the argument of its name; the other parameters take the other arguments in
    their order. A class is made with the arguments that its constructor names, and the object is
    called with the others.

    Raises:
        Unusable: parameters and arguments do not fit; says what was expected.
    """
    arguments = [argument.name for argument in formula.arguments]
    fixed = {name for name in arguments if isinstance(given.get(name), int | float)}
    given = {name: value for name, value in given.items() if name not in fixed}
    if not inspect.isclass(fn):
        call = _by_name(fn, arguments, fixed, given)
        return lambda *values: call(dict(zip(arguments, values, strict=True)))
    signature = parameters(fn)
    of_constructor = {name: value for name, value in given.items() if name in signature}
    named = {str(of_constructor.get(name, name)) for name in signature}
    make = _by_name(fn, [name for name in arguments if name in named], fixed, of_constructor)
    rest = [name for name in arguments if name not in named]
    of_call = {name: value for name, value in given.items() if name not in signature}

    def made(*values: Any) -> Any:
        inputs = dict(zip(arguments, values, strict=True))
        return _by_name(make(inputs), rest, fixed, of_call)(inputs)

    return made


def parameters(fn: Callable[..., Any]) -> Mapping[str, Parameter]:
    """The parameters of a function, of a class, or of what an object does when it is called."""
    if not inspect.isclass(fn) and not inspect.isroutine(fn):
        fn = getattr(fn, "forward", None) or getattr(fn, "call", None) or fn  # Torch, Keras
    try:
        return inspect.signature(fn).parameters
    except (TypeError, ValueError):  # written in C
        return {}


def _by_name(
    fn: Callable[..., Any], arguments: list[str], fixed: set[str], given: Given
) -> Callable[[Mapping[str, Any]], Any]:
    """Make a function of {argument: value}. An argument in ``fixed`` may have no parameter."""
    signature = parameters(fn)
    kinds = {parameter.kind for parameter in signature.values()}
    takes = {name: str(value) for name, value in given.items() if value in arguments}
    constants = {name: value for name, value in given.items() if name not in takes}
    if not signature or Parameter.VAR_POSITIONAL in kinds:
        order = [name for name in arguments if name not in takes.values()]
        return lambda inputs: fn(
            *(inputs[name] for name in order),
            **{name: inputs[argument] for name, argument in takes.items()},
            **constants,
        )
    unknown = [name for name in given if name not in signature]
    if unknown and Parameter.VAR_KEYWORD not in kinds:
        raise Unusable(f"has no parameter {unknown[0]}: it takes {', '.join(signature)}")
    free = [name for name in signature if name not in given]
    takes |= {name: name for name in free if name in arguments and name not in takes.values()}
    left = [name for name in arguments if name not in takes.values()]
    in_order = [name for name in free if name not in takes and signature[name].kind in _IN_ORDER]
    takes |= dict(zip(in_order, left, strict=False))
    if Parameter.VAR_KEYWORD in kinds:
        takes |= {name: name for name in left[len(in_order) :] if name not in fixed}
    over = [name for name in arguments if name not in takes.values() and name not in fixed]
    known = {*takes, *constants}
    empty = [
        name
        for name, parameter in signature.items()
        if parameter.default is Parameter.empty
        and parameter.kind not in _SEVERAL
        and name not in known
    ]
    if over or empty:
        what = f"no parameter for {over[0]}" if over else f"no argument for {empty[0]}"
        raise Unusable(f"takes {', '.join(signature)}, expected {', '.join(arguments)}: {what}")
    leading = list(takewhile(lambda x: signature[x].kind in _IN_ORDER and x in known, signature))

    def call(inputs: Mapping[str, Any]) -> Any:
        values = {name: inputs[argument] for name, argument in takes.items()} | constants
        ordered = [values.pop(name) for name in leading]
        return fn(*ordered, **values)

    return call
