"""The history of training: one line of JSON per epoch, appended as the epoch ends."""

import json
import os

import numpy as np
import pytest

from minitower.data import DataError
from minitower.training.history import Epoch, HistoryFile

FIRST = Epoch(1, 2.5, {"recall@20": 0.25, "ndcg@20": 0.125}, 0.5, 0.75, 0.05)
SECOND = Epoch(2, 2.25, {}, 0.5, 0.0, 0.04)


def test_history_file__one_line_per_epoch(tmp_path):
    path = tmp_path / "history.jsonl"
    file = HistoryFile(path)
    assert path.read_text() == ""
    file.add(FIRST)
    assert json.loads(path.read_text()) == {
        "epoch": 1, "loss": 2.5, "self_supervised": 0.75, "learning_rate": 0.05, "seconds": 0.5,
        "recall@20": 0.25, "ndcg@20": 0.125,
    }  # fmt: skip
    file.add(SECOND)
    HistoryFile(path).add(FIRST)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 1], "nothing is overwritten"
    assert "recall@20" not in lines[1]


def test_history_file__of_no_path_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    HistoryFile(None).add(FIRST)
    assert not list(tmp_path.iterdir())


def test_history_file__of_other_content_is_left_alone(tmp_path):
    path = tmp_path / "interactions.csv"
    path.write_text("user,item\n1,2\n")
    with pytest.raises(DataError, match=r"csv holds no history; name another file"):
        HistoryFile(path)
    assert path.read_text() == "user,item\n1,2\n"


def test_history_file__that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"^history: cannot write .*nowhere"):
        HistoryFile(tmp_path / "nowhere" / "history.jsonl")
    with pytest.raises(DataError, match=r"^history: cannot write .*: Is a directory"):
        HistoryFile(tmp_path)


def test_epoch__writes_numbers_of_numpy():
    """A weight of the loss that is a float32 makes a loss that is one."""
    line = Epoch(1, np.float32(2.5), {"recall@20": np.float64(0.25)}, 0.5).to_json()
    assert json.loads(line)["loss"] == 2.5


def test_history_file__is_a_regular_file(tmp_path):
    """A pipe without a reader would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match=r"^history: .*pipe is no regular file; name another file$"):
        HistoryFile(tmp_path / "pipe")
