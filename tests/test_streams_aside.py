"""Records are set aside in a file of their own, and in nobody else's."""

import json
import os

import pytest

from minitower.data import DataError
from minitower.updating.streams import ClickStream

GOOD = '{"user_id": 1, "item_id": 2, "timestamp": 3}\n'
RECORD = {"file": "old.jsonl", "offset": 7, "reason": "late", "record": "[]"}
OURS = json.dumps(RECORD) + "\n"


@pytest.fixture
def folder(tmp_path):
    """A folder with one log of a click and a line that is no click."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.jsonl").write_text(GOOD + "nothing\n")
    return tmp_path


def read(folder, **options):
    """The number of clicks that a stream emits."""
    options = {"dead_letter_file": folder / "aside", "max_error_rate": 1.0, **options}
    return sum(map(len, ClickStream(folder=folder / "logs", **options).batches(9)))


FOREIGN = {
    "a store's pointer": '{"number": 3, "kind": "full"}\n',
    "a log": GOOD,
    "a CSV": "user_id,item_id,timestamp\n1,2,3\n",
    "JSON in one line": '{"file": "a", "offset": 1}',
    "a record of more": json.dumps(RECORD | {"more": 1}) + "\n",
    "a record of other types": json.dumps(RECORD | {"offset": True}) + "\n",
    "a record that goes on": json.dumps(RECORD)[:-1] + "\n}\n",
    "deep JSON": '{"file": ' + "[" * 100_000 + "\n",
    "an empty line": "\n" + OURS,
    "one letter": "x",
}


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("log", ["nothing\n", GOOD])
def test_aside__refuses_another_file_before_anything_is_read(folder, monkeypatch, content, log):
    (folder / "logs" / "a.jsonl").write_text(log)
    (folder / "aside").write_text(content)
    monkeypatch.setattr("minitower.updating.streams.stream.new_blocks", None)
    with pytest.raises(DataError, match=r"aside: holds something other .* name a new file"):
        read(folder)
    assert (folder / "aside").read_text() == content


@pytest.mark.parametrize("content", [None, "", OURS, OURS + "a remark\n"])
def test_aside__takes_a_new_file_an_empty_one_and_its_own(folder, content):
    if content is not None:
        (folder / "aside").write_text(content)
    assert read(folder) == 1
    text = (folder / "aside").read_text()
    assert text.startswith(content or "")
    assert json.loads(text.splitlines()[-1])["offset"] == len(GOOD)


def test_aside__takes_what_a_process_that_died_left_of_its_first_record(folder):
    """Wherever it died."""
    read(folder)
    whole = (folder / "aside").read_text()
    for cut in range(len(whole)):
        (folder / "aside").write_text(whole[:cut])
        assert read(folder) == 1
        assert (folder / "aside").read_text() == whole


@pytest.mark.parametrize("kind", ["link", "link to nowhere", "FIFO", "folder", "device"])
def test_aside__refuses_what_is_no_file(folder, kind):
    aside, there = folder / "aside", folder / "there"
    if kind == "link":
        there.write_text(OURS)
    if kind.startswith("link"):
        aside.symlink_to(there)
    elif kind == "FIFO":
        os.mkfifo(aside)
    elif kind == "folder":
        aside.mkdir()
    else:
        aside = "/dev/null"
    what = "a link" if kind.startswith("link") else "no regular file"
    with pytest.raises(DataError, match=f"{what}; set records aside in a new file"):
        read(folder, dead_letter_file=aside)
    assert there.exists() == (kind == "link")
    assert kind != "link" or there.read_text() == OURS


def test_aside__a_loop_of_links(folder):
    (folder / "aside").symlink_to("aside")
    with pytest.raises(DataError, match="a link"):
        read(folder)
