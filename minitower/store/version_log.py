"""The version log of a store: its versions, and the current one, in one small file. Chapter 15.

    store/
      CURRENT            JSON: all versions, the current one; then the SHA-256 of that JSON
      LOCK               held by the process that changes the store
      versions/
        000001/          as in minitower.store.folder; never changed once it is there
        000002/

CURRENT holds the SHA-256 of each manifest, and each manifest that of its files.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from minitower.data.errors import DataError, show
from minitower.data.files import read_regular, write_file
from minitower.data.options import option
from minitower.store.folder import LARGEST, POINTER, SavedFolder, from_json, is_integer, is_sha256
from minitower.store.new_folder import to_json

Kind = Literal["full", "incremental", "index"]
T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """An entry of the version log.

    Attributes:
        number: 1, 2, ...; never given twice.
        kind: "full", or "incremental" on top of its parent; or "index", item vectors by
            themselves, in a store of their own.
        parent: the full version it began from, if any.
        published: UTC, ISO 8601.
        manifest: the SHA-256 of its manifest.
    """

    number: int
    kind: Kind
    parent: int | None
    published: str
    manifest: str


@dataclass(frozen=True)
class VersionLog:
    """What a store holds at one moment.

    Attributes:
        folder: of the store.
        versions: ascending.
        current: the number of the version that is served; None before the first one.
        next: the number that the next version gets.
        unfinished: numbers whose folders, where they exist, are not versions: one is being
            written, or is to be removed.
    """

    folder: Path
    versions: tuple[Version, ...] = ()
    current: int | None = None
    next: int = 1
    unfinished: tuple[int, ...] = ()

    @staticmethod
    def read(folder: str | Path) -> "VersionLog":
        """The version log of a store.

        Raises:
            DataError: the folder is not a store, or CURRENT is damaged or of another release.
        """
        path = Path(folder) / POINTER
        if not os.path.lexists(path):
            what = "the folder is missing" if not path.parent.is_dir() else "missing"
            raise DataError(f"{path}: {what}; expected a store that minitower published")
        if path.is_symlink() or not path.is_file():
            raise DataError(f"{path}: a link or not a regular file; put the file itself there")
        text, _, digest = read_regular(path, LARGEST).rpartition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise DataError(f"{path}: damaged: its last line is not the SHA-256 of the others")
        try:
            return _log(path.parent, from_json(text, path))
        except ValueError as error:  # intact, and not as this release writes it
            reason = str(error).removeprefix(f"{path}: ")
            raise DataError(f"{path}: written by another release of minitower: {reason}") from None

    def write(self) -> None:
        """Make this the version log of the store, by one rename.

        Raises:
            DataError: the disk refuses it. The old version log stays.
        """
        stated = {name: value for name, value in asdict(self).items() if name != "folder"}
        text = to_json(stated, self.folder)
        digest = hashlib.sha256(text).hexdigest().encode()
        write_file(self.folder / POINTER, text + b"\n" + digest)

    def version(self, number: int | None = None) -> Version:
        """One version, by default the current one.

        Raises:
            DataError: no version has that number, or nothing has been published.
        """
        number = self.current if number is None else number
        for version in self.versions:
            if version.number == number:
                return version
        if number is None:
            raise DataError(f"{self.folder}: nothing has been published yet")
        held = ", ".join(str(version.number) for version in self.versions)
        raise DataError(f"{self.folder}: version {number} is missing; versions: {held}")

    def full(self, number: int | None = None) -> Version:
        """The version itself if it is full, or else its parent; by default of the current one."""
        version = self.version(number)
        return self.version(version.parent) if version.kind == "incremental" else version

    def check_full(self, parent: int) -> Version:
        """The current full version, which the parent must be.

        Raises:
            VersionConflict: the parent is another version.
        """
        option("parent", parent, 1)
        full = self.full()
        if parent != full.number:
            raise VersionConflict(
                f"{self.folder}: parent: version {parent} is not the current full version, "
                f"which is {full.number}: begin again from that one"
            )
        return full

    def check_family(self, kind: Kind) -> None:
        """Refuse a store of the other family: models, or indexes.

        Raises:
            DataError: the store holds the other family.
        """
        for version in self.versions:
            if (version.kind == "index") != (kind == "index"):
                held = "indexes" if version.kind == "index" else "models"
                raise DataError(f"{self.folder}: is a store of {held}; choose another folder")

    def path(self, number: int) -> Path:
        """The folder of a version."""
        return self.folder / "versions" / f"{number:06d}"

    def open(self, version: Version) -> SavedFolder:
        """The files of a version.

        Raises:
            DataError: as :class:`SavedFolder`.
        """
        return SavedFolder(self.path(version.number), version.kind, sha256=version.manifest)

    def verify(self, version: Version) -> None:
        """Read every file of a version, also files that serving does not need.

        Raises:
            DataError: a file is damaged or missing; the message names it.
        """
        saved = self.open(version)
        for name in saved.files:
            saved.path(name)


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


class VersionConflict(DataError):
    """The parent is no longer the current full version."""


def _log(folder: Path, stated: Any) -> VersionLog:
    """The version log that JSON states; release 0.1 states nothing unfinished.

    Raises:
        ValueError: the JSON is not what :meth:`VersionLog.write` writes.
    """
    if not isinstance(stated, dict):
        raise ValueError(f"expected an object, got {show(stated)}")
    stated = {"versions": None, "current": None, "next": None, "unfinished": [], **stated}
    versions = _versions(stated["versions"])
    current, following, unfinished = stated["current"], stated["next"], stated["unfinished"]
    numbers = [version.number for version in versions]
    if not (is_integer(current, 1) and current in numbers if versions else current is None):
        raise ValueError(f"current cannot be {show(current)}")
    if not is_integer(following, max(numbers, default=0) + 1):
        raise ValueError(f"next cannot be {show(following)}")
    if not isinstance(unfinished, list) or not all(
        is_integer(n, 1) and n <= following and n not in numbers for n in unfinished
    ):
        raise ValueError(f"unfinished cannot be {show(unfinished)}")
    return VersionLog(folder, versions, current, following, tuple(unfinished))


def _versions(stated: Any) -> tuple[Version, ...]:
    """Entries in ascending order, each incremental one on an earlier full version."""
    if not isinstance(stated, list):
        raise ValueError(f"versions: expected a list, got {show(stated)}")
    versions = tuple(_version(entry) for entry in stated)
    full, last = set[int | None](), 0
    for version in versions:
        if version.number <= last:
            raise ValueError(f"version {version.number} stands behind version {last}")
        if version.kind == "incremental" and version.parent not in full:
            raise ValueError(f"version {version.number} stands on no earlier full version")
        last = version.number
        if version.kind == "full":
            full.add(last)
    return versions


def _version(stated: Any) -> Version:
    names = [field.name for field in fields(Version)]
    if not isinstance(stated, dict) or stated.keys() != {*names}:
        raise ValueError(f"a version: expected {', '.join(names)}, got {show(stated)}")
    number, parent = stated["number"], stated["parent"]
    counted = is_integer(number, 1)
    holds = {
        "number": counted,
        "kind": stated["kind"] in get_args(Kind),
        "parent": parent is None or (counted and is_integer(parent, 1) and parent < number),
        "published": _is_time(stated["published"]),
        "manifest": is_sha256(stated["manifest"]),
    }
    for name, held in holds.items():
        if not held:
            raise ValueError(f"version {show(number)}: {name} cannot be {show(stated[name])}")
    return Version(**stated)


def _is_time(stated: Any) -> bool:
    try:
        return datetime.fromisoformat(stated).isoformat(timespec="seconds") == str(stated)
    except (TypeError, ValueError):
        return False
