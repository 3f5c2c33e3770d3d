"""Read a file that a user names: a regular file, or a link to one.

Opening a FIFO waits for a writer, and reading a device may never end. So every reader of a
whole file uses this function.
"""

import os
import stat
from pathlib import Path

from minitower.data.errors import DataError

_FLAGS = os.O_RDONLY
for _name in (
    "O_NONBLOCK",
    "O_BINARY",
    "O_CLOEXEC",
):  # O_NONBLOCK: do not wait for the writer of a FIFO
    _FLAGS |= getattr(os, _name, 0)


def read_regular(path: Path, most: int | None = None) -> bytes:
    """The content of a regular file.

    Args:
        path: the file; links are followed.
        most: the largest size in bytes; None: any size.

    Raises:
        DataError: the file is a folder, a FIFO, a socket or a device, is larger, or cannot
            be read.

    >>> import tempfile
    >>> read_regular(Path(tempfile.gettempdir()) / "no such file")
    Traceback (most recent call last):
    minitower.data.errors.DataError: ...no such file: No such file or directory
    """
    try:
        handle = os.open(path, _FLAGS)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise DataError(f"{path}: expected a regular file")
            if most is not None and found.st_size > most:
                raise DataError(f"{path}: expected at most {most:,} bytes")
            with open(handle, "rb", closefd=False) as file:
                content = file.read()
        finally:
            os.close(handle)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    return content
