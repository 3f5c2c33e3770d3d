"""Updates of a version that was trained on plain tables: its rule, its unit of times, its lists."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitower as mt
from minitower.cli import main
from minitower.data import DataError
from minitower.data.columns import read_columns
from minitower.data.errors import Place
from minitower.data.rules import parse_rule
from minitower.store.recommender import read_version
from minitower.store.version_log import read_current
from minitower.updating.plan import PositiveFilter
from minitower.updating.streams import EventFields

RULE = 'is_click = 1 and (device = "phone" or stars >= 4)'
START = 1_650_000_000_000  # milliseconds


def log_rows(seed, n, first):
    """Rows of a log of clicks on 9 items by 6 users."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        yield {
            "uid": rng.integers(6), "sku": f"i{rng.integers(9)}", "ts": START + 1000 * (first + i),
            "is_click": rng.integers(2), "device": rng.choice(["phone", "web"]),
            "stars": rng.choice(["", "3", "5"]),
        }  # fmt: skip


def passes(row):
    return row["is_click"] == 1 and (row["device"] == "phone" or row["stars"] == "5")


def write(path, rows):
    rows = list(rows)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return rows


@pytest.fixture
def store(tmp_path):
    """A store that was trained on tables, and a folder with one later log."""
    (tmp_path / "data").mkdir(), (tmp_path / "logs").mkdir()
    write(tmp_path / "data" / "interactions.csv", log_rows(0, 120, 0))
    users = [{"uid": u, "city": "ab"[u % 2], "age": 20 + 7 * u} for u in range(6)]
    write(tmp_path / "data" / "users.csv", users)
    items = [{"sku": f"i{i}", "title": f"Item {i}", "kind": i % 3, "n": i} for i in range(9)]
    write(tmp_path / "data" / "items.csv", items)
    job = tmp_path / "job.toml"
    options = {"data": "data", "out": "store", "positive": RULE, "epochs": 1, "index": "exact"}
    job.write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in options.items()))
    assert main(["train", "--job", str(job)]) == 0
    return tmp_path / "store"


def test_updates__decide_by_the_rule_of_the_version(store):
    rows = write(store.parent / "logs" / "a.csv", log_rows(1, 40, 500))
    expected = sum(map(passes, rows))
    events = []
    result = mt.full_update(store, store.parent / "logs", on_event=lambda e: events.append(str(e)))
    assert result.report.pairs == expected
    assert f"{expected} of 40 clicks are positives: {RULE}" in "\n".join(events)
    assert read_current(store, read_version).notes["reading"]["positive"] == RULE
    more = write(store.parent / "logs" / "b.csv", log_rows(2, 30, 600))
    read = mt.incremental_update(store, store.parent / "logs")
    assert read is not None
    session = mt.IncrementalSession.open(store)
    learned = session.learn({name: [row[name] for row in more] for name in more[0]})
    assert learned == sum(map(passes, more))


def test_updates__refuse_times_in_another_unit(store):
    rows = [{**row, "ts": row["ts"] // 1000} for row in log_rows(1, 4, 500)]
    write(store.parent / "logs" / "a.csv", rows)
    with pytest.raises(DataError, match="1650000500' is too small for milliseconds, the unit of"):
        mt.full_update(store, store.parent / "logs")


def test_full_update__reads_lists_of_users_and_items_as_csv(store):
    write(store.parent / "logs" / "a.csv", log_rows(1, 40, 500))
    users, items = store.parent / "new_users.csv", store.parent / "new_items.csv"
    write(users, [{"id": 6, "age": 33, "city": "a"}, {"id": 0, "age": 20, "city": "no such"}])
    write(items, [{"sku": "new", "title": "New", "kind": 2, "n": 1, "more": "x"}])
    options = mt.FullUpdateOptions(users=users, items=items)
    result = mt.full_update(store, store.parent / "logs", options)
    assert (result.new_users, result.new_items) == (1, 1)
    after = read_current(store, read_version)
    row = after.items.rows_of(["new"])[0]
    assert after.items.names[row] == "New"
    same = after.items.columns["kind"][after.items.rows_of(["i2"])[0]]
    assert after.items.columns["kind"][row] == same > 0, "2 in a CSV file is the integer 2"
    assert after.users.columns["city"][0] > 0, "a new category gets a row"
    write(items, [{"sku": "newer", "title": "New"}])
    with pytest.raises(DataError, match=r"new_items.csv: column 'kind' is missing; columns: sku"):
        mt.full_update(store, store.parent / "logs", options)
    with pytest.raises(DataError, match=r"ends with .jsonl, .csv or .parquet"):
        mt.full_update(store, store.parent / "logs", mt.FullUpdateOptions(users=store / "x.txt"))


values = st.sampled_from([None, "", 1, 0, 1.5, "1", "1.0", "01", "true", "phone", "web", True, [1]])


@given(st.lists(st.tuples(values, values), min_size=1, max_size=5))
def test_event_fields__a_rule_decides_each_row_alone(rows):
    """The value of a row does not depend on the rows beside it: blocks are cut anywhere."""
    rule = parse_rule("a = 1 and b != phone or a = phone")
    fields = EventFields(rule=rule)

    def decided(rows):
        a, b = zip(*rows)
        n = len(rows)
        log = {"user_id": [1] * n, "item_id": [2] * n, "timestamp": [3] * n, "a": a, "b": b}
        return fields.events(read_columns(log, Place("log"))).values.tolist()

    def outcome(rows):
        try:
            return list(map(str, decided(rows)))
        except DataError:
            return ["refused"]

    each = [outcome([row])[0] for row in rows]
    assert outcome(rows) == (["refused"] if "refused" in each else each)


def test_event_fields__a_rule_or_a_value_and_stored_rows_keep_the_decision():
    with pytest.raises(ValueError, match="give value or rule, not both"):
        EventFields(value="a", rule=parse_rule("a = 1"))
    fields = EventFields(rule=parse_rule("a = x or user_id = 7"), unit="milliseconds")
    assert fields.names == ["user_id", "item_id", "timestamp", "a"]
    log = {"user_id": [7, 8], "item_id": [1, 2], "timestamp": [START] * 2, "a": [None, "y"]}
    events = fields.events(read_columns(log, Place("log")))
    assert (events.values.tolist(), events.timestamps.tolist()) == ([1, 0], [START / 1000] * 2)
    again = fields.from_rows(events.rows())
    assert [c.tolist() for c in again.columns] == [c.tolist() for c in events.columns]


@pytest.mark.parametrize("yes, no", [("True", "False"), (True, False), ("true", ""), (1, 0.0)])
def test_positive_filter__true_is_a_click_as_in_training(yes, no):
    """pandas writes True and False to CSV; a table of them trains with the rule of clicks."""
    filter_ = PositiveFilter("is_click = 1")
    fields = EventFields(value=filter_.column, rule=filter_.rule)
    log = {"user_id": [1, 2, 3], "item_id": [1, 2, 3], "timestamp": [1, 2, 3],
           "is_click": np.array([yes, no, yes], object)}  # fmt: skip
    assert filter_(fields.events(read_columns(log, Place("log")))).users.tolist() == [1, 3]


def test_positive_filter__names_all_missing_columns():
    some = PositiveFilter("a = x and b > 2")
    fields = EventFields(rule=some.rule)
    none = {"user_id": [1], "item_id": [1], "timestamp": [1], "a": [None], "b": [None]}
    assert len(some(fields.events(read_columns(none, Place("log"))))) == 0
    with pytest.raises(DataError, match=r"columns 'a' and 'b' are missing from all 1 clicks"):
        some.require_values()


@pytest.mark.parametrize("command", ["train", "update"])
def test_a_missing_number_names_what_exists(store, tmp_path, capsys, command):
    """An update has no --override; the model is what takes missing values or does not."""
    row = {"sku": "new", "title": "New", "kind": 1, "n": ""}
    if command == "train":
        write(tmp_path / "data" / "items.csv", [row, {**row, "sku": "i1", "n": 3}])
        argv = ["train", "--job", str(tmp_path / "job.toml"), "--override", "n=float"]
        argv += ["--out", str(tmp_path / "t")]
    else:
        write(tmp_path / "new.csv", [row])
        argv = ["update", str(store), str(tmp_path / "logs"), "--full"]
        argv += ["--items", str(tmp_path / "new.csv")]
    assert main(argv) == 2
    message = (
        "column 'n': missing value; give one; a model trained with Continuous('n', impute=True), "
        'or by minitower train --override \'n={kind="continuous", transform="standardise", '
        "impute=true}', takes the training mean instead"
    )
    assert capsys.readouterr().err.endswith(f"{message}\n")
