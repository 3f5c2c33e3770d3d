"""``tune``, from a folder of data to the job file that ``train`` takes."""

import itertools
import json
import tomllib

import numpy as np
import pytest

from minitower.cli import main
from minitower.cli.train import read_job, read_toml
from minitower.data import DataError
from minitower.data.layouts import Reading
from minitower.data.source import open_folder
from minitower.store.recommender import Recommender
from minitower.training import study as study_room

pytest.importorskip("optuna", reason="optuna (extra tune) is missing")

QUICK = (
    "--dim",
    "4",
    "--hidden",
    "",
    "--epochs",
    "2",
    "--batch-size",
    "64",
    "--metric",
    "recall@5",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Atomic files of two groups of users who click two halves of the items."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, 40, 500)
    items = rng.integers(0, 15, 500) + 15 * (users % 2)
    lines = [f"{u}\t{i}\t{rng.integers(3, 6)}\t{t}" for t, (u, i) in enumerate(zip(users, items))]
    folder = tmp_path_factory.mktemp("data") / "two groups"
    folder.mkdir()
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    (folder / "d.inter").write_text("\n".join([head, *lines]) + "\n")
    rows = ["user_id:token\tgroup:token", *(f"{u}\tg{u % 2}" for u in range(40))]
    (folder / "d.user").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def command(capsys):
    def command(*argv):
        status = main([str(word) for word in argv])
        told = capsys.readouterr()
        return status, told.out, told.err

    return command


def refusal(told, status=2):
    code, out, err = told
    assert (code, out) == (status, "")
    last = err.splitlines()[-1]
    assert last.startswith("minitower: error: ")
    return last


def test_tune__a_table_and_a_job_that_trains_the_best(command, data, tmp_path):
    """The table is best first; train --job makes the model of the first row."""
    out = tmp_path / "jobs" / "best.toml"
    out.parent.mkdir()
    how = ("--positive", "rating >= 4", "--split", "last:2,2", "--seed", 3)
    status, table, err = command("tune", data, "--trials", 4, *QUICK, *how, "--out", out)
    assert status == 0, err
    head, *rows = [line.split("\t") for line in table.splitlines()]
    assert head[:6] == ["trial", "recall@5", "epoch", "epochs", "seconds", "state"]
    assert {"temperature", "learning_rate", "negatives"} <= set(head[6:])
    assert sorted(row[0] for row in rows) == ["0", "1", "2", "3"]
    values = [float(row[1]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert f"{out}: trial {rows[0][0]}, recall@5 {values[0]:.4f} on validation" in err

    job = tomllib.loads(out.read_text())
    assert job["positive"] == "rating >= 4"
    assert job["split"] == "last:2,2"
    assert (job["dim"], job["hidden"], job["seed"], job["epochs"]) == (4, [], 3, 2)
    assert f"{job['temperature']}" == rows[0][6]
    model = tmp_path / "model"
    assert command("train", "--job", out, "--no-refit", "--out", model)[0] == 0
    shown = json.loads(command("store", "show", model)[1])
    assert shown["metrics"]["recall@5"] == pytest.approx(values[0], abs=1e-6)


def test_tune__the_same_command_goes_on(command, data, tmp_path):
    flags = (*QUICK, "--out", tmp_path / "best.toml")
    first = command("tune", data, "--trials", 2, *flags)[1].splitlines()
    second = command("tune", data, "--trials", 2, *flags)[1].splitlines()
    assert len(first) == 3
    assert len(second) == 5
    assert set(first) <= set(second)
    last = refusal(command("tune", data, "--trials", 1, *flags, "--dim", "8"))
    assert "best.db: this study is of other options; name another file" in last


def test_tune__a_space_in_a_file_and_a_job_of_what_is_fixed(command, data, tmp_path):
    """Keys of train that a search does not use are left to train."""
    (tmp_path / "space.toml").write_text('dim = [2, 3]\nhidden = ["", "4"]\n')
    rest = "epochs = 1\nbatch_size = 64\ntemperature = 0.2\nrefit = false\n"
    (tmp_path / "fixed.toml").write_text(f"data = {json.dumps(str(data))}\n{rest}")
    job, space = ("--job", tmp_path / "fixed.toml"), ("--space", tmp_path / "space.toml")
    status, table, err = command(
        "tune", *job, *space, "--trials", 3, "--out", tmp_path / "best.toml"
    )
    assert status == 0, err
    rows = [line.split("\t")[6:] for line in table.splitlines()]
    assert rows[0] == ["dim", "hidden"]
    assert {row[0] for row in rows[1:]} <= {"2", "3"}
    best = tomllib.loads((tmp_path / "best.toml").read_text())
    assert best["temperature"] == 0.2
    assert best["dim"] in (2, 3)
    assert (tmp_path / best["data"]).samefile(data)


def test_tune__overrides_reach_the_job(command, data, tmp_path):
    how = (
        "--override",
        "group={kind='categorical', dim=4, default_rate=0.25}",
        "--positive",
        "all",
        *QUICK,
    )
    out = tmp_path / "best.toml"
    status, _, err = command("tune", data, "--trials", 1, *how, "--out", out)
    assert status == 0, err
    assert tomllib.loads(out.read_text())["override"]["group"]["default_rate"] == 0.25
    assert command("train", "--job", out, "--no-refit", "--out", tmp_path / "m")[0] == 0


@pytest.fixture
def tables(tmp_path):
    """Plain tables: the log, and beside the folder the users, who have a city as items have."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "tables"
    folder.mkdir()
    log = [f"{u},{rng.integers(0, 15) + 15 * (u % 2)},{t},{t % 7}"
           for t, u in enumerate(rng.integers(0, 40, 500))]  # fmt: skip
    users = [f"{u},{u % 2},{'' if u == 3 else u}" for u in range(40)]
    items = [f"{i},{i % 3}" for i in range(30)]
    for path, head, lines in (
        (folder / "interactions.csv", "user_id,item_id,timestamp,weight", log),
        (tmp_path / "people.csv", "user_id,city,age", users),
        (folder / "items.csv", "item_id,city", items),
    ):
        path.write_text("\n".join([head, *lines]) + "\n")
    return folder


@pytest.mark.parametrize("weight, weighed", [("weight=none", False), ("weight=weight", True)])
def test_tune__the_job_reads_the_tables_as_the_search_did(
    command, tables, tmp_path, weight, weighed
):
    (tmp_path / "jobs").mkdir()
    out = tmp_path / "jobs" / "best.toml"
    how = ("--users", tmp_path / "people.csv", "--columns", weight,
           "--override", "users.city=token", "--override", "items.city=none",
           "--override", 'age={kind="continuous", impute=true}')  # fmt: skip
    status, table, err = command("tune", tables, "--trials", 1, *how, *QUICK, "--out", out)
    assert status == 0, err
    assert command("train", "--job", out, "--no-refit", "--out", tmp_path / "m")[0] == 0
    shown = json.loads(command("store", "show", tmp_path / "m")[1])
    value = float(table.splitlines()[1].split("\t")[1])
    assert shown["metrics"]["recall@5"] == pytest.approx(value, abs=1e-6)
    _, how = read_toml(out)
    source = open_folder(tables, read_job({}, (str(out), how)).make(Reading))
    assert [field.name for field in source.data.schema.schema.user] == ["user_id", "city", "age"]
    assert [field.name for field in source.data.schema.schema.item] == ["item_id"]
    assert (source.data.train.weights is not None) == weighed


@pytest.mark.parametrize("searched", [False, True])
def test_tune__a_history_is_measured_and_trained(command, data, tmp_path, searched):
    """Fixed or searched, the history of the trial is that of the job and of its model."""
    out = tmp_path / "best.toml"
    how = ("--history", "3:sum")
    if searched:
        (tmp_path / "space.toml").write_text('history = ["3:sum", "3:sum:own"]\n')
        how = ("--space", tmp_path / "space.toml")
    flags = ("--split", "last:1,1", *QUICK, "--out", out)
    status, table, err = command("tune", data, "--trials", 2, *how, *flags)
    assert status == 0, err
    assert tomllib.loads(out.read_text())["history"].startswith("3:sum")
    assert command("train", "--job", out, "--no-refit", "--out", tmp_path / "m")[0] == 0
    shown = json.loads(command("store", "show", tmp_path / "m")[1])
    value = float(table.splitlines()[1].split("\t")[1])
    assert shown["metrics"]["recall@5"] == pytest.approx(value, abs=1e-6)
    user = Recommender.open(tmp_path / "m").store.model.history
    assert (user.last, user.pool) == (3, "sum")


def test_tune__no_history_is_searched_and_fixed(command, data, tmp_path):
    """The first trial reads none; its job says so, and trains so."""
    out, space = tmp_path / "best.toml", tmp_path / "space.toml"
    space.write_text('history = ["none", "3"]\n')
    flags = ("--split", "last:1,1", *QUICK, "--out", out)
    status, table, err = command("tune", data, "--trials", 1, "--space", space, *flags)
    assert status == 0, err
    assert table.splitlines()[1].endswith("\tnone")
    assert tomllib.loads(out.read_text())["history"] == "none"
    assert command("train", "--job", out, "--no-refit", "--out", tmp_path / "m")[0] == 0
    assert Recommender.open(tmp_path / "m").store.model.history is None
    status, _, err = command("tune", data, "--trials", 1, "--history", "none", *flags[:-1],
                             tmp_path / "fixed.toml")  # fmt: skip
    assert status == 0, err
    assert tomllib.loads((tmp_path / "fixed.toml").read_text())["history"] == "none"


def test_tune__ctrl_c_writes_what_it_has(command, data, tmp_path, monkeypatch):
    real, calls = study_room.fit_by_options, itertools.count()

    def interrupted(*args):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(*args)

    monkeypatch.setattr(study_room, "fit_by_options", interrupted)
    out = tmp_path / "best.toml"
    status, table, err = command("tune", data, *QUICK, "--out", out)
    assert status == 130
    assert err.splitlines()[-1] == "minitower: error: interrupted"
    assert len(table.splitlines()) == 4
    assert "data" in tomllib.loads(out.read_text())


def test_tune__ctrl_c_before_any_epoch(command, data, tmp_path, monkeypatch):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(study_room, "fit_by_options", interrupted)
    out = tmp_path / "best.toml"
    assert "interrupted" in refusal(command("tune", data, *QUICK, "--out", out), 130)
    assert not list(tmp_path.iterdir())


def test_tune__a_search_that_measured_nothing_leaves_nothing(command, data, tmp_path):
    """So the command can be corrected and given again; a study from before stays."""
    flags = (*QUICK, "--trials", 1, "--out", tmp_path / "best.toml")
    last = refusal(command("tune", data, *flags, "--negatives", "uniform:1000"))
    assert "the last has failed, --negatives uniform:1000: 1,000 negatives for each pair" in last
    assert not list(tmp_path.iterdir())
    assert command("tune", data, *flags)[0] == 0
    before = (tmp_path / "best.db").read_bytes()
    assert "another space" in refusal(command("tune", data, *flags, "--negatives", "uniform:2"))
    assert (tmp_path / "best.db").read_bytes() == before


def test_tune__an_error_after_a_trial_keeps_the_study(command, data, tmp_path, monkeypatch):
    real, calls = study_room.fit_by_options, itertools.count()

    def fails(*args):
        if next(calls):
            raise DataError("too wide")
        return real(*args)

    monkeypatch.setattr(study_room, "fit_by_options", fails)
    last = refusal(command("tune", data, *QUICK, "--out", tmp_path / "best.toml"))
    assert "10 trials in a row have failed, the last: too wide" in last
    assert [path.name for path in tmp_path.iterdir()] == ["best.db"]


def test_tune__refusals_are_one_line(command, data, tmp_path):
    mine, space = tmp_path / "mine.toml", tmp_path / "space.toml"
    mine.write_text("dim = 4\n")
    out = ("--out", tmp_path / "best.toml")
    for argv, message in (
        ((), "tune: name a folder of data, or a job file with the key 'data'"),
        ((data, "--budget", "20"), "--budget: expected a time such as 90s, 20m or 1.5h"),
        ((data, "--trials", "0"), "--trials: expected an integer of at least 1"),
        ((data, "--pruner", "x"), "--pruner: expected one of median, hyperband, none"),
        ((data, "--refit"), "unrecognized arguments: --refit"),
        ((data, "--out", mine), "mine.toml: exists, and"),
        ((data, "--out", tmp_path), "is a folder, or its folder is missing"),
        ((data, "--out", tmp_path / "no" / "b.toml"), "is a folder, or its folder is missing"),
        ((data, "--out", tmp_path / "best.db"), "name the job file .toml"),
        ((data, "--space", tmp_path / "no.toml"), "no.toml: No such file"),
        ((data, *out, *QUICK[:2], "--space", space), "dim is both fixed and searched"),
    ):
        space.write_text("dim = [2, 3]\n")
        assert message in refusal(command("tune", *argv))
    for text, message in (
        ("", "space.toml: expected a table of options to search"),
        ("dim = 4", "space.toml: dim: expected a list of values, or a table"),
        ("data = 'x'", "space.toml: 'data' is no option that can be searched"),
        ("dim = [", "space.toml: "),
    ):
        space.write_text(text)
        assert message in refusal(command("tune", data, *out, "--space", space))
    assert not (tmp_path / "best.toml").exists()
    assert not (tmp_path / "best.db").exists()


def test_tune__without_optuna_says_so_first(command, monkeypatch):
    monkeypatch.setattr(study_room, "find_spec", lambda name: None)
    assert "minitower[tune]" in refusal(command("tune", "nowhere"), 1)
