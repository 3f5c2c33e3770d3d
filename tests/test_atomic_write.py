"""A file appears complete or not at all, whatever fails on the way."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.data.atomic_write import new_file, write_file


@given(st.binary(), st.none() | st.binary())
def test_write_file__holds_the_content_and_nothing_else_is_there(tmp_path_factory, content, before):
    folder = tmp_path_factory.mktemp("f")
    if before is not None:
        (folder / "x").write_bytes(before)
    write_file(folder / "x", content)
    assert [path.name for path in folder.iterdir()] == ["x"]
    assert (folder / "x").read_bytes() == content


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_new_file__an_error_in_the_block_leaves_all_as_it_was(tmp_path, before, error):
    if before is not None:
        (tmp_path / "x").write_bytes(before)

    def write():
        with new_file(tmp_path / "x") as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        write()
    left = [] if before is None else [before]
    assert [path.read_bytes() for path in tmp_path.iterdir()] == left


@pytest.mark.parametrize("call", ["fsync", "open", "replace"])
def test_write_file__a_full_disk_names_the_file_and_leaves_it(tmp_path, monkeypatch, call):
    """Not the temporary file: nobody knows that name."""
    (tmp_path / "x").write_bytes(b"old")

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    owner = type(tmp_path) if call == "replace" else os
    monkeypatch.setattr(owner, call, full)
    with pytest.raises(DataError, match=r"x: cannot be written: No space left on device$"):
        write_file(tmp_path / "x", b"new")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"old"


def test_write_file__is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, type(tmp_path).replace

    def flushed(handle):
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def renamed(path, target):
        done.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(type(tmp_path), "replace", renamed)
    write_file(tmp_path / "x", b"new")
    assert done == ["file", "rename", "folder"]


def test_write_file__refuses_what_is_no_file(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(DataError, match=rf"{name}: not a regular file; choose another"):
            write_file(tmp_path / name, b"x")
    with pytest.raises(DataError, match=r"none.x: cannot be written: No such file"):
        write_file(tmp_path / "none" / "x", b"x")
    with pytest.raises(DataError, match=r"cannot be written: File name too long"):
        write_file(tmp_path / ("n" * 300), b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "pipe"]


def test_write_file__keeps_permissions_and_links(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o600
    write_file(tmp_path / ("n" * 255), b"a name as long as the system takes")
