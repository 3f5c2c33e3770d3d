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
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError
from minitower.data.ragged import Array
from minitower.retrieval import disk
from minitower.retrieval.array_files import read_array, read_arrays

FORMAT = "minitower"
VERSION = 1
MANIFEST = "manifest.json"
POINTER = "CURRENT"  # of a store, see minitower.retrieval.catalogue
LOCK = "LOCK"


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
        place = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with cannot_be_written(target):
            fresh = place / "new"
            fresh.mkdir()
            yield fresh
            files = {path.name: _finished(path) for path in sorted(fresh.iterdir())}
            manifest = {"format": FORMAT, "version": VERSION, "kind": kind}
            manifest |= {"content": content, "files": files}
            disk.write(fresh / MANIFEST, json_text(manifest, target))
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
        """The array of an .npy file; see :func:`~minitower.retrieval.array_files.read_array`."""
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
        stated = self.files[name]
        if not isinstance(stated, dict) or stated.keys() != {"bytes", "sha256"}:
            raise DataError(f"{path}: {MANIFEST} does not state its size and SHA-256")
        size, expected = path.stat().st_size, stated["bytes"]
        if size != expected:
            raise DataError(f"{path}: {size} bytes instead of {expected}; it was cut or changed")
        return path

    def _manifest(self, kinds: tuple[str, ...], sha256: str | None) -> dict[str, Any]:
        path = self.folder / MANIFEST
        if not path.is_file():
            what = "there is no such folder" if not self.folder.is_dir() else "missing"
            raise DataError(f"{path}: {what}; expected a folder that minitower wrote")
        text = path.read_bytes()
        if sha256 is not None and hashlib.sha256(text).hexdigest() != sha256:
            raise DataError(f"{path}: damaged: its SHA-256 is not the one in {POINTER}")
        try:
            manifest = json.loads(text.decode("utf-8"))
        except ValueError as error:
            raise DataError(f"{path}: not JSON, perhaps cut: {error}") from None
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise DataError(f"{path}: not written by minitower")
        if manifest.get("version") != VERSION:
            raise DataError(
                f"{path}: format version {manifest.get('version')}, but this minitower reads "
                f"version {VERSION}; write it again with this release"
            )
        if not all(isinstance(manifest.get(part), dict) for part in ("content", "files")):
            raise DataError(f"{path}: content or files are missing")
        if manifest.get("kind") not in kinds:
            raise DataError(f"{path}: holds a {manifest.get('kind')}, not a {' or a '.join(kinds)}")
        return manifest


def refuse_foreign(target: Path, kind: str = "store") -> None:
    """Only a folder of ours and of the same kind, or an empty one, is ever written to.

    Raises:
        DataError: something else is there.
    """
    begun = {LOCK, f"{POINTER}.new"} if kind == "store" else set()  # by a crash at its very start
    if not target.exists() or (target.is_dir() and {p.name for p in target.iterdir()} <= begun):
        return
    there = "store" if (target / POINTER).is_file() else None
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(manifest, dict) and manifest.get("format") == FORMAT:
            there = manifest.get("kind")
    except (OSError, ValueError):
        pass
    if there is None:
        raise DataError(f"{target}: already there, and not written by minitower; choose another")
    if there != kind:
        raise DataError(f"{target}: already there, and holds a {there}; choose another")


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as a manifest states them."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest.hexdigest()}


def json_text(content: Any, place: Path) -> bytes:
    """JSON for a file.

    Raises:
        DataError: the content is not JSON.
    """
    try:
        return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode("utf-8")
    except (TypeError, ValueError) as error:
        raise DataError(f"{place}: the manifest is not JSON: {error}") from None


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
