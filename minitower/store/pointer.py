"""The versions of a store, and the one file that says which of them there are.

    store/
      CURRENT            JSON: all versions, which is served; then the SHA-256 of that JSON
      LOCK               held by whoever changes the store
      versions/
        000001/          as in minitower.store.folder; never changed once it is there
        000002/

CURRENT holds the SHA-256 of each manifest, and each manifest that of its files.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError, show
from minitower.data.options import option
from minitower.store import disk
from minitower.store.folder import MANIFEST, POINTER, SavedFolder, fingerprint, new_folder
from minitower.store.json_files import from_json, is_integer, to_json
from minitower.store.version import Kind, Version, versions_of

_NUMBER = re.compile(r"\d{6,15}", re.ASCII)


@dataclass(frozen=True)
class Catalogue:
    """What a store holds at one moment.

    Attributes:
        folder: of the store.
        versions: ascending.
        current: the number of the version that is served; None before the first.
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
    def read(folder: str | Path) -> "Catalogue":
        """The catalogue of a store.

        Raises:
            DataError: the folder is not a store, or its pointer is damaged or of another release.
        """
        path = Path(folder) / POINTER
        if not os.path.lexists(path):
            what = "there is no such folder" if not path.parent.is_dir() else "missing"
            raise DataError(f"{path}: {what}; expected a store that minitower published")
        text, _, digest = disk.read(path).rpartition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise DataError(f"{path}: damaged: its last line is not the SHA-256 of the others")
        try:
            return _catalogue(path.parent, from_json(text, path))
        except ValueError as error:  # intact, and not as we write it
            reason = str(error).removeprefix(f"{path}: ")
            raise DataError(f"{path}: written by another release of minitower: {reason}") from None

    def write(self) -> None:
        """Make this the catalogue of the store, by one rename.

        Where the disk refuses it, the old catalogue stays, and no other file.
        """
        stated = {name: value for name, value in asdict(self).items() if name != "folder"}
        text = to_json(stated, self.folder)
        aside = self.folder / f"{POINTER}.new"
        disk.write(aside, text + b"\n" + hashlib.sha256(text).hexdigest().encode())
        try:
            disk.rename(aside, self.folder / POINTER)
        except OSError:
            aside.unlink(missing_ok=True)
            raise

    def version(self, number: int | None = None) -> Version:
        """One version, by default the one that is served.

        Raises:
            DataError: there is none of that number, or none at all.
        """
        number = self.current if number is None else number
        for version in self.versions:
            if version.number == number:
                return version
        if number is None:
            raise DataError(f"{self.folder}: nothing has been published yet")
        held = ", ".join(str(version.number) for version in self.versions)
        raise DataError(f"{self.folder}: there is no version {number}; versions: {held}")

    def full(self, number: int | None = None) -> Version:
        """The full version that a version is, or stands on. By default of the one served."""
        version = self.version(number)
        return self.version(version.parent) if version.kind == "incremental" else version

    def check_full(self, parent: int) -> Version:
        """The full version that is served, if that is what was gone on from.

        Raises:
            Superseded: it is another one.
        """
        option("parent", parent, 1)
        full = self.full()
        if parent != full.number:
            raise Superseded(
                f"{self.folder}: parent: version {parent} is not the full version that is served, "
                f"which is {full.number}: begin again from that one"
            )
        return full

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
        """Read every file of a version, needed for serving or not.

        Raises:
            DataError: one is damaged or missing; the message names it.
        """
        saved = self.open(version)
        for name in saved.files:
            saved.path(name)

    def check_family(self, kind: Kind) -> None:
        """Refuse what a store of the other family holds: models, or indexes.

        Raises:
            DataError: it does.
        """
        for version in self.versions:
            if (version.kind == "index") != (kind == "index"):
                held = "indexes" if version.kind == "index" else "models"
                raise DataError(f"{self.folder}: is a store of {held}; choose another folder")

    @contextmanager
    def new_version(self, kind: Kind, content: Mapping[str, Any]) -> Iterator[Path]:
        """A place to write the files of version `next` to, as :func:`new_folder`.

        Raises:
            DataError: a folder is there whose number is not given yet, or as :func:`new_folder`.
        """
        target = self.path(self.next)
        there = target.parent.iterdir() if target.parent.is_dir() else ()
        names = [path.name for path in there]
        found = sorted(n for n in names if _NUMBER.fullmatch(n) and int(n) >= self.next)
        if found:
            raise DataError(
                f"{target.parent}: holds {', '.join(found[:3])}, but {POINTER} knows no version "
                f"from {self.next} on; put back the {POINTER} that names them, or move them away"
            )
        replace(self, unfinished=(*self.unfinished, self.next)).write()
        with new_folder(target, kind, content) as place:
            yield place

    def with_version(self, kind: Kind, parent: int | None) -> "Catalogue":
        """The catalogue once the folder written as number `next` is served."""
        self.check_family(kind)
        manifest = fingerprint(self.path(self.next) / MANIFEST)["sha256"]
        published = datetime.now(UTC).isoformat(timespec="seconds")
        version = Version(self.next, kind, parent, published, manifest)
        versions = (*self.versions, version)
        return replace(self, versions=versions, current=self.next, next=self.next + 1)


class Superseded(DataError):
    """What was made on top of a full version that is no longer the one that is served."""


def _catalogue(folder: Path, stated: Any) -> Catalogue:
    """The catalogue that JSON states; an earlier release states nothing unfinished."""
    if not isinstance(stated, dict):
        raise ValueError(f"expected an object, got {show(stated)}")
    stated = {"versions": None, "current": None, "next": None, "unfinished": [], **stated}
    versions = versions_of(stated["versions"])
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
    return Catalogue(folder, versions, current, following, tuple(unfinished))
