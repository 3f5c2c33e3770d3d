"""Write a file so that it appears complete or not at all.

The content goes to a temporary file in the same folder. When the disk has confirmed the
content, one rename gives the file its name. A crash leaves the old file, or none.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from minitower.data.errors import DataError

_BINARY = getattr(os, "O_BINARY", 0)  # Windows would translate the ends of lines


@contextmanager
def new_file(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file to write to, which becomes `path` when the block ends well.

    A file that has the name is replaced, and its permissions are kept. A link is followed.
    If the block raises an error, the temporary file is removed and `path` is unchanged.

    Args:
        path: where to; the folder must exist.

    Raises:
        DataError: `path` is a folder or a device, or the system refuses to write it.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "report.html"
    >>> with new_file(path) as file:
    ...     file.write(b"<html>"), path.exists()
    (6, False)
    >>> path.read_bytes()
    b'<html>'
    """
    with _one_line(Path(path)):
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            raise DataError(f"{path}: not a regular file; choose another name")
        place = target.with_name(f".minitower-{token_hex(8)}")
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
        try:
            with open(handle, "wb") as file:  # noqa: PTH123 - a handle, no path
                yield file
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                place.chmod(stat.S_IMODE(mode))
            place.replace(target)
        except BaseException:
            place.unlink(missing_ok=True)
            raise
        flush(target.parent)


def write_file(path: str | Path, content: bytes) -> None:
    """Write a file that appears complete or not at all.

    Raises:
        DataError: as :func:`new_file`.
    """
    with new_file(path) as file:
        file.write(content)


def flush(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folder; NTFS keeps a journal of names itself
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
