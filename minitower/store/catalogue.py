"""Changes of a store: one at a time, whole or not at all.

A change writes new folders first, then replaces CURRENT by one rename, then removes the
folders that CURRENT no longer names. So whatever moment a process dies at, CURRENT names
complete folders. It also lists the numbers whose folders are being written or removed: the
next change removes those, and temporary folders, and nothing else. So a change that fails, as
on a full disk, may leave one thing: its number among the unfinished ones of CURRENT, which no
reader looks at. A first change that fails leaves a store without versions.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from minitower.data.errors import DataError
from minitower.store import disk, litter
from minitower.store.folder import LOCK, POINTER, cannot_be_written, refuse_foreign
from minitower.store.pointer import Catalogue as Catalogue
from minitower.store.pointer import Superseded as Superseded
from minitower.store.version import Version as Version

LONGEST_WAIT = 600.0  # seconds, for another process that changes the store
T = TypeVar("T")


class NotRemoved(DataError):
    """Versions were pruned, and folders of some are still there.

    Attributes:
        gone: the numbers of the versions whose folders were removed.
    """

    def __init__(self, message: str, gone: list[int]) -> None:
        super().__init__(message)
        self.gone = gone


@contextmanager
def changing(folder: str | Path, wait: float = LONGEST_WAIT) -> Iterator[Catalogue]:
    """The catalogue of a store, for a block that alone may change it.

    Makes the store where there is none, waits for other processes and threads that
    change it, and removes what those that died have left. A warning names each folder
    that is removed, and the process that is waited for.

    Args:
        folder: of the store.
        wait: seconds to wait for another process.

    Raises:
        DataError: something else is there, another process holds the store for longer, or
            it cannot be written.
    """
    root = Path(folder).absolute()
    refuse_foreign(root)
    with cannot_be_written(root):
        disk.make_folder(root)
        with disk.locked(root / LOCK, wait):
            refuse_foreign(root)
            if not os.path.lexists(root / POINTER):
                Catalogue(root).write()
            yield _swept(Catalogue.read(root))


def served(folder: str | Path, read: Callable[[Catalogue, Version], T]) -> T:
    """What `read` makes of the version served, even if versions come and go meanwhile.

    Raises:
        DataError: the folder is not a store, or `read` raises it.
    """
    while True:
        catalogue = Catalogue.read(folder)
        try:
            return read(catalogue, catalogue.version())
        except (DataError, OSError):
            if Catalogue.read(folder) == catalogue:
                raise


def rollback(folder: str | Path, to: int | None = None) -> Version:
    """Serve an earlier version again.

    Args:
        folder: of the store.
        to: its number; by default that of the one before the version now served.

    Returns:
        The version served from now on; all its files have been verified.

    Raises:
        DataError: there is none, or it is damaged; the store is as before.
    """
    with _existing(folder) as catalogue:
        if to is None:
            now = catalogue.version().number
            earlier = [v.number for v in catalogue.versions if v.number < now]
            if not earlier:
                raise DataError(f"{folder}: there is no version before version {now}")
            to = max(earlier)
        version = catalogue.version(to)
        for part in {version, catalogue.full(to)}:
            catalogue.verify(part)
        replace(catalogue, current=to).write()
        return version


def prune(folder: str | Path, keep: int) -> list[int]:
    """Remove all but the newest full versions.

    The one that is served stays. Incremental versions stay as long as theirs is the newest or
    the one that is served, so what is kept are nights, however often a day publishes.
    A recommender that has a removed version open goes on with it.

    Args:
        folder: of the store.
        keep: how many full versions, >= 1.

    Returns:
        The numbers of the versions that are gone.

    Raises:
        NotRemoved: a folder could not be removed. The store no longer names it, and the next
            change tries again.
        DataError: keep < 1, or the folder is not a store.
    """
    if keep < 1:
        raise DataError(f"keep must be at least 1, got {keep}")
    with _existing(folder) as catalogue:
        full = [v.number for v in catalogue.versions if v.kind != "incremental"]
        bases = {*full[-1:]} | ({catalogue.full().number} if catalogue.current else set())
        kept = {*full[-keep:], *bases}
        kept |= {
            v.number for v in catalogue.versions if v.kind == "incremental" and v.parent in bases
        }
        versions = tuple(v for v in catalogue.versions if v.number in kept)
        gone = [v.number for v in catalogue.versions if v.number not in kept]
        if not gone:
            return []
        after = replace(catalogue, versions=versions)
        replace(after, unfinished=(*after.unfinished, *gone)).write()
        why = {number: litter.remove(after.path(number)) for number in gone}
        left = {number: reason for number, reason in why.items() if reason is not None}
        replace(after, unfinished=(*after.unfinished, *left)).write()
        if left:
            gone = [number for number in gone if number not in left]
            reasons = "; ".join(f"{after.path(n)}: {reason}" for n, reason in [*left.items()][:3])
            raise NotRemoved(f"{len(left)} versions cannot be removed: {reasons}", gone)
        return gone


@contextmanager
def _existing(folder: str | Path) -> Iterator[Catalogue]:
    Catalogue.read(folder)  # a store is made by publishing only
    with changing(folder) as catalogue:
        yield catalogue


def _swept(catalogue: Catalogue) -> Catalogue:
    """The catalogue once what changes that were cut off have left is removed."""
    folder = catalogue.path(catalogue.next).parent
    if folder.is_symlink():
        raise DataError(f"{folder}: a link, which a store does not follow; link the whole store")
    left = litter.sweep(folder, [catalogue.path(number) for number in catalogue.unfinished])
    unfinished = tuple(n for n in catalogue.unfinished if catalogue.path(n) in left)
    if unfinished != catalogue.unfinished:
        catalogue = replace(catalogue, unfinished=unfinished)
        catalogue.write()
    return catalogue
