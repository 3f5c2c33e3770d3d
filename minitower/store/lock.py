"""One process at a time: a lock on a file that the kernel gives back when the process ends.

Chapter 15.
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

from minitower.data.errors import DataError

_WARN_AFTER = 1.0  # seconds of waiting
_POLL = 0.05  # seconds
_HOLDER = re.compile(rb"process \d+ on [^\n]*\n")


@contextmanager
def locked(path: Path, wait: float) -> Iterator[None]:
    """Wait for a lock on a file and hold the lock for the block.

    The lock is the kernel's (flock), not the existence of the file: a process that ends, in
    whatever way, no longer holds the lock. Between machines the lock holds as far as the
    file system passes it on. NFS does, unless mounted with nolock or local_lock. The file
    names the process that holds the lock.

    Args:
        path: the file; made if it is missing.
        wait: seconds. After one second a warning names the process that holds the lock.

    Raises:
        DataError: another process held the lock all the time; this function did not write
            the file; or the system has no flock (Windows).
    """
    try:
        import fcntl
    except ImportError:
        raise DataError(f"{path}: no flock on this system; publish from Linux or macOS") from None
    began, warned = time.monotonic(), False
    with _opened(path) as file:
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
            if waited >= _WARN_AFTER and not warned:
                warned = True
                warnings.warn(f"{path}: waiting for {holder}", stacklevel=4)
            time.sleep(min(_POLL, wait - waited))
        _holder(path, file)
        with suppress(OSError):  # a full disk takes no name, and the lock holds without it
            file.truncate(0)
            holder = f"process {os.getpid()} on {os.uname().nodename}\n"
            os.pwrite(file.fileno(), holder.encode(), 0)
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


def _opened(path: Path) -> BinaryIO:
    """Open a regular file for reading and writing: follow no link, wait for no pipe."""
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise DataError(f"{path}: a link or not a regular file; move it away, then try again")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.fdopen(os.open(path, flags, 0o666), "r+b")


def _holder(path: Path, file: BinaryIO) -> str:
    """The process that holds the lock, as the file says."""
    text = os.pread(file.fileno(), 256, 0).strip(b"\0")  # a power cut leaves zeros
    if text and not _HOLDER.fullmatch(text):
        raise DataError(f"{path}: not written by minitower; move it away, then try again")
    return text.decode(errors="replace").strip() or "another process"
