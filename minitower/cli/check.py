"""``check`` and ``vectors``: is an implementation in somebody's file right?"""

import argparse
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from minitower import conformance
from minitower.cli.arguments import CommandFailed, add_command
from minitower.cli.terminal import row, write
from minitower.conformance import FORMULAS, MISTAKES, SAMPLER, check_sampler, describe
from minitower.conformance.checker import find
from minitower.conformance.formula import TOLERANCE
from minitower.conformance.frameworks import FRAMEWORKS
from minitower.data.errors import DataError
from minitower.data.options import Option, checked


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``check`` and ``vectors`` to the program."""
    a = add(
        "check",
        description="Run a function of yours on the golden cases of a formula, and name the "
        "classic mistake where it is one. In NumPy it returns (loss, gradients); in a framework "
        "the loss, which the framework differentiates. The file is run. Exits 1 when a case "
        "fails, 2 when the function cannot be compared.",
    )
    add_command(a, check)
    a = add(
        "vectors",
        description="Write vectors.json, vectors.npz and a README.md that explains them.",
    )
    add_command(a, vectors)


def check(
    target: Annotated[
        str | None, Option("function to check", metavar="FILE.py:FUNCTION", parse=str)
    ] = None,
    *,
    formula: Annotated[
        str | None, Option("formula that it implements (see --list)", metavar="NAME", parse=str)
    ] = None,
    framework: Annotated[
        str, Option("framework that it is written in", choices=tuple(FRAMEWORKS))
    ] = "numpy",
    dtype: Annotated[
        str, Option("precision of its inputs and results", choices=tuple(TOLERANCE))
    ] = "float64",
    list_: Annotated[bool, Option("print the formulas", name="list")] = False,
    explain: Annotated[
        str | None,
        Option(
            "print a formula, its arguments, cases and known mistakes", metavar="NAME", parse=str
        ),
    ] = None,
) -> None:
    """Print the report of a check, the list of formulas, or one formula."""
    if list_:
        width = max(map(len, FORMULAS))
        for name, known in FORMULAS.items():
            row(f"{name:{width}}   {known.summary}")
        row(f"{SAMPLER:{width}}   draw(p, size, rng) -> ids, or ids and log q")
    elif explain is not None:
        write(f"{_explained(explain)}\n")
    elif target is None or formula is None:
        raise DataError("check: expected FILE.py:FUNCTION and --formula NAME (or --list)")
    else:
        try:
            report = checked(
                conformance.check, load(target), formula=formula, framework=framework, dtype=dtype
            )
        except ModuleNotFoundError as error:  # the framework
            raise DataError(str(error)) from error
        write(f"{report}\n")
        if report.unusable:
            raise DataError(report.unusable)
        if not report.passed:
            raise CommandFailed(f"{target} is not {formula}")


def vectors(*, out: Annotated[Path, Option("the folder to write", metavar="DIR")]) -> None:
    """Write the golden vectors; prints the folder."""
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file, expected a folder")
    row(conformance.write_vectors(out))


def load(target: str) -> Callable[..., Any]:
    """The function of FILE.py:FUNCTION; its file is run.

    Raises:
        DataError: no such file or function, or the file does not run.
    """
    file, colon, name = target.rpartition(":")
    path = Path(file)
    if not colon or not name:
        raise DataError(f"{target}: expected FILE.py:FUNCTION")
    if not path.is_file():
        raise DataError(f"{file}: the file is missing")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise DataError(f"{file}: expected a Python file, *.py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # its imports, as if it were run itself
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise DataError(
            f"{file}: raised {type(error).__name__} when it was run: {error}"
        ) from error
    finally:
        sys.path.pop(0)
    function = module
    for part in name.split("."):
        if not hasattr(function, part):
            raise DataError(f"{file}:{name}: the file has no {name}")
        function = getattr(function, part)
    if not callable(function):
        raise DataError(f"{target}: is {type(function).__name__}, which cannot be called")
    return function


def _explained(name: str) -> str:
    if name == SAMPLER:
        return f"{SAMPLER}: {inspect.getdoc(check_sampler)}"
    formula = checked(find, name)
    lines = [describe(formula), "", "cases"]
    lines += [f"  {case.name}: {case.why}" for case in formula.cases]
    lines += ["", "known mistakes"]
    lines += [f"  {mistake.name}: {mistake.fix}" for mistake in MISTAKES[formula.name]]
    return "\n".join(lines)
