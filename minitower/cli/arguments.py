"""From declared options to arguments of a command, and back. Chapter 15.

A command is a function, whose docstring is the description in ``--help``. Each parameter that
declares an option is an argument: a keyword-only parameter is a flag, the others stand in their
order. A parameter `typed` declares groups of further flags, whose strings are read later.
"""

import argparse
import inspect
import os
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_type_hints

from minitower.cli.terminal import write
from minitower.data.errors import DataError, show
from minitower.data.options import Option, declared, flag
from minitower.formulas.threads import MAX_THREADS, use_threads

Command = Callable[..., None]
StorePath = Annotated[Path, Option("folder that train wrote", metavar="STORE")]

THREADED = {
    "demo", "train", "tune", "evaluate", "recall", "similar", "serve", "update", "publish",
}  # fmt: skip
"""The commands that train, encode or search. BLAS has one thread in them, whatever --threads is:
:mod:`minitower.__main__` sets that before NumPy is imported; ``main()`` in a Python process sets it
by threadpoolctl, where installed."""

MOST_THREADS = 4
"""Bound on the default. A batch of 1,024 has four blocks: more threads would find no work."""

_THREADS = Option(
    "threads to train, encode and search on; results are the same on any number "
    f"(default: the cores that are available, at most {MOST_THREADS})",
    1, MAX_THREADS, metavar="N", type=int, default=None,
)  # fmt: skip


class CommandFailed(Exception):
    """The work of a command failed, and its report has been printed."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like all others."""

    def error(self, message: str) -> NoReturn:
        raise DataError(f"{message} (see {self.prog} --help)")

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """The values of an argument; argparse itself would take --flag=-- for no value."""
        if action.option_strings and arg_strings == ["--"]:
            self.error(f"argument {'/'.join(action.option_strings)}: expected a value, got '--'")
        return super()._get_values(action, arg_strings)

    def _print_message(self, message: str, file: Any = None) -> None:
        """Print --help or --version; argparse itself would hide that stdout is full."""
        write(message)


def add_command(parser: argparse.ArgumentParser, run: Command) -> None:
    """Make a parser from a function and the options that it declares, and run the function.

    Args:
        parser: of the command.
        run: called with the arguments that were given, by the names of its parameters. Where the
            annotation of `typed` holds groups (title -> options), `typed` gets the strings of
            those that were typed, by name.
    """
    parser.description = inspect.getdoc(run)
    own, parameters = declared(run), inspect.signature(run).parameters
    typed = get_type_hints(run, include_extras=True).get("typed")
    groups: Mapping[str, Mapping[str, Option]] = typed.__metadata__[0] if typed else {}
    flags = {}
    for name, option in own.items():
        if parameters[option.parameter].kind is inspect.Parameter.KEYWORD_ONLY:
            flags[name] = option
        else:
            more: dict[str, Any] = (
                {} if option.required else {"nargs": "?", "default": option.default}
            )
            parser.add_argument(name, **_about(name, option), **more)
    add_flags(parser, flags, read=True)
    for title, options in groups.items():
        add_flags(parser.add_argument_group(title), options, read=False)

    def call(args: argparse.Namespace) -> None:
        given = vars(args)
        values = {o.parameter: given[name] for name, o in own.items() if name in given}
        if typed:
            known = {name for options in groups.values() for name in options}
            values["typed"] = {name: given[name] for name in known if name in given}
        run(**values)

    parser.set_defaults(run=call)


def add_flags(group: Any, options: Mapping[str, Option], *, read: bool) -> None:
    """A flag for each option; an absent flag leaves no trace in the arguments.

    Args:
        group: of a parser.
        options: by name.
        read: whether the value is read as it is parsed. False: the string is read later, and
            wins over a job file or notes. So a boolean has two flags, such as --no-refit.
    """
    for name, option in options.items():
        about = _about(name, option) | {"dest": name, "default": argparse.SUPPRESS}
        if option.type is bool:
            del about["metavar"], about["type"]
            about["action"] = "store_true" if read else argparse.BooleanOptionalAction
        elif read:
            about |= {"nargs": "+", "action": "extend"} if option.many else {}
            about["required"] = option.required
        else:
            del about["type"]
            about["action"] = "append" if "=" in option.metavar else "store"
        group.add_argument(f"-{name}" if len(name) == 1 else flag(name), **about)


def _about(name: str, option: Option) -> dict[str, Any]:
    metavar = option.metavar or ("FILE" if option.type is Path else name.upper())
    return {"metavar": metavar, "help": _help(option), "type": reader(option)}


def reader(option: Option) -> Callable[[str], Any]:
    """The ``type`` of an argument that reads an option."""

    def read(value: str) -> Any:
        try:
            return option.read(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{error}, got {show(value)}") from None

    return read


def without(options: Mapping[str, Option], names: Collection[str]) -> dict[str, Option]:
    """The options of other names."""
    return {name: option for name, option in options.items() if name not in names}


def _help(option: Option) -> str:
    """The help, with the choices, and with the default where the help does not give it."""
    shown, default = option.help, option.default
    if option.choices:
        shown += f": {', '.join(option.choices)}"
    stated = option.required or default is None or option.type is bool or "(default" in shown
    if not stated and default != ():
        if isinstance(default, tuple):
            default = (" " if option.many else ",").join(map(str, default))
        shown += f" (default: {default})"
    return shown.replace("%", "%%")


def available_cores() -> int:
    """The number of cores that the system lets this process use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def add_threads(parser: argparse.ArgumentParser, command: str) -> None:
    """Add ``--threads`` to a command that has it."""
    if command in THREADED:
        add_flags(parser, {"threads": _THREADS}, read=True)
        parser.set_defaults(use_threads=True)


def use_threads_of(args: argparse.Namespace) -> None:
    """Set the threads of the process as the arguments say."""
    if "use_threads" in args:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of BLAS: nothing is left to do here
            use_threads(getattr(args, "threads", min(available_cores(), MOST_THREADS)))
