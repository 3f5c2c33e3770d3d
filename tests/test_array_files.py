"""Arrays come back as they were, from memory or from where they lie in the file."""

import tracemalloc
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minitower.data import DataError
from minitower.store.array_files import read_array, read_arrays, write_array, write_arrays

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
storable = st.sampled_from(["f4", "f8", "i4", "i8", "?", "U3"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=2, min_side=0))
)


@given(st.dictionaries(names, storable, max_size=4), st.booleans(), st.booleans())
def test_arrays__come_back(tmp_path_factory, content, mapped, fortran):
    if fortran:
        content = {name: np.asfortranarray(array) for name, array in content.items()}
    path = tmp_path_factory.mktemp("a") / "a.npz"
    write_arrays(path, content)
    again = read_arrays(path, mapped=mapped)
    assert list(again) == list(content)
    for name, array in content.items():
        assert again[name].dtype == array.dtype
        assert again[name].flags.writeable is not mapped
        np.testing.assert_array_equal(again[name], array)
        write_array(path.with_name("b.npy"), array)
        one = read_array(path.with_name("b.npy"), mapped=mapped)
        np.testing.assert_array_equal(one, array)
        assert (one.dtype, one.flags.writeable) == (array.dtype, not mapped)
    with np.load(path, allow_pickle=False) as plain:  # an .npz like any other
        assert set(plain.files) == set(content)


@given(st.lists(names, min_size=1, max_size=5, unique=True))
def test_arrays__mapped_ones_are_in_line(tmp_path_factory, keys):
    """At 64 bytes, whatever the lengths of names and arrays before."""
    path = tmp_path_factory.mktemp("a") / "a.npz"
    write_arrays(path, {key: np.arange(i, dtype=np.int8) for i, key in enumerate(keys)})
    for array in read_arrays(path, mapped=True).values():
        assert array.ctypes.data % 64 == 0


def test_arrays__mapped_ones_are_not_copies(tmp_path):
    write_arrays(tmp_path / "a.npz", {"x": np.zeros(3), "y": np.arange(3.0)})
    mapped = read_arrays(tmp_path / "a.npz", mapped=True)
    content = (tmp_path / "a.npz").read_bytes()
    place = content.index(np.arange(3.0).tobytes())
    with (tmp_path / "a.npz").open("r+b") as file:
        file.seek(place)
        file.write(np.full(3, 7.0).tobytes())
    assert mapped["y"].tolist() == [7, 7, 7]


def test_arrays__python_objects_are_refused(tmp_path):
    for write in (write_array, lambda path, array: write_arrays(path, {"x": array})):
        with pytest.raises(DataError, match="an array of Python objects cannot be stored"):
            write(tmp_path / "x", np.array([{}]))
    np.save(tmp_path / "x.npy", np.array([{}]))
    np.savez(tmp_path / "x.npz", x=np.array([{}]))
    for mapped in (True, False):
        with pytest.raises(ValueError, match=r"[Oo]bject"):
            read_array(tmp_path / "x.npy", mapped=mapped)
        with pytest.raises(ValueError, match=r"[Oo]bject"):
            read_arrays(tmp_path / "x.npz", mapped=mapped)


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
def test_arrays__a_header_that_is_not_of_the_file_is_refused(tmp_path, what, mapped):
    """Before memory is taken, and with the one error that readers expect."""
    (tmp_path / "x.npy").write_bytes(BIG[what])
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", BIG[what])
    tracemalloc.start()
    for read, name in ((read_array, "x.npy"), (read_arrays, "x.npz")):
        with pytest.raises(ValueError):
            read(tmp_path / name, mapped=mapped)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@given(st.data(), st.booleans())
def test_arrays__any_byte_changed_is_an_array_or_a_clear_error(tmp_path_factory, data, mapped):
    folder = tmp_path_factory.mktemp("a")
    write_arrays(folder / "x.npz", {"a": np.arange(4.0), "b": np.zeros((0, 3), "<U2")})
    write_array(folder / "x.npy", np.arange(4.0))
    for read, name in ((read_array, "x.npy"), (read_arrays, "x.npz")):
        content = bytearray((folder / name).read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(content) - 1))
            content[at] = data.draw(st.integers(0, 255))
        (folder / name).write_bytes(content)
        with suppress(ValueError, OSError, zipfile.BadZipFile):
            read(folder / name, mapped=mapped)


@pytest.mark.parametrize("mapped", [True, False])
def test_arrays__compressed_ones_are_refused(tmp_path, mapped):
    """A few bytes of them may claim any amount of memory."""
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(1 << 20))
    with pytest.raises(ValueError, match=r"'x.npy' is compressed"):
        read_arrays(tmp_path / "x.npz", mapped=mapped)
