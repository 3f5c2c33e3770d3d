"""``inspect``: what minitower recognizes in a folder of data, as a job file to edit. Chapter 3."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from minitower.cli.terminal import say, write
from minitower.data.job_file import job_file
from minitower.data.layouts import Reading
from minitower.data.option_values import read_options
from minitower.data.options import Option, declared
from minitower.data.source import open_folder

_READING = declared(Reading)


def inspect(
    data: Annotated[Path, Option("folder of data, or file of interactions", metavar="DATA")],
    *,
    typed: Annotated[Mapping[str, Any], {"the data": _READING}],
) -> None:
    """Read a folder of data as 'train' reads it, and print what was recognized as a job file.

    The TOML job file states the columns, the kinds of features, their transforms, what a positive
    is, and the split. Save it, edit it, and pass it to 'train --job'.
    """
    source = open_folder(data, read_options(_READING, typed).make(Reading))
    say(*source.remarks)
    write(job_file(data, source))
