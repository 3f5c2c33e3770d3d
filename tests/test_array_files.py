"""Arrays come back as they were, from memory or from where they lie in the file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minitower.data import DataError
from minitower.retrieval.array_files import read_array, read_arrays, write_array, write_arrays

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
