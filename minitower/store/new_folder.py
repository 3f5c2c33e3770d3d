"""Write a folder of arrays and JSON that is complete, or not there at all. Chapter 15.

Writing goes to a sibling with a temporary name. The sibling takes the folder's place when
it is complete and on the disk. What cannot be read back is not written.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from minitower.data.errors import DataError, show
from minitower.data.files import TEMPORARY, flush, make_folder, rename, write_errors
from minitower.data.options import checked_path
from minitower.formulas.arrays import Array
from minitower.store.folder import (
    FORMAT,
    MANIFEST,
    POINTER,
    VERSION,
    fingerprint,
    manifest_if_ours,
    parsed_json,
)

LOCK = "LOCK"
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
            entry "arrays" is what :func:`write_arrays` returned.

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


def to_json(content: Any, place: Path) -> bytes:
    """JSON for a file, which :func:`from_json` reads back.

    Raises:
        DataError: the content is not JSON.
    """
    try:
        text = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode("utf-8")
        parsed_json(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{place}: the manifest is not JSON: {error}") from None
    return text


def write_array(path: Path, array: Array) -> None:
    """Write one .npy file, without pickle.

    Raises:
        DataError: the array holds Python objects.
    """
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise DataError(f"{path.name}: an array of Python objects cannot be stored without pickle")
    with path.open("wb") as file:
        # NumPy's own way to a real file drops the reason when a disk refuses.
        writer: Any = SimpleNamespace(write=file.write)
        np.lib.format.write_array(writer, array, allow_pickle=False)


def write_arrays(folder: Path, groups: Mapping[str, Mapping[str, Array]]) -> dict[str, list[str]]:
    """Write groups of named arrays to `group-0.npy`, `group-1.npy`, ...

    Returns:
        For the manifest, the names of each group in order. They may hold characters that no
        file name can.

    Raises:
        DataError: an array holds Python objects.
    """
    for group, arrays in groups.items():
        for number, array in enumerate(arrays.values()):
            write_array(folder / f"{group}-{number}.npy", array)
    return {group: list(arrays) for group, arrays in groups.items()}
