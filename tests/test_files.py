"""A file is read whole if it is a regular one; it appears complete or not at all."""

import os
import socket
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitower
from minitower.cli.train import read_toml
from minitower.data import DataError, Id, atomic_files, movielens, split_files
from minitower.data.files import new_file, read_regular, write_file
from minitower.updating.entity_lists import read_ids, read_list


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


PACKAGE = Path(minitower.__file__).parent


def put(kind, path):
    """Something that is no regular file, in place of a file."""
    path.unlink(missing_ok=True)
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as place:
            place.bind(str(path))
    else:
        path.symlink_to({"device": os.devnull, "endless": "/dev/zero", "dangling": "no"}[kind])


@pytest.mark.parametrize("kind", ["FIFO", "folder", "socket", "device", "endless", "dangling"])
def test_read_regular__refuses_what_is_not_one(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    put(kind, Path("data"))
    with pytest.raises(DataError, match=r"^data: \w"):
        read_regular(Path("data"))


@pytest.mark.parametrize("size", [0, 1, 100])
def test_read_regular__content_up_to_the_bound(size, tmp_path):
    (tmp_path / "data").write_bytes(b"\r" * size)
    (tmp_path / "link").symlink_to("data")
    for most in (None, size, size + 1):
        assert read_regular(tmp_path / "link", most) == b"\r" * size
    if size:
        with pytest.raises(DataError, match=f"data: expected at most {size - 1} bytes"):
            read_regular(tmp_path / "data", size - 1)


SIDE = SimpleNamespace(fields=[Id("item")])  # what read_list needs of an encoder

READERS = {
    "atomic": ("x.inter", atomic_files.read_file),
    "movielens": ("u.data", lambda path: movielens.read(path.parent)),
    "split": ("train.txt", split_files.read_pairs),
    "job": ("job.toml", read_toml),
    "retire": ("retire.txt", lambda path: read_ids("retire", path, SIDE, None)),
    "items": ("items.jsonl", lambda path: read_list("items", path, SIDE, None)),
    "items parquet": ("items.parquet", lambda path: read_list("items", path, SIDE, None)),
}


@pytest.mark.parametrize("kind", ["device", "FIFO"])
@pytest.mark.parametrize("name", READERS)
def test_every_reader__refuses_what_is_no_regular_file(name, kind, tmp_path):
    file, read = READERS[name]
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n")
    (tmp_path / "u.item").write_text("1|Toy Story (1995)|01-Jan-1995||x|" + "|".join("0" * 19))
    put(kind, tmp_path / file)
    with pytest.raises(DataError, match=f"{file}: expected a (regular )?file"):
        read(tmp_path / file)


def test_whole_files_of_a_user_are_read_in_one_place():
    """``Path.read_bytes`` and ``read_text`` wait for the writer of a FIFO."""
    for floor in ("data", "cli"):
        for path in sorted((PACKAGE / floor).rglob("*.py")):
            code = [line for line in path.read_text("utf-8").splitlines() if ">>>" not in line]
            assert not [line for line in code if ".read_bytes(" in line or ".read_text(" in line]
