"""Which known mistake, or which two of them, return the same as an implementation. Chapter 17."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from minitower.conformance.composition import both, summed
from minitower.conformance.formula import TOLERANCE, Formula, Outputs, errors, exploded
from minitower.conformance.mistake import Mistake, fitting, table
from minitower.conformance.mistakes import FAMILIES, MISTAKES
from minitower.conformance.report import Result
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


def recognized(
    spec: Formula, results: list[Result], expected: list[Outputs], tolerance: float
) -> list[Result]:
    """The results, the failed ones with the known mistake that returns the same.

    One mistake, or two at once, has to explain all cases that can be compared. If none does, the
    cases that left all bounds are set aside: an overflow beside another mistake.
    """
    got = {i: r.got for i, r in enumerate(results) if r.got is not None}
    beyond = {i for i in got if exploded(got[i], expected[i])}
    if beyond and beyond == {i for i in got if np.isnan(got[i][spec.result]).any()} == set(got):
        return results  # NaN everywhere says nothing
    search = _Search(spec, results, got, expected, tolerance)
    main, second = search.explanation(beyond)
    return [
        replace(r, mistake=second if i in beyond else main) if i in got and r.failure else r
        for i, r in enumerate(results)
    ]


class _Search:
    """The search for what explains some cases of an implementation."""

    def __init__(
        self,
        spec: Formula,
        results: list[Result],
        got: dict[int, Outputs],
        expected: list[Outputs],
        tolerance: float,
    ) -> None:
        self.spec, self.results, self.got = spec, results, got
        self.expected, self.tolerance = expected, tolerance
        self.known = MISTAKES[spec.name]

    def explanation(self, beyond: set[int]) -> tuple[Mistake | None, Mistake | None]:
        """What explains the cases, and what explains those that left all bounds."""
        every = set(self.got)
        for find in (self.single, self.several):
            if main := find(every):
                return main, main
            if beyond and (main := find(every - beyond)):
                return main, self.beyond(beyond)
        return None, None

    def single(self, cases: set[int]) -> Mistake | None:
        """The one mistake, or precision, that explains the cases."""
        if not any(self.results[i].failure for i in cases):
            return None
        found = [mistake for mistake in self.known if self._fits(mistake, cases)]
        if found:  # several only where an argument is the same in every case
            words = dict.fromkeys((m.name, m.fix) for m in found)
            name, fix = (" or ".join(part) for part in zip(*words, strict=True))
            return Mistake(name, fix, found[0].compute)
        right = Mistake("", "", self.spec.compute)
        fits = self._fitting(cases)
        return (
            self._family(cases, fits)
            or (_FLOAT32 if self._fits(right, cases, TOLERANCE["float32"]) else None)
            or (_HALF if self._half(cases) else None)
        )

    def several(self, cases: set[int]) -> Mistake | None:
        """Two mistakes at once, or one beside float32."""
        if not any(self.results[i].failure for i in cases):
            return None
        found = [pair for pair in self._pairs() if self._fits(pair, cases)]
        if len(found) == 1:
            return found[0]
        if found_sum := self._family(cases, self._fitting(cases), of_sums=True):
            return found_sum
        loose = TOLERANCE["float32"]
        if self.tolerance == loose:
            return None
        found = [mistake for mistake in self.known if self._fits(mistake, cases, loose)]
        one = found[0] if len(found) == 1 else self._family(cases, self._fitting(cases, loose))
        return _together(one, _FLOAT32, one.compute) if one else None

    def beyond(self, cases: set[int]) -> Mistake | None:
        """What leaves the bounds where the implementation does, and is right elsewhere."""

        def overflows(mistake: Mistake) -> bool:
            outputs = {i: self._outputs(mistake, i) for i in self.got}
            return all(
                exploded(outputs[i], self.expected[i])
                if i in cases
                else agree(outputs[i], self.expected[i], self.expected[i], self.tolerance)
                for i in self.got
            )

        return next(filter(overflows, self.known), None)

    def _outputs(self, mistake: Mistake, i: int) -> Outputs:
        return self.spec.outputs(self.results[i].case, mistake.compute)

    def _fits(self, mistake: Mistake, cases: set[int], tolerance: float | None = None) -> bool:
        """Whether a mistake returns what the implementation did. The smallest case goes first."""
        bound = self.tolerance if tolerance is None else tolerance
        order = sorted(
            cases, key=lambda i: (not self.results[i].failure, self.results[i].case.size)
        )
        return all(
            agree(self.got[i], self._outputs(mistake, i), self.expected[i], bound) for i in order
        )

    def _fitting(
        self, cases: set[int], tolerance: float | None = None
    ) -> Callable[[Mistake], bool]:
        return lambda mistake: self._fits(mistake, cases, tolerance)

    def _family(
        self, cases: set[int], fits: Callable[[Mistake], bool], of_sums: bool = False
    ) -> Mistake | None:
        """A mistake with a constant. ``of_sums``: with the sum instead of the mean beside it."""
        compute = summed(self.spec.compute) if of_sums else None
        compared = [
            (case, self.got[i], self.spec.outputs(case, compute))
            for i, case in ((i, self.results[i].case) for i in sorted(cases))
        ]
        found = [
            mistake
            for family in (f.summed() if of_sums else f for f in FAMILIES[self.spec.name])
            if (mistake := fitting(family, self.spec, compared, fits))
        ]
        if len({m.name.partition(":")[0] for m in found}) != 1:
            return None
        forms = " or ".join(m.name.partition(": ")[2] for m in found)
        return (
            found[0]
            if len(found) == 1
            else replace(found[0], name=f"{found[0].name.partition(':')[0]}: {forms}")
        )

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
