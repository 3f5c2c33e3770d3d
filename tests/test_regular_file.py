"""A file that a user names is a regular file, whoever reads it."""

import os
import socket
from pathlib import Path

import pytest

import minitower
from minitower.cli.train import read_toml
from minitower.data import DataError, Id, atomic_files, movielens, split_files
from minitower.data.regular_file import read_regular
from minitower.updating.entity_lists import read_ids, read_list

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


READERS = {
    "atomic": ("x.inter", atomic_files.read_file),
    "movielens": ("u.data", lambda path: movielens.read(path.parent)),
    "split": ("train.txt", split_files.read_pairs),
    "job": ("job.toml", read_toml),
    "retire": ("retire.txt", lambda path: read_ids(path, None)),
    "items": ("items.jsonl", lambda path: read_list("items", path, [Id("item")], None)),
    "items parquet": ("items.parquet", lambda path: read_list("items", path, [Id("item")], None)),
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
