"""A folder of arrays and JSON that is complete, or not there at all.

    folder/
      manifest.json       format, version, kind, content, and size and SHA-256 of each file
      item_vectors.npy    one array, without pickle
      parameters-0.npy    the first array of the group "parameters"; the content names it
      ...

Writing goes to a sibling with a temporary name. The sibling takes the folder's place when
it is complete and on the disk. Reading trusts only files that match the manifest.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError, show
from minitower.data.files import TEMPORARY, flush, make_folder, read_regular, rename, write_errors
from minitower.data.options import checked_path
from minitower.formulas.arrays import Array
from minitower.store.formats import (
    from_json,
    is_integer,
    is_sha256,
    read_archive,
    read_array,
    to_json,
)

FORMAT = "minitower"
VERSION = 2  # 1, of release 0.1, keeps groups of arrays in .npz files
MANIFEST = "manifest.json"
POINTER = "CURRENT"  # of a store, see minitower.store.version_log
LOCK = "LOCK"
LARGEST = 1 << 26  # bytes of CURRENT or a manifest
_NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)  # of a file: in the folder itself, on any system
_BEGUN = re.compile(rf"{LOCK}|CURRENT\.new|{TEMPORARY}")  # CURRENT.new is of release 0.1


@contextmanager
def new_folder(folder: str | Path, kind: str, content: Mapping[str, Any]) -> Iterator[Path]:
    """A place to write files to, which becomes `folder` when the block ends well.

    An older folder of the same kind is replaced; anything else is left alone. The content
    of the files is on the disk before they get their names. Replacing takes two renames:
    after a crash between them the old folder lies beside, under a temporary name.

    Args:
        folder: where to.
        kind: what it holds ("model", "full"), checked when it is opened.
        content: JSON of the manifest; entries may still be added within the block. The
            entry "arrays" maps each group of arrays to the names that
            :func:`~minitower.store.formats.write_arrays` returned.

    Raises:
        DataError: something else is there, it cannot be written, or content is not JSON.
    """
    target = Path(folder).absolute()
    check_target(target, kind)
    with write_errors(target):
        make_folder(target.parent)
        place = temporary(target)
    try:
        with write_errors(target):
            fresh = place / "new"
            fresh.mkdir()
            yield fresh
            paths = sorted(fresh.iterdir())
            for path in paths:
                flush(path)
            manifest = {"format": FORMAT, "version": VERSION, "kind": kind, "content": content}
            manifest["files"] = {path.name: fingerprint(path) for path in paths}
            (fresh / MANIFEST).write_bytes(to_json(manifest, target))
            flush(fresh / MANIFEST)
            flush(fresh)
            check_target(target, kind)
            if target.exists():
                target.rename(place / "old")
            try:
                rename(fresh, target)
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
        manifest = _read_manifest(self.folder, kinds, sha256)
        self.kind: str = manifest["kind"]
        self.content: dict[str, Any] = manifest["content"]
        self.files: dict[str, Any] = manifest["files"]
        for name in self.files:
            self._sized(name)

    def path(self, name: str) -> Path:
        """A file whose size and SHA-256 are as they were written.

        Raises:
            DataError: the file is missing or damaged.
        """
        path = self._sized(name)
        if fingerprint(path) != self.files[name]:
            raise DataError(f"{path}: damaged: its SHA-256 is not the one in {MANIFEST}")
        return path

    def array(self, name: str, *, mapped: bool = False) -> Array:
        """The array of an .npy file; see :func:`~minitower.store.formats.read_array`."""
        return read_array(self.path(name), mapped=mapped)

    def arrays(self, group: str, *, mapped: bool = False) -> dict[str, Array]:
        """A group of arrays by name. Release 0.1 wrote a group to one .npz file."""
        if f"{group}.npz" in self.files:
            return read_archive(self.path(f"{group}.npz"))
        names = self._groups.get(group)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError(f"{self.folder}: {MANIFEST} does not list the arrays of '{group}'")
        return {
            name: self.array(f"{group}-{number}.npy", mapped=mapped)
            for number, name in enumerate(names)
        }

    def __contains__(self, name: str) -> bool:
        """Whether a file, or a group of arrays, of this name is there."""
        return name in self.files or f"{name}.npz" in self.files or name in self._groups

    @property
    def _groups(self) -> dict[str, Any]:
        groups = self.content.get("arrays", {})
        return groups if isinstance(groups, dict) else {}

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


def _read_manifest(folder: Path, kinds: tuple[str, ...], sha256: str | None) -> dict[str, Any]:
    """The manifest of a folder, its form checked; errors as of :class:`SavedFolder`."""
    path = folder / MANIFEST
    if not path.is_file():
        what = "the folder is missing" if not folder.is_dir() else "missing"
        raise DataError(f"{path}: {what}; expected a folder that minitower wrote")
    text = read_regular(path, LARGEST)
    if sha256 is not None and hashlib.sha256(text).hexdigest() != sha256:
        raise DataError(f"{path}: damaged: its SHA-256 is not the one in {POINTER}")
    manifest = from_json(text, path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DataError(f"{path}: not written by minitower")
    version, kind = manifest.get("version"), manifest.get("kind")
    if not is_integer(version, 1) or version > VERSION:
        raise DataError(
            f"{path}: format version {show(version)}, but this minitower reads "
            f"versions up to {VERSION}; update minitower, or write it again with this release"
        )
    if not all(isinstance(manifest.get(part), dict) for part in ("content", "files")):
        raise DataError(f"{path}: content or files are missing")
    if not isinstance(kind, str) or kind not in kinds:
        held = kind if isinstance(kind, str) else show(kind)
        raise DataError(f"{path}: holds a {held}, not a {' or a '.join(kinds)}")
    for name, stated in manifest["files"].items():
        if not _NAME.fullmatch(name):
            raise DataError(f"{path}: {show(name)} cannot be the name of a file in its folder")
        if (
            not isinstance(stated, dict)
            or stated.keys() != {"bytes", "sha256"}
            or not (is_integer(stated["bytes"], 0) and is_sha256(stated["sha256"]))
        ):
            raise DataError(f"{folder / name}: {MANIFEST} does not state its size and SHA-256")
    return manifest


@contextmanager
def mismatch_is_data_error(saved: SavedFolder, name: str = "") -> Iterator[None]:
    """Turn an inconsistency between the parts of an intact folder into one clear line.

    Args:
        saved: the folder.
        name: the part that does not fit the others, where that is known.

    Raises:
        DataError: the block raised a KeyError, TypeError or ValueError.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError) and str(saved.folder) in str(error):
            raise  # the error already names its place: a file of the index is damaged
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        what = f"{name}: {what}" if name else what
        raise DataError(f"{saved.folder}: its parts do not fit together: {what}") from error


def temporary(target: Path) -> Path:
    """Make a folder beside `target`, with a temporary name that only this package gives."""
    return Path(tempfile.mkdtemp(prefix=f".minitower-{target.name}.", dir=target.parent))


def check_target(target: Path, kind: str = "store") -> None:
    """Refuse a folder that holds anything but an older folder of this kind, or nothing.

    Raises:
        DataError: something else is there.
    """
    checked_path("folder", target)
    if not target.exists():
        return
    names = {path.name for path in target.iterdir()} if target.is_dir() else {""}
    if kind == "store":  # a crash at its very start leaves these
        names = {name for name in names if not _BEGUN.fullmatch(name)}
    if not names:
        return
    manifest = manifest_if_ours(target)
    there = "store" if os.path.lexists(target / POINTER) else manifest.get("kind")
    if not isinstance(there, str):
        raise DataError(f"{target}: already there, and not written by minitower; choose another")
    if there != kind:
        raise DataError(f"{target}: already there, and holds a {there}; choose another")
    if kind != "store":  # a store stays, any other folder is replaced
        unlisted = names - {MANIFEST, *manifest["files"]}
        if unlisted:
            name = show(min(unlisted))
            raise DataError(f"{target}: holds {name}, which minitower did not write; move it away")


def manifest_if_ours(folder: Path) -> dict[str, Any]:
    """The manifest of a folder that any release of minitower wrote; {} for another folder."""
    try:
        manifest = from_json(read_regular(folder / MANIFEST, LARGEST), folder)
    except DataError:
        return {}
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        return {}
    return manifest if isinstance(manifest.get("files"), dict) else {}


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file, as a manifest states them.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
            return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest.hexdigest()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
