"""The check of a command: it is run, and its stderr is shown where the check fails. Chapter 17."""

import shlex
from collections.abc import Collection
from typing import Any

from minitower.cli.terminal import say
from minitower.conformance.by_command import check_command
from minitower.conformance.child import Child
from minitower.conformance.report import Report
from minitower.data.errors import DataError
from minitower.data.options import checked


def by_command(
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
