"""Options of Python calls, refused as a user's input is."""

import os
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError, show
from minitower.formulas.arguments import LARGEST, strict_integer


def option(name: str, value: Any, least: int, most: int = LARGEST) -> int:
    """An option that counts, or a seed, as :func:`~minitower.formulas.arguments.strict_integer`.

    Raises:
        DataError: it is no integer, or outside.
    """
    try:
        return strict_integer(name, value, least, most)
    except ValueError as error:
        raise DataError(str(error)) from None


def checked_path(name: str, path: str | Path) -> Path:
    """A path that the system can take.

    Raises:
        DataError: it holds a zero character, or what no file system can encode.
    """
    try:
        if b"\0" not in os.fsencode(path):
            return Path(path)
    except UnicodeEncodeError:
        pass
    raise DataError(f"{name} is no path: {show(str(path))}")
