"""Which known mistake returns the same as an implementation, or what most cases have in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minitower.conformance.formula import TOLERANCE, Formula, Outputs, error, errors, exploded
from minitower.conformance.mistake_tables import Mistake
from minitower.conformance.mistakes import MISTAKES
from minitower.conformance.report import NO_KNOWN, Result
from minitower.formulas.arrays import Array

_IN_FLOAT32 = (
    "computed in float32",
    "every case agrees as well as float32 can: check with dtype float32, or find what converts",
)


def agree(a: Outputs, b: Outputs, right: Outputs, tolerance: float) -> bool:
    """Whether two results are one: equal, or both out of all bounds."""
    bounds = exploded(a, right), exploded(b, right)
    return all(bounds) or (not any(bounds) and max(errors(a, b).values()) <= tolerance)


def recognized(
    spec: Formula, results: list[Result], expected: list[Outputs], tolerance: float
) -> list[Result]:
    """The results, the failed ones with the known mistake that returns the same.

    One mistake has to explain all cases that can be compared. If none does, the cases that
    left all bounds are set aside: an overflow beside another mistake.
    """
    known = MISTAKES[spec.name]
    got = {i: r.got for i, r in enumerate(results) if r.got is not None}
    beyond = {i for i in got if exploded(got[i], expected[i])}
    if beyond and beyond == {i for i in got if np.isnan(got[i][spec.result]).any()} == set(got):
        return results  # NaN everywhere says nothing

    def fits(mistake: Mistake, which: set[int], tolerance: float = tolerance) -> bool:
        outputs = {i: spec.outputs(results[i].case, mistake.compute) for i in which}
        return all(agree(got[i], outputs[i], expected[i], tolerance) for i in which)

    def explaining(which: set[int]) -> Mistake | None:
        if not any(results[i].failure for i in which):
            return None
        in_float32 = Mistake(*_IN_FLOAT32, spec.compute)
        if fits(in_float32, which, TOLERANCE["float32"]):
            return in_float32
        found = [mistake for mistake in known if fits(mistake, which)]
        return found[0] if len(found) == 1 else None

    def overflows(mistake: Mistake) -> bool:
        """Whether it leaves the bounds where the implementation does, and is right elsewhere."""
        outputs = {i: spec.outputs(results[i].case, mistake.compute) for i in got}
        return all(
            exploded(outputs[i], expected[i])
            if i in beyond
            else agree(outputs[i], expected[i], expected[i], tolerance)
            for i in got
        )

    main = second = explaining(set(got))
    if main is None and beyond:
        main = explaining(set(got) - beyond)
        second = next(filter(overflows, known), None) if main else None
    return [
        replace(r, mistake=second if i in beyond else main) if i in got and r.failure else r
        for i, r in enumerate(results)
    ]


def unexplained(
    spec: Formula, results: list[Result], expected: list[Outputs], tolerance: float
) -> str:
    """What is wrong in numbers: what most cases have in common, and the smallest that fails."""
    got = {i: r.got for i, r in enumerate(results) if r.got is not None}
    failed = {i for i in got if results[i].failure}
    if not failed:
        return ""
    lines = [NO_KNOWN]
    for mistake in MISTAKES[spec.name]:
        same = {
            i
            for i in failed
            if agree(got[i], spec.outputs(results[i].case, mistake.compute), expected[i], tolerance)
        }
        if 2 * len(same) > len(failed) > len(same):
            rest = ", ".join(results[i].case.name for i in sorted(failed - same))
            lines.append(f"  “{mistake.name}” would explain all but {rest}")
    bounded = [i for i in got if not exploded(got[i], expected[i])]
    for name in expected[0] if bounded else ():
        ours = np.concatenate([expected[i][name].ravel() for i in bounded])
        theirs = np.concatenate([got[i][name].ravel() for i in bounded])
        factor = float(ours @ theirs / max(ours @ ours, 1e-300))
        if abs(factor - 1) > tolerance and error(theirs, factor * ours) <= tolerance:
            lines.append(f"  {name} is {factor:.6g} times what it should be, in every case")
    i = min(failed, key=lambda i: (results[i].case.size, i))
    case = results[i].case
    lines += [
        f"  the smallest failing case is {case.name}: {case.why}",
        *(f"    {name} = {_shown(np.asarray(x))}" for name, x in case.inputs.items()),
    ]
    for name, right in expected[i].items():
        lines.append(f"    {name} should be {_shown(right)}")
        lines.append(f"    {' ' * len(name)}       got {_shown(got[i][name])}")
    return "\n".join(lines)


def _shown(x: Array) -> str:
    return " ".join(np.array2string(x, precision=6, separator=", ", threshold=40).split())
