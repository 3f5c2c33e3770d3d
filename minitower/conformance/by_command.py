"""Is a command right? An implementation in any language against the golden cases. Chapter 17."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import numpy as np

from minitower.conformance.calling import Given, at_constants
from minitower.conformance.checker import check_options, find, run_cases
from minitower.conformance.child import Child
from minitower.conformance.formula import Case, Formula, Outputs, Unusable
from minitower.conformance.frameworks import as_arrays
from minitower.conformance.protocol import Session
from minitower.conformance.report import Report
from minitower.conformance.samplers import SAMPLER, check_sampler
from minitower.formulas.arrays import Array

_NOTHING: Mapping[str, object] = {}


def check_command(
    child: Child,
    *,
    formula: str | None = None,
    dtype: str = "float64",
    given: Given = _NOTHING,
    allow: Collection[str] = (),
) -> Report:
    """Run a command on every golden case of a formula.

    Args:
        child: the command, which speaks :mod:`minitower.conformance.protocol`. It is started here.
        formula: as :func:`~minitower.conformance.check` takes it. None: the command says it.
        dtype, allow: as :func:`~minitower.conformance.check` takes them.
        given: {field: argument} where the command has another name for an input; {field: constant}
            for more inputs; {argument: number} for the same number in every case.

    Returns:
        The report. Whatever the command does wrong in a case is in there.

    Raises:
        ValueError: no such formula, dtype or choice, or the command does not say hello.
        OSError: the command cannot be run.
    """
    if formula not in (None, SAMPLER):
        find(str(formula))
    check_options(dtype, allow)
    try:
        session = Session(child, formula, dtype)
    except Unusable as problem:
        raise ValueError(f"{child}: {problem}") from problem
    if session.formula == SAMPLER:
        return check_sampler(partial(_draw, session))
    spec = at_constants(find(session.formula), given)
    how = f"command, {dtype}"
    if not session.gradients:
        spec, how = spec.without_gradients(), f"{how}, without gradients"
    return run_cases(spec, partial(_run, session, spec, dtype, given), how, dtype, allow)


def _run(session: Session, spec: Formula, dtype: str, given: Given, case: Case) -> Outputs:
    """The outputs of one case. After the last one the command has to end."""
    inputs = spec.inputs(case, dtype)
    returned = session.ask(f"{spec.name}/{case.name}", _fields(spec, inputs, given))
    if case is spec.cases[-1]:
        session.end()
    names = (spec.result, *spec.gradients)
    missing = [name for name in names if name not in returned]
    if missing:
        hint = '; a command without gradients says "gradients": false in its first line'
        raise Unusable(
            f"returned no {missing[0]}, expected {', '.join(names)}"
            f"{hint if missing[0] != spec.result else ''}"
        )
    return as_arrays(
        spec, inputs, returned[spec.result], [returned[name] for name in spec.gradients]
    )


def _fields(spec: Formula, inputs: list[Any], given: Given) -> dict[str, Any]:
    """The inputs as JSON has them, by the names that the command has for them."""
    named = {
        argument.name: x.tolist() if isinstance(x, np.ndarray) else x
        for argument, x in zip(spec.arguments, inputs, strict=True)
    }
    takes = {field: str(value) for field, value in given.items() if value in named}
    constants = {field: value for field, value in given.items() if field not in (*takes, *named)}
    return {
        **{name: x for name, x in named.items() if name not in takes.values()},
        **{field: named[argument] for field, argument in takes.items()},
        **constants,
    }


def _draw(session: Session, p: Array, size: int, rng: np.random.Generator) -> Any:
    """Ask a command for draws."""
    seed = int(rng.integers(2**31))
    returned = session.ask(f"{SAMPLER}/{seed}", {"p": p.tolist(), "size": size, "seed": seed})
    if "ids" not in returned:
        raise Unusable(f"returned {', '.join(returned) or 'nothing'}, expected ids, or ids, log_q")
    ids = np.asarray(returned["ids"])
    return (ids, np.asarray(returned["log_q"], float)) if "log_q" in returned else ids
