"""The versions of a store, and the one file that says which of them there are.

    store/
      CURRENT            JSON: all versions, which is served; then the SHA-256 of that JSON
      LOCK               held by whoever changes the store
      versions/
        000001/          as in minitower.retrieval.folder; never changed once it is there
        000002/

A change writes new folders first, then replaces CURRENT by one rename, then removes the
folders that CURRENT no longer names. So whatever moment a process dies at, CURRENT names
complete folders; what it does not name is litter, and the next change sweeps it away.
CURRENT holds the SHA-256 of each manifest, and each manifest that of its files.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from minitower.data.errors import DataError
from minitower.retrieval import disk
from minitower.retrieval.folder import (
    LOCK,
    MANIFEST,
    POINTER,
    SavedFolder,
    cannot_be_written,
    fingerprint,
    json_text,
    refuse_foreign,
)

Kind = Literal["full", "incremental", "index"]
T = TypeVar("T")


@dataclass(frozen=True)
class Version:
    """A line of the catalogue.

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
class Catalogue:
    """What a store holds at one moment.

    Attributes:
        folder: of the store.
        versions: ascending.
        current: the number of the version that is served; None before the first.
        next: the number that the next version gets.
    """

    folder: Path
    versions: tuple[Version, ...] = ()
    current: int | None = None
    next: int = 1

    @staticmethod
    def read(folder: str | Path) -> "Catalogue":
        """The catalogue of a store.

        Raises:
            DataError: the folder is not a store, or its pointer is damaged or of another release.
        """
        path = Path(folder) / POINTER
        if not path.is_file():
            what = "there is no such folder" if not path.parent.is_dir() else "missing"
            raise DataError(f"{path}: {what}; expected a store that minitower published")
        content = path.read_bytes()
        text, _, digest = content.rpartition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != digest:
            raise DataError(f"{path}: damaged: its last line is not the SHA-256 of the others")
        try:
            stated = json.loads(text)
            versions = tuple(Version(**version) for version in stated["versions"])
            return Catalogue(path.parent, versions, stated["current"], stated["next"])
        except (KeyError, TypeError, ValueError):  # intact, and not as we write it
            raise DataError(f"{path}: written by another release of minitower") from None

    def write(self) -> None:
        """Make this the catalogue of the store, by one rename."""
        stated = {name: value for name, value in asdict(self).items() if name != "folder"}
        text = json_text(stated, self.folder)
        aside = self.folder / f"{POINTER}.new"
        disk.write(aside, text + b"\n" + hashlib.sha256(text).hexdigest().encode())
        disk.rename(aside, self.folder / POINTER)

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
        full = self.full()
        if parent != full.number:
            raise Superseded(
                f"{self.folder}: version {parent} is not the full version that is served, which "
                f"is {full.number}: begin again from that one"
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


@contextmanager
def changing(folder: str | Path) -> Iterator[Catalogue]:
    """The catalogue of a store, for a block that alone may change it.

    Makes the store where there is none, waits for other processes and threads that
    change it, and sweeps away what those that died have left.

    Raises:
        DataError: something else is there, or it cannot be written.
    """
    root = Path(folder).absolute()
    refuse_foreign(root)
    with cannot_be_written(root):
        disk.make_folder(root)
        with disk.locked(root / LOCK):
            refuse_foreign(root)
            if not (root / POINTER).exists():
                Catalogue(root).write()
            catalogue = Catalogue.read(root)
            _sweep(catalogue)
            yield catalogue


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
        after = replace(
            catalogue, versions=tuple(v for v in catalogue.versions if v.number in kept)
        )
        if after != catalogue:
            after.write()
            _sweep(after)
        return [v.number for v in catalogue.versions if v.number not in kept]


@contextmanager
def _existing(folder: str | Path) -> Iterator[Catalogue]:
    Catalogue.read(folder)  # a store is made by publishing only
    with changing(folder) as catalogue:
        yield catalogue


def _sweep(catalogue: Catalogue) -> None:
    folder = catalogue.folder / "versions"
    named = {catalogue.path(version.number).name for version in catalogue.versions}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in named:
            shutil.rmtree(path, ignore_errors=True)
