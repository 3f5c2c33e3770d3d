"""``check`` and ``vectors``: whether the code in somebody's file is right. Chapter 17."""

import inspect
import json
import shlex
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

from minitower import conformance
from minitower.cli.arguments import CommandFailed
from minitower.cli.check_target import load
from minitower.cli.terminal import row, say, write
from minitower.conformance import (
    FORMULAS,
    MISTAKES,
    SAMPLER,
    Child,
    Report,
    check_sampler,
    describe,
)
from minitower.conformance.by_command import check_command
from minitower.conformance.checker import find, guess
from minitower.conformance.formula import CHOICES, TOLERANCE
from minitower.conformance.frameworks import FRAMEWORKS
from minitower.conformance.mistakes import FAMILIES
from minitower.conformance.report_files import BADGES, as_json, as_junit, as_markdown
from minitower.data.errors import DataError
from minitower.data.files import write_file
from minitower.data.options import Option, checked


def check(
    target: Annotated[
        str | None,
        Option("function to check", metavar="FILE.py:FUNCTION|package.module:FUNCTION"),
    ] = None,
    *,
    command: Annotated[
        str | None,
        Option(
            "program to check instead, in any language: it answers JSON lines on stdin with JSON "
            "lines on stdout",
            parse=str,
        ),
    ] = None,
    timeout: Annotated[
        float, Option("seconds that an answer of --command may take", above=0, high=86_400)
    ] = 10.0,
    formula: Annotated[
        str | None,
        Option(
            "formula that it implements (see --list); without this flag its name and parameters "
            "say it",
            metavar="NAME",
        ),
    ] = None,
    framework: Annotated[
        str, Option("framework that it is written in", choices=tuple(FRAMEWORKS))
    ] = "numpy",
    dtype: Annotated[
        str, Option("precision of its inputs and results", choices=tuple(TOLERANCE))
    ] = "float64",
    given: Annotated[
        Sequence[str],
        Option(
            "a parameter and the argument that it takes (tau=temperature), or a constant "
            "(reduction=mean); an argument that is built in, and its number (temperature=0.07)",
            name="with",
            metavar="PARAMETER=VALUE",
        ),
    ] = (),
    allow: Annotated[
        Sequence[str], Option("documented choices that may differ", choices=tuple(CHOICES))
    ] = (),
    json_: Annotated[bool, Option("print the report as JSON", name="json")] = False,
    junit: Annotated[
        Path | None, Option("also write the report as JUnit XML, for a CI server")
    ] = None,
    markdown: Annotated[
        Path | None, Option("also write a Markdown table, for a comment on a pull request")
    ] = None,
    badge: Annotated[
        Path | None,
        Option("also write a badge: FILE.svg is an image, FILE.json is for shields.io"),
    ] = None,
    list_: Annotated[bool, Option("print the formulas", name="list")] = False,
    explain: Annotated[
        str | None,
        Option("print a formula, its arguments, cases and known mistakes", metavar="NAME"),
    ] = None,
) -> None:
    """Run a function of yours on the golden cases of a formula.

    Name the classic mistake where it is one. In NumPy the function returns (loss, gradients); in
    a framework the loss, which the framework differentiates. The file is run. Exits 1 when a case
    fails, 2 when the function cannot be compared.
    """
    if list_:
        width = max(map(len, FORMULAS))
        for name, known in FORMULAS.items():
            row(f"{name:{width}}   {known.summary}")
        row(f"{SAMPLER:{width}}   draw(p, size, rng) -> ids, or ids and log q")
        return
    if explain is not None:
        write(f"{_explained(explain)}\n")
        return
    if badge is not None and badge.suffix not in BADGES:
        raise DataError(f"--badge {badge}: expected a name that ends in {' or '.join(BADGES)}")
    constants = dict(_pair(pair) for pair in given)
    if command is not None:
        if target is not None or framework != "numpy":
            other = target or f"--framework {framework}"
            raise DataError(f"check: {other} does not fit --command; leave one of them out")
        report = _by_command(command, timeout, formula, dtype, constants, allow)
        target, formula = command, report.formula
    elif target is None:
        raise DataError("check: expected FILE.py:FUNCTION or --command COMMAND (or --list)")
    else:
        fn = load(target)
        if formula is None:
            formula, why = checked(guess, fn, constants)
            say(f"checked as {formula}: {why}")
        try:
            report = checked(
                conformance.check, fn, formula=formula, framework=framework, dtype=dtype,
                given=constants, allow=allow,
            )  # fmt: skip
        except ModuleNotFoundError as error:  # the framework
            raise DataError(str(error)) from error
    if junit is not None:
        write_file(junit, as_junit(report, target))
    if markdown is not None:
        write_file(markdown, as_markdown(report, target))
    if badge is not None:
        write_file(badge, BADGES[badge.suffix](report))
    write(f"{json.dumps(as_json(report), indent=1)}\n" if json_ else f"{report}\n")
    if report.unusable:
        raise DataError(report.unusable)
    if not report.passed:
        raise CommandFailed(f"{target} is not {formula}")


def _by_command(
    command: str,
    timeout: float,
    formula: str | None,
    dtype: str,
    given: dict[str, Any],
    allow: Collection[str],
) -> Report:
    """Check a command, as a shell would read it.

    Raises:
        DataError: the command cannot be run, or does not say hello.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise DataError(f"--command {command}: {error}") from error
    if not words or "\0" in command:
        raise DataError("--command: expected a program and its arguments")
    with Child(words, timeout) as child:
        passed = False
        try:
            report = checked(
                check_command, child, formula=formula, dtype=dtype, given=given, allow=allow
            )
            passed = report.passed
        except OSError as error:
            raise DataError(f"--command {words[0]}: {error.strerror}") from error
        finally:
            child.kill()
            if not passed:
                for line in child.stderr().splitlines():
                    say(f"stderr of the command: {line}")
    if formula is None:
        say(f"checked as {report.formula}: the command says so")
    return report


def _pair(pair: str) -> tuple[str, object]:
    """A parameter and its value: a number, true, false, none, or a string."""
    name, equals, value = pair.partition("=")
    if not equals or not name.isidentifier() or not value:
        raise DataError(f"--with {pair}: expected PARAMETER=VALUE, such as tau=temperature")
    with suppress(ValueError):
        return name, int(value)
    with suppress(ValueError):
        return name, float(value)
    return name, {"true": True, "false": False, "none": None}.get(value.lower(), value)


def vectors(*, out: Annotated[Path, Option("the folder to write", metavar="DIR")]) -> None:
    """Write vectors.json, vectors.npz, JSON Schemas and a README.md that explains them."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, expected a folder")
    row(conformance.write_vectors(out))


def _explained(name: str) -> str:
    if name == SAMPLER:
        return f"{SAMPLER}: {inspect.getdoc(check_sampler)}"
    formula = checked(find, name)
    lines = [describe(formula), "", "cases"]
    lines += [f"  {case.name}: {case.why}" for case in formula.cases]
    lines += ["", "known mistakes"]
    lines += [f"  {mistake.name}: {mistake.fix}" for mistake in MISTAKES[formula.name]]
    if FAMILIES[formula.name]:
        lines += ["", "known mistakes with a constant c, which is estimated"]
        lines += [f"  {family.name.format(c='c')}" for family in FAMILIES[formula.name]]
    return "\n".join(lines)
