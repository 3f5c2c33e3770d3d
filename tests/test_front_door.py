"""Faults that users met at the command line and in ``from_columns`` are refused right there.

The modules that cure them have tests of their own; these show that every way in leads there.
"""

from pathlib import Path

import numpy as np
import pytest

import minitower as mt
from minitower.cli import main
from minitower.data.errors import DataError
from minitower.store.version_log import VersionLog
from minitower.updating.streams import write_events

SCHEMA = mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")])


@pytest.fixture
def split(tmp_path):
    """A folder of a train and a test file."""
    folder = tmp_path / "split"
    folder.mkdir()
    (folder / "train.txt").write_text("".join(f"{u} {u % 7} {u % 5 + 7}\n" for u in range(30)))
    (folder / "test.txt").write_text("".join(f"{u} {u % 3 + 3}\n" for u in range(30)))
    return folder


@pytest.mark.parametrize(
    "options, words",
    [(["--batch-size", "1"], "trains nothing"), (["--temperature", "1e-300"], "--temperature")],
)
def test_train__options_that_train_nothing(split, tmp_path, capsys, options, words):
    out = tmp_path / "model"
    assert main(["train", str(split), "--out", str(out), *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("minitower: error: ")
    assert words in error
    assert "learning rate" not in error
    assert not out.exists()


@pytest.mark.parametrize("kind", ["--full", "--incremental"])
def test_update__one_click_waits_for_another(tmp_path, capsys, kind):
    log = {"user_id": [1, 2, 3, 4] * 30, "item_id": [5, 6, 7] * 40, "timestamp": range(120)}
    data = mt.Dataset.from_columns(SCHEMA, log, positive="all", split=mt.RandomSplit(0, 0))
    trainer = mt.Trainer(mt.TwoTower(data.schema, dim=4, hidden=()), data, batch_size=16)
    trainer.fit(1)
    store, logs = tmp_path / "store", tmp_path / "logs"
    mt.publish(trainer, store)
    logs.mkdir()
    update = ["update", str(store), str(logs), kind, "--batch-size", "16"]
    write_events(logs / "1.jsonl", {"user_id": [1], "item_id": [5], "timestamp": [1000]})
    assert main(update) == 0
    assert capsys.readouterr().out == ""
    assert VersionLog.read(store).current == 1
    write_events(logs / "2.jsonl", {"user_id": [2], "item_id": [6], "timestamp": [1001]})
    assert main(update) == 0
    assert capsys.readouterr().out == "2\n"


@pytest.mark.parametrize("unit", [1e3, 1e6])
def test_from_columns__other_units_of_time(unit):
    log = {"user_id": [1, 2], "item_id": [1, 2], "timestamp": np.array([1.65e9, 1.66e9]) * unit}
    with pytest.raises(DataError, match=r"column 'timestamp'.*seconds since 1970"):
        mt.Dataset.from_columns(SCHEMA, log, positive="all")


@pytest.mark.parametrize("dtype, bits", [("float64", 53), ("float32", 24), ("float16", 11)])
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_from_columns__ids_that_a_float_merges(dtype, bits, column):
    two = np.array([2**bits, 2**bits + 1]).astype(dtype)
    log = {"user_id": [1, 2], "item_id": [1, 2]} | {column: two}
    with pytest.raises(DataError, match="stands for several integers"):
        mt.Dataset.from_columns(SCHEMA, log, positive="all")


def test_operating_chapter__warns_of_files_overwritten_in_place():
    chapter = Path(__file__).parent.parent / "docs/15-operating-the-store.md"
    text = " ".join(chapter.read_text("utf-8").split())
    assert "Never copy files over a live version" in text
    assert "SIGBUS" in text
