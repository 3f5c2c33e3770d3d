"""JSON and arrays come back as they were written, or are refused with one line."""

import json
import math
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minitower.data import DataError
from minitower.store.folder import from_json, read_archive, read_array
from minitower.store.new_folder import to_json, write_array, write_arrays

PLACE = Path("here.json")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=9,
)  # fmt: skip


@given(values)
def test_json__comes_back(value):
    assert from_json(to_json(value, PLACE), PLACE) == value


@pytest.mark.parametrize(
    "text, message",
    [
        (b"[" * 200_000 + b"]" * 200_000, "recursion"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "recursion"),
        (b"[" * 101 + b"]" * 101, "nested deeper than 100 levels"),
        (b"9" * 5000, ""),
        (b'{"a": 1, "a": 1}', "the name 'a' occurs twice"),
        (b"[NaN]", "'NaN' is not a finite number"),
        (b"-Infinity", "'-Infinity' is not a finite number"),
        (b"1e999", "'1e999' is not a finite number"),
        (b"\xff", ""),
        (b"", ""),
        (b"{} {}", ""),
    ],
    ids=lambda x: str(x[:20]),
)
def test_json__refuses(text, message):
    with pytest.raises(
        DataError, match=rf"here.json: not JSON, perhaps cut: .*{message}|{message}"
    ) as e:
        from_json(text, PLACE)
    assert len(str(e.value)) < 500


@pytest.mark.parametrize(
    "content",
    [math.nan, {1: 0, "1": 0}, {(1, 2): 3}, [object()], json.loads("[" * 101 + "]" * 101)],
    ids=repr,
)
def test_json__what_would_not_come_back_is_not_written(content):
    with pytest.raises(DataError, match=r"here.json: the manifest is not JSON"):
        to_json(content, PLACE)


# ------------------------------------------------------------------------------- arrays

storable = st.sampled_from(["f4", "f8", "i4", "i8", "?", "U3"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=2, min_side=0))
)


@given(storable, st.booleans(), st.booleans())
def test_array__comes_back(tmp_path_factory, array, mapped, fortran):
    array = np.asfortranarray(array) if fortran else array
    path = tmp_path_factory.mktemp("a") / "a.npy"
    write_array(path, array)
    again = read_array(path, mapped=mapped)
    np.testing.assert_array_equal(again, array)
    assert type(again) is np.ndarray
    assert (again.dtype, again.flags.writeable) == (array.dtype, not mapped)
    assert again.flags.f_contiguous == array.flags.f_contiguous
    assert again.ctypes.data % again.dtype.alignment == 0
    np.testing.assert_array_equal(np.load(path, allow_pickle=False), array)


@given(st.dictionaries(st.text(max_size=8), storable, max_size=4))
def test_arrays__are_files_of_their_own_under_any_name(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("a")
    names = write_arrays(folder, {"x": content})["x"]
    assert names == list(content)
    for number, name in enumerate(names):
        again = read_array(folder / f"x-{number}.npy", mapped=True)
        np.testing.assert_array_equal(again, content[name])
    assert len([*folder.iterdir()]) == len(content)


def test_array__a_mapped_one_is_not_a_copy(tmp_path):
    write_array(tmp_path / "a.npy", np.arange(3.0))
    mapped = read_array(tmp_path / "a.npy", mapped=True)
    place = (tmp_path / "a.npy").read_bytes().index(np.arange(3.0).tobytes())
    with (tmp_path / "a.npy").open("r+b") as file:
        file.seek(place)
        file.write(np.full(3, 7.0).tobytes())
    assert mapped.tolist() == [7, 7, 7]


def test_array__python_objects_are_refused(tmp_path):
    with pytest.raises(DataError, match="x: an array of Python objects cannot be stored"):
        write_array(tmp_path / "x", np.array([{}]))
    np.save(tmp_path / "x.npy", np.array([{}]))
    np.savez(tmp_path / "x.npz", x=np.array([{}]))
    for mapped in (True, False):
        with pytest.raises(DataError, match=r"x.npy: not an array file: .*[Oo]bject"):
            read_array(tmp_path / "x.npy", mapped=mapped)
    with pytest.raises(DataError, match=r"x.npz: not an array file: .*[Oo]bject"):
        read_archive(tmp_path / "x.npz")


def npy(header, content=b"", version=(1, 0)):
    """An .npy file whose header says what it likes."""
    text = header.encode("latin-1")
    length = len(text).to_bytes(2 if version == (1, 0) else 4, "little")
    return b"\x93NUMPY" + bytes(version) + length + text + content


def header(shape, dtype="<f4"):
    return f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n"


BIG = {
    "more than the file": npy(header("(3,)"), b"\0" * 8),
    "less than the file": npy(header("(3,)"), b"\0" * 16),
    "a terabyte": npy(header(f"({1 << 38},)"), b"\0" * 8),
    "more than an int64": npy(header(f"({1 << 62}, {1 << 62})"), b"\0" * 8),
    "two negative axes": npy(header("(-1, -2)"), b"\0" * 8),
    "a giant item": npy(header("(1,)", "<U500000000"), b"\0" * 8),
    "a header larger than the file": npy("", version=(2, 0))[:8] + b"\xff" * 4 + b"{",
    "nested brackets": npy("(" * 9000),
    "signs": npy("-" * 9000 + "1"),
    "no dict": npy("7\n"),
    "a string of brackets, not closed": npy("{'descr': '''(((\n"),
    "version 9": b"\x93NUMPY\x09\x00" + npy(header("(1,)"), b"\0" * 4)[8:],
    "empty": b"",
    "cut": b"\x93NUM",
}


@pytest.mark.parametrize("mapped", [True, False])
@pytest.mark.parametrize("what", BIG)
def test_array__a_header_that_is_not_of_the_file_is_refused(tmp_path, what, mapped):
    """Before memory is taken, and with the one error that readers expect."""
    (tmp_path / "x.npy").write_bytes(BIG[what])
    tracemalloc.start()
    with pytest.raises(DataError, match=r"x.npy: not an array file: "):
        read_array(tmp_path / "x.npy", mapped=mapped)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@given(st.data(), st.booleans())
def test_array__any_byte_changed_is_an_array_or_a_clear_error(tmp_path_factory, data, mapped):
    folder = tmp_path_factory.mktemp("a")
    write_array(folder / "x.npy", np.arange(4.0))
    np.savez(folder / "x.npz", a=np.arange(4.0), b=np.zeros((0, 3), "<U2"))
    for path in folder.iterdir():
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
    with suppress(DataError):
        read_array(folder / "x.npy", mapped=mapped)
    with suppress(DataError):
        read_archive(folder / "x.npz")


def test_archive__of_release_0_1_is_read(tmp_path):
    np.savez(tmp_path / "x.npz", **{"user.ids": np.arange(3), "b": np.zeros((0, 2), "<U2")})
    again = read_archive(tmp_path / "x.npz")
    assert again["user.ids"].tolist() == [0, 1, 2]
    assert again["b"].shape == (0, 2)
