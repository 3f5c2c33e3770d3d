"""What a check found, case by case, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass

from minitower.conformance.formula import Case, Outputs
from minitower.conformance.mistake import Mistake

NO_KNOWN = "  matches no known mistake"


@dataclass(frozen=True)
class Result:
    """What became of one case.

    Attributes:
        verdict: what is wrong, None where nothing is.
        unusable: the case could not be compared: an exception, a wrong shape, NaN.
        got: what the implementation returned, where it did.
        mistake: the known mistake that returns the same.
    """

    case: Case
    verdict: str | None
    unusable: bool = False
    got: Outputs | None = None
    mistake: Mistake | None = None


@dataclass(frozen=True)
class Report:
    """What a check found; ``str(report)`` is what the command prints.

    Attributes:
        formula: the name of the formula.
        cases: a result for each golden case.
        mistake: the known mistake that explains the failures, if one does. What
            overflows besides may be a second one, in the results of those cases.
        details: the smallest failing case, where no mistake explains it.
    """

    formula: str
    how: str
    cases: tuple[Result, ...]
    mistake: Mistake | None = None
    details: str = ""

    @property
    def failed(self) -> tuple[Result, ...]:
        """The results that are not right."""
        return tuple(result for result in self.cases if result.verdict is not None)

    @property
    def passed(self) -> bool:
        """Whether every case is right."""
        return not self.failed

    @property
    def unusable(self) -> str | None:
        """One line on what could not be compared, and is no known mistake; None if nothing."""
        for result in self.failed:
            if result.unusable and result.mistake is None:
                return f"{self.formula}, case {result.case.name}: {result.verdict}"
        return None

    def __str__(self) -> str:
        failed = self.failed
        told = f"{len(failed)} failed" if failed else "all passed"
        lines = [f"{self.formula}   {len(self.cases)} cases   {told}   ({self.how})"]
        if len({r.verdict for r in failed}) == 1 and len(failed) == len(self.cases) > 1:
            rows = [("every case", failed[0])]
        else:
            rows = [(result.case.name, result) for result in failed]
        width = max((len(name) for name, _ in rows), default=0)
        for name, r in rows:
            known = f'   matches the known mistake "{r.mistake.name}"' if r.mistake else ""
            lines.append(f"  ✗ {name:{width}}   {r.verdict}{known}")
        fixes = dict.fromkeys(r.mistake.fix for r in failed if r.mistake)
        lines += [f"  fix: {fix}" for fix in fixes]
        return "\n".join(lines + ([self.details] if failed and self.details else []))
