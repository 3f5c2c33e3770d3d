"""What lies among the logs and is no log that can be read is refused, never skipped."""

import os
import socket
from pathlib import Path

import pytest

from minitower.data import DataError
from minitower.updating.streams import ClickStream, content_hashes

LINE = '{"user_id": 1, "item_id": 2, "timestamp": 3}\n'


def make(path, kind):
    """Something of the given kind that is no file with clicks."""
    if kind == "link to nowhere":
        path.symlink_to(path.parent / "unmounted" / "b.jsonl")
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    else:
        here = Path.cwd()
        os.chdir(path.parent)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir(here)


@pytest.fixture
def folder(tmp_path):
    """A folder with one log."""
    (tmp_path / "a.jsonl").write_text(LINE)
    return tmp_path


KINDS = {
    "link to nowhere": "a link to nowhere",
    "loop": "Too many levels of symbolic links",
    "FIFO": "no regular file",
    "socket": "no regular file",
    "link to a device": "no regular file",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet", ".tfrecord"])
def test_log_files__refuses_what_cannot_be_read(folder, kind, suffix):
    make(folder / f"b{suffix}", kind)
    stream = ClickStream(folder=folder)
    for look in (
        lambda: list(stream.batches(9)),
        lambda: content_hashes(folder),
    ):
        with pytest.raises(DataError, match=rf"b\{suffix}: {KINDS[kind]}"):
            look()


@pytest.mark.parametrize("kind", KINDS)
def test_log_files__refuses_it_without_the_suffix_of_a_log_too(folder, kind):
    make(folder / "b", kind)
    with pytest.raises(DataError, match=f"b: {KINDS[kind]}"):
        list(ClickStream(folder=folder).batches(9))


@pytest.mark.parametrize("kind", KINDS)
def test_log_files__skips_what_is_named_so(folder, kind):
    make(folder / "_b.jsonl", kind)
    assert len(list(ClickStream(folder=folder).batches(9))) == 1


@pytest.mark.parametrize("name", ["day=1", "2022-05-01/hour=3", "b.jsonl", "link"])
def test_log_files__reads_the_folders_of_the_folder(folder, name):
    """A log of another folder has a name of its own; an ignored folder holds no log."""
    if name == "link":
        (folder / "_there").mkdir()
        (folder / name).symlink_to("_there")
    for inner in (name, "_old", "day.tmp"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
        (folder / inner / "a.jsonl").write_text(LINE.replace("1", "2") * 2)
    *_, last = ClickStream(folder=folder).batches(9)
    assert set(last.cursor.files) == {"a.jsonl", f"{name}/a.jsonl"}
    assert last.cursor.counts.read == 3
    assert set(content_hashes(folder).values()) == set(last.cursor.files)
    assert not list(ClickStream(folder=folder).batches(9, cursor=last.cursor))


def test_log_files__a_dead_letter_file_in_a_folder_of_logs_would_be_read(folder):
    (folder / "day=1").mkdir(), (folder / "_bad").mkdir()
    with pytest.raises(ValueError, match="bad: would be read as a log; put it elsewhere"):
        ClickStream(folder=folder, dead_letter_file=folder / "day=1" / "bad")
    ClickStream(folder=folder, dead_letter_file=folder / "_bad" / "bad")


def test_log_files__follows_links_to_files(folder):
    (folder / "_there").write_text(LINE.replace("1", "2") * 2)
    (folder / "b.jsonl").symlink_to("_there")
    assert sum(map(len, ClickStream(folder=folder).batches(9))) == 3


@pytest.mark.parametrize("name", ["a.jsonl", ""])
def test_log_files__a_file_or_folder_that_may_not_be_read(folder, monkeypatch, name):
    if not name:
        monkeypatch.setattr(Path, "iterdir", refusing(folder))
    else:
        monkeypatch.setattr(Path, "open", refusing(folder / name))
    with pytest.raises(DataError, match=rf"{folder / name}: Permission denied$"):
        list(ClickStream(folder=folder).batches(9))
    with pytest.raises(DataError, match=rf"{folder / name}: Permission denied$"):
        content_hashes(folder)


def refusing(path):
    """A method of Path that may not touch one file; root may read everything."""

    def method(self, *args, **options):
        assert self == path
        raise PermissionError(13, "Permission denied", str(self))

    return method
