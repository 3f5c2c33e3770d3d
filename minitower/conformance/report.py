"""The result of a check, case by case, and its printed form. Chapter 17."""

from __future__ import annotations

from dataclasses import dataclass

from minitower.conformance.formula import Case, Outputs
from minitower.conformance.mistake import Mistake

NO_KNOWN = "  matches no known mistake"


@dataclass(frozen=True)
class Result:
    """The result of one case.

    Attributes:
        failure: what is wrong, or None.
        unusable: whether the outputs could not be compared: an exception, a wrong shape, NaN.
        got: the outputs of the implementation, if it returned any.
        mistake: the known mistake with the same outputs.
        allowed: whether the case differs by a documented choice that is allowed.
    """

    case: Case
    failure: str | None
    unusable: bool = False
    got: Outputs | None = None
    mistake: Mistake | None = None
    allowed: bool = False

    @property
    def outcome(self) -> str:
        """One word, as the JSON report has it."""
        if self.allowed:
            return "allowed"
        return "unusable" if self.unusable else "passed" if self.failure is None else "failed"


@dataclass(frozen=True)
class Report:
    """The result of a check; ``str(report)`` is what the command prints.

    Attributes:
        formula: name of the formula.
        cases: result of each golden case.
        mistake: the known mistake that explains the failures, if there is one. A second one that
            explains overflows may stand in the results of those cases.
        details: the smallest failing case, where no mistake explains it.
    """

    formula: str
    how: str
    cases: tuple[Result, ...]
    mistake: Mistake | None = None
    details: str = ""

    @property
    def failed(self) -> tuple[Result, ...]:
        """The results of the cases that failed."""
        return tuple(result for result in self.cases if result.failure is not None)

    @property
    def passed(self) -> bool:
        """Whether every case passed."""
        return not self.failed

    @property
    def unusable(self) -> str | None:
        """One line about the first case without comparable outputs and without a known mistake."""
        for result in self.failed:
            if result.unusable and result.mistake is None:
                return f"{self.formula}, case {result.case.name}: {result.failure}"
        return None

    def of_case(self, name: str) -> str | None:
        """What is wrong in one case, or None: the failure, the mistake's name, and the fix."""
        result = next(result for result in self.cases if result.case.name == name)
        if result.failure is None:
            return None
        lines = [f"{self.formula}, case {name} ({result.case.why}): {result.failure}"]
        if result.mistake is not None:
            lines += [f'matches the known mistake "{result.mistake.name}"']
            lines += [f"fix: {result.mistake.fix}"]
        elif not result.unusable:
            lines += [self.details]
        return "\n".join(filter(None, lines))

    def __str__(self) -> str:
        failed = self.failed
        outcome = f"{len(failed)} failed" if failed else "all passed"
        choices = dict.fromkeys(r.case.choice for r in self.cases if r.allowed)
        if choices:
            outcome += f", {', '.join(choices)} allowed"
        lines = [f"{self.formula}   {len(self.cases)} cases   {outcome}   ({self.how})"]
        if len({r.failure for r in failed}) == 1 and len(failed) == len(self.cases) > 1:
            rows = [("every case", failed[0])]
        else:
            rows = [(result.case.name, result) for result in failed]
        width = max((len(name) for name, _ in rows), default=0)
        for name, r in rows:
            known = f'   matches the known mistake "{r.mistake.name}"' if r.mistake else ""
            lines.append(f"  ✗ {name:{width}}   {r.failure}{known}")
        fixes = dict.fromkeys(r.mistake.fix for r in failed if r.mistake)
        lines += [f"  fix: {fix}" for fix in fixes]
        return "\n".join(lines + ([self.details] if failed and self.details else []))
