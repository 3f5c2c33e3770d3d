"""Read a folder of arrays and JSON that :mod:`minitower.store.new_folder` wrote. Chapter 15.

    folder/
      manifest.json       format, version, kind, content, and size and SHA-256 of each file
      item_vectors.npy    one array, without pickle
      parameters-0.npy    the first array of the group "parameters"; the content names it
      ...

Reading trusts only files that match the manifest, and JSON and arrays in strict form. Any
NumPy reads the arrays; a large one is mapped into memory, not copied.
"""

import hashlib
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from minitower.data.errors import DataError, show
from minitower.data.files import read_regular
from minitower.formulas.arrays import Array

FORMAT = "minitower"
VERSION = 2  # 1, of release 0.1, keeps groups of arrays in .npz files
MANIFEST = "manifest.json"
POINTER = "CURRENT"  # of a store, see minitower.store.version_log
LARGEST = 1 << 26  # bytes of CURRENT or a manifest
DEEPEST = 100  # levels of lists and objects in JSON
_NAME = re.compile(r"\w[\w.-]{0,99}", re.ASCII)  # of a file: in the folder itself, on any system


class SavedFolder:
    """A folder that :func:`~minitower.store.new_folder.new_folder` wrote, opened for reading.

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
        """The array of an .npy file; see :func:`read_array`."""
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


def from_json(text: bytes, place: Path) -> Any:
    """The content of a JSON file.

    Python's own reader also accepts NaN and a name that occurs twice.

    Raises:
        DataError: the text is not JSON; a name occurs twice in an object; a number is not
            finite or has more than 4,300 digits; the nesting is deeper than 100 levels.
    """
    try:
        return parsed_json(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON, perhaps cut: {error}") from None


def parsed_json(text: bytes) -> Any:
    value = json.loads(
        text.decode("utf-8"),
        object_pairs_hook=_distinct,
        parse_constant=_finite,
        parse_float=_finite,
    )
    if _depth(value) > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    return value


def _depth(value: Any) -> int:
    """How many levels of lists and objects a value of JSON has."""
    if not isinstance(value, (dict, list)):
        return 0
    return 1 + max(map(_depth, value.values() if isinstance(value, dict) else value), default=0)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the name {show(name)} occurs twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{show(text)} is not a finite number")
    return value


def is_integer(value: Any, least: int) -> TypeGuard[int]:
    """Whether a value of JSON is an integer (not 1.0, not true) from `least` to 2^53."""
    return type(value) is int and least <= value <= 1 << 53


def is_sha256(value: Any) -> bool:
    """Whether a value of JSON is a SHA-256 as hashlib prints it."""
    return isinstance(value, str) and len(value) == 64 and not {*value} - {*"0123456789abcdef"}


def read_array(path: Path, *, mapped: bool) -> Array:
    """The array of an .npy file: read-only and mapped, or writable and in memory.

    Raises:
        DataError: the file is not an .npy without objects, or the file is not as long as its
            header states. No memory is taken before that is known.
    """
    try:
        with path.open("rb") as file:
            if np.lib.format.read_magic(file) != (1, 0):  # later ones allow a header of 4 GiB
                raise ValueError("not of version 1.0 of the format")
        array = np.lib.format.open_memmap(path, mode="r")
        stated = array.offset + array.nbytes
        if stated != (size := path.stat().st_size):
            raise ValueError(f"its header states {stated} bytes, the file has {size}")
    except Exception as error:  # NumPy lets Python parse the header, which fails in many ways
        raise DataError(f"{path}: not an array file: {error}") from None
    return np.asarray(array) if mapped else np.array(array, order="K")


def read_archive(path: Path) -> dict[str, Array]:
    """The arrays of an .npz file, which release 0.1 wrote, in memory.

    Raises:
        DataError: the file is not an .npz without objects.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive.items())
    except Exception as error:  # as in read_array, and zipfile's own
        raise DataError(f"{path}: not an array file: {error}") from None
