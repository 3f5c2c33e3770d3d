"""Bad records go to a file of their own, and to nobody else's, each once."""

import json
import os

import pytest

from minitower.data import DataError
from minitower.updating.streams import ClickStream

GOOD = '{"user_id": 1, "item_id": 2, "timestamp": 3}\n'
RECORD = {"file": "old.jsonl", "sha256": "ab", "number": 7, "reason": "late", "record": "[]"}
OURS = json.dumps(RECORD) + "\n"
OLD = '{"file": "a.jsonl", "offset": 2, "reason": "late", "record": "[]"}\n'


@pytest.fixture
def folder(tmp_path):
    """A folder with one log of a click and a line that is no click."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.jsonl").write_text(GOOD + "nothing\n")
    return tmp_path


def read(folder, **options):
    """The number of clicks that a stream emits."""
    options = {"dead_letter_file": folder / "bad.jsonl", "max_error_rate": 1.0, **options}
    return sum(map(len, ClickStream(folder=folder / "logs", **options).batches(9)))


FOREIGN = {
    "a store's pointer": '{"number": 3, "kind": "full"}\n',
    "a log": GOOD,
    "a CSV": "user_id,item_id,timestamp\n1,2,3\n",
    "JSON in one line": '{"file": "a", "offset": 1}',
    "a record of more": json.dumps(RECORD | {"more": 1}) + "\n",
    "a record of other types": json.dumps(RECORD | {"number": True}) + "\n",
    "a record that goes on": json.dumps(RECORD)[:-1] + "\n}\n",
    "deep JSON": '{"file": ' + "[" * 100_000 + "\n",
    "an empty line": "\n" + OURS,
    "one letter": "x",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("log", ["nothing\n", GOOD])
def test_dead_letters__refuses_another_file_before_anything_is_read(
    folder, monkeypatch, content, log
):
    (folder / "logs" / "a.jsonl").write_text(log)
    (folder / "bad.jsonl").write_text(content)
    monkeypatch.setattr("minitower.updating.streams.folder.FolderReader.look", None)
    with pytest.raises(DataError, match=r"bad\.jsonl: holds something other .* name a new file"):
        read(folder)
    assert (folder / "bad.jsonl").read_text() == content


@pytest.mark.parametrize("content", [None, "", OURS, OLD, OURS + "a remark\n"])
def test_dead_letters__takes_a_new_file_an_empty_one_and_its_own(folder, content):
    if content is not None:
        (folder / "bad.jsonl").write_text(content)
    assert read(folder) == 1
    text = (folder / "bad.jsonl").read_text()
    assert text.startswith(content or "")
    assert json.loads(text.splitlines()[-1])["number"] == 2


def test_dead_letters__takes_what_a_process_that_died_left_of_its_first_record(folder):
    """Wherever it died."""
    read(folder)
    whole = (folder / "bad.jsonl").read_text()
    for cut in range(len(whole)):
        (folder / "bad.jsonl").write_text(whole[:cut])
        assert read(folder) == 1
        assert (folder / "bad.jsonl").read_text() == whole


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "FIFO", "folder", "device"])
def test_dead_letters__refuses_what_is_no_file(folder, kind):
    path, there = folder / "bad.jsonl", folder / "there"
    if kind == "link":
        there.write_text(OURS)
    if kind.startswith("link"):
        path.symlink_to(there)
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = "/dev/null"
    what = "a link" if kind.startswith("link") else "no regular file"
    with pytest.raises(DataError, match=f"{what}; name a new file for bad records"):
        read(folder, dead_letter_file=path)
    assert there.exists() == (kind == "link")
    assert kind != "link" or there.read_text() == OURS


def test_dead_letters__a_loop_of_links(folder):
    (folder / "bad.jsonl").symlink_to("bad.jsonl")
    with pytest.raises(DataError, match="a link"):
        read(folder)


def test_dead_letters__a_crash_before_the_cursor_is_stored_writes_no_record_twice(folder):
    """Wherever the writing of the file stopped; also where the log is renamed in between."""
    log = folder / "logs" / "a.jsonl"
    log.write_text(GOOD + "nothing\n" * 3 + GOOD)
    read(folder)
    whole = (folder / "bad.jsonl").read_text()
    for cut in range(0, len(whole) + 1, 7):
        (folder / "bad.jsonl").write_text(whole[:cut])
        log = log.rename(log.with_name(f"{cut}.jsonl"))
        assert read(folder) == 2
        numbers = [json.loads(x)["number"] for x in (folder / "bad.jsonl").read_text().splitlines()]
        assert numbers == [2, 3, 4]


def test_dead_letters__logs_of_one_name_and_other_content_are_two(folder):
    read(folder)
    (folder / "logs" / "a.jsonl").write_text(GOOD + "nothing else\n")
    read(folder)
    records = map(json.loads, (folder / "bad.jsonl").read_text().splitlines())
    assert [record["record"] for record in records] == ["nothing", "nothing else"]
