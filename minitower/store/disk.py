"""What survives a crash: files and folders whose content the disk has confirmed.

A rename replaces its target in one step, but says nothing of what is on the disk:
after a power cut a renamed file may be empty. So a file is flushed before it gets
its name, and the folder that holds the name after.
"""

import os
import re
import stat
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from minitower.data.atomic_write import flush as flush
from minitower.data.errors import DataError

LARGEST = 1 << 26  # bytes of a file that is read at once: CURRENT or a manifest
_SAY_AFTER = 1.0  # seconds of waiting for a lock
_LOOK_AGAIN = 0.05  # seconds
_HOLDER = re.compile(rb"process \d+ on [^\n]*\n")
_SAFELY = 0  # follow no link, wait for no pipe's other end; Windows knows only BINARY
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
    _SAFELY |= getattr(os, _name, 0)


def read(path: Path, name: Path | None = None) -> bytes:
    """The content of a small file.

    Args:
        path: the file.
        name: what an error of the reading calls it, where the path was resolved; None: the path.

    Raises:
        DataError: the file is a link, a folder, a pipe or a device, or larger than 64 MiB, or
            it opens and cannot be read.
    """
    with _open_regular(path, os.O_RDONLY) as file:
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise DataError(f"{path}: larger than {LARGEST} bytes; restore it from a backup")
        with naming(name or path):
            return file.read()


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """An error of the system within is about a file, which a read itself does not name.

    Raises:
        DataError: the system refuses the reading.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def write(path: Path, content: bytes) -> None:
    """A new file, in place of one that has its name, on the disk.

    Where that fails, as on a full disk, no part of the file stays.

    Raises:
        DataError: what has the name is a link, a folder, a pipe or a device.
    """
    if os.path.lexists(path):
        _refuse_irregular(path, path.lstat().st_mode)
        path.unlink()
    file = path.open("xb")
    try:
        with file:
            file.write(content)
        flush(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def rename(source: Path, target: Path) -> None:
    """Give a flushed file or folder its name, in place of a file that has it."""
    source.replace(target)
    flush(target.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        flush(folder.parent)


@contextmanager
def locked(path: Path, wait: float) -> Iterator[None]:
    """Wait for a lock on a file, hold it for the block.

    The lock is the kernel's (flock), not the file's existence: a process that ends, in
    whatever way, holds it no longer. Between machines it holds as far as the file
    system passes it on: NFS does unless mounted with nolock or local_lock. The file says
    which process holds the lock.

    Args:
        path: the file; made if it is missing.
        wait: seconds. After one second a warning names the process that holds the lock.

    Raises:
        DataError: another process held the lock for all of the time, the file is not one
            that this function wrote, or the system has no flock (Windows).
    """
    try:
        import fcntl
    except ImportError:
        raise DataError(f"{path}: no flock on this system; publish from Linux or macOS") from None
    began, said = time.monotonic(), False
    with _open_regular(path, os.O_RDWR | os.O_CREAT) as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited, holder = time.monotonic() - began, _holder(path, file)
            if waited >= wait:
                raise DataError(
                    f"{path}: {holder} has held it for more than {wait:g} s; let that process "
                    "finish or end it, then try again"
                )
            if waited >= _SAY_AFTER and not said:
                said = True
                warnings.warn(f"{path}: waiting for {holder}", stacklevel=4)
            time.sleep(min(_LOOK_AGAIN, wait - waited))
        _holder(path, file)
        with suppress(OSError):  # on a full disk the lock holds without it
            file.truncate(0)
            holder = f"process {os.getpid()} on {os.uname().nodename}\n"
            os.pwrite(file.fileno(), holder.encode(), 0)
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


def _holder(path: Path, file: BinaryIO) -> str:
    """Which process holds the lock, as the file says."""
    text = os.pread(file.fileno(), 256, 0).strip(b"\0")  # zeros: a power cut left them
    if text and not _HOLDER.fullmatch(text):
        raise DataError(f"{path}: not written by minitower; move it away, then try again")
    return text.decode(errors="replace").strip() or "another process"


def _open_regular(path: Path, flags: int) -> BinaryIO:
    """Open a regular file."""
    if os.path.lexists(path):
        _refuse_irregular(path, path.lstat().st_mode)
    handle = os.open(path, flags | _SAFELY, 0o666)
    file = os.fdopen(handle, "r+b" if flags & os.O_RDWR else "rb")
    try:  # again: it may be another one since
        _refuse_irregular(path, os.fstat(file.fileno()).st_mode)
    except DataError:
        file.close()
        raise
    return file


def _refuse_irregular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        if stat.S_ISLNK(mode):
            raise DataError(f"{path}: a link, which a store does not follow; put the file there")
        raise DataError(f"{path}: not a regular file; move it away, then try again")
