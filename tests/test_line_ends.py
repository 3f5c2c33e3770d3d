"""Readers of lines end a line at LF alone, not at what else `str.splitlines` takes for an end."""

import json

import numpy as np
import pytest

import minitower as mt
from minitower.cli import main
from minitower.data import Categorical, Dataset, Id, RandomSplit, Schema, atomic_files, movielens
from minitower.data.csv_files import read_csv
from minitower.scale.list_files import write_lists
from minitower.store.full_version import publish_model
from minitower.store.lists import list_blocks
from minitower.updating.entity_lists import read_ids, read_list
from minitower.updating.streams import ClickStream, EventFields, write_events

ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
IDS = [f"a{end}b" for end in ENDS]
FIELDS = EventFields(user_type="string", item_type="string")


def test_the_ids_are_several_lines_to_python():
    assert all(len(one.splitlines()) == 2 for one in IDS)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    log = {"user_id": IDS, "item_id": IDS[::-1]}
    schema = Schema(user=[Id("user_id"), Categorical("city")], item=[Id("item_id")])
    data = Dataset.from_columns(schema, log, {"user_id": IDS, "city": IDS}, split=RandomSplit(0, 0))
    folder = tmp_path_factory.mktemp("ends") / "s"
    publish_model(mt.TwoTower(data.schema, dim=2, seed=0), data, folder, index="exact")
    return mt.Recommender.open(folder).store, folder


def test_tables_in_csv(tmp_path):
    path = tmp_path / "users.csv"
    path.write_text(
        "user_id,city\n" + "".join(f"{one},x{one}\n" for one in IDS), "utf-8", newline=""
    )
    columns = read_csv(path)
    assert columns["user_id"].tolist() == IDS
    assert columns["city"].tolist() == [f"x{one}" for one in IDS]


def test_atomic_files(tmp_path):
    path = tmp_path / "d.inter"
    lines = "".join(f"{one}\t{one}\n" for one in IDS)
    path.write_text("user_id:token\titem_id:token\n" + lines, "utf-8", newline="")
    assert atomic_files.read_file(path).columns["item_id"].tolist() == IDS


def test_movielens(tmp_path):
    """In Latin-1 a title may hold the byte 85."""
    (tmp_path / "u.data").write_text("1\t1\t5\t100\n1\t2\t4\t200\n")
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n")
    title = [f"Film{end}{n}" for n, end in enumerate("\x1c\x85", start=1)]
    genres = "|".join("0" * 19)
    rows = [f"{n}|{t}|01-Jan-1995||http|{genres}\n" for n, t in enumerate(title, start=1)]
    (tmp_path / "u.item").write_text("".join(rows), "latin-1", newline="")
    raw = movielens.read(tmp_path)
    assert raw.items["title"].tolist() == title


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_click_logs(tmp_path, suffix):
    """JSON escapes these characters; a writer other than ours may not."""
    path = tmp_path / f"a{suffix}"
    if suffix == ".csv":
        log = {"user_id": IDS, "item_id": IDS[::-1], "timestamp": np.arange(len(IDS))}
        write_events(path, log, FIELDS)
    else:
        rows = [
            {"user_id": u, "item_id": i, "timestamp": t}
            for t, (u, i) in enumerate(zip(IDS, IDS[::-1]))
        ]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        for control in "\x0b\x0c\x1c\x1d\x1e":  # JSON itself forbids these in a string
            lines = lines.replace(control, f"\\u{ord(control):04x}")
        path.write_text(lines, "utf-8", newline="")
    (batch,) = ClickStream(folder=tmp_path, fields=FIELDS).batches(100)
    assert batch.events.users.tolist() == IDS
    assert batch.events.items.tolist() == IDS[::-1]


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl"])
def test_lists_of_ids_and_of_users(store, tmp_path, suffix):
    opened, _ = store
    path = tmp_path / f"ids{suffix}"
    if suffix == ".jsonl":
        rows = [json.dumps({"user_id": one, "city": one}) for one in IDS]
        text = "\n".join(rows).replace("\\u2028", "\u2028").replace("\\u0085", "\x85")
    elif suffix == ".csv":
        text = "\n".join(["user_id,city", *(f"{one},{one}" for one in IDS)])
    else:
        text = "\n".join(IDS)
    path.write_text(text, "utf-8", newline="")
    side = opened.model.encoders.user
    assert read_ids("users", path, side, opened.users) == IDS
    if suffix != ".txt":
        columns = read_list("users", path, side, opened.users)
        assert columns["city"].tolist() == columns["user_id"].tolist() == IDS


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_written_lists_are_read_again(store, tmp_path, suffix):
    path = tmp_path / f"lists{suffix}"
    write_lists(path, list_blocks(store[0], None, 1))
    if suffix == ".csv":
        users = read_csv(path)["user"].tolist()
    else:
        lines = path.read_bytes().decode().rstrip("\n").split("\n")
        users = [json.loads(line)["user"] for line in lines]
    assert users == sorted(IDS)


def test_a_command_reads_them_from_files(store, tmp_path, capsys):
    (tmp_path / "ids.txt").write_text("\n".join(IDS), "utf-8", newline="")
    users = ["--users", str(tmp_path / "ids.txt"), "--items", str(tmp_path / "ids.txt")]
    assert main(["recall", str(store[1]), *users, "-k", "1", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "unknown" not in err
    assert [json.loads(line)["user"] for line in out.rstrip("\n").split("\n")] == IDS
