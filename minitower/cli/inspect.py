"""``inspect``: what minitower recognizes in a folder of data, as a job file to edit. Chapter 3."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from minitower.cli.arguments import add_command
from minitower.cli.terminal import say, write
from minitower.data.job_file import job_file
from minitower.data.layouts import Reading
from minitower.data.option_values import read_options
from minitower.data.options import Option, declared
from minitower.data.source import open_folder

_READING = declared(Reading)


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``inspect`` to the program."""
    a = add(
        "inspect",
        description="Read a folder of data as 'train' reads it, and print what was recognized as "
        "a TOML job file: the columns, the kinds of features, their transforms, what a positive "
        "is, and the split. Save it, edit it, and pass it to 'train --job'.",
    )
    add_command(a, inspect, {"the data": _READING})


def inspect(
    data: Annotated[Path, Option("folder of data, or file of interactions", metavar="DATA")],
    *,
    typed: Mapping[str, Any],
) -> None:
    """Read and recognize; prints the job file."""
    source = open_folder(data, read_options(_READING, typed).make(Reading))
    for remark in source.remarks:
        say(remark)
    write(job_file(data, source))
