"""Plain tables: CSV and Parquet give the data set that the columns give, and say what they are."""

import csv
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import (
    Categorical,
    Continuous,
    DataError,
    Dataset,
    Id,
    MultiValued,
    TimeSplit,
)
from minitower.data.layouts import Reading
from minitower.data.source import open_folder
from minitower.training.batches import Batches

LOG = "user_id,item_id,timestamp,is_click\n1,a,100,1\n1,b,200,1\n2,a,300,1\n2,c,400,0\n3,b,500,1\n"
USERS = "user_id,age,city\n1,30,Bern\n2,,Rome\n3,25,Bern\n4,60,\n"
ITEMS = "id,title,tags,price\na,Pen,desk|write,1.5\nb,Ink,write,300\nc,Cup,,2.5\nd,Lid,kitchen,1\n"


def write(folder, **tables):
    for name, text in tables.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


def write_csv(path, table):
    """Columns as a CSV file: lists joined by bars, None as an empty field."""
    cell = lambda v: "" if v is None else "|".join(v) if isinstance(v, list) else v
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = zip(*table.values())
        csv.writer(file).writerows([list(table), *([cell(v) for v in row] for row in rows)])


def write_parquet(path, table):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(table), path)


def assert_equal_data(one, other):
    """Equal tables and parts, and equal statistics of training."""
    for side in ("users", "items"):
        ours, theirs = getattr(one, side).to_arrays(), getattr(other, side).to_arrays()
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name].dtype.kind == theirs[name].dtype.kind, name
            np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    for name in ("train", "valid", "test"):
        for column in ("users", "items", "timestamps", "weights"):
            ours, theirs = (getattr(data.split(name), column) for data in (one, other))
            assert np.array_equal(ours, theirs) if ours is not None else theirs is None
    assert (one.positive, one.weight) == (other.positive, other.weight)
    exposed = one.exposed(), other.exposed()
    assert [r.indptr.tolist() + r.values.tolist() for r in exposed[:1]] == [
        r.indptr.tolist() + r.values.tolist() for r in exposed[1:]
    ]


words = st.sampled_from(["red", "Bern", "Rome", "São Paulo", 'a "b", c', "line\nend", "x y"])


@st.composite
def tables(draw):
    """A log of clicks, users and items: ids of both types, missing values, repeated entities."""
    many = lambda element, n: draw(st.lists(element, min_size=n, max_size=n))
    ids = st.integers(0, 99) if draw(st.booleans()) else st.text("abcé", min_size=1, max_size=3)
    users = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    items = draw(
        st.lists(st.text("xyz", min_size=1, max_size=2), min_size=1, max_size=4, unique=True)
    )
    n, numbers = draw(st.integers(1, 8)), st.integers(0, 5) | st.floats(-1e6, 1e6, width=32)
    log = {
        "user_id": many(st.sampled_from(users), n),
        "item_id": many(st.sampled_from(items), n),
        "timestamp": many(st.integers(10**9, 2 * 10**9), n),
        "clicked": [1, *many(st.integers(0, 1), n - 1)],
        "weight": many(st.sampled_from([0, 0.5, 2]), n),
        "exposed": many(st.lists(st.sampled_from(items), max_size=3), n),
    }
    of_users = {
        "user_id": users,
        "city": many(words | st.none(), len(users)),
        "level": many(st.integers(0, 2) | st.none(), len(users)),
    }
    of_items = {
        "item_id": items,
        "price": many(numbers | st.none() if draw(st.booleans()) else numbers, len(items)),
        "tags": [["red", "blue"], *many(st.lists(words, max_size=2), len(items) - 1)],
        "new": many(st.booleans(), len(items)),
    }
    for name in draw(st.sets(st.sampled_from(["weight", "exposed"]))):
        del log[name]
    return log, of_users, of_items


@given(tables())
def test_from_files__equals_from_columns(tmp_path_factory, tables):
    pytest.importorskip("pyarrow")
    folder, names = tmp_path_factory.mktemp("data"), ("interactions", "users", "items")
    how = Reading(split="time:0.2,0.2", positive="clicked = 1")
    for suffix, write_table in ((".csv", write_csv), (".parquet", write_parquet)):
        kind = folder / suffix[1:]
        kind.mkdir()
        for name, table in zip(names, tables):
            write_table(kind / f"{name}{suffix}", table)
        with warnings.catch_warnings(action="ignore"):  # of a column with one value
            data = Dataset.from_files(kind, how)
        log = tables[0]
        expected = Dataset.from_columns(
            data.schema.schema,
            *tables,
            positive="clicked = 1",
            split=TimeSplit(0.2, 0.2),
            weight="weight" if "weight" in log else None,
            exposed="exposed" if "exposed" in log else None,
        )
        assert_equal_data(data, expected)


def test_open_folder__recognizes_and_says_it(tmp_path):
    source = open_folder(write(tmp_path, interactions=LOG, users=USERS, items=ITEMS), Reading())
    assert source.data.schema.schema.user == (
        Id("user_id"), Continuous("age", "standardise", impute=True), Categorical("city"),
    )  # fmt: skip
    assert source.data.schema.schema.item == (
        Id("item_id"), MultiValued("tags", separator="|"), Continuous("price", "log1p"),
    )  # fmt: skip
    assert source.data.items.names.tolist() == ["Pen", "Ink", "Cup", "Lid"]
    assert source.data.users.ids.tolist() == [1, 2, 3, 4]
    assert (source.data.positive, len(source.data.everything().train)) == ("is_click = 1", 4)
    assert source.remarks == (
        "users: age standardise, city categorical",
        "items: column id is item_id",
        "items: tags multi_valued separated by '|', price log1p",
        "times: column timestamp, seconds",
        "positives: where is_click = 1 (use --positive RULE to change that)",
        source.remarks[-1],
    )
    assert list(source.files.values()) == ["interactions.csv"]


def test_from_files__tables_without_rows_are_no_tables(tmp_path):
    tables = {"interactions": LOG, "users": "user_id,city\n", "items": "id\n"}
    how = Reading("is_click = 1", split="last:0,0", override={"city": None})
    data = Dataset.from_files(write(tmp_path, **tables), how)
    assert data.users.ids.tolist() == [1, 2, 3]
    assert data.schema.schema.user == (Id("user_id"),)


def test_from_files__one_by_one_and_by_role(tmp_path):
    log = LOG.replace("user_id", "who").replace("item_id", "what").replace("timestamp", "when")
    write(tmp_path, log=log, people=USERS.replace("user_id", "who"), things=ITEMS)
    how = Reading(
        "is_click = 1",
        columns={"user": "who", "item": "what", "time": "when", "title": None},
        users=tmp_path / "people.csv",
        items=tmp_path / "things.csv",
    )
    data = Dataset.from_files(tmp_path / "log.csv", how)
    assert (data.timestamp, data.item_name) == ("when", None)
    assert [field.name for field in data.schema.schema.item] == ["what", "title", "tags", "price"]
    assert data.train.timestamps.max() == 300


def test_from_files__ids_of_both_tables_have_one_type(tmp_path):
    write(tmp_path, interactions="user,item\n7,1\n8,2\n", users="user,a\n07,x\n8,y\n")
    data = Dataset.from_files(tmp_path, Reading(split="last:0,0"))
    assert data.users.ids.tolist() == ["07", "8", "7"], "7 and 07 are two users"
    assert data.items.ids.tolist() == [1, 2]


@pytest.mark.parametrize("unit, factor", [("seconds", 1), ("milliseconds", 10**3)])
def test_from_files__units_of_time(tmp_path, unit, factor):
    rows = "".join(f"{u},{i},{(10**9 + u) * factor}\n" for u in range(9) for i in range(2))
    source = open_folder(write(tmp_path, interactions="user,item,ts\n" + rows), Reading())
    assert source.data.everything().train.timestamps.tolist() == [10**9 + u // 2 for u in range(18)]
    assert source.how.columns["unit"] == unit


TABLES = {"interactions": LOG, "users": USERS, "items": ITEMS}


LOGS = {  # what is wrong with a log -> the log, and the error
    "empty": ("user_id,item_id\n", "interactions.csv: the table has no interactions$"),
    "no ids": ("a,b\n1,2\n", "interactions.csv: found no column of user ids, such as user_id; "
               "columns: a, b; state --columns user=COLUMN$"),
    "two": (LOG.replace("is_click", "user"), "columns user_id, user could all be the user; "
            "state --columns user=user_id, or none$"),
    "no time": (LOG.replace("500", "soon"), "interactions.csv, line 6, column 'timestamp': "
                "expected a number, got 'soon'; write dates like 2"),
    "a hole": (LOG.replace("500", ""), "line 6, column 'timestamp': missing timestamp$"),
    "no user": (LOG.replace("3,b", ",b"), "line 6, column 'user_id': missing id$"),
    "weight": (LOG.replace("is_click", "weight").replace("400,0", "400,-1"),
               "line 5, column 'weight': expected a weight of at least 0, .*, got -1"),
    "no weight": (LOG.replace("is_click", "weight").replace("400,0", "400,"),
                  "line 5, column 'weight': expected a weight of at least 0, .*, got nan"),
}  # fmt: skip


@pytest.mark.parametrize("problem", LOGS)
def test_from_files__refuses_a_log_in_one_line(tmp_path, problem):
    log, message = LOGS[problem]
    write(tmp_path, **TABLES | {"interactions": log})
    refuses(tmp_path, Reading(), message)


def refuses(folder, how, message):
    with pytest.raises(DataError, match=message) as error:
        open_folder(folder, how)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("users, message", [
    ("name\nx\n", "users.csv: found no column 'user_id' of user ids; columns: name$"),
    ("user_id,a\n1,x\n1,y\n", "users.csv, line 3, column 'user_id': the id 1 occurs twice$"),
])  # fmt: skip
def test_from_files__refuses_a_table_of_users(tmp_path, users, message):
    refuses(write(tmp_path, **TABLES | {"users": users}), Reading(), message)


@pytest.mark.parametrize("how, message", [
    ({"columns": {"time": "when"}}, "column 'when' is missing; columns: user_id, item_id"),
    ({"override": {"zip": None}}, "--override names an unknown column 'zip'; columns: age,"),
    ({"override": {"user_id": "float"}}, "column 'user_id': the column of ids must be an Id$"),
    ({"override": {"city": "float"}}, "users.csv, line 2, column 'city': expected a number"),
    ({"valid": 0.1}, "--valid is for split files"),
    ({"positive": "is_click = 1 and"}, "cannot read the rule 'is_click = 1 and'"),
    ({"split": "time:1970-01-01"}, "leaves no positive for training"),
])  # fmt: skip
def test_from_files__refuses_options(tmp_path, how, message):
    refuses(write(tmp_path, **TABLES), Reading(**how), message)


def test_from_files__refuses_two_tables_of_one_name_and_other_files(tmp_path):
    write(tmp_path, **TABLES)
    (tmp_path / "users.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"has users.csv and users.parquet; leave one of them$"):
        open_folder(tmp_path, Reading())
    (tmp_path / "users.parquet").unlink()
    (tmp_path / "log.txt").write_text(LOG)
    with pytest.raises(DataError, match=r"log.txt: expected a file whose name ends with .csv or"):
        open_folder(tmp_path / "log.txt", Reading())


def test_from_files__a_dropped_column_is_named_with_what_keeps_it(tmp_path):
    """Words between spaces are offered as lists; a column of one side may be named by its side."""
    rows = [f"{n},{' '.join('abcdefgh'[n >> b & 7] for b in range(5))},z{n}" for n in range(150)]
    users = "\n".join(["user_id,words,zip", *rows])
    write(tmp_path, interactions=LOG, users=users, items=ITEMS.replace("tags", "zip"))
    source = open_folder(tmp_path, Reading())
    dropped = [remark for remark in source.remarks if remark.startswith("dropped")]
    assert [remark.partition("use ")[2] for remark in dropped] == [
        "--override words=token_seq to keep it)", "--override zip=token to keep it)"
    ]  # fmt: skip
    kept = open_folder(tmp_path, Reading(override={"words": "token_seq", "users.zip": "token"}))
    assert [field.name for field in kept.data.schema.schema.user] == ["user_id", "words", "zip"]
    assert not any(remark.startswith("dropped") for remark in kept.remarks)


def test_open_folder__options_of_tables_need_tables(tmp_path):
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\nu\ti\nu\tj\n")
    for how in (Reading(columns={}), Reading(users=tmp_path / "u.csv"), Reading(items=tmp_path)):
        with pytest.raises(DataError, match="is for plain tables, but interactions"):
            open_folder(tmp_path, how)


def test_from_files__weights_are_those_of_the_positives(tmp_path):
    text = (
        LOG.replace("is_click", "is_click,weight")
        .replace("00,1", "00,1,2")
        .replace(",0\n", ",0,9\n")
    )
    data = Dataset.from_files(
        write(tmp_path, interactions=text), Reading(positive="is_click = 1", split="last:1,0")
    )
    assert (data.train.weights.tolist(), data.valid.weights.tolist()) == ([2, 2, 2], [2])
    assert data.everything().train.weights.tolist() == [2] * 4
    plain = Dataset.from_files(tmp_path, Reading("is_click = 1", columns={"weight": None}))
    assert (plain.weight, plain.train.weights) == (None, None)


def test_from_files__weights_reach_every_batch(tmp_path):
    text = "user_id,item_id,weight\n" + "".join(f"{n},i{n},{n}\n" for n in range(5))
    data = Dataset.from_files(write(tmp_path, interactions=text), Reading(split="last:0,0"))
    for batch in Batches(data, 2).epoch(np.random.default_rng(0)):
        assert batch.weights.tolist() == data.users.ids[batch.user_rows].tolist()


def test_from_files__columns_without_a_name_and_constant_ones_are_left_out(tmp_path):
    users = ",user_id,a,b,day\n0,1,x,,2020-01-01\n1,2,x,,2020-01-02\n2,3,x,,2020-01-02\n"
    how = Reading("is_click = 1", split="last:0,0")
    write(tmp_path, interactions=LOG, users=users)
    with pytest.warns(UserWarning, match=r"users: left out .*day \(dates\)") as warned:
        data = Dataset.from_files(tmp_path, how)
    assert data.schema.schema.user == (Id("user_id"),)
    assert len(warned) == 1
    assert warned[0].filename == __file__
    assert str(warned[0].message).partition("; ")[0] in data.remarks
    stated = dict.fromkeys(("a", "b", "day"))
    data = Dataset.from_files(tmp_path, replace(how, override=stated))
    assert not any("left out" in remark for remark in data.remarks)


def test_from_files__warns_of_a_column_that_is_dropped_and_keeps_all_remarks(tmp_path):
    users = "\n".join(["user_id,zip", *(f"{n},z{n}" for n in range(150))])
    write(tmp_path, interactions=LOG, users=users)
    how = Reading("is_click = 1")
    with pytest.warns(UserWarning, match="dropped column zip: 150 values on 150 rows") as warned:
        data = Dataset.from_files(tmp_path, how)
    assert len(warned) == 1
    assert set(data.remarks) < set(open_folder(tmp_path, how).remarks)
    assert any(remark.startswith("times: ") for remark in data.remarks)
    assert len(Dataset.from_files(tmp_path, replace(how, override={"zip": "token"})).remarks) > 1


def test_evaluate__another_file_of_strings_fits_the_trained_vocabulary(tmp_path):
    """Categories of digits in one file, and of words in the other."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir(), two.mkdir()
    write(one, interactions=LOG, users="user_id,c\n1,7\n2,x\n3,7\n")
    write(two, interactions=LOG, users="user_id,c\n1,7\n2,8\n3,7\n")
    trained = open_folder(one, Reading(split="last:0,0"))
    other = open_folder(two, Reading(split="last:0,0")).encoded_by(trained.data.schema)
    assert other.data.users.columns["c"].tolist() == [1, 0, 1]


def test_from_files__a_second_id_is_refused_by_its_file(tmp_path):
    write(tmp_path, interactions=LOG, users=USERS, items=ITEMS)
    name = USERS.partition("\n")[0].split(",")[1]
    override = {name: Id(name)}
    with pytest.raises(DataError, match=r"interactions.csv: user side: there must be exactly one"):
        open_folder(tmp_path, Reading(override=override))


@pytest.mark.parametrize("ids", [["1.0", "2.0"], [" 1", " 2"], [7, 8]])
def test_from_files__a_table_of_other_ids_is_refused(tmp_path, ids):
    """Otherwise every feature would be missing, silently."""
    rows = "".join(f"{value},Bern\n" for value in ids)
    write(tmp_path, interactions=LOG, users=f"user_id,city\n{rows}")
    message = r"users.*, column 'user_id': no id of .*interactions.* is here: .* there, .* here; w"
    refuses(tmp_path, Reading(), message)


def test_open_folder__says_how_many_have_no_row_and_what_is_left_out(tmp_path):
    users = "user_id,city,born,tags\n1,Bern,1990-01-01,\"['a', 'b']\"\n9,Rome,1991-01-01,['a']\n"
    exposed = LOG.replace("is_click", "is_click,exposed").replace(",1\n", ",1,a|z\n")
    exposed = exposed.replace(",0\n", ",0,\n")
    remarks = open_folder(write(tmp_path, interactions=exposed, users=users), Reading()).remarks
    assert "users: 2 of the interactions have no row in users.csv" in remarks
    assert "users: left out born (dates), tags (lists in brackets, not a|b)" in remarks
    assert "exposures: column exposed, 4 ids of unknown items ignored" in remarks


def test_from_files__vectors_and_records_of_parquet_are_no_sets(tmp_path):
    pytest.importorskip("pyarrow")
    log = {"user_id": [1, 2], "item_id": [7, 8]}
    items = {"item_id": [7, 8], "vector": [[0.5, 1.0], [0.25, 2.0]], "record": [{"a": 1}] * 2,
             "x": [np.inf, 1.5]}  # fmt: skip
    write_parquet(tmp_path / "interactions.parquet", log)
    write_parquet(
        tmp_path / "items.parquet", {n: items[n] for n in ("item_id", "vector", "record")}
    )
    source = open_folder(tmp_path, Reading(split="last:0,0"))
    assert (
        "items: left out vector (lists of fractions), record (values of type dict)"
        in source.remarks
    )
    write_parquet(tmp_path / "items.parquet", {n: items[n] for n in ("item_id", "x")})
    refuses(tmp_path, Reading(split="last:0,0"), "items.parquet, row 0, column 'x': .* infinite")


def test_open_folder__says_that_no_column_of_times_is_recognized(tmp_path):
    write(tmp_path, interactions=LOG.replace("timestamp", "shown_at"))
    remark = "times: no column is recognized (use --columns time=COLUMN to name one)"
    assert remark in open_folder(tmp_path, Reading()).remarks
    for columns in ({"time": "shown_at"}, {"time": None}):
        assert remark not in open_folder(tmp_path, Reading(columns=columns)).remarks
