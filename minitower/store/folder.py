"""A folder of arrays and JSON that is there whole, or not at all.

    folder/
      manifest.json      format, version, kind, content, and size and SHA-256 of each file
      parameters.npz     arrays, read with allow_pickle=False
      ...

Writing goes to a sibling with a temporary name, which takes the folder's place when
it is complete and on the disk. Reading trusts nothing that the manifest does not vouch
for.
"""

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError, show
from minitower.data.options import checked_path
from minitower.formulas.arrays import Array
from minitower.store import disk
from minitower.store.array_files import read_array, read_arrays
from minitower.store.json_files import from_json, is_integer, is_sha256, to_json

FORMAT = "minitower"
VERSION = 1
MANIFEST = "manifest.json"
POINTER = "CURRENT"  # of a store, see minitower.store.catalogue
LOCK = "LOCK"
_NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)  # of a file: within the folder, on any system


@contextmanager
def new_folder(folder: str | Path, kind: str, content: Mapping[str, Any]) -> Iterator[Path]:
    """A place to write files to, which becomes `folder` when the block ends well.

    An older folder of that kind is replaced; anything else is left alone. The content of
    the files is on the disk before they get their names. Replacing takes two renames: after
    a crash between them the old folder lies beside, under a temporary name.

    Args:
        folder: where to.
        kind: what it holds ("model", "full"), checked when it is opened.
        content: JSON of the manifest; entries may still be added within the block.

    Raises:
        DataError: something else is there, it cannot be written, or content is not JSON.
    """
    target = Path(folder).absolute()
    refuse_foreign(target, kind)
    with cannot_be_written(target):
        disk.make_folder(target.parent)
        place = temporary(target)
    try:
        with cannot_be_written(target):
            fresh = place / "new"
            fresh.mkdir()
            yield fresh
            files = {path.name: _finished(path) for path in sorted(fresh.iterdir())}
            manifest = {"format": FORMAT, "version": VERSION, "kind": kind}
            manifest |= {"content": content, "files": files}
            disk.write(fresh / MANIFEST, to_json(manifest, target))
            disk.flush(fresh)
            refuse_foreign(target, kind)
            if target.exists():
                target.rename(place / "old")
            try:
                disk.rename(fresh, target)
            except OSError:
                if (place / "old").exists():
                    (place / "old").rename(target)
                raise
    finally:
        shutil.rmtree(place, ignore_errors=True)


class SavedFolder:
    """A folder that :func:`new_folder` wrote, opened for reading.

    Args:
        folder: where it is.
        kinds: what it may hold.
        sha256: of its manifest, where something else than the manifest itself vouches for it.

    Raises:
        DataError: it is not a minitower folder, of another version or kind, or
            damaged; the message names the file.
    """

    def __init__(self, folder: str | Path, *kinds: str, sha256: str | None = None) -> None:
        self.folder = Path(folder)
        manifest = self._manifest(kinds, sha256)
        self.kind: str = manifest["kind"]
        self.content: dict[str, Any] = manifest["content"]
        self.files: dict[str, Any] = manifest["files"]
        for name in self.files:
            self._sized(name)

    def path(self, name: str) -> Path:
        """A file whose size and SHA-256 are as they were written."""
        path = self._sized(name)
        if fingerprint(path) != self.files[name]:
            raise DataError(f"{path}: damaged: its SHA-256 is not the one in {MANIFEST}")
        return path

    def array(self, name: str, *, mapped: bool = False) -> Array:
        """The array of an .npy file; see :func:`~minitower.store.array_files.read_array`."""
        with self._array_file(name) as path:
            return read_array(path, mapped=mapped)

    def arrays(self, name: str, *, mapped: bool = False) -> dict[str, Array]:
        """The arrays of an .npz file."""
        with self._array_file(name) as path:
            return read_arrays(path, mapped=mapped)

    def __contains__(self, name: str) -> bool:
        return name in self.files

    @contextmanager
    def _array_file(self, name: str) -> Iterator[Path]:
        path = self.path(name)
        try:
            yield path
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: not an array file: {error}") from None

    def _sized(self, name: str) -> Path:
        path = self.folder / name
        if name not in self.files:
            raise DataError(f"{path}: not listed in {MANIFEST}")
        if not path.is_file():
            raise DataError(f"{path}: missing")
        size, expected = path.stat().st_size, self.files[name]["bytes"]
        if size != expected:
            raise DataError(f"{path}: {size} bytes instead of {expected}; it was cut or changed")
        return path

    def _manifest(self, kinds: tuple[str, ...], sha256: str | None) -> dict[str, Any]:
        path = self.folder / MANIFEST
        if not path.is_file():
            what = "there is no such folder" if not self.folder.is_dir() else "missing"
            raise DataError(f"{path}: {what}; expected a folder that minitower wrote")
        text = disk.read(path.resolve(), path)
        if sha256 is not None and hashlib.sha256(text).hexdigest() != sha256:
            raise DataError(f"{path}: damaged: its SHA-256 is not the one in {POINTER}")
        manifest = from_json(text, path)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise DataError(f"{path}: not written by minitower")
        version = manifest.get("version")
        if not is_integer(version, 1) or version != VERSION:
            raise DataError(
                f"{path}: format version {show(version)}, but this minitower reads "
                f"version {VERSION}; write it again with this release"
            )
        if not all(isinstance(manifest.get(part), dict) for part in ("content", "files")):
            raise DataError(f"{path}: content or files are missing")
        kind, wanted = manifest.get("kind"), " or a ".join(kinds)
        if not isinstance(kind, str) or kind not in kinds:
            raise DataError(
                f"{path}: holds a {kind if isinstance(kind, str) else show(kind)}, not a {wanted}"
            )
        for name, stated in manifest["files"].items():
            _check_entry(path, name, stated)
        return manifest


def _check_entry(manifest: Path, name: str, stated: Any) -> None:
    if not _NAME.fullmatch(name):
        raise DataError(f"{manifest}: {show(name)} cannot be the name of a file in its folder")
    if (
        not isinstance(stated, dict)
        or stated.keys() != {"bytes", "sha256"}
        or not (is_integer(stated["bytes"], 0) and is_sha256(stated["sha256"]))
    ):
        raise DataError(f"{manifest.parent / name}: {MANIFEST} does not state its size and SHA-256")


def temporary(target: Path) -> Path:
    """Make a folder beside `target`, of a temporary name that only this package gives."""
    return Path(tempfile.mkdtemp(prefix=f".minitower-{target.name}.", dir=target.parent))


def refuse_foreign(target: Path, kind: str = "store") -> None:
    """Only a folder of ours and of the same kind, or an empty one, is ever written to.

    Raises:
        DataError: something else is there.
    """
    checked_path("folder", target)
    begun = {LOCK, f"{POINTER}.new"} if kind == "store" else set()  # by a crash at its very start
    if not target.exists() or (target.is_dir() and {p.name for p in target.iterdir()} <= begun):
        return
    manifest = _manifest_in(target)
    there = "store" if os.path.lexists(target / POINTER) else manifest.get("kind")
    if not isinstance(there, str):
        raise DataError(f"{target}: already there, and not written by minitower; choose another")
    if there != kind:
        raise DataError(f"{target}: already there, and holds a {there}; choose another")
    if kind != "store":  # a store stays, any other folder is replaced
        unlisted = {path.name for path in target.iterdir()} - {MANIFEST, *manifest["files"]}
        if unlisted:
            name = show(min(unlisted))
            raise DataError(f"{target}: holds {name}, which minitower did not write; move it away")


def is_written(folder: Path) -> bool:
    """Whether minitower wrote a folder, as its manifest says."""
    return bool(_manifest_in(folder))


def _manifest_in(folder: Path) -> dict[str, Any]:
    try:
        manifest = from_json(disk.read(folder / MANIFEST), folder)
    except (OSError, DataError):
        return {}
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        return {}
    return manifest if isinstance(manifest.get("files"), dict) else {}


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as a manifest states them."""
    with path.open("rb") as file, disk.naming(path):
        digest = hashlib.file_digest(file, "sha256")
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest.hexdigest()}


@contextmanager
def cannot_be_written(target: Path) -> Iterator[None]:
    """What the operating system refuses within the block is one clear error."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error


def _finished(path: Path) -> dict[str, Any]:
    disk.flush(path)
    return fingerprint(path)
