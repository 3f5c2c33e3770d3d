"""Arrays in files: .npy for one, .npz for several, never pickled, never compressed.

Any NumPy reads them. They are written so that they can be used where they lie: the
members of an .npz begin at multiples of 64 bytes, as an .npy's numbers do, and
reading maps them into memory instead of copying them.
"""

import io
import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from minitower.data.errors import DataError
from minitower.formulas.arrays import Array

_ALIGNED = 64
_LOCAL_HEADER = 30  # bytes before the name of a member
_ZIP64 = 20  # bytes of the extra field that zipfile adds


def write_array(path: Path, array: Array) -> None:
    """One array, without pickle."""
    plain = _plain(array, path.name)
    with path.open("wb") as file:
        # By write alone: NumPy's way to a file itself forgets why a disk refuses.
        writer: Any = SimpleNamespace(write=file.write)
        np.lib.format.write_array(writer, plain, allow_pickle=False)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Named arrays, without pickle and uncompressed."""
    plain = {name: _plain(array, name) for name, array in arrays.items()}
    with path.open("wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, array in plain.items():  # np.savez cannot take every name
            member = zipfile.ZipInfo(f"{name}.npy")
            start = file.tell() + _LOCAL_HEADER + len(member.filename.encode()) + _ZIP64
            # An extra field of no known kind, of 4 bytes and zeros, moves the array into line.
            padding = -(start + 4) % _ALIGNED
            member.extra = struct.pack("<HH", 0xFFFF, padding) + bytes(padding)
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, array, allow_pickle=False)


def read_array(path: Path, *, mapped: bool) -> Array:
    """The array of an .npy file: writable and in memory, or read-only and mapped.

    Raises:
        ValueError, OSError: the file is not an .npy without objects, or the sizes that its
            header states are not those of the file. No memory is taken before that is known.
    """
    array = _array_in(_map(path))
    return array if mapped else array.copy(order="K")


def read_arrays(path: Path, *, mapped: bool) -> dict[str, Array]:
    """The arrays of an .npz file by name, as :func:`read_array` reads one.

    Raises:
        ValueError, OSError, zipfile.BadZipFile: the file is not an uncompressed .npz without
            objects, or sizes differ as in :func:`read_array`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except NotImplementedError as error:  # of another version of the format
        raise ValueError(str(error)) from None
    content = _map(path)
    arrays = {}
    for member in members:
        start = member.header_offset
        header = content[start : start + _LOCAL_HEADER].tobytes()
        if member.compress_type != zipfile.ZIP_STORED or len(header) < _LOCAL_HEADER:
            raise ValueError(f"'{member.filename}' is compressed or cut")
        start += _LOCAL_HEADER + sum(struct.unpack("<HH", header[26:]))
        array = _array_in(content[start : start + member.file_size])
        arrays[member.filename.removesuffix(".npy")] = array if mapped else array.copy(order="K")
    return arrays


def _map(path: Path) -> Array:
    return np.memmap(path, np.uint8, mode="r").view(np.ndarray)


def _array_in(content: Array) -> Array:
    """The array of an .npy, which the mapped bytes are all of."""
    head = io.BytesIO(content[: 1 << 16].tobytes())
    try:
        if np.lib.format.read_magic(head) == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(head)
        else:
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(head)
    except Exception as error:  # NumPy lets Python parse the header: it fails in many ways
        raise ValueError(f"no header of an array: {error}") from None
    if dtype.hasobject:
        raise ValueError("holds Python objects, which only pickle could read")
    stated, there = dtype.itemsize * math.prod(shape), len(content) - head.tell()
    if stated != there or min(shape, default=0) < 0:
        raise ValueError(f"its header states {shape} {dtype}, {stated} bytes; there are {there}")
    order: Any = "F" if fortran else "C"
    return np.ndarray(shape, dtype, content.data, head.tell(), order=order)


def _plain(array: Array, name: str) -> Array:
    array = np.asarray(array)
    if array.dtype.hasobject:
        raise DataError(f"{name}: an array of Python objects cannot be stored without pickle")
    return array
