"""A real Optuna study on a tiny world: what it finds, what it never reads, how it goes on."""

import dataclasses
import itertools
import resource
import sqlite3
import subprocess
import sys

import numpy as np
import pytest

from minitower.data import DataError, Dataset, Id, Interactions, RandomSplit, Schema
from minitower.training import study as study_room
from minitower.training import tune as tune_room
from minitower.training.gradient_step import TrainingError
from minitower.training.recipe import fit_by_options
from minitower.training.search_space import Range
from minitower.training.trainer import Progress
from minitower.training.tune import FAILURES, read_budget, tune

optuna = pytest.importorskip("optuna", reason="optuna (extra tune) is missing")

FIXED = {"dim": 4, "hidden": [], "epochs": 3, "batch_size": 64, "metric": "recall@5"}
SPACE = {
    "temperature": {"low": 0.05, "high": 1.0, "log": True},
    "learning_rate": {"low": 0.01, "high": 0.5, "log": True},
}


@pytest.fixture(scope="module")
def data():
    """Two groups of users who click two halves of the items."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, 40, 500)
    items = rng.integers(0, 15, 500) + 15 * (users % 2)
    schema = Schema(user=[Id("user_id")], item=[Id("item_id")])
    split = RandomSplit(valid=0.2, test=0.2)
    return Dataset.from_columns(schema, {"user_id": users, "item_id": items}, split=split)


def search(data, trials=4, fixed=FIXED, space=SPACE, **more):
    return tune(data, fixed, space=space, budget="500s", trials=trials, **more)


def told(tuning):
    """All of a search but the durations."""
    return [dataclasses.replace(trial, seconds=0.0) for trial in tuning.trials]


def none():
    return Interactions(np.empty(0, np.int64), np.empty(0, np.int64))


class Poison:
    """Fails at whatever is done with it."""

    def __getattribute__(self, name):
        raise AssertionError(f"the test part is read: {name}")


def test_tune__reads_no_test(data):
    """Any use of the test part would raise; and the search is the one without a test part."""
    blind = dataclasses.replace(data, test=none(), remake=None)
    assert told(search(dataclasses.replace(data, test=Poison()), 2)) == told(search(blind, 2))


def test_tune__same_seed_same_search(data):
    one, again, other = (search(data, fixed={**FIXED, "seed": seed}) for seed in (0, 0, 1))
    assert told(one) == told(again)
    assert [t.settings for t in one.trials[1:]] != [t.settings for t in other.trials[1:]]
    assert len({str(t.settings) for t in one.trials}) == 4


def test_tune__first_trial_is_the_start(data):
    space = {**SPACE, "residual": [False, True], "negatives": ["shared:8", "none"]}
    fixed = {**FIXED, "epochs": 1}
    first = search(data, 1, fixed, space).trials[0]
    assert first.settings == {
        "temperature": 0.07, "learning_rate": 0.05, "residual": False, "negatives": "none"
    }  # fmt: skip


def test_tune__best_is_reproduced(data):
    """The options of the best trial train the same model again, epoch for epoch."""
    tuning = search(data)
    best = tuning.best
    assert best.value == max(t.value for t in tuning.trials)
    assert [t.value for t in tuning.ranked] == sorted(
        (t.value for t in tuning.trials), reverse=True
    )
    _, history = fit_by_options(tuning.options, data)
    assert history.epochs[history.best_epoch - 1].metrics["recall@5"] == best.value
    assert history.best_epoch == best.epoch


def test_tune__values_come_from_the_space(data):
    space = {"temperature": {"low": 0.1, "high": 0.2}, "dim": [2, 3], "hidden": [[], [4, 4]]}
    fixed = {"epochs": 1, "batch_size": 64}
    for trial in search(data, 6, fixed, space).trials:
        assert 0.1 <= trial.settings["temperature"] <= 0.2
        assert trial.settings["dim"] in (2, 3)
        assert trial.settings["hidden"] in ((), (4, 4))


def test_tune__goes_on_from_its_file(data, tmp_path):
    """What the file holds is not drawn again, and comes out as it went in."""
    path = tmp_path / "a ?#%é.db"
    first = search(data, 3, study=path)
    seen = []
    both = search(data, 3, study=path, on_trial=lambda *told: seen.append(told))
    assert both.trials[:3] == first.trials
    assert [trial for trial, _ in seen] == list(both.trials[3:])
    assert [len(so_far.trials) for _, so_far in seen] == [4, 5, 6]
    assert seen[-1][1].best == both.best
    assert [t.number for t in both.trials] == list(range(6))
    assert len({str(t.settings) for t in both.trials}) == 6
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"space": {"dim": [4, 8]}}, "another space"),
        ({"fixed": {**FIXED, "epochs": 2}}, "other options"),
        ({"fixed": {**FIXED, "metric": "ndcg@5"}}, "other options"),
        ({}, "other data"),
        ({}, "other data, by its weights"),
    ],
)
def test_tune__refuses_to_go_on_with_something_else(data, tmp_path, more, what):
    path = tmp_path / "study.db"
    fixed = {name: value for name, value in FIXED.items() if name != "dim"}
    search(data, 1, fixed, study=path)
    if what == "other data":
        data = dataclasses.replace(data, train=data.train.take(slice(1, None)))
    if what.endswith("weights"):
        weighed = dataclasses.replace(data.train, weights=np.arange(len(data.train), dtype=float))
        data = dataclasses.replace(data, train=weighed)
    what = what.partition(",")[0]
    with pytest.raises(DataError, match=f"study.db: this study is of {what}; name another"):
        search(data, 1, **{"fixed": fixed, **more}, study=path)


@pytest.mark.parametrize("epoch, state", [(2, "stopped"), (1, "stopped")])
def test_tune__ctrl_c_keeps_what_it_has(data, tmp_path, monkeypatch, epoch, state):
    """In the second trial, within its first or its second epoch; then the study goes on."""
    path, calls = tmp_path / "study.db", itertools.count()

    def interrupted(options, data, on_progress):
        if next(calls) != 1:
            return fit_by_options(options, data, on_progress)

        def until(progress):
            if (progress.epoch, progress.step) == (epoch, 1):
                raise KeyboardInterrupt
            on_progress(progress)

        return fit_by_options(options, data, until)

    monkeypatch.setattr(study_room, "fit_by_options", interrupted)
    tuning = search(data, 5, study=path)
    assert tuning.interrupted
    assert [t.state for t in tuning.trials] == ["done", state]
    assert tuning.trials[1].epochs == epoch - 1
    assert (tuning.trials[1].value is None) == (epoch == 1)
    again = search(data, 2, study=path)
    assert not again.interrupted
    assert again.trials[:2] == tuning.trials
    assert len(again.trials) == 4


def test_tune__the_best_epoch_counts_and_a_stopped_trial_is_told_as_pruned(data, monkeypatch):
    """The sampler must not take a trial of few epochs for a whole one."""

    def made(options, data, on_progress):
        for epoch, value in enumerate((0.1, 0.5, 0.3), start=1):
            on_progress(Progress(epoch, 3, 1, 1, 1.0, {"recall@5": value}))
        if next(calls) == 1:
            raise KeyboardInterrupt

    calls, studies = itertools.count(), []
    real = study_room.open_study
    monkeypatch.setattr(study_room, "fit_by_options", made)
    monkeypatch.setattr(tune_room, "open_study", lambda *a: studies.append(real(*a)) or studies[0])
    tuning = search(data, 9)
    assert [(t.value, t.epoch, t.epochs) for t in tuning.trials] == [(0.5, 2, 3)] * 2
    assert [t.state for t in tuning.trials] == ["done", "stopped"]
    assert [t.state.name for t in studies[0].trials] == ["COMPLETE", "PRUNED"]
    assert studies[0].trials[0].value == 0.5


def test_tune__ctrl_c_between_trials(data):
    def interrupt(*told):
        raise KeyboardInterrupt

    tuning = search(data, on_trial=interrupt)
    assert tuning.interrupted
    assert len(tuning.trials) == 1


def test_tune__the_budget_ends_a_trial(data, monkeypatch):
    """A clock that runs a second a look: the running trial is stopped, its epochs count."""
    ticks = itertools.count()
    monkeypatch.setattr("time.monotonic", lambda: float(next(ticks)))
    fixed = {**FIXED, "epochs": 50}
    tuning = tune(data, fixed, space=SPACE, budget=30, pruner="none")
    assert [t.state for t in tuning.trials] == ["stopped"]
    assert 0 < tuning.trials[0].epochs < 30
    assert tuning.best.number == 0
    short = tune(data, fixed, space=SPACE, budget=2, pruner="none")
    with pytest.raises(DataError, match="no trial has finished an epoch: give the search a larger"):
        assert short.best


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_tune__prunes_what_falls_behind(data, pruner):
    """A learning rate that learns nothing, among good ones."""
    fixed = {**FIXED, "epochs": 9, "temperature": 0.2}
    space = {"learning_rate": [0.1, 0.11, 0.12, 1e-9]}
    tuning = search(data, 14, fixed, space, pruner=pruner)
    ended = [t for t in tuning.trials if t.state == "pruned"]
    assert ended
    assert all(t.epochs < 9 for t in ended)
    assert tuning.best.settings["learning_rate"] >= 0.1
    assert {t.state for t in search(data, 3, fixed, space, pruner="none").trials} == {"done"}


def test_tune__a_failed_trial_does_not_end_the_search(data):
    """Negatives of each pair are more than the items: a refusal of the recipe, trial by trial."""
    space = {"negatives": ["none", "uniform:1000"], "temperature": {"low": 0.1, "high": 0.3}}
    tuning = search(data, 8, {**FIXED, "epochs": 1}, space)
    failed = [t for t in tuning.trials if t.state == "failed"]
    assert failed
    assert all("1,000 negatives for each pair" in t.note and t.value is None for t in failed)
    assert tuning.best.settings["negatives"] == "none"
    assert tuning.ranked[-1].state == "failed"


def test_tune__says_why_the_only_trial_failed(data):
    tuning = search(data, 1, FIXED, {"negatives": ["uniform:1000", "uniform:1001"]})
    with pytest.raises(DataError, match="the last has failed, --negatives uniform:100"):
        assert tuning.options


@pytest.mark.parametrize("error", [DataError("too wide"), TrainingError("too wide")])
def test_tune__ends_where_every_trial_fails(data, monkeypatch, error):
    def fails(*args):
        raise error

    monkeypatch.setattr(study_room, "fit_by_options", fails)
    with pytest.raises(
        DataError, match=f"{FAILURES} trials in a row have failed, the last: too wide"
    ):
        search(data, 99)


def test_tune__refuses_what_cannot_be_searched(data):
    for fixed, more, message in (
        (FIXED, {"space": {"dim": [2, 4]}}, "dim is both fixed and searched"),
        (FIXED, {"budget": "20"}, "budget: expected a time such as 90s, 20m or 1.5h"),
        (FIXED, {"trials": 0}, "trials must be an integer of at least 1"),
        (FIXED, {"pruner": "best"}, "pruner must be one of median, hyperband, none"),
        ({"dimm": 4}, {}, "options: unknown key 'dimm'; did you mean 'dim'"),
    ):
        with pytest.raises(DataError, match=message):
            tune(data, fixed, **{"space": SPACE, "trials": 1, "budget": "1s", **more})
    with pytest.raises(DataError, match="tune measures on validation, but that part has nothing"):
        search(dataclasses.replace(data, valid=none()))


def test_tune__refuses_a_file_that_is_no_study(data, tmp_path):
    (tmp_path / "text.db").write_text("mine " * 200)
    (tmp_path / "folder.db").mkdir()
    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("create table mine (a)")
    connection.close()
    content = {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    for name, message in (
        ("text.db", "text.db: the study cannot be read or written: file is not a database"),
        ("folder.db", "folder.db: is a folder; name a file"),
        ("other.db", "other.db: is no study of minitower; name another file"),
        ("no/study.db", "study.db: .*no is no folder"),
    ):
        with pytest.raises(DataError, match=message):
            search(data, 1, study=tmp_path / name)
    assert content == {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}


def test_tune__a_full_disk_is_one_line(data, tmp_path):
    """After the first trial no file may grow; what the file held then is still there."""
    path, before = tmp_path / "study.db", resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(*told):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))

    try:
        with pytest.raises(
            DataError, match=r"study\.db: the study cannot be read or written: disk"
        ):
            search(data, 9, study=path, on_trial=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert search(data, 1, study=path).trials[0].number == 0


@pytest.mark.parametrize(
    ("value", "seconds"), [("90s", 90), ("20m", 1200), ("1.5h", 5400), (0.5, 0.5), (7, 7)]
)
def test_read_budget(value, seconds):
    assert read_budget(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "20",
        "m",
        "-1s",
        "0s",
        "1d",
        "1e3s",
        "nan",
        "9999999h",
        True,
        None,
        float("nan"),
        float("inf"),
        0,
        -1,
        "1h30m",
        "²s",
    ],
)
def test_read_budget__refuses(value):
    with pytest.raises(ValueError, match=r"expected a time such as 90s, 20m or 1\.5h"):
        read_budget(value)


def test_tune__leaves_optuna_as_it_was(data):
    before = optuna.logging.get_verbosity()
    search(data, 1)
    assert optuna.logging.get_verbosity() == before


def test_tune__without_optuna_names_the_extra(data, monkeypatch):
    monkeypatch.setattr(study_room, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "minitower\[tune\]"'):
        search(data, 1)


def test_importing_tune_imports_no_optuna():
    script = (
        "import sys, minitower; minitower.tune; assert not {'optuna', 'sqlite3'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_range__suggests_integers_for_an_integer_option():
    trial = optuna.trial.FixedTrial({"dim": 12, "temperature": 0.123456})
    assert Range(8, 16).suggest(trial, "dim") == 12
    assert Range(0.1, 0.5).suggest(trial, "temperature") == 0.1235
