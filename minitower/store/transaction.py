"""Changes of a store: one at a time, complete or not at all. Chapter 15.

A change writes new folders first, then replaces CURRENT by one rename, then removes the
folders that CURRENT no longer names. So whenever a process dies, CURRENT names complete
folders. CURRENT also lists the numbers whose folders are being written or removed. The next
change removes those folders and temporary names, and nothing else. So a change that fails, as
on a full disk, may leave one trace: its number among the unfinished ones of CURRENT, which no
reader looks at. A first change that fails leaves a store without versions.
"""

import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from minitower.data.errors import DataError
from minitower.data.files import TEMPORARY, make_folder, write_errors
from minitower.store.folder import MANIFEST, POINTER, fingerprint, manifest_if_ours
from minitower.store.lock import locked
from minitower.store.new_folder import LOCK, check_target, new_folder, temporary
from minitower.store.version_log import Kind, Version, VersionLog

T = TypeVar("T")
LONGEST_WAIT = 600.0  # seconds, for another process that changes the store
_NUMBER = re.compile(r"\d{6,15}", re.ASCII)
_TEMPORARY_FILE = re.compile(rf"{TEMPORARY}|CURRENT\.new")  # the second is of release 0.1
_TEMPORARY_FOLDER = re.compile(r"\.(minitower-)?\d{6,}\.[a-z0-9_]{8}")  # 0.1 left out the word
_PARTS = {"new", "old"}  # what a temporary folder may hold


class NotRemoved(DataError):
    """Versions were pruned, and folders of some are still there.

    Attributes:
        removed: the numbers of the versions whose folders were removed.
    """

    def __init__(self, message: str, removed: list[int]) -> None:
        super().__init__(message)
        self.removed = removed


@contextmanager
def transaction(folder: str | Path, wait: float = LONGEST_WAIT) -> Iterator[VersionLog]:
    """The version log of a store, for a block that alone may change the store.

    Makes the store if it is missing, waits for other processes and threads that change it,
    and removes what dead processes have left. A warning names each folder that is removed,
    and the process that holds the lock.

    Args:
        folder: of the store.
        wait: seconds to wait for another process.

    Raises:
        DataError: something else is there, another process holds the store for longer, or
            the store cannot be written.
    """
    root = Path(folder).absolute()
    check_target(root)
    with write_errors(root):
        make_folder(root)
        with locked(root / LOCK, wait):
            check_target(root)
            if not os.path.lexists(root / POINTER):
                VersionLog(root).write()
            yield _swept(VersionLog.read(root))


def add_version(
    log: VersionLog,
    kind: Kind,
    parent: int | None,
    content: Mapping[str, Any],
    write: Callable[[Path], object],
    read: Callable[[VersionLog, Version], T],
) -> T:
    """Write version `log.next`, read it back from the disk, then make it current.

    Args:
        log: of the transaction.
        kind, parent: of the version.
        content: of its manifest; `write` may still add to it.
        write: writes the files to a new folder.
        read: opens the version.

    Returns:
        What `read` returned.

    Raises:
        DataError: the store is of the other family, a folder is there whose number is not given
            yet, or as :func:`new_folder`. The version before stays current.
    """
    log.check_family(kind)
    target = log.path(log.next)
    there = target.parent.iterdir() if target.parent.is_dir() else ()
    names = [path.name for path in there]
    found = sorted(n for n in names if _NUMBER.fullmatch(n) and int(n) >= log.next)
    if found:
        raise DataError(
            f"{target.parent}: holds {', '.join(found[:3])}, but {POINTER} knows no version "
            f"from {log.next} on; put back the {POINTER} that names them, or move them away"
        )
    replace(log, unfinished=(*log.unfinished, log.next)).write()
    with new_folder(target, kind, content) as place:
        write(place)
    manifest = fingerprint(target / MANIFEST)["sha256"]
    published = datetime.now(UTC).isoformat(timespec="seconds")
    version = Version(log.next, kind, parent, published, manifest)
    log = replace(log, versions=(*log.versions, version), current=log.next, next=log.next + 1)
    result = read(log, version)
    log.write()
    return result


def rollback(folder: str | Path, to: int | None = None) -> Version:
    """Make an earlier version current again.

    Args:
        folder: of the store.
        to: its number; by default that of the version before the current one.

    Returns:
        The current version from now on; all its files have been verified.

    Raises:
        DataError: the version is missing or damaged; the store is as before.
    """
    VersionLog.read(folder)  # only publishing makes a store
    with transaction(folder) as log:
        if to is None:
            now = log.version().number
            earlier = [v.number for v in log.versions if v.number < now]
            if not earlier:
                raise DataError(f"{folder}: version {now} is the first one")
            to = max(earlier)
        version = log.version(to)
        for part in {version, log.full(to)}:
            log.verify(part)
        replace(log, current=to).write()
        return version


def prune(folder: str | Path, keep: int) -> list[int]:
    """Remove all but the newest full versions.

    The current version stays. Incremental versions stay while their parent is the newest
    full version or the current one. So `keep` counts nights, however often a day publishes.
    A recommender that has a removed version open goes on with it.

    Args:
        folder: of the store.
        keep: how many full versions, >= 1.

    Returns:
        The numbers of the removed versions.

    Raises:
        NotRemoved: a folder could not be removed. The store no longer names it, and the next
            change tries again.
        DataError: keep < 1, or the folder is not a store.
    """
    if keep < 1:
        raise DataError(f"keep must be at least 1, got {keep}")
    VersionLog.read(folder)  # only publishing makes a store
    with transaction(folder) as log:
        full = [v.number for v in log.versions if v.kind != "incremental"]
        bases = {*full[-1:]} | ({log.full().number} if log.current else set())
        kept = {*full[-keep:], *bases}
        kept |= {v.number for v in log.versions if v.kind == "incremental" and v.parent in bases}
        after = replace(log, versions=tuple(v for v in log.versions if v.number in kept))
        dropped = [v.number for v in log.versions if v.number not in kept]
        if not dropped:
            return []
        replace(after, unfinished=(*after.unfinished, *dropped)).write()
        why = {number: _remove(after.path(number)) for number in dropped}
        left = {number: reason for number, reason in why.items() if reason is not None}
        replace(after, unfinished=(*after.unfinished, *left)).write()
        removed = [number for number in dropped if number not in left]
        if left:
            reasons = "; ".join(f"{after.path(n)}: {reason}" for n, reason in [*left.items()][:3])
            raise NotRemoved(f"{len(left)} versions cannot be removed: {reasons}", removed)
        return removed


def _swept(log: VersionLog) -> VersionLog:
    """The version log after what dead processes have left is removed.

    A store deletes only what it knows to be its own: names that only its writer gives, and
    numbers that CURRENT lists as unfinished.
    """
    versions = log.path(log.next).parent
    if versions.is_symlink():
        raise DataError(f"{versions}: a link, which a store does not follow; link the whole store")
    for path in sorted(log.folder.iterdir()):
        if _TEMPORARY_FILE.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            path.unlink()
    left = []
    for number in log.unfinished:
        path = log.path(number)
        if path.is_symlink() or (path.exists() and manifest_if_ours(path)):
            left += [] if _removed(path) else [number]
    for path in sorted(versions.iterdir()) if versions.is_dir() else ():
        if _TEMPORARY_FOLDER.fullmatch(path.name) and _is_temporary(path):
            _removed(path)
    if log.unfinished != (*left,):
        log = replace(log, unfinished=(*left,))
        log.write()
    return log


def _is_temporary(path: Path) -> bool:
    return not path.is_symlink() and path.is_dir() and {p.name for p in path.iterdir()} <= _PARTS


def _removed(path: Path) -> bool:
    """Remove a folder that a dead process left; a warning says so, or why it failed."""
    why = _remove(path)
    if why is None:
        warnings.warn(f"{path}: removed; a change that was cut off left it", stacklevel=2)
    else:
        warnings.warn(f"{path}: cannot be removed ({why}); remove it by hand", stacklevel=2)
    return why is None


def _remove(path: Path) -> str | None:
    """Remove the folder of a version; at no moment does its name hold a part of it.

    Returns:
        None, or why the folder, or a part of it, is still there.
    """
    if path.is_symlink() or not path.is_dir():
        return "it is a link or a file, which minitower did not make"
    try:
        place = path
        if not _TEMPORARY_FOLDER.fullmatch(path.name):
            place = temporary(path)
            try:
                path.rename(place / "old")
            except OSError:
                place.rmdir()
                raise
        shutil.rmtree(place)
    except OSError as error:
        return error.strerror or str(error)
    return None
