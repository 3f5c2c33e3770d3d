"""The two formats of a store's files: strict JSON, and NumPy arrays without pickle.

Both are strict in both directions: a file comes back as it was written, or is refused with
one line. Any NumPy reads the arrays; a large one is mapped into memory, not copied.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeGuard

import numpy as np

from minitower.data.errors import DataError, show
from minitower.formulas.arrays import Array

DEEPEST = 100  # levels of lists and objects


def to_json(content: Any, place: Path) -> bytes:
    """JSON for a file, which :func:`from_json` reads back.

    Raises:
        DataError: the content is not JSON.
    """
    try:
        text = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode("utf-8")
        _parsed(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{place}: the manifest is not JSON: {error}") from None
    return text


def from_json(text: bytes, place: Path) -> Any:
    """The content of a JSON file.

    Python's own reader also accepts NaN and a name that occurs twice.

    Raises:
        DataError: the text is not JSON; a name occurs twice in an object; a number is not
            finite or has more than 4,300 digits; the nesting is deeper than 100 levels.
    """
    try:
        return _parsed(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: not JSON, perhaps cut: {error}") from None


def is_integer(value: Any, least: int) -> TypeGuard[int]:
    """Whether a value of JSON is an integer (not 1.0, not true) from `least` to 2^53."""
    return type(value) is int and least <= value <= 1 << 53


def is_sha256(value: Any) -> bool:
    """Whether a value of JSON is a SHA-256 as hashlib prints it."""
    return isinstance(value, str) and len(value) == 64 and not {*value} - {*"0123456789abcdef"}


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


def write_arrays(folder: Path, group: str, arrays: Mapping[str, Array]) -> list[str]:
    """Write named arrays to `group-0.npy`, `group-1.npy`, ...; return the names in order.

    The names go to the manifest. They may hold characters that no file name can.

    Raises:
        DataError: an array holds Python objects.
    """
    for number, array in enumerate(arrays.values()):
        write_array(folder / f"{group}-{number}.npy", array)
    return list(arrays)


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


def _parsed(text: bytes) -> Any:
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
