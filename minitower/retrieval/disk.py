"""What survives a crash: files and folders whose content the disk has confirmed.

A rename replaces its target in one step, but says nothing of what is on the disk:
after a power cut a renamed file may be empty. So a file is flushed before it gets
its name, and the folder that holds the name after.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minitower.data.atomic_write import flush as flush
from minitower.data.errors import DataError


def write(path: Path, content: bytes) -> None:
    """A file, in place of one that has its name, on the disk."""
    with path.open("wb") as file:
        file.write(content)
    flush(path)


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
def locked(path: Path) -> Iterator[None]:
    """Wait for a lock on a file, hold it for the block.

    The lock is the kernel's (flock), not the file's existence: a process that ends, in
    whatever way, holds it no longer. Between machines it holds as far as the file
    system passes it on: NFS does unless mounted with nolock or local_lock.

    Raises:
        DataError: the system has no flock (Windows).
    """
    try:
        import fcntl
    except ImportError:
        raise DataError(f"{path}: no flock on this system; publish from Linux or macOS") from None
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
