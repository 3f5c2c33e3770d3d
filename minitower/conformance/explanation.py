"""What is wrong in numbers, where no known mistake explains it. Chapter 17."""

from __future__ import annotations

import numpy as np

from minitower.conformance.formula import Formula, Outputs, error, exploded
from minitower.conformance.mistakes import MISTAKES
from minitower.conformance.recognition import agree
from minitower.conformance.report import NO_KNOWN, Result
from minitower.formulas.arrays import Array


def unexplained(
    spec: Formula, results: list[Result], expected: list[Outputs], tolerance: float
) -> str:
    """What most cases have in common, and the smallest that fails."""
    got = {i: r.got for i, r in enumerate(results) if r.got is not None}
    failed = {i for i in got if results[i].failure}
    if not failed:
        return ""
    lines = [NO_KNOWN, *_almost(spec, results, got, expected, tolerance)]
    finite = [i for i in got if all(np.isfinite(x).all() for x in got[i].values())]
    for name in expected[0] if finite else ():
        ours = np.concatenate([expected[i][name].ravel() for i in finite])
        theirs = np.concatenate([got[i][name].ravel() for i in finite])
        where = "in every case" if len(finite) == len(results) else "in every case that is finite"
        if ours.any() and not theirs.any():
            lines.append(f"  {name} is zero {where}")
            continue
        factor = float(ours @ theirs / max(ours @ ours, 1e-300))
        compared = np.count_nonzero(ours) > 1 and abs(factor - 1) > tolerance
        if compared and error(theirs / factor, ours) <= tolerance:
            lines.append(f"  {name} is {factor:.6g} times what it should be, {where}")
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


def _almost(
    spec: Formula,
    results: list[Result],
    got: dict[int, Outputs],
    expected: list[Outputs],
    tolerance: float,
) -> list[str]:
    """The mistakes that explain most cases. Two results that only explode alike say nothing."""
    failed = {i for i in got if results[i].failure}
    bounded = {i for i in failed if not exploded(got[i], expected[i])}
    lines = []
    for mistake in MISTAKES[spec.name]:
        same = {
            i
            for i in bounded
            if agree(got[i], spec.outputs(results[i].case, mistake.compute), expected[i], tolerance)
        }
        if 2 * len(same) > len(failed) > len(same):
            rest = ", ".join(results[i].case.name for i in sorted(failed - same))
            lines.append(f"  “{mistake.name}” would explain all but {rest}")
    return lines


def _shown(x: Array) -> str:
    return " ".join(np.array2string(x, precision=6, separator=", ", threshold=40).split())
