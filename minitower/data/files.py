"""Read a whole file; write a file or a folder so that it appears complete or not at all. Chapter 3.

Opening a FIFO waits for a writer, and reading a device may never end. So every reader of a
whole file uses :func:`read_regular`.

A rename replaces a name in one step, but says nothing of the content: after a power cut a
renamed file may be empty. So the content goes to a temporary name in the same folder. When
the disk has confirmed the content, a rename gives it its name, and the folder is flushed. A
crash leaves the old content, or none.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from minitower.data.errors import DataError

TEMPORARY = r"\.minitower-[0-9a-f]{16}"
"""What the name of a temporary file matches; a crash may leave the file."""


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
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NONBLOCK", 0)  # do not wait for the writer of a FIFO
    try:
        handle = os.open(path, flags)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise DataError(f"{path}: expected a regular file")
            if most is not None and found.st_size > most:
                raise DataError(f"{path}: expected at most {most:,} bytes")
            with open(handle, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(handle)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None


@contextmanager
def new_path(path: str | Path) -> Iterator[Path]:
    """A temporary path to write a file to; the file becomes `path` when the block ends well.

    A file that has the name is replaced, and its permissions are kept. A link is followed.
    If the block raises an error, the temporary file is removed and `path` is unchanged.

    Args:
        path: where to; the folder must exist.

    Raises:
        DataError: `path` is a folder or a device, or the system refuses to write it.
    """
    with write_errors(Path(path)):
        target = Path(os.path.realpath(path))
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            raise DataError(f"{path}: not a regular file; choose another name")
        temporary = target.with_name(f".minitower-{token_hex(8)}")
        try:
            yield temporary
            flush(temporary)
            if mode is not None:
                temporary.chmod(stat.S_IMODE(mode))
            rename(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def new_file(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file to write to, which becomes `path` when the block ends well.

    Args:
        path: as in :func:`new_path`.

    Raises:
        DataError: as :func:`new_path`.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "report.html"
    >>> with new_file(path) as file:
    ...     file.write(b"<html>"), path.exists()
    (6, False)
    >>> path.read_bytes()
    b'<html>'
    """
    with new_path(path) as temporary, temporary.open("xb") as file:
        yield file


def write_file(path: str | Path, content: bytes) -> None:
    """Write a file that appears complete or not at all.

    Raises:
        DataError: as :func:`new_path`.
    """
    with new_file(path) as file:
        file.write(content)


def rename(source: Path, target: Path) -> None:
    """Give a flushed file or folder its name, and wait until the disk has the name."""
    source.replace(target)
    flush(target.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and the missing folders above it, on the disk."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush(folder.parent)


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
def write_errors(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into one line that names the path.

    Raises:
        DataError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from error
