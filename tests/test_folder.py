"""A folder is there whole, or not at all; what is not as it was written is refused by name."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from minitower.data import DataError
from minitower.store.folder import SavedFolder
from minitower.store.new_folder import new_folder, write_array, write_arrays

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
storable = st.sampled_from(["f4", "f8", "i4", "i8", "?", "U3"]).flatmap(
    lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=2, min_side=0))
)


def write(folder, content=None, **arrays):
    content = dict(content or {})
    with new_folder(folder, "test", content) as place:
        content["arrays"] = write_arrays(place, {"a": arrays})
        write_array(place / "b.npy", np.arange(3))


def read(folder):
    saved = SavedFolder(folder, "test")
    notes = {name: value for name, value in saved.content.items() if name != "arrays"}
    return saved.arrays("a"), saved.array("b.npy"), notes


@given(st.dictionaries(names, storable, max_size=4))
def test_folder__gives_back_what_was_written(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("f") / "new"
    write(folder, {"a": [1, None, "ü"]}, x=np.arange(2))
    stated = {"n": 1}
    with new_folder(folder, "test", stated) as place:
        stated["arrays"] = write_arrays(place, {"a": content})
        write_array(place / "b.npy", np.arange(3))
    arrays, _, notes = read(folder)
    assert notes == {"n": 1}
    assert arrays.keys() == content.keys()
    for name, array in arrays.items():
        assert array.dtype == content[name].dtype
        np.testing.assert_array_equal(array, content[name])


def test_folder__same_content_same_bytes(tmp_path):
    for name in "ab":
        write(tmp_path / name, {"n": 1}, x=np.arange(5.0))
    assert [p.name for p in sorted((tmp_path / "a").iterdir())] == [
        "a-0.npy", "b.npy", "manifest.json",
    ]  # fmt: skip
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize("before", [False, True])
def test_folder__a_failure_leaves_everything_as_it_was(tmp_path, before):
    if before:
        write(tmp_path / "f", {"n": 1})
    with pytest.raises(DataError, match=r"a-0\.npy: an array of Python objects"):
        write(tmp_path / "f", x=np.array([{}]))
    assert [p.name for p in tmp_path.iterdir()] == ["f"] * before
    if before:
        assert read(tmp_path / "f")[2] == {"n": 1}


def test_folder__a_failed_rename_puts_the_old_one_back(tmp_path, monkeypatch):
    write(tmp_path / "f", {"n": 1})
    replace = type(tmp_path).replace

    def fails_once(path, target):
        if path.name == "new":
            raise OSError(5, "Input/output error")
        return replace(path, target)

    monkeypatch.setattr(type(tmp_path), "replace", fails_once)
    with pytest.raises(DataError, match=r"f: cannot be written: Input/output error"):
        write(tmp_path / "f", {"n": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
    assert read(tmp_path / "f")[2] == {"n": 1}


def test_folder__replaces_only_its_own_kind(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty", {"n": 1})
    write(tmp_path / "empty", {"n": 2})
    assert read(tmp_path / "empty")[2] == {"n": 2}
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters.txt").write_text("dear")
    (tmp_path / "file").write_text("dear")
    for name in ("home", "file"):
        with pytest.raises(
            DataError, match=rf"{name}: already there, and not written by minitower"
        ):
            write(tmp_path / name)
        with (
            pytest.raises(DataError, match="already there"),
            new_folder(tmp_path / name, "test", {}),
        ):
            pytest.fail("nothing should be written before this is known")
    assert (tmp_path / "home" / "letters.txt").read_text() == "dear"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "file", "home"]


def test_folder__what_somebody_put_beside_its_files_is_not_replaced(tmp_path):
    write(tmp_path / "f", {"n": 1})
    (tmp_path / "f" / "letters.txt").write_text("dear")
    with pytest.raises(DataError, match=r"f: holds 'letters.txt', which minitower did not write"):
        write(tmp_path / "f", {"n": 2})
    assert (tmp_path / "f" / "letters.txt").read_text() == "dear"
    assert read(tmp_path / "f")[2] == {"n": 1}


def test_folder__a_pipe_for_a_manifest_is_not_waited_for(tmp_path):
    (tmp_path / "f").mkdir()
    os.mkfifo(tmp_path / "f" / "manifest.json")
    with pytest.raises(DataError, match="f: already there, and not written by minitower"):
        write(tmp_path / "f")
    with pytest.raises(DataError, match=r"manifest.json: missing"):
        read(tmp_path / "f")


def test_folder__a_manifest_of_any_size_takes_no_memory(tmp_path):
    write(tmp_path / "f")
    os.truncate(tmp_path / "f" / "manifest.json", 1 << 40)
    with pytest.raises(DataError, match=r"manifest.json: expected at most 67,108,864 bytes"):
        read(tmp_path / "f")


def test_folder__where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written: "):
        write(tmp_path / "file" / "f")


def test_folder__refuses_what_needs_pickle(tmp_path):
    with pytest.raises(DataError, match=r"a-0\.npy: an array of Python objects"):
        write(tmp_path / "f", x=np.array([{}]))
    with pytest.raises(DataError, match="manifest is not JSON"):
        write(tmp_path / "f", {"n": float("nan")})
    with pytest.raises(DataError, match="manifest is not JSON"):
        write(tmp_path / "f", {"n": np.arange(2)})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a-0.npy", "b.npy"])
def test_saved__names_the_file_that_is_not_as_it_was(tmp_path, name):
    write(tmp_path / "f", x=np.arange(5))
    path = tmp_path / "f" / name
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    with pytest.raises(DataError, match=rf"{name}: {len(good) - 1} bytes instead of {len(good)}"):
        read(tmp_path / "f")
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DataError, match=rf"{name}: damaged"):
        read(tmp_path / "f")
    path.unlink()
    with pytest.raises(DataError, match=rf"{name}: missing"):
        read(tmp_path / "f")


def file(**change):
    return {"bytes": 1, "sha256": "0" * 64} | change


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 3}, "format version 3, but this minitower reads versions up to 2; update"),
        ({"version": None}, "format version None"),
        ({"format": "other"}, "not written by minitower"),
        ({"kind": "store"}, "holds a store, not a test"),
        ({"content": None}, "content or files are missing"),
        ({"files": []}, "content or files are missing"),
        ({"content": {}}, "f: manifest.json does not list the arrays of 'a'"),
        ({"content": {"arrays": []}}, "does not list the arrays of 'a'"),
        ({"content": {"arrays": {"a": "x"}}}, "does not list the arrays of 'a'"),
        ({"content": {"arrays": {"a": [["x"]]}}}, "does not list the arrays of 'a'"),
        ({"content": {"arrays": {"a": ["x", "y"]}}}, "a-1.npy: not listed in manifest.json"),
        ({"files": {}}, "a-0.npy: not listed in manifest.json"),
        ({"files": {"a.npy": {}}}, "a.npy: manifest.json does not state its size"),
        ({"files": {"a.npy": file(bytes=True)}}, "a.npy: manifest.json does not state its size"),
        ({"files": {"a.npy": file(bytes=1.0)}}, "a.npy: manifest.json does not state its size"),
        ({"files": {"a.npy": file(bytes=-1)}}, "a.npy: manifest.json does not state its size"),
        ({"files": {"a.npy": file(sha256=7)}}, "a.npy: manifest.json does not state its size"),
        ({"files": {"../a.npy": file()}}, "manifest.json: '../a.npy' cannot be the name of a file"),
        ({"files": {"/etc/hosts": file()}}, "'/etc/hosts' cannot be the name"),
        ({"files": {"..": file()}}, "'..' cannot be the name"),
        ({"files": {"a\\b": file()}}, "cannot be the name"),
        ({"files": {"a\0b": file()}}, "cannot be the name"),
        ({"files": {"": file()}}, "'' cannot be the name"),
        ({"files": {"n" * 300: file()}}, "cannot be the name"),
        ({"version": True}, "format version True, but this minitower reads versions up to 2"),
        ({"version": 1.0}, "format version 1.0, but this minitower reads versions up to 2"),
        ({"kind": ["test"]}, r"holds a \['test'\], not a test"),
    ],
)
def test_saved__refuses_another_manifest(tmp_path, change, message):
    write(tmp_path / "f", x=np.arange(5))
    path = tmp_path / "f" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(DataError, match=message):
        read(tmp_path / "f")


@pytest.mark.parametrize("text", ["", "{", '{"format": "minitower"', "\xff", "[]", "7"])
def test_saved__refuses_a_manifest_that_is_none(tmp_path, text):
    write(tmp_path / "f")
    (tmp_path / "f" / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"manifest.json: not (JSON|written by minitower)"):
        read(tmp_path / "f")


def test_saved__refuses_a_place_that_is_no_folder(tmp_path):
    with pytest.raises(DataError, match=r"x.manifest.json: the folder is missing"):
        SavedFolder(tmp_path / "x", "test")
    with pytest.raises(DataError, match=r"manifest.json: missing; expected a folder"):
        SavedFolder(tmp_path, "test")


def test_saved__runs_no_code_from_arrays(tmp_path):
    """An object array with a matching checksum is still refused."""
    with new_folder(tmp_path / "f", "test", {}) as place:
        np.save(place / "b.npy", np.array([os.getcwd], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"b.npy: not an array file"):
        SavedFolder(tmp_path / "f", "test").array("b.npy")
