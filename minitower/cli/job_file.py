"""The TOML file of a job, before anybody asks what its keys mean."""

import tomllib
from pathlib import Path
from typing import Any

from minitower.cli import options
from minitower.data import DataError
from minitower.data.errors import show
from minitower.data.regular_file import read_regular

PLACES = ("data", "out")
"""Keys of a job file besides the options: paths, relative to the job file."""

_LARGEST = 1 << 20  # bytes


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a job file.

    Raises:
        DataError: it cannot be opened, is not TOML, or a place is not a path; names the line
            or the key.
    """
    content = read_regular(path, _LARGEST)
    try:
        table = tomllib.loads(content.decode())
        repr(table)  # the error about a value shows the value
    except RecursionError:
        raise DataError(f"{path}: brackets or keys are nested too deeply") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from None
    except ValueError:
        raise DataError(f"{path}: an integer has too many digits") from None
    for name in PLACES:
        if name in table:
            try:
                options.path(table[name])
            except ValueError as error:
                raise DataError(f"{path}: {name}: {error}, got {show(table[name])}") from None
    return table
