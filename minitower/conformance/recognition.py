"""Which known mistake an implementation makes; without one, what is wrong in numbers.

Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np

from minitower.conformance.composition import both, summed
from minitower.conformance.formula import TOLERANCE, Formula, Outputs, error, errors, exploded
from minitower.conformance.mistake import Mistake, fitting, table
from minitower.conformance.mistakes import FAMILIES, MISTAKES
from minitower.conformance.report import NO_KNOWN, Result
from minitower.formulas.arrays import Array

_FLOAT32, _HALF = table({
    ("computed in float32",
     "every case agrees as well as float32 can: check with dtype float32, or find what converts"):
        max,
    ("computed in half precision",
     "every gradient is a number of float16 or bfloat16: find what converts, or autocast"): max,
})  # fmt: skip


def agree(a: Outputs, b: Outputs, right: Outputs, tolerance: float) -> bool:
    """Whether two results are one: equal, or both out of all bounds."""
    bounds = exploded(a, right), exploded(b, right)
    return all(bounds) or (not any(bounds) and max(errors(a, b).values()) <= tolerance)


def explained(
    spec: Formula, results: list[Result], expected: list[Outputs], tolerance: float
) -> tuple[list[Result], str]:
    """The results, the failed ones with the known mistake that returns the same; or what is wrong.

    One mistake, or two at once, has to explain all cases that can be compared. If none does, the
    cases that left all bounds are set aside: an overflow beside another mistake.

    Returns:
        The results, and, where no mistake is known, the failures in numbers.
    """
    search = _Search(spec, results, expected, tolerance)
    main, second = search.explanation()
    if main is None:
        return results, search.in_numbers()
    named = [
        replace(r, mistake=second if i in search.beyond else main) if i in search.failed else r
        for i, r in enumerate(results)
    ]
    return named, ""


class _Search:
    """The search for what explains the cases of an implementation.

    Attributes:
        got: outputs by the place of their case, of those that can be compared.
        failed: the places of those that are wrong.
        beyond: the places of those that left all bounds.
    """

    def __init__(
        self, spec: Formula, results: list[Result], expected: list[Outputs], tolerance: float
    ) -> None:
        self.spec, self.results, self.expected, self.tolerance = spec, results, expected, tolerance
        self.known = MISTAKES[spec.name]
        self.got = {i: r.got for i, r in enumerate(results) if r.got is not None}
        self.failed = {i for i in self.got if results[i].failure}
        self.beyond = {i for i in self.got if exploded(self.got[i], expected[i])}

    def explanation(self) -> tuple[Mistake | None, Mistake | None]:
        """What explains the cases, and what explains those that left all bounds."""
        every = set(self.got)
        if all(np.isnan(got[self.spec.result]).any() for got in self.got.values()):
            return None, None  # NaN everywhere says nothing
        for find in (self.single, self.several):
            for cases in (every, every - self.beyond) if self.beyond else (every,):
                if cases & self.failed and (main := find(cases)):
                    return main, main if cases is every else self.overflow()
        return None, None

    def single(self, cases: set[int]) -> Mistake | None:
        """The one mistake, or precision, that explains the cases."""
        found = [mistake for mistake in self.known if self._fits(mistake, cases)]
        if found:  # several only where an argument is the same in every case
            words = dict.fromkeys((m.name, m.fix) for m in found)
            name, fix = (" or ".join(part) for part in zip(*words, strict=True))
            return Mistake(name, fix, found[0].compute)
        right = Mistake("", "", self.spec.compute)
        return (
            self._family(cases)
            or (_FLOAT32 if self._fits(right, cases, TOLERANCE["float32"]) else None)
            or (_HALF if self._half(cases) else None)
        )

    def several(self, cases: set[int]) -> Mistake | None:
        """Two mistakes at once, or one beside float32."""
        found = [pair for pair in self._pairs() if self._fits(pair, cases)]
        if len(found) == 1:
            return found[0]
        if found_sum := self._family(cases, of_sums=True):
            return found_sum
        loose = TOLERANCE["float32"]
        if self.tolerance == loose:
            return None
        found = [mistake for mistake in self.known if self._fits(mistake, cases, loose)]
        one = found[0] if len(found) == 1 else self._family(cases, loose)
        return _together(one, _FLOAT32, one.compute) if one else None

    def overflow(self) -> Mistake | None:
        """What leaves the bounds where the implementation does, and is right elsewhere."""

        def overflows(mistake: Mistake) -> bool:
            outputs = {i: self._outputs(mistake, i) for i in self.got}
            return all(
                exploded(outputs[i], self.expected[i])
                if i in self.beyond
                else agree(outputs[i], self.expected[i], self.expected[i], self.tolerance)
                for i in self.got
            )

        return next(filter(overflows, self.known), None)

    def in_numbers(self) -> str:
        """What most cases have in common, and the smallest that fails."""
        if not self.failed:
            return ""
        lines = [NO_KNOWN, *self._almost()]
        finite = [
            i for i, got in self.got.items() if all(np.isfinite(x).all() for x in got.values())
        ]
        where = (
            "in every case" if len(finite) == len(self.results) else "in every case that is finite"
        )
        for name in self.expected[0] if finite else ():
            ours = np.concatenate([self.expected[i][name].ravel() for i in finite])
            theirs = np.concatenate([self.got[i][name].ravel() for i in finite])
            if ours.any() and not theirs.any():
                lines.append(f"  {name} is zero {where}")
                continue
            factor = float(ours @ theirs / max(ours @ ours, 1e-300))
            compared = np.count_nonzero(ours) > 1 and abs(factor - 1) > self.tolerance
            if compared and error(theirs / factor, ours) <= self.tolerance:
                lines.append(f"  {name} is {factor:.6g} times what it should be, {where}")
        i = min(self.failed, key=lambda i: (self.results[i].case.size, i))
        case = self.results[i].case
        lines += [
            f"  the smallest failing case is {case.name}: {case.why}",
            *(f"    {name} = {_shown(np.asarray(x))}" for name, x in case.inputs.items()),
        ]
        for name, right in self.expected[i].items():
            lines.append(f"    {name} should be {_shown(right)}")
            lines.append(f"    {' ' * len(name)}       got {_shown(self.got[i][name])}")
        return "\n".join(lines)

    def _almost(self) -> list[str]:
        """The mistakes that explain most cases. Two results that only explode alike say nothing."""
        lines = []
        for mistake in self.known:
            same = {i for i in self.failed - self.beyond if self._fits(mistake, {i})}
            if 2 * len(same) > len(self.failed) > len(same):
                rest = ", ".join(self.results[i].case.name for i in sorted(self.failed - same))
                lines.append(f"  “{mistake.name}” would explain all but {rest}")
        return lines

    def _outputs(self, mistake: Mistake, i: int) -> Outputs:
        return self.spec.outputs(self.results[i].case, mistake.compute)

    def _fits(self, mistake: Mistake, cases: set[int], tolerance: float | None = None) -> bool:
        """Whether a mistake returns what the implementation did. The smallest case goes first."""
        bound = self.tolerance if tolerance is None else tolerance
        order = sorted(cases, key=lambda i: (i not in self.failed, self.results[i].case.size))
        return all(
            agree(self.got[i], self._outputs(mistake, i), self.expected[i], bound) for i in order
        )

    def _family(
        self, cases: set[int], tolerance: float | None = None, of_sums: bool = False
    ) -> Mistake | None:
        """A mistake with a constant. ``of_sums``: with the sum instead of the mean beside it."""
        compute = summed(self.spec.compute) if of_sums else None
        compared = [
            (case, self.got[i], self.spec.outputs(case, compute))
            for i, case in ((i, self.results[i].case) for i in sorted(cases))
        ]
        fits = partial(self._fits, cases=cases, tolerance=tolerance)
        found = [
            mistake
            for family in (f.summed() if of_sums else f for f in FAMILIES[self.spec.name])
            if (mistake := fitting(family, self.spec, compared, fits))
        ]
        kinds = {m.name.partition(":")[0] for m in found}
        if len(kinds) != 1:
            return None
        if len(found) == 1:
            return found[0]
        forms = " or ".join(m.name.partition(": ")[2] for m in found)
        return replace(found[0], name=f"{kinds.pop()}: {forms}")

    def _half(self, cases: set[int]) -> bool:
        """Whether all gradients are numbers of a half precision, and the right ones are not.

        Gradients of few different numbers, such as 0 and 1, say nothing, nor do those far off.
        """
        names = self.spec.gradients
        near = [i for i in cases if max(errors(self.got[i], self.expected[i]).values()) <= 0.25]
        different = {abs(x) for i in cases for name in names for x in self.got[i][name].flat}
        return (
            2 * len(near) > len(cases)
            and len(different) > 16
            and any(
                all(_is_half(self.got[i][name], bits) for i in cases for name in names)
                and not all(_is_half(self.expected[i][name], bits) for i in cases for name in names)
                for bits in (10, 7)
            )
        )

    def _pairs(self) -> Iterator[Mistake]:
        for a, b in combinations(self.known, 2):
            compute = both(a.compute, b.compute)
            if compute is not None:
                yield _together(a, b, compute)


def _together(a: Mistake, b: Mistake, compute: Callable[..., object]) -> Mistake:
    return Mistake(f"{a.name}, and {b.name}", f"{a.fix}; {b.fix}", compute)


def _is_half(x: Array, bits: int) -> bool:
    """Whether the significand of each finite number fits into 1 + bits bits."""
    with np.errstate(all="ignore"):
        mantissa = np.frexp(np.asarray(x, float))[0] * 2.0 ** (bits + 1)
    return bool((np.isfinite(mantissa) & (mantissa == np.round(mantissa)) | ~np.isfinite(x)).all())


def _shown(x: Array) -> str:
    return " ".join(np.array2string(x, precision=6, separator=", ", threshold=40).split())
