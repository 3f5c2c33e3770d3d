"""The job file of inspect: training with it is training without it; edited, it decides."""

import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tables import ITEMS, LOG, USERS, assert_equal_data, write

from minitower.cli import main
from minitower.data.job_file import job_file, toml
from minitower.data.layouts import Reading
from minitower.data.option_values import read_options
from minitower.data.options import declared
from minitower.data.source import open_folder

ATOMIC = {"x.inter": "user_id:token\titem_id:token\nu\ti\nu\tj\nv\ti\nv\tk\n"}
CITIES = "item_id,city,price\na,Bern,1\nb,Rome,2\nc,Bern,3\nd,Rome,4\n"
ODD = 'user_id,"a b",sep,title\n1,x,1;2,t\n2,y,2,t\n3,"q""",3,t\n4,x,,t\n'


def job_of(text):
    """The options that a job file states."""
    table = tomllib.loads(text)
    return table.pop("data"), read_options(declared(Reading), {}, ("job", table)).make(Reading)


@pytest.mark.parametrize("users, items", [(USERS, ITEMS), (ODD, ITEMS), (USERS, CITIES)])
def test_job_file__reads_what_was_recognized(tmp_path, users, items):
    source = open_folder(write(tmp_path, interactions=LOG, users=users, items=items), Reading())
    data, how = job_of(job_file(tmp_path, source))
    assert data == str(tmp_path.resolve())
    again = open_folder(tmp_path, how)
    assert again.data.schema.schema == source.data.schema.schema
    assert_equal_data(again.data, source.data)
    assert job_file(tmp_path, again) == job_file(tmp_path, source)


def test_job_file__states_every_column(tmp_path):
    source = open_folder(write(tmp_path, interactions=LOG, users=USERS, items=ITEMS), Reading())
    table = tomllib.loads(job_file(tmp_path, source))
    assert table["positive"] == "is_click = 1"
    assert table["split"] == "time:0.1,0.1"
    assert table["columns"] == {
        "user": "user_id", "item": "item_id", "time": "timestamp", "unit": "seconds",
        "weight": "none", "exposed": "none", "title": "title",
    }  # fmt: skip
    assert table["override"] == {
        "age": {"kind": "continuous", "transform": "standardise", "impute": True},
        "city": {"kind": "categorical"},
        "title": "none",
        "tags": {"kind": "multi_valued", "separator": "|"},
        "price": {"kind": "continuous", "transform": "log1p"},
    }


def test_job_file__of_another_layout_states_rule_and_split(tmp_path):
    for name, text in ATOMIC.items():
        (tmp_path / name).write_text(text)
    text = job_file(tmp_path, open_folder(tmp_path, Reading(split="last:1,0", seed=3)))
    data, how = job_of(text)
    assert (data, how) == (str(tmp_path), Reading("all", split="last:1,0", seed=3))


def test_inspect__prints_a_job_that_train_takes(tmp_path, capsys):
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [f"{rng.integers(9)},i{rng.integers(9)},{1000 + n},1\n" for n in range(90)]
    write(folder, interactions="uid,sku,ts,is_click\n" + "".join(rows))
    assert main(["inspect", str(folder), "--split", "time:1970-01-01T00:17:50"]) == 0
    out, err = capsys.readouterr()
    assert "times: column ts, seconds" in err
    assert 'split = "time:1970-01-01T00:17:50"' in out
    job = tmp_path / "job.toml"
    job.write_text(out.replace('exposed = "none"', 'exposed = "none"') + "")
    assert main(["train", "--job", str(job), "--out", str(tmp_path / "m"), "--epochs", "1"]) == 0
    assert "test 20 (until" in capsys.readouterr().err
    assert main(["evaluate", str(tmp_path / "m"), str(folder)]) == 2
    assert "may have learned from" in capsys.readouterr().err


@pytest.mark.parametrize("line, message", [
    ('columns = {who = "x"}', "columns: expected ROLE=COLUMN, the role one of user, item,"),
    ('columns = {unit = "days"}', "columns: expected the unit one of seconds, milliseconds"),
    ("columns = 3", "columns: expected a table of roles and their columns"),
    ('columns = {user = ""}', "columns: expected ROLE=COLUMN"),
    ('users = ""', "users: expected a path"),
    ("users = 3", "users: expected a path"),
    ('users = "no.csv"', "no.csv: No such file or directory"),
    ('split = "time:soon"', "split: TimeSplit: test_from: expected a date such as 2022-05-01"),
    (
        'override = {zip = "none"}',
        "--override names an unknown column 'zip'; columns: none; a table is missing: name it with "
        "--users FILE and --items FILE",
    ),
])  # fmt: skip
def test_train__refuses_a_job_in_one_line(tmp_path, capsys, line, message):
    write(tmp_path, interactions=LOG)
    (tmp_path / "job.toml").write_text(f'data = "."\n{line}\n')
    assert main(["train", "--job", str(tmp_path / "job.toml"), "--out", str(tmp_path / "m")]) == 2
    (error,) = [e for e in capsys.readouterr().err.splitlines() if "error" in e]
    assert message in error


strings = st.text(st.characters(codec="utf-8"))
scalars = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | strings
)
values = scalars | st.lists(scalars, max_size=3)
tables = st.dictionaries(strings, values | st.dictionaries(strings, values, max_size=2), max_size=3)


@given(st.dictionaries(strings, values | tables, max_size=5))
def test_toml__is_read_back(table):
    assert tomllib.loads(toml(table)) == table


def test_toml__keys_after_a_table_still_belong_to_the_top():
    assert tomllib.loads(toml({"a": {"b": 1}, "c": 2})) == {"a": {"b": 1}, "c": 2}


def test_toml__has_no_null():
    with pytest.raises(TypeError, match="TOML has no NoneType"):
        toml({"a": None})
