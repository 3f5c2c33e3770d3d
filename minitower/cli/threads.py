"""``--threads``: a flag of every command that trains, encodes or searches. Chapter 4.

BLAS has one thread in these commands, whatever N is. :mod:`minitower.__main__` sets that before
NumPy is imported; ``main()`` in a Python process sets it by threadpoolctl, where installed.
"""

import argparse
import os
import warnings

from minitower.cli.arguments import add_own_flags
from minitower.data.options import Option
from minitower.formulas.threads import MAX_THREADS, use_threads

COMMANDS = {
    "demo", "train", "tune", "evaluate", "recall", "similar", "serve", "update", "publish",
}  # fmt: skip

MOST = 4
"""Bound on the default. A batch of 1,024 has four blocks: more threads would find no work."""

OPTION = Option(
    "threads to train, encode and search on; results are the same on any number "
    f"(default: the cores that are available, at most {MOST})",
    1, MAX_THREADS, metavar="N", type=int, default=None,
)  # fmt: skip


def available_cores() -> int:
    """The number of cores that the system lets this process use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def add_threads(parser: argparse.ArgumentParser, command: str) -> None:
    """Add the flag to a command that has it."""
    if command in COMMANDS:
        add_own_flags(parser, {"threads": OPTION})
        parser.set_defaults(use_threads=True)


def use_threads_of(args: argparse.Namespace) -> None:
    """Set the threads of the process as the arguments say."""
    if "use_threads" in args:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of BLAS: nothing is left to do here
            use_threads(getattr(args, "threads", min(available_cores(), MOST)))
