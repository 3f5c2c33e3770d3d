"""The pytest plugin: one test for each golden case, and the mistake's name in the failure.

    @pytest.mark.minitower("in_batch_softmax", framework="torch")
    def test_my_loss(golden):
        golden.check(my_loss)

The arguments of the mark are those of :func:`minitower.conformance.check`. pytest loads this file
in every project, so it imports the checker where a test asks for it.

Chapter 17.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minitower.conformance import Report

_MARK = (
    "minitower(formula, framework='numpy', dtype='float64', given={}, allow=[]): "
    "one test for each golden case of the formula; the test calls golden.check(loss)"
)


@dataclass(frozen=True)
class Golden:
    """The argument ``golden`` of a marked test: one golden case of a formula."""

    formula: str
    case: str
    options: dict[str, Any]
    reports: list[tuple[Callable[..., Any], Report]] = field(repr=False)

    def check(self, fn: Callable[..., Any]) -> None:
        """Fail the test where the case fails. All cases run once, as a name needs them all."""
        import pytest

        report = self._report(fn)
        message = report.of_case(self.case)
        if message is not None:
            pytest.fail(message, pytrace=False)

    def _report(self, fn: Callable[..., Any]) -> Report:
        from minitower.conformance import check

        for known, report in self.reports:
            if known is fn:
                return report
        self.reports.append((fn, check(fn, formula=self.formula, **self.options)))
        return self.reports[-1][1]


def pytest_addoption(parser: Any) -> None:
    """Add the file of known failures."""
    parser.getgroup("minitower").addoption(
        "--minitower-xfail",
        metavar="FILE",
        help="known failures of tests marked minitower: a line is the id of a test, with its "
        "[case] or without; '#' starts a comment; a known failure that passes is a failure",
    )


def pytest_configure(config: Any) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", _MARK)


def pytest_generate_tests(metafunc: Any) -> None:
    """Make a test of each case."""
    mark = metafunc.definition.get_closest_marker("minitower")
    takes_golden = "golden" in metafunc.fixturenames
    if mark is None:
        return
    if not takes_golden or len(mark.args) != 1:
        raise _usage(
            f"{metafunc.definition.nodeid}: expected @pytest.mark.minitower(FORMULA) and the "
            "argument golden"
        )
    try:
        names = _cases(mark.args[0])
    except ValueError as error:
        raise _usage(f"{metafunc.definition.nodeid}: {error}") from None
    reports: list[Any] = []
    goldens = [Golden(mark.args[0], name, mark.kwargs, reports) for name in names]
    metafunc.parametrize("golden", goldens, ids=names)


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Mark the known failures."""
    import pytest

    file = config.getoption("--minitower-xfail")
    if file is None:
        return
    known = _known_failures(Path(file))
    for item in items:
        marked = item.get_closest_marker("minitower") is not None
        if marked and known & {item.nodeid, item.nodeid.partition("[")[0]}:
            item.add_marker(pytest.mark.xfail(reason=f"stands in {file}", strict=True))


def _known_failures(file: Path) -> set[str]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _usage(f"--minitower-xfail {file}: cannot be read: {error}") from None
    return {name for line in lines if (name := line.partition("#")[0].strip())}


def _cases(formula: str) -> list[str]:
    from minitower.conformance import samplers
    from minitower.conformance.checker import find

    cases = samplers.CASES if formula == samplers.SAMPLER else find(formula).cases
    return [case.name for case in cases]


def _usage(message: str) -> Exception:
    import pytest

    return pytest.UsageError(message)
