"""What a change that was cut off leaves in the `versions` folder of a store.

A store deletes only what it knows to be its own: folders with a temporary name of its
writer, and numbers that CURRENT lists as unfinished. Anything else is left alone.
"""

import re
import shutil
import warnings
from collections.abc import Iterable
from pathlib import Path

from minitower.store.folder import is_written, temporary

_TEMPORARY = re.compile(r"\.(minitower-)?\d{6,}\.[a-z0-9_]{8}")  # the word: not always
_PARTS = {"new", "old"}  # what a temporary folder may hold


def sweep(folder: Path, unfinished: Iterable[Path]) -> list[Path]:
    """Remove what changes that were cut off have left; a warning says what.

    Args:
        folder: the `versions` of a store.
        unfinished: folders of versions, complete, that no reader may open.

    Returns:
        The unfinished ones that could not be removed.
    """
    left = [path for path in unfinished if _is_ours(path) and not _removed(path)]
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _TEMPORARY.fullmatch(path.name) and _is_temporary(path):
            _removed(path)
    return left


def remove(path: Path) -> str | None:
    """Remove the folder of a version, without a moment at which its name holds a part of it.

    Returns:
        None, or why the folder, or a part of it, is still there.
    """
    if path.is_symlink() or not path.is_dir():
        return "it is a link or a file, which minitower did not make"
    try:
        place = path
        if not _TEMPORARY.fullmatch(path.name):
            place = temporary(path)
            try:
                path.rename(place / "old")
            except OSError:
                place.rmdir()
                raise
        shutil.rmtree(place)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _removed(path: Path) -> bool:
    why = remove(path)
    if why is None:
        warnings.warn(f"{path}: removed; a change that was cut off left it", stacklevel=2)
    else:
        warnings.warn(f"{path}: cannot be removed ({why}); remove it by hand", stacklevel=2)
    return why is None


def _is_ours(path: Path) -> bool:
    return path.is_symlink() or (path.exists() and is_written(path))


def _is_temporary(path: Path) -> bool:
    return not path.is_symlink() and path.is_dir() and {p.name for p in path.iterdir()} <= _PARTS
