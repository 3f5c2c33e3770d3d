"""Open the current version of a store, of whatever kind."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from minitower.data.errors import DataError
from minitower.store.full_version import read_full
from minitower.store.incremental import read_incremental
from minitower.store.snapshot import Store
from minitower.store.version_log import Version, VersionLog

T = TypeVar("T")


def read_current(folder: str | Path, read: Callable[[VersionLog, Version], T]) -> T:
    """Read the current version; again if another one has become current meanwhile.

    A version that is no longer current may be pruned while it is read.

    Args:
        folder: of the store.
        read: makes something of the version log and its current version.

    Raises:
        DataError: the folder is not a store, or `read` raises it.
    """
    while True:
        log = VersionLog.read(folder)
        try:
            return read(log, log.version())
        except (DataError, OSError):
            if VersionLog.read(folder) == log:
                raise


def read_version(log: VersionLog, version: Version, full: Store | None = None) -> Store:
    """A version of any kind.

    Args:
        log: of the store.
        version: which one.
        full: a full version that is open; used if it is the one that is needed.

    Raises:
        DataError: a file is damaged, or parts do not belong together.
    """
    log.check_family("full")
    base = log.full(version.number)
    full = read_full(log, base, full)
    return full if version == base else read_incremental(log, version, full)
