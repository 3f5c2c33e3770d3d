"""A published split is read as it was published."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError, Dataset
from minitower.data.split_files import read_pairs


@pytest.fixture
def folder(tmp_path):
    """Train and test; user 2 has no test item, item 9 is only tested."""
    (tmp_path / "train.txt").write_text("0 1 2 3\n1 2 1\n2 3 \n")
    (tmp_path / "test.txt").write_text("0 9\n1 3\n2\n")
    return tmp_path


def pairs(data, part):
    log = data.split(part)
    return list(zip(data.users.ids[log.users].tolist(), data.items.ids[log.items].tolist()))


TRAIN = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 1), (2, 3)]
TEST = [(0, 9), (1, 3)]


def test_split_files__folder(folder):
    data = Dataset.from_split_files(folder)
    assert pairs(data, "train") == TRAIN
    assert pairs(data, "valid") == []
    assert pairs(data, "test") == TEST
    assert data.users.ids.tolist() == [0, 1, 2]
    assert data.items.ids.tolist() == [1, 2, 3, 9]
    assert data.items.columns["item_id"].tolist() == [1, 2, 3, 0]


def test_split_files__validation_is_a_file_or_cut_by_lot(folder):
    cut = Dataset.from_split_files(folder, valid=0.5, seed=1)
    assert sorted(pairs(cut, "train") + pairs(cut, "valid")) == sorted(TRAIN)
    assert len(cut.valid) == 3
    assert pairs(cut, "test") == TEST
    again, *others = (Dataset.from_split_files(folder, valid=0.5, seed=s) for s in (1, 2, 3, 4))
    assert pairs(again, "valid") == pairs(cut, "valid")
    assert any(pairs(other, "valid") != pairs(cut, "valid") for other in others)
    (folder / "valid.txt").write_text("2 1\n")
    assert pairs(Dataset.from_split_files(folder), "valid") == [(2, 1)]
    with pytest.raises(DataError, match=r"valid.txt exists; .* name the files"):
        Dataset.from_split_files(folder, valid=0.5)


def test_split_files__several_files_are_put_together(folder):
    (folder / "valid.txt").write_text("2 1\n")
    train = [folder / "train.txt", folder / "valid.txt"]
    data = Dataset.from_split_files(train=train, test=str(folder / "test.txt"))
    assert pairs(data, "train") == [*TRAIN, (2, 1)]
    assert pairs(data, "test") == TEST


lines = st.lists(st.lists(st.integers(0, 2**40), min_size=1, max_size=4), min_size=1, max_size=5)


@given(lines, st.sampled_from([" ", "  ", "\t"]), st.sampled_from(["\n", "\r\n", " \n"]))
def test_read_pairs__equals_naive(rows, space, end):
    text = "".join(space.join(map(str, row)) + end for row in rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.txt")
        path.write_bytes(text.encode())
        users, items = read_pairs(path)
    assert list(zip(users.tolist(), items.tolist())) == [(r[0], i) for r in rows for i in r[1:]]


@pytest.mark.parametrize(
    "text, message",
    [
        ("0 1\n1 x 3\n", r"train.txt, line 2: expected integers .*, got 'x'$"),
        ("0 1\n1 -3\n", r"train.txt, line 2: expected integers that are not negative, got '-3'$"),
        ("0 1\n1 2.5\n", r"train.txt, line 2: expected integers .*, got '2.5'$"),
        ("0 1\n\n1 2\n", r"train.txt, line 2: the line is empty; expected: user item item"),
        (f"0 1\n1 {2**70}\n", r"train.txt, line 2: expected integers"),
        ("0 1\n0 1_0 2\n", r"train.txt, line 2: expected integers .*, got '1_0'$"),
        ("0 1\n0 +1 2\n", r"train.txt, line 2: expected integers .*, got '\+1'$"),
        ("0 1\n0 \u0661\n", r"train.txt, line 2: expected integers .*, got '\u0661'$"),
        ("", r"train.txt: the file is empty$"),
        ("0\n1\n", r"leaves no positive for training$"),
    ],
)
def test_split_files__refuses(folder, text, message):
    (folder / "train.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        Dataset.from_split_files(folder)


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "name a folder or the file of train"),
        ({"folder": "x", "train": "y"}, "give a folder or the files, not both: x"),
        ({"folder": "nowhere"}, r"train.txt: No such file"),
        ({"train": []}, "name a folder or the file of train"),
    ],
)
def test_split_files__refuses_options(options, message):
    with pytest.raises(DataError, match=message):
        Dataset.from_split_files(**options)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 2])
def test_split_files__refuses_a_share_that_is_none(folder, share):
    with pytest.raises(DataError, match="valid must be a share between 0 and 1"):
        Dataset.from_split_files(folder, valid=share)


def test_gowalla_split__is_read_whole(real_data):
    data = Dataset.from_split_files(real_data("gowalla-split"))
    assert (len(data.users), len(data.items)) == (29_858, 40_981)
    assert (len(data.train), len(data.valid), len(data.test)) == (719_081, 91_047, 217_242)
    assert len(data.seen("test").values) == 719_081 + 91_047


def test_ml_1m_split__is_read_whole(real_data):
    data = Dataset.from_split_files(real_data("ml-1m-split"), valid=0.1)
    assert (len(data.users), len(data.items)) == (6_022, 3_043)
    assert (len(data.train) + len(data.valid), len(data.test)) == (796_244, 99_455)
    assert np.array_equal(np.unique(data.train.users), np.arange(6_022))
