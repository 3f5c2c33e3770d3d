"""A folder of data, in whichever layout it has, and the options that say how to read it."""

import json

import numpy as np
import pytest

from minitower.data import Continuous, DataError, Dataset
from minitower.data.layouts import Reading, hashes, read_overrides
from minitower.data.option_values import read_options
from minitower.data.options import declared
from minitower.data.source import open_folder

FILES = {
    "atomic": {"x.inter": "user_id:token\titem_id:token\nu\ti\nu\tj\nv\ti\nv\tk\n"},
    "100k": {
        "u.data": "1\t7\t5\t100\n1\t8\t4\t200\n2\t7\t2\t300\n2\t9\t5\t400\n",
        "u.user": "1|24|M|doctor|1\n2|30|F|artist|2\n",
        "u.item": "".join(f"{i}|Film (1999)|01-Jan-1999||u|{'0|' * 18}1\n" for i in (7, 8, 9)),
    },
    "split": {"train.txt": "0 1 2\n1 2 3\n", "test.txt": "0 3\n1 1\n"},
}


@pytest.fixture(params=FILES)
def folder(request, tmp_path):
    for name, text in FILES[request.param].items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_from_files__is_what_open_folder_reads(folder):
    how = Reading(positive="all")
    data, source = Dataset.from_files(folder, how), open_folder(folder, how)
    assert len(source.data.train) > 0
    for part in ("train", "valid", "test"):
        ours, theirs = data.split(part), source.data.split(part)
        assert np.array_equal(ours.users, theirs.users)
        assert np.array_equal(ours.items, theirs.items)
    assert next(iter(source.files.values())) in ("x.inter", "u.data", "train.txt")
    assert source.files == hashes(folder)


def test_open_folder__says_what_it_decided(folder):
    remarks = open_folder(folder, Reading()).remarks
    rule = "where rating >= 4" if (folder / "u.data").exists() else "all interactions"
    assert remarks[0] == f"positives: {rule} (use --positive RULE to change that)"
    assert remarks[-1].startswith("split: train ")


@pytest.mark.parametrize("how, layouts", [
    (Reading(override={"zip": None}), ("split", "100k")),
    (Reading(valid=0.5), ("atomic", "100k")),
    (Reading(split="random"), ("split",)),
])  # fmt: skip
def test_open_folder__refuses_options_of_another_layout(tmp_path, how, layouts):
    for layout in layouts:
        folder = tmp_path / layout
        folder.mkdir()
        for name, text in FILES[layout].items():
            (folder / name).write_text(text)
        with pytest.raises(DataError, match=r"--(override|valid|split)\b"):
            open_folder(folder, how)


def test_open_folder__an_unknown_layout(tmp_path):
    with pytest.raises(DataError, match="found no data"):
        open_folder(tmp_path, Reading())
    with pytest.raises(DataError, match="the folder is missing"):
        Dataset.from_files(tmp_path / "nowhere")


def test_reading__comes_back_from_json():
    override = {"genre": "token_seq", "zip": None, "age": Continuous("age", impute=True)}
    how = Reading("rating >= 3", split="last:1,2", valid=0.2, override=override, seed=4)
    stored = json.loads(json.dumps(how.to_json()))
    assert read_options(declared(Reading), {}, ("stored", stored)).make(Reading) == how
    assert Reading().to_json() == {"seed": 0}


@pytest.mark.parametrize("value", [3, "zip", ["zip"], ["=token"], {"zip": 3}, ["zip={kind=3}"],
                                   ["age={kind='continuous', buckets=99999}"]])  # fmt: skip
def test_read_overrides__refuses(value):
    with pytest.raises(ValueError, match=r"expected|unknown kind|from 2 to 65,536"):
        read_overrides(value)
