"""A table in many files is the table in one; partitions work from training to the updates."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitower as mt
from minitower.cli import main
from minitower.data import DataError
from minitower.data.layouts import Reading
from minitower.data.parquet import write_parquet
from minitower.data.source import open_folder
from minitower.data.table_parts import files_below, is_partition, name_below, part_files, read_table
from minitower.updating.streams import EventFields, write_events

FIELDS = EventFields(user_type="string")


def clicks(day, n=40):
    rng = np.random.default_rng(day)
    users = [f"u{user}" for user in rng.integers(0, 9, n)]
    times = 86400 * day + np.arange(n)
    return {"user_id": users, "item_id": rng.integers(0, 12, n), "timestamp": times}


def write(folder, ending, *days):
    """A partition for each day, its file of one name."""
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="not installed: pip install '.[streams]'")
    for day in days:
        path = folder / f"day={day}" / f"part-0{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_events(path, clicks(day), FIELDS)
    (folder / "_SUCCESS").touch()
    return folder


ENDINGS = pytest.mark.parametrize("ending", [".csv", ".parquet"])


@ENDINGS
@pytest.mark.parametrize("name", ["interactions", "interactions.csv", "."])
def test_open_folder__partitions_are_one_table(tmp_path, ending, name):
    write(tmp_path / "many" / name, ending, 1, 2, 10)
    (tmp_path / "one").mkdir()
    days = [clicks(day) for day in (1, 10, 2)]  # in the order of the paths
    log = {key: np.concatenate([day[key] for day in days]).tolist() for key in days[0]}
    write_events(tmp_path / "one" / f"interactions{ending}", log, FIELDS)
    many, one = (open_folder(tmp_path / folder, Reading()) for folder in ("many", "one"))
    for key, column in one.raw.interactions.arrays.items():
        assert many.raw.interactions[key].tolist() == column.tolist()
        assert many.raw.interactions[key].dtype == column.dtype
    assert len(many.files) == 3
    assert all(file.endswith(f"part-0{ending}") for file in many.files.values())


def test_read_table__files_of_different_types_are_not_rounded(tmp_path):
    pytest.importorskip("pyarrow")
    large = 2**60 + 1
    write_parquet(tmp_path / "a.parquet", {"user_id": np.array([large])})
    write_parquet(tmp_path / "b.parquet", {"user_id": np.array([0.5])})
    columns = read_table(tmp_path)
    assert columns["user_id"].tolist() == [large, 0.5]
    assert not columns.is_csv


@pytest.mark.parametrize("files, message", [
    ({}, "has no file with rows"),
    ({"a.csv": ""}, "has no file with rows"),
    ({"a.csv": "x\n", "b.parquet": "PAR1"}, "has CSV and Parquet files; leave one kind"),
    ({"a.csv": "x\n", "b.jsonl": "{}"}, "b.jsonl: expected a file whose name ends with .csv or"),
    ({"a.csv": "x,y\n1,2\n", "b.csv": "x,z\n1,2\n"},
     "b.csv: expected the columns of .*a.csv, x, y; got x, z"),
])  # fmt: skip
def test_read_table__refuses_in_one_line(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path)


def test_read_table__an_error_names_the_file_and_its_line(tmp_path):
    for day, value in ((1, "7"), (2, "x")):
        path = tmp_path / "interactions" / f"day={day}" / "part.csv"
        path.parent.mkdir(parents=True)
        rows = f"u1,1,{day}00,1\nu2,2,{day}01,{value}\n"
        path.write_text(f"user_id,item_id,timestamp,weight\n{rows}")
    with pytest.raises(DataError, match=r"day=2.part.csv, line 3, column 'weight': expected a num"):
        open_folder(tmp_path, Reading())


def test_part_files__other_files_beside_partitions_are_no_part(tmp_path):
    write(tmp_path, ".csv", 1)
    (tmp_path / "users.csv").write_text("user_id\nu1\n")
    assert [path.name for path in part_files(tmp_path)] == ["part-0.csv"]


def learned(store, capsys, logs, kind="--full"):
    capsys.readouterr()
    status = main(["update", str(store), str(logs), kind, "--batch-size", "8"])
    err = capsys.readouterr().err
    assert status == 0, err
    notes = mt.Recommender.open(store).store.notes.get("update", {"pairs": 0})
    return notes["pairs"], err


@ENDINGS
@pytest.mark.parametrize("each", [False, True])
def test_partitions__from_training_to_updates(tmp_path, capsys, ending, each):
    """Whether the whole table is named each night, or the partition of the day."""
    data = tmp_path / "data"
    write(data / "interactions", ending, 1, 2)
    (data / "users.csv").write_text("user_id,age\n" + "".join(f"u{n},{n}\n" for n in range(9)))
    store, table = tmp_path / "s", data / "interactions"
    flags = ["--epochs", "1", "--dim", "4", "--index", "exact", "--batch-size", "8"]
    assert main(["train", str(data), "--out", str(store), *flags]) == 0
    logs = lambda day: table / f"day={day}" if each else table
    for day in (3, 4):
        write(table, ending, day)
        assert learned(store, capsys, logs(day))[0] == 40
    assert "nothing to publish" in learned(store, capsys, table)[1]
    write(table, ending, 5)
    assert learned(store, capsys, logs(5), "--incremental")[0] == 40
    files = json.dumps(mt.Recommender.open(store).store.full.notes["cursor"]["files"])
    assert f"day=4/part-0{ending}" in files


def test_partitions__a_store_that_has_learned_by_file_name_goes_on(tmp_path, capsys):
    """Its cursor says part-0.csv; the table around it knows the log by its content."""
    write(tmp_path / "data" / "interactions", ".csv", 1, 2)
    flags = ["--epochs", "1", "--dim", "4", "--index", "exact", "--batch-size", "8"]
    assert main(["train", str(tmp_path / "data"), "--out", str(tmp_path / "s"), *flags]) == 0
    for day in (3, 4):
        folder = tmp_path / "logs" / f"2022-05-0{day}"
        folder.mkdir(parents=True)
        write_events(folder / "part-0.csv", clicks(day), FIELDS)
    assert learned(tmp_path / "s", capsys, tmp_path / "logs" / "2022-05-03")[0] == 40
    capsys.readouterr()
    argv = ["update", str(tmp_path / "s"), str(tmp_path / "logs" / "2022-05-04"), "--full"]
    assert main(argv) == 2
    assert "name the folder above both" in capsys.readouterr().err
    pairs, err = learned(tmp_path / "s", capsys, tmp_path / "logs")
    assert (pairs, "2022-05-03/part-0.csv" in err) == (40, True)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_below__all_but_the_ignored(tmp_path):
    wanted = ["day=1/part-0.csv", "day=1/part-1.csv", "day=2/hour=0/part-0.csv", "x.csv"]
    ignored = ["_SUCCESS", ".x.crc", "day=1/_old/part-0.csv", "day=2/a.csv.tmp", ".git/b.csv"]
    touch(tmp_path, *wanted, *ignored)
    assert files_below(tmp_path) == [tmp_path / name for name in wanted]


def test_files_below__a_link_to_another_folder_is_read_and_a_circle_is_refused(tmp_path):
    touch(tmp_path, "logs/a.csv", "mount/b.csv")
    (tmp_path / "logs" / "more").symlink_to(tmp_path / "mount")
    assert [path.name for path in files_below(tmp_path / "logs")] == ["a.csv", "b.csv"]
    (tmp_path / "mount" / "up").symlink_to(tmp_path / "logs")
    with pytest.raises(DataError, match=r"up: a link to a folder above it; remove the link"):
        files_below(tmp_path / "logs")


def test_files_below__a_missing_folder(tmp_path):
    touch(tmp_path, "file")
    for name in ("nothing", "file"):
        with pytest.raises(DataError, match=f"{name}: the folder is missing"):
            files_below(tmp_path / name)


@given(st.lists(st.sampled_from(["day=1", "hour=02", "logs", "=", "x="]), max_size=4), st.data())
def test_name_below__is_the_same_from_each_partition(parts, data):
    """From the table or from any folder of its partitions."""
    table = Path("/top/table")
    path = table.joinpath(*parts, "part-0.csv")
    first = next((n for n, part in enumerate(parts) if not is_partition(part)), len(parts))
    above = data.draw(st.integers(0, first))
    name = name_below(table.joinpath(*parts[:above]), path)
    assert name == "/".join([*parts, "part-0.csv"])


def test_name_below__a_relative_folder(tmp_path, monkeypatch):
    touch(tmp_path, "day=1/part-0.csv")
    monkeypatch.chdir(tmp_path / "day=1")
    assert name_below(Path(), Path("part-0.csv")) == "day=1/part-0.csv"
