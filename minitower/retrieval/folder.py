"""A folder of arrays and JSON that is there whole, or not at all.

    folder/
      manifest.json      format, version, kind, content, and size and SHA-256 of each file
      parameters.npz     arrays, read with allow_pickle=False
      ...

Writing goes to a sibling with a temporary name, which takes the folder's place when
it is complete. Reading trusts nothing that the manifest does not vouch for.
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

import numpy as np

from minitower.data.errors import DataError
from minitower.data.ragged import Array

FORMAT = "minitower"
VERSION = 1
MANIFEST = "manifest.json"


@contextmanager
def new_folder(folder: str | Path, kind: str, content: Mapping[str, Any]) -> Iterator[Path]:
    """A place to write files to, which becomes `folder` when the block ends well.

    An older minitower folder of that name is replaced; anything else is left alone.

    Args:
        folder: where to.
        kind: what it holds ("model", "store"), checked when it is opened.
        content: JSON of the manifest; entries may still be added within the block.

    Raises:
        DataError: something else is there, it cannot be written, or content is not JSON.
    """
    target = Path(folder).absolute()
    refuse_foreign(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror}") from None
    try:
        fresh = place / "new"
        fresh.mkdir()
        yield fresh
        files = {path.name: _fingerprint(path) for path in sorted(fresh.iterdir())}
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "kind": kind,
            "content": content,
            "files": files,
        }
        try:
            text = json.dumps(manifest, indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise DataError(f"{target}: the manifest is not JSON: {error}") from None
        (fresh / MANIFEST).write_text(text + "\n", encoding="utf-8")
        refuse_foreign(target)
        if target.exists():
            target.rename(place / "old")
        try:
            fresh.rename(target)
        except OSError:
            if (place / "old").exists():
                (place / "old").rename(target)
            raise
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


class SavedFolder:
    """A folder that :func:`new_folder` wrote, opened for reading.

    Raises:
        DataError: it is not a minitower folder, of another version or kind, or
            damaged; the message names the file.
    """

    def __init__(self, folder: str | Path, *kinds: str) -> None:
        self.folder = Path(folder)
        manifest = self._manifest(kinds)
        self.kind: str = manifest["kind"]
        self.content: dict[str, Any] = manifest["content"]
        self._files: dict[str, Any] = manifest["files"]
        for name in self._files:
            self._sized(name)

    def path(self, name: str) -> Path:
        """A file whose size and SHA-256 are as they were written."""
        path = self._sized(name)
        if _fingerprint(path) != self._files[name]:
            raise DataError(f"{path}: damaged: its SHA-256 is not the one in {MANIFEST}")
        return path

    def array(self, name: str) -> Array:
        """The array of an .npy file."""
        array: Array = self._loaded(name)
        return array

    def arrays(self, name: str) -> dict[str, Array]:
        """The arrays of an .npz file."""
        with self._loaded(name) as file:
            return dict(file)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def _loaded(self, name: str) -> Any:
        path = self.path(name)
        try:
            return np.load(path, allow_pickle=False)
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: not an array file: {error}") from None

    def _sized(self, name: str) -> Path:
        path = self.folder / name
        if name not in self._files:
            raise DataError(f"{path}: not listed in {MANIFEST}")
        if not path.is_file():
            raise DataError(f"{path}: missing")
        stated = self._files[name]
        if not isinstance(stated, dict) or stated.keys() != {"bytes", "sha256"}:
            raise DataError(f"{path}: {MANIFEST} does not state its size and SHA-256")
        size, expected = path.stat().st_size, stated["bytes"]
        if size != expected:
            raise DataError(f"{path}: {size} bytes instead of {expected}; it was cut or changed")
        return path

    def _manifest(self, kinds: tuple[str, ...]) -> dict[str, Any]:
        path = self.folder / MANIFEST
        if not path.is_file():
            what = "there is no such folder" if not self.folder.is_dir() else "missing"
            raise DataError(f"{path}: {what}; expected a folder that minitower wrote")
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
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


def write_array(path: Path, array: Array) -> None:
    """One array, without pickle."""
    np.save(path, _plain(array, path.name), allow_pickle=False)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Named arrays, without pickle and uncompressed."""
    plain = {name: _plain(array, name) for name, array in arrays.items()}
    with zipfile.ZipFile(path, "w") as archive:  # np.savez cannot take every name
        for name, array in plain.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _plain(array: Array, name: str) -> Array:
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise DataError(f"{name}: an array of Python objects cannot be stored without pickle")
    return array


def refuse_foreign(target: Path) -> None:
    """Only a folder of ours, or an empty one, is ever replaced.

    Raises:
        DataError: something else is there.
    """
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    try:
        manifest = json.loads((target / MANIFEST).read_text(encoding="utf-8"))
        ours = isinstance(manifest, dict) and manifest.get("format") == FORMAT
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise DataError(f"{target}: already there, and not written by minitower; choose another")


def _fingerprint(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest.hexdigest()}
