"""What check and vectors do: is an implementation in somebody's file right?"""

import argparse
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minitower.cli.progress import row
from minitower.cli.terminal import write
from minitower.conformance import (
    FORMULAS,
    MISTAKES,
    SAMPLER,
    check,
    check_sampler,
    describe,
    write_vectors,
)
from minitower.conformance.checker import find
from minitower.conformance.formula import TOLERANCE
from minitower.conformance.frameworks import FRAMEWORKS
from minitower.data import DataError

CHOICES = {"framework": list(FRAMEWORKS), "dtype": list(TOLERANCE)}
"""What the flags of check may be; the first is the default."""


class CheckFailed(Exception):
    """The implementation is wrong; the report has been printed."""


def run(args: argparse.Namespace) -> None:
    """Print the report of a check, the list of formulas, or one formula."""
    if args.list:
        width = max(map(len, FORMULAS))
        for name, formula in FORMULAS.items():
            row(f"{name:{width}}   {formula.summary}")
        row(f"{SAMPLER:{width}}   draw(p, size, rng) -> ids, or ids and log q")
    elif args.explain is not None:
        write(f"{_explained(args.explain)}\n")
    elif args.target is None or args.formula is None:
        raise DataError("check: expected FILE.py:FUNCTION and --formula NAME (or --list)")
    else:
        report = _asked(
            check, load(args.target), formula=args.formula, framework=args.framework,
            dtype=args.dtype,
        )  # fmt: skip
        write(f"{report}\n")
        if report.unusable:
            raise DataError(report.unusable)
        if not report.passed:
            raise CheckFailed(f"{args.target} is not {args.formula}")


def vectors(args: argparse.Namespace) -> None:
    """Write the golden vectors; prints the folder."""
    if args.out.exists() and not args.out.is_dir():
        raise DataError(f"{args.out}: is a file, expected a folder")
    row(write_vectors(args.out))


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
        raise DataError(f"{file}: there is no such file")
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


def _asked(make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call, what was asked wrongly turned into the command's kind of error."""
    try:
        return make(*args, **kwargs)
    except (ValueError, ModuleNotFoundError) as error:
        raise DataError(str(error)) from error


def _explained(name: str) -> str:
    if name == SAMPLER:
        return f"{SAMPLER}: {inspect.getdoc(check_sampler)}"
    formula = _asked(find, name)
    lines = [describe(formula), "", "cases"]
    lines += [f"  {case.name}: {case.why}" for case in formula.cases]
    lines += ["", "known mistakes"]
    lines += [f"  {mistake.name}: {mistake.fix}" for mistake in MISTAKES[formula.name]]
    return "\n".join(lines)
