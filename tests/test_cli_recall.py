"""``recall`` for many users, and ``similar``: tables, files and refusals."""

import csv
import json

import numpy as np
import pytest

from minitower.data import Categorical, Dataset, Id, RandomSplit, Schema
from minitower.store.full_version import publish_model
from minitower.store.recommender import Recommender
from minitower.towers.two_tower import TwoTower
from minitower.towers.user_history import UserHistory


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)
    log = {"user": [f"u{i}" for i in rng.integers(0, 30, 90)], "item": rng.integers(0, 40, 90)}
    users = {"user": [f"u{i}" for i in range(30)], "city": rng.choice(["rome", "oslo"], 30)}
    schema = Schema(user=[Id("user"), Categorical("city")], item=[Id("item")])
    items = {"item": np.arange(40), "title": [f"Item {i}" for i in range(40)]}
    data = Dataset.from_columns(
        schema, log, users, items, split=RandomSplit(0, 0), item_name="title"
    )
    folder = tmp_path_factory.mktemp("recall") / "s"
    publish_model(TwoTower(data.schema, dim=4, seed=0), data, folder, index="exact")
    return folder


def error_of(printed, status=2):
    code, out, err = printed
    assert (code, out) == (status, "")
    *_, last = err.splitlines()
    assert last.startswith("minitower: error: ")
    return last


def rows_of(table):
    return list(zip(*(column.tolist() for column in table.values()), strict=True))


def read(path):
    """User, item, score and rank of each row."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return [tuple(row.values()) for row in parquet.read_table(path).to_pylist()]
    with path.open(newline="") as file:
        if path.suffix == ".jsonl":
            return [tuple(json.loads(line).values()) for line in file]
        return [(u, int(i), float(s), int(r)) for u, i, s, r in list(csv.reader(file))[1:]]


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_recall__all_users_to_a_file(run, store, tmp_path, ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="not installed: pip install '.[streams]'")
    path = tmp_path / f"lists{ending}"
    status, out, err = run("recall", store, "--all-users", "--out", path, "-k", 3)
    assert (status, out) == (0, f"{path}\n"), err
    assert "recalling: 30 users" in err
    assert read(path) == rows_of(Recommender.open(store).recommend(k=3))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_recall__users_and_items_of_files(run, store, tmp_path):
    users, items = tmp_path / "users.txt", tmp_path / "items.txt"
    users.write_text("u3\nnobody\n\nu4\n")
    items.write_text("5\n77\n6\n7")
    listed = ("--users", users, "--items", items, "-k", 2, "--include-seen")
    status, out, err = run("recall", store, *listed)
    assert status == 0
    assert "1 of 3 users are unknown: served with default features" in err
    assert "1 of 4 items are unknown: ignored" in err
    table = Recommender.open(store).recommend(
        ["u3", "nobody", "u4"], 2, items=[5, 6, 7], exclude_seen=False
    )
    expected = [(u, str(i), f"{s:.6f}", str(r)) for u, i, s, r in rows_of(table)]
    assert [tuple(line.split("\t")) for line in out.splitlines()] == expected
    as_json = run("recall", store, *listed, "--json")[1]
    assert [tuple(json.loads(line).values()) for line in as_json.splitlines()] == rows_of(table)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_recall__users_and_items_of_tables(run, store, tmp_path, ending):
    """A table gives the column of ids, also one of another known name; its other columns rest."""
    users = {"name": ["Ann, B", "Bo"], "user_id": ["u3", "u4"]}
    items = {"id": [5, 6, 7], "price": [1.5, 2.5, 3.5]}
    if ending == ".jsonl":  # its records name the column as the store does
        users["user"], items["item"] = users.pop("user_id"), items.pop("id")
    expected = run("recall", store, *listed_in(tmp_path, ".txt", ["u3", "u4"], [5, 6, 7]))[1]
    flags = []
    for flag, columns in (("--users", users), ("--items", items)):
        path = tmp_path / f"{flag[2:]}{ending}"
        flags += [flag, path]
        rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
        if ending == ".parquet":
            pytest.importorskip("pyarrow").parquet.write_table(
                pytest.importorskip("pyarrow").table(columns), path
            )
        elif ending == ".jsonl":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(columns))
                writer.writeheader()
                writer.writerows(rows)
    status, out, err = run("recall", store, *flags)
    assert (status, out) == (0, expected), err
    assert "unknown" not in err


def listed_in(folder, ending, users, items):
    for name, ids in (("users", users), ("items", items)):
        (folder / f"{name}{ending}").write_text("\n".join(map(str, ids)) + "\n")
    return ["--users", folder / f"users{ending}", "--items", folder / f"items{ending}"]


def test_recall__a_list_that_is_named_like_a_table_is_refused(run, store, tmp_path):
    listed = listed_in(tmp_path, ".csv", ["u3", "u4"], [5, 6])
    for flags, side, first in ((listed[:2], "user", "u3"), (["u1", *listed[2:]], "item", "5")):
        assert error_of(run("recall", store, *flags)).endswith(
            f"s.csv: found no column '{side}' of {side} ids; columns: {first}; for a list with "
            "one id a line, name the file .txt"
        )


@pytest.mark.parametrize("header", ["user", "user\tage", '"age";"user"'])
def test_recall__a_table_that_is_named_like_a_list_is_refused(run, store, tmp_path, header):
    (tmp_path / "users.tsv").write_text(f"{header}\nu3\nu4\n")
    assert error_of(run("recall", store, "--users", tmp_path / "users.tsv")).endswith(
        "users.tsv, line 1: the header of a table, not an id; name a table .csv, .jsonl or .parquet"
    )


def test_recall__one_user(run, store, tmp_path):
    ids, scores = (side.tolist() for side in Recommender.open(store).recall("u7", k=4))
    out = run("recall", store, "u7", "-k", 4, "--json")[1]
    assert [json.loads(line) for line in out.splitlines()] == [
        {"item": i, "score": s, "name": f"Item {i}"} for i, s in zip(ids, scores, strict=True)
    ]
    (tmp_path / "items.txt").write_text("\n".join(map(str, ids[1:3])))
    out = run("recall", store, "u7", "--items", tmp_path / "items.txt")[1]
    assert [line.split("\t")[0] for line in out.splitlines()] == [str(i) for i in ids[1:3]]
    path = tmp_path / "one.csv"
    profile = ("--profile", "city=oslo")
    assert run("recall", store, "new", *profile, "--out", path, "-k", 4)[:2] == (0, f"{path}\n")
    found = Recommender.open(store).recall("new", {"city": "oslo"}, 4)
    assert [row[1] for row in read(path)] == found[0].tolist()
    assert [row[2] for row in read(path)] == found[1].tolist()


def test_recall__a_history_of_ids_with_commas_is_a_json_list(run, tmp_path):
    log = {"user": ["u", "v", "v"], "item": ["a,b", "c", "a,b"]}
    schema = Schema(user=[Id("user")], item=[Id("item")])
    data = Dataset.from_columns(schema, log, split=RandomSplit(0, 0))
    model = TwoTower(data.schema, dim=4, history=UserHistory(last=2))
    publish_model(model, data, tmp_path / "s", index="exact")

    def recall(history):
        return run("recall", tmp_path / "s", "new", "--json", "--profile", f"history={history}")

    found = Recommender.open(tmp_path / "s").recall("new", {"history": ["c", "a,b"]}, 10)
    assert len(found[0]) == 0, "the history of a profile is excluded"
    assert recall('["c", "a,b"]')[1] == ""
    assert [json.loads(line)["item"] for line in recall("c")[1].splitlines()] == ["a,b"]
    assert "expected ids or a JSON list of ids, got '[\"c\"'" in error_of(recall('["c"'))


def test_recall__approximate_asks_the_index_of_the_store(run, store, monkeypatch):
    asked = []

    class Spy:
        def __init__(self, index):
            self.vectors = index.vectors
            self.search = lambda *query: asked.append(query) or index.search(*query)

    opened = Recommender.open(store)
    exact = rows_of(opened.recommend(k=2))
    object.__setattr__(opened.store, "index", Spy(opened.store.index))
    monkeypatch.setattr(Recommender, "open", lambda folder: opened)
    out = [run("recall", store, "--all-users", "-k", 2, *flags)[1]
           for flags in ((), ("--approximate",))]  # fmt: skip
    assert len(asked) == 1
    assert out[0] == out[1]
    assert len(out[0].splitlines()) == len(exact)


def test_similar(run, store):
    recommender = Recommender.open(store)
    ids, scores = (side.tolist() for side in recommender.similar(9, 3))
    out = run("similar", store, 9, "-k", 3)[1]
    expected = [f"{i}\t{s:.6f}\tItem {i}" for i, s in zip(ids, scores, strict=True)]
    assert out.splitlines() == expected
    out = run("similar", store, 9, "-k", 3, "--json")[1]
    assert [json.loads(line)["item"] for line in out.splitlines()] == ids


@pytest.mark.parametrize("arguments, message", [
    (("recall", "S"), "name one of USER_ID, --all-users and --users FILE"),
    (("recall", "S", "u1", "--all-users"), "name one of USER_ID, --all-users and --users"),
    (("recall", "S", "--all-users", "--profile", "city=oslo"), "--profile belongs to one user"),
    (("recall", "S", "--all-users", "--approximate", "--items", "I"), "leave out --approximate"),
    (("recall", "S", "--all-users", "--out", "lists.txt"), "lists.txt: expected a name that ends"),
    (("recall", "S", "--all-users", "--out", "no/l.csv"), "no/l.csv: cannot be written"),
    (("recall", "S", "--all-users", "-k", "0"), "-k: expected an integer of at least 1"),
    (("recall", "S", "--users", "missing"), "missing: No such file"),
    (("recall", "S", "u1", "--items", "I"), "I, line 2: ids are integers of 64 bits here"),
    (("recall", "S", "u1", "--items", "J"), "the store knows none of the 1 allowed items"),
    (("similar", "S", "99"), "unknown item 99"),
    (("similar", "S", "tea"), "ITEM_ID: ids are integers of 64 bits here, got 'tea'"),
    (("serve", "S", "--port", "70000"), "--port: expected an integer from 0 to 65,535"),
    (("serve", "S", "--poll", "0"), "--poll: expected a number above 0"),
    (("serve", "no-store"), "no-store"),
])  # fmt: skip
def test_commands__refuse(run, store, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "I").write_text("5\ntea\n")
    (tmp_path / "J").write_text("99\n")
    if arguments[0] == "serve":
        pytest.importorskip("starlette", reason="not installed: pip install '.[serve]'")
    line = error_of(run(*(store if word == "S" else word for word in arguments)))
    assert message in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["I", "J"]
