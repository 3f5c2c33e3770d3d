"""The commands as a user runs them, on a tiny world: what they print, and what they refuse."""

import json
import re
import shutil
import subprocess
import sys
from functools import wraps
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.cli import main
from minitower.cli import train as train_command
from minitower.cli.train import OPTIONS, read_job
from minitower.data import (
    Categorical,
    Continuous,
    DataError,
    Dataset,
    Id,
    LastSplit,
    MultiValued,
    Schema,
)
from minitower.data.layouts import Reading
from minitower.data.option_values import Options
from minitower.data.source import open_folder
from minitower.evaluation.chosen_baselines import baselines
from minitower.evaluation.evaluator import PopularityScorer, evaluate
from minitower.lab import demo, plots
from minitower.lab.funnel import simulate
from minitower.lab.summary import grouped
from minitower.search.approximate import ApproximateIndex
from minitower.search.index import ExactIndex
from minitower.store.full_version import publish_model
from minitower.store.model_files import load_model
from minitower.store.recommender import Recommender
from minitower.store.version_log import VersionLog
from minitower.towers.optimizers import RowWiseAdam
from minitower.towers.two_tower import TwoTower
from minitower.training import recipe
from minitower.training.gradient_step import TrainingError
from minitower.training.objectives import InBatchSoftmax
from minitower.training.trainer import Trainer

QUICK = ["--dim", "8", "--hidden", "16", "--epochs", "1", "--batch-size", "128"]

needs_plots = pytest.mark.skipif(not plots.can_draw(), reason="matplotlib (extra cli) is missing")


def write_atomic(folder: Path, name: str = "tiny") -> Path:
    """A small simulated world as atomic files, with ratings of 1 to 5."""
    world = simulate(users=60, items=80, days=10, seed=1)
    log = world.interactions
    rating = np.random.default_rng(0).integers(1, 6, size=len(log["timestamp"]))
    tables = {
        "inter": {**log, "rating": rating},
        "user": world.users,
        "item": world.items,
    }
    types = {
        "timestamp": "float",
        "rating": "float",
        "age": "float",
        "price": "float",
    } | dict.fromkeys(("interests", "category", "keywords", "name"), "token_seq")
    folder.mkdir()
    for suffix, table in tables.items():
        header = "\t".join(f"{column}:{types.get(column, 'token')}" for column in table)
        rows = ("\t".join(map(str, row)) for row in zip(*table.values(), strict=True))
        (folder / f"{name}.{suffix}").write_text("\n".join([header, *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return write_atomic(tmp_path_factory.mktemp("data") / "tiny")


@pytest.fixture(scope="module")
def model(world, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "model"
    assert main(["train", str(world), "--out", str(out), "--no-refit", *QUICK]) == 0
    return out


def error_of(printed: tuple[int, str, str], status: int = 2) -> str:
    """The one line of a command that failed and printed nothing for scripts."""
    code, out, err = printed
    assert code == status, err
    assert out == ""
    *before, last = err.splitlines()
    assert last.startswith("minitower: error: ")
    assert not any("error" in line or "Traceback" in line for line in before)
    return last


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ---------------------------------------------------------------- train, evaluate, recall


def test_train__prints_only_the_folder(run, world, tmp_path):
    status, out, err = run("train", world, "--out", tmp_path / "m", *QUICK)
    assert (status, out) == (0, f"{tmp_path / 'm'}\n")
    assert "positives: where rating >= 4" in err
    assert "split: train" in err
    assert "epoch 1/1" in err
    assert re.search(r"encoding: \d+ items", err)
    assert names_in(tmp_path) == ["m"], "no temporary folder is left"


def test_train__flags_reach_the_model(run, world, tmp_path):
    status, _, err = run(
        *("train", world, "--out", tmp_path / "m", "--epochs", 2, "--batch-size", 500),
        *("--dim", 6, "--hidden", "9,7", "--similarity", "inner_product", "--residual"),
        *("--positive", "all", "--split", "last:1,2", "--metric", "mrr@5"),
        *("--override", "keywords=none", "--override", 'age={kind="continuous", buckets=3, '
          'transform="bucketise"}'),
    )  # fmt: skip
    assert status == 0, err
    loaded = load_model(tmp_path / "m")
    sizes = {"dim": 6, "hidden": [9, 7], "residual": True}
    assert loaded.config == {**sizes, "similarity": "inner_product", "dtype": "float32"}
    fields = {f.name: f for f in (*loaded.encoders.user.fields, *loaded.encoders.item.fields)}
    assert "keywords" not in fields
    assert fields["age"] == Continuous("age", "bucketise", buckets=3)
    assert "epoch 2/2" in err
    assert "mrr@5" in err
    printed = re.findall(r"mrr@5 ([\d.]+)", err)
    version = VersionLog.read(tmp_path / "m").version()
    kept = VersionLog.read(tmp_path / "m").open(version).content["metrics"]
    assert f"{kept['mrr@5']:.4f}" == max(printed)
    data = Dataset.from_atomic(world, positive="all", split=LastSplit(1, 2))
    assert f"train {len(data.train)} " in err
    assert f"valid {len(data.valid)} " in err
    assert f"test {len(data.test)} " in err


def test_train__writes_its_history(run, world, tmp_path):
    """Relative to the job file, or to here; appended."""
    job = tmp_path / "job.toml"
    job.write_text(f'data = "{world}"\nout = "m"\nhistory_file = "h.jsonl"\nvalidate_every = 2\n')
    flags = (*QUICK, "--epochs", 3, "--schedule", "linear", "--validation-users", 5)
    assert run("train", "--job", job, *flags)[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "h.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3], "and not the training on everything"
    assert ["recall@20" in line for line in lines] == [False, True, True]
    rates = [line["learning_rate"] for line in lines]
    assert rates == sorted(rates, reverse=True)
    assert np.mean(rates) == pytest.approx(0.05 * 0.55)
    assert run("train", "--job", job, *QUICK, "--history-file", tmp_path / "h.jsonl")[0] == 0
    assert len((tmp_path / "h.jsonl").read_text().splitlines()) == 4
    line = error_of(run("train", world, *QUICK, "--history-file", tmp_path / "none" / "h.jsonl"))
    assert "history: cannot write" in line


def test_train__same_seed_same_model(run, world, model, tmp_path):
    again, other = tmp_path / "again", tmp_path / "other"
    assert run("train", world, "--out", again, "--no-refit", *QUICK)[0] == 0
    assert run("train", world, "--out", other, "--seed", 5, "--no-refit", *QUICK)[0] == 0
    ours, same, differs = (load_model(f).parameters for f in (model, again, other))
    assert all(np.array_equal(ours[name], same[name]) for name in ours)
    assert any(not np.array_equal(ours[name], differs[name]) for name in ours)


def test_fit__options_reach_model_and_trainer(world, monkeypatch):
    used = {}

    class Spy:
        optimizer = None

        def __init__(self, model, data, **options):
            used.update(options, model=model)

        @wraps(Trainer.fit)
        def fit(self, epochs, **options):
            used.update(options, epochs=epochs)

    monkeypatch.setattr(recipe, "Trainer", Spy)
    data = open_folder(world, Reading()).data
    job = {
        "temperature": "0.3", "correction": "calibrated", "optimizer": "rowwise-adam",
        "learning_rate": "0.002", "batch_size": "77", "epochs": "9", "patience": "3",
        "metric": "ndcg@5", "seed": "11",
    }  # fmt: skip
    recipe.fit_by_options(read_job(job), data)
    assert used["objective"] == InBatchSoftmax(temperature=0.3, correction="calibrated")
    assert type(used["optimizer"]) is RowWiseAdam
    assert used["optimizer"].rate == 0.002
    names = ("batch_size", "epochs", "patience", "metric", "seed")
    assert {name: str(used[name]) for name in names} == {name: job[name] for name in names}
    expected = TwoTower(data.schema, seed=11).parameters
    assert all(np.array_equal(expected[n], p) for n, p in used["model"].parameters.items())


def test_train__keeps_what_it_did_not_write(run, world, tmp_path, monkeypatch):
    """And says so before it trains rather than after."""
    (tmp_path / "thesis.txt").write_text("ten years of work")
    monkeypatch.setattr(
        train_command, "fit_by_options", lambda *args: pytest.fail("it trained first")
    )
    assert "not written by minitower" in error_of(run("train", world, "--out", tmp_path, *QUICK))
    assert names_in(tmp_path) == ["thesis.txt"]


def test_train__failure_leaves_nothing(run, world, tmp_path, monkeypatch):
    def explode(*args, **options):
        raise TrainingError("step 3: the loss is nan")

    monkeypatch.setattr(train_command, "fit_by_options", explode)
    printed = run("train", world, "--out", tmp_path / "deep" / "m")
    assert "step 3" in error_of(printed, status=1)
    assert not list(tmp_path.iterdir())


def test_train__interrupted(run, world, tmp_path, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(train_command, "fit_by_options", interrupt)
    assert "interrupted" in error_of(run("train", world, "--out", tmp_path / "m"), status=130)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("index, kind", [("exact", ExactIndex), ("hnsw", ApproximateIndex)])
def test_train__builds_the_index_that_is_asked_for(run, world, tmp_path, index, kind):
    assert run("train", world, "--out", tmp_path / "m", "--index", index, *QUICK)[0] == 0
    assert isinstance(Recommender.open(tmp_path / "m").store.index, kind)
    line = error_of(run("train", world, "--out", tmp_path / "m", "--index", "tree", *QUICK))
    assert "--index: expected one of exact, hnsw, faiss-flat, " in line


def test_evaluate__is_the_evaluator(run, world, model):
    """The numbers are those of the library on the same data, model and baseline side by side."""
    data = Dataset.from_atomic(world, positive="rating >= 4")
    status, out, err = run("evaluate", model, world, "-k", 5, 20)
    assert status == 0
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in out.splitlines()}
    chosen = baselines(data)
    assert rows[""] == ["model", *(one.name for one in chosen)]
    assert rows[""][1:] == ["most popular", "ItemKNN", "EASE"]
    systems = [load_model(model), *(one.scorer for one in chosen)]
    reports = [evaluate(one, data, k=(5, 20)) for one in systems]
    ours = reports[0]
    for name in ours.metrics:
        assert [float(v) for v in rows[name]] == pytest.approx([r[name] for r in reports], abs=1e-6)
    best = max((r["recall@20"], one.name) for r, one in zip(reports[1:], chosen))
    assert "EASE: l2 " in err
    assert "chosen on validation" in err
    last = err.splitlines()[-1]
    assert last.startswith("the best baseline, ")
    assert f"recall@20 {best[0]:.4f} against {ours['recall@20']:.4f}" in last
    assert sum(name.startswith("recall@5 of") for name in rows) == len(ours.slices)


def test_evaluate__json(run, world, model):
    status, out, _ = run("evaluate", model, world, "--part", "valid", "-k", 10, "--json")
    assert status == 0
    printed = json.loads(out)
    assert printed["model"]["split"] == printed["most popular"]["split"] == "valid"
    assert printed["EASE"]["metrics"].keys() == printed["model"]["metrics"].keys()
    less = json.loads(run("evaluate", model, world, "--popular-only", "-k", 10, "--json")[1])
    assert less.keys() == {"model", "most popular", "learned", "left_out"}
    assert 0 <= printed["model"]["metrics"]["recall@10"] <= 1


def test_evaluate__reads_as_training_did(run, world, tmp_path):
    """Rule, split and overrides are remembered with the model; flags may still change them."""
    how = ("--positive", "rating >= 2", "--split", "last:1,1", "--override", "city=none")
    assert run("train", world, "--out", tmp_path / "m", "--no-refit", *how, *QUICK)[0] == 0
    for flags, split in (((), LastSplit(1, 1)), (("--split", "last:1,2"), LastSplit(1, 2))):
        data = Dataset.from_atomic(world, positive="rating >= 2", split=split)
        *_, err = run("evaluate", tmp_path / "m", world, "--learned", *flags)
        assert f"split: train {len(data.train)} " in err
        assert f"with {len(data.test)} positives" in err


def test_evaluate__names_the_folder_that_lacks_a_column(run, world, model, tmp_path):
    shutil.copytree(world, tmp_path / "bare")
    for path in (tmp_path / "bare").glob("*.user"):
        path.unlink()
    assert "bare: users: column" in error_of(run("evaluate", model, tmp_path / "bare"))


@pytest.mark.parametrize("flags, message", [
    (("--self-temperature", "-0.0"), "--self-temperature: expected a number from 1e-06 to 1e+12"),
    (("--dropped-values", "2"), "--dropped-values: expected a number above 0 and below 1"),
    (("--alpha", "-1"), "--alpha: expected a number from 0 to 1e+06"),
])  # fmt: skip
def test_demo__views_are_refused_before_training(run, monkeypatch, flags, message):
    """Also those of the model beside this one."""
    monkeypatch.setattr(demo, "fit_by_options", lambda *args: pytest.fail("it trained first"))
    assert message in error_of(run("demo", "--no-report", *flags))


def test_recall__names_an_id_that_cannot_be_one(run, model):
    assert "USER_ID: " in error_of(run("recall", model, "9" * 300))


def test_evaluate__newer_data_is_encoded_as_the_model_knows_it(run, world, model, tmp_path):
    """Ids and values the model has never seen are its default rows, not other people's rows."""
    newer = shutil.copytree(world, tmp_path / "newer")
    path = newer / "tiny.user"
    path.write_text(path.read_text().replace("user-", "aaa-"))
    path = newer / "tiny.inter"
    path.write_text(path.read_text().replace("user-", "aaa-"))
    status, out, err = run("evaluate", model, newer, "--json", "-k", 10)
    assert status == 0, err
    trained = load_model(model)
    users = trained.encoders.user.encode_profile({}) | {"user_id": np.zeros(1, np.int32)}
    vector, _ = trained.user(users)
    assert vector.shape == (1, 8)
    data = open_folder(newer, Reading()).encoded_by(trained.encoders).data
    assert not data.users.columns["user_id"].any()
    whole = data.everything()
    assert len(whole.train) == len(data.train) + len(data.valid) + len(data.test)
    assert not whole.users.columns["user_id"].any(), "it is encoded by the model, too"
    assert json.loads(out)["model"]["metrics"]["recall@10"] == pytest.approx(
        evaluate(trained, data, k=(10,))["recall@10"]
    )


def test_recall__is_the_recommender(run, model):
    status, out, err = run("recall", model, "user-7", "-k", 5)
    assert (status, err) == (0, "")
    store = Recommender.open(model)
    ids, scores = store.recall("user-7", k=5)
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[0] for row in rows] == list(ids)
    assert [float(row[1]) for row in rows] == pytest.approx(list(scores), abs=1e-6)
    assert [row[2] for row in rows] == store.names(ids)


def test_recall__seen_items_only_when_asked(run, model):
    store = Recommender.open(model).store
    seen = set(store.items.ids[store.seen.row(int(store.users.rows_of(["user-7"])[0]))])
    fresh = run("recall", model, "user-7", "-k", 80)[1]
    everything = run("recall", model, "user-7", "-k", 80, "--include-seen")[1]
    ids = [{line.split("\t")[0] for line in o.splitlines()} for o in (fresh, everything)]
    assert not ids[0] & seen
    assert ids[1] == ids[0] | seen
    assert len(ids[1]) == 80


def test_recall__stranger_with_a_profile(run, model):
    """What is known of a stranger counts, in the type that training saw it in."""
    plain = run("recall", model, "nobody", "-k", 80)
    known = run("recall", model, "nobody", "-k", 80, "--profile", "age=25", "interests=jazz yoga",
                "--profile", "city=Porto")  # fmt: skip
    assert plain[0] == known[0] == 0
    assert "unknown: recalling with default features" in plain[2]
    assert "from the profile" in known[2]
    profile = {"age": 25, "interests": ["jazz", "yoga"], "city": "Porto"}
    ids, _ = Recommender.open(model).recall("nobody", profile, k=80)
    assert [line.split("\t")[0] for line in known[1].splitlines()] == list(ids)
    assert known[1] != plain[1]


def test_recall__profile_values_never_seen_are_said(run, model):
    assert "city=Atlantis" in run("recall", model, "user-7", "--profile", "city=Atlantis")[2]


def test_recall__integer_values(run, tmp_path):
    """Split files have integer ids: they are parsed, and text is refused."""
    write_split(tmp_path / "split")
    assert run("train", tmp_path / "split", "--out", tmp_path / "m", *QUICK)[0] == 0
    status, out, err = run("recall", tmp_path / "m", 3, "-k", 2)
    assert (status, err) == (0, "")
    assert all(line.split("\t")[0].isdecimal() for line in out.splitlines())
    assert "integers" in error_of(run("recall", tmp_path / "m", "three"))


def test_recall__integer_features(run, tmp_path):
    """A store made in Python may hold categories that are integers; a shell only has text."""
    schema = Schema(user=[Id("u"), Categorical("plan"), MultiValued("tags")], item=[Id("i")])
    data = Dataset.from_columns(
        schema,
        {"u": [1, 1, 2, 2, 3, 3], "i": [1, 2, 3, 4, 1, 4]},
        {"u": [1, 2, 3], "plan": [30, 40, 30], "tags": [[7, 8], [9], [7]]},
        split=LastSplit(0, 0),
    )
    publish_model(TwoTower(data.schema, dim=4, hidden=()), data, tmp_path / "m", index="exact")
    profile = ("--profile", "plan=40", "tags=7 9")
    status, out, err = run("recall", tmp_path / "m", 99, *profile)
    assert status == 0, err
    assert "has not seen" not in err
    ids, scores = Recommender.open(tmp_path / "m").recall(99, {"plan": 40, "tags": [7, 9]})
    assert [line.split("\t")[:2] for line in out.splitlines()] == [
        [str(i), f"{score:.6f}"] for i, score in zip(ids, scores, strict=True)
    ]
    assert "has not seen plan=50" in run("recall", tmp_path / "m", 1, "--profile", "plan=50")[2]


def test_recall__truth_values(run, tmp_path):
    schema = Schema(user=[Id("u"), Categorical("vip")], item=[Id("i")])
    log = {"u": [1, 1, 2, 2], "i": [1, 2, 3, 4]}
    users = {"u": [1, 2], "vip": [True, False]}
    data = Dataset.from_columns(schema, log, users, split=LastSplit(0, 0))
    publish_model(TwoTower(data.schema, dim=4, hidden=()), data, tmp_path / "m", index="exact")
    answers = [
        run("recall", tmp_path / "m", 99, "--profile", f"vip={text}")
        for text in ("True", "true", "1", "False", "0")
    ]
    assert all(status == 0 and "has not seen" not in err for status, _, err in answers)
    true, *same, false, zero = [out for _, out, _ in answers]
    assert same == [true, true]
    assert false == zero != true


def test_a_reader_that_has_gone_is_no_error():
    """As after | head."""
    command = [sys.executable, "-m", "minitower", "check", "--list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("arguments, message", [
    (["user-7", "--profile", "shoe=44"], "unknown field 'shoe'; fields: user_id, gender, age"),
    (["user-7", "--profile", "age"], "expected KEY=VALUE, got 'age'"),
    (["user-7", "--profile", "age=old"], "'age': expected a number, got 'old'"),
    (["user-7", "-k", "0"], "-k: expected an integer of at least 1, got '0'"),
    (["user-7", "-k", "many"], "-k: expected an integer of at least 1, got 'many'"),
])  # fmt: skip
def test_recall__refuses(run, model, arguments, message):
    assert message in error_of(run("recall", model, *arguments))


# ---------------------------------------------------------------- data of every layout


def write_split(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for name, size in (("train", 12), ("test", 3)):
        lines = (" ".join(map(str, [u, *rng.choice(40, size, False)])) for u in range(30))
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_movielens(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir()
    pairs = rng.choice(40 * 50, 600, replace=False)
    log = (
        f"{p // 50 + 1}::{p % 50 + 1}::{rng.integers(1, 6)}::{1000 + i}"
        for i, p in enumerate(pairs)
    )
    (folder / "ratings.dat").write_text("\n".join(log))
    users = (f"{u}::{'FM'[u % 2]}::25::{u % 9}::{10000 + u}" for u in range(1, 41))
    (folder / "users.dat").write_text("\n".join(users))
    movies = (f"{i}::Amélie {i} (1999)::Comedy|Drama" for i in range(1, 51))
    (folder / "movies.dat").write_text("\n".join(movies), encoding="latin-1")
    return folder


@pytest.mark.parametrize("write", [write_atomic, write_split, write_movielens])
def test_layouts__are_distinguished(run, write, tmp_path):
    folder = write(tmp_path / "data")
    status, out, err = run("train", folder, "--out", tmp_path / "m", "--no-refit", *QUICK)
    assert status == 0, err
    status, out, err = run("evaluate", tmp_path / "m", folder, "-k", 10)
    assert status == 0, err
    assert out.splitlines()[1].startswith("recall@10\t")


def test_split_files__share_of_train_to_validate_on(run, tmp_path):
    folder = write_split(tmp_path / "data")
    *_, err = run("train", folder, "--out", tmp_path / "m", "--valid", 0.25, *QUICK)
    assert "train 270, valid 90, test 90" in err
    assert "already" in error_of(run("train", folder, "--split", "time"))


def test_positives__default_rule_follows_the_columns(world, tmp_path):
    """Stars: four and more. Clicks: ones. Neither: everything. The command always says which."""
    folder = shutil.copytree(world, tmp_path / "data")
    log = folder / "tiny.inter"
    text = log.read_text()

    def remarks_and_size(how: Reading) -> tuple[str, int]:
        source = open_folder(folder, how)
        parts = (source.data.train, source.data.valid, source.data.test)
        return " ".join(source.remarks), sum(map(len, parts))

    stars = np.array([int(line.split("\t")[3]) for line in text.splitlines()[1:]])
    remarks, n = remarks_and_size(Reading())
    assert "positives: where rating >= 4" in remarks
    assert n == (stars >= 4).sum()
    assert remarks_and_size(Reading(positive="all"))[1] == len(stars)
    assert remarks_and_size(Reading(positive="rating = 1"))[1] == (stars == 1).sum()

    log.write_text(text.replace("rating:float", "clicked:float"))
    with pytest.raises(DataError, match=r"'clicked': [2-5].0 is neither 0 nor 1; .*--positive"):
        remarks_and_size(Reading())

    def look(columns, rows):
        for cells in rows:
            cells[3] = str(int(cells[3] == "1"))

    edited(folder, "inter", look)
    remarks, n = remarks_and_size(Reading())
    assert "positives: where clicked = 1" in remarks
    assert n == (stars == 1).sum()

    log.write_text(text.replace("rating:float", "weather:float"))
    remarks, n = remarks_and_size(Reading())
    assert "positives: all interactions" in remarks
    assert n == len(stars)


def edited(folder: Path, suffix: str, change) -> Path:
    """The atomic files of a folder, one of them with its rows (lists of cells) changed."""
    path = next(folder.glob(f"*.{suffix}"))
    head, *rows = (line.split("\t") for line in path.read_text().splitlines())
    change([column.partition(":")[0] for column in head], rows)
    path.write_text("\n".join("\t".join(cells) for cells in [head, *rows]) + "\n")
    return folder


def test_positives__one_missing_rating_does_not_change_the_rule(run, tmp_path):
    def forget(columns, rows):
        rows[3][columns.index("rating")] = ""

    folder = edited(write_atomic(tmp_path / "d"), "inter", forget)
    _, _, err = run("train", folder, "--out", tmp_path / "m", *QUICK)
    assert "positives: where rating >= 4" in err


def test_a_missing_number_is_cured_by_the_flag_that_its_error_names(run, tmp_path):
    def forget(columns, rows):
        rows[1][columns.index("age")] = ""

    folder = edited(write_atomic(tmp_path / "d"), "user", forget)
    line = error_of(run("train", folder, "--out", tmp_path / "m", *QUICK))
    assert "tiny.user, line 3, column 'age': missing value" in line
    flag = re.search("--override '(.*?)'", line)[1]
    assert run("train", folder, "--out", tmp_path / "m", "--override", flag, *QUICK)[0] == 0


def test_timestamps_that_are_milliseconds_are_refused(run, tmp_path):
    def to_milliseconds(columns, rows):
        place = columns.index("timestamp")
        for cells in rows:
            cells[place] += "000"

    folder = edited(write_atomic(tmp_path / "d"), "inter", to_milliseconds)
    line = error_of(run("train", folder, "--out", tmp_path / "m", *QUICK))
    assert "tiny.inter, line 2, column 'timestamp': expected seconds since 1970, got" in line
    assert "if these are milliseconds, divide by 1000" in line


def test_seed_reaches_the_random_split(tmp_path):
    folder = write_atomic(tmp_path / "d")
    tests = [
        open_folder(folder, Reading(split="random:0.1,0.1", seed=seed)).data.test
        for seed in (0, 0, 1)
    ]
    assert np.array_equal(tests[0].users, tests[1].users)
    assert not np.array_equal(tests[0].users, tests[2].users)


def test_groups__a_category_of_two_words_is_one(tmp_path):
    def rename(columns, rows):
        place = columns.index("city")
        for cells in rows:
            cells[place] = f"New {cells[place]}"

    folder = edited(write_atomic(tmp_path / "d"), "item", rename)
    how = Reading(override={"category": None, "keywords": None, "name": None})
    what, groups = grouped(open_folder(folder, how))
    assert what == "city"
    assert len(set(groups)) > 1
    assert all(group.startswith("New ") and group != "New " for group in groups)


@needs_plots
def test_demo__one_dimension_is_drawn_as_a_line(run, small_world, tmp_path):
    flags = ["--dim", "1", "--hidden", "4", "--epochs", "1", "--start", "random"]
    status, _, _ = run("demo", "--report", tmp_path / "r.html", *flags)
    assert status == 0


def test_columns_that_are_ids_in_disguise_are_left_out(tmp_path):
    """A zip code of one's own teaches nothing that the id does not; an override keeps it."""
    world = simulate(users=150, items=40, days=20)
    folder = tmp_path / "data"
    folder.mkdir()
    log = zip(*world.interactions.values(), strict=True)
    lines = "\n".join("\t".join(map(str, row)) for row in log)
    (folder / "x.inter").write_text(f"user_id:token\titem_id:token\ttimestamp:float\n{lines}\n")
    lines = "\n".join(f"{u}\t{10_000 + i}\t{i % 7}" for i, u in enumerate(world.users["user_id"]))
    (folder / "x.user").write_text(f"user_id:token\tzip:token\tjob:token\n{lines}\n")

    source = open_folder(folder, Reading())
    assert [f.name for f in source.data.schema.user.fields] == ["user_id", "job"]
    assert any("dropped column zip: 150 values on 150 rows" in remark for remark in source.remarks)
    kept = open_folder(folder, Reading(override={"zip": "token"}))
    assert [f.name for f in kept.data.schema.user.fields] == ["user_id", "zip", "job"]


# ---------------------------------------------------------------- job files


def test_job_file__flags_win(run, world, tmp_path):
    job = tmp_path / "job.toml"
    job.write_text(
        f'data = "{world}"\nout = "from-file"\ndim = 4\nhidden = [12]\nepochs = 1\n'
        'batch_size = 300\n[override]\ncity = "none"\ncategory = {kind = "multi_valued", dim = 3}\n'
    )
    status, out, err = run("train", "--job", job, "--dim", 6)
    assert status == 0, err
    assert out == f"{tmp_path / 'from-file'}\n", "relative to the job file"
    loaded = load_model(tmp_path / "from-file")
    assert loaded.config["dim"] == 6
    assert loaded.config["hidden"] == [12]
    fields = {f.name: f for f in loaded.encoders.item.fields}
    assert "city" not in fields
    assert fields["category"] == MultiValued("category", dim=3)


@pytest.mark.parametrize("text, message", [
    ("dimm = 8", "job.toml: unknown key 'dimm'; did you mean 'dim'? known: positive, split"),
    ("dim = 8.5", "job.toml: dim: expected an integer from 1 to 4,096, got 8.5"),
    ("dim = true", "job.toml: dim: expected an integer from 1 to 4,096, got True"),
    ("temperature = 'hot'", "job.toml: temperature: expected a number from 1e-06 to 1e+12, got"),
    ("temperature = nan", "job.toml: temperature: expected a number from 1e-06 to 1e+12, got nan"),
    ("residual = 1", "job.toml: residual: expected true or false, got 1"),
    ("hidden = [64, 'x']", "job.toml: hidden: expected integers"),
    ("correction = 'log'", "job.toml: correction: expected one of yi, calibrated, mixed, none"),
    ("split = 'time:0.1'", "job.toml: split: expected time, random, last or given"),
    ("split = 'time:0.6,0.6'", "job.toml: split: the shares"),
    ("metric = 'recall'", "job.toml: metric: expected NAME@K"),
    ("data = 3", "job.toml: data: expected a path, got 3"),
    ("[override]\ncity = 'tokens'", "job.toml: override: expected COLUMN=TYPE"),
    ("[override]\ncity = {kind = []}", "job.toml: override: a field of unknown kind []"),
    ("[override]\ncity = {kind = 'continous'}", "job.toml: override: a field of unknown kind"),
    ("dim = 8\n= 9\n", "(at line 2, column 1)"),
])  # fmt: skip
def test_job_file__refuses(run, world, tmp_path, text, message):
    job = tmp_path / "job.toml"
    job.write_text(text)
    assert message in error_of(run("train", world, "--job", job, "--out", tmp_path / "m"))
    assert names_in(tmp_path) == ["job.toml"]


@given(
    st.sampled_from(sorted(OPTIONS)),
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9),
              st.lists(st.integers() | st.text(max_size=3), max_size=3),
              st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers())),
)  # fmt: skip
def test_read_job__any_value_is_read_or_named(name, value):
    """Whatever stands behind a key, it becomes an option or a DataError that names the key."""
    try:
        assert isinstance(read_job({}, ("job.toml", {name: value})), Options)
    except DataError as error:
        printed = str(error)
    else:
        return
    assert printed.startswith(f"job.toml: {name}: ")


@pytest.mark.parametrize("flags, message", [
    (["--temperature", "0"], "--temperature: expected a number from 1e-06 to 1e+12, got '0'"),
    (["--objective", "pairwise", "--temperature", "0"], "--temperature: expected a number from"),
    (["--objective", "pointwise", "--temperature", "-1"], "--temperature: expected a number from"),
    (["--correction", "none", "--logq-weight", "0.5"], "logq_weight belongs to yi"),
    (["--log-sum-weight", "0.5"], "--log-sum-weight: expected a number from 1 to 100, got '0.5'"),
    (["--log-sum-weight", "1.2", "--similarity", "inner_product"],
     "log_sum_weight 1.2 has no minimum with similarity 'inner_product': take"),
    (["--learning-rate", "-1"], "--learning-rate: expected a number above 0"),
    (["--dim", "0"], "dim"),
    (["--self-supervised", "crop"], "--self-supervised: expected one of none, mask, dropout"),
    (["--self-supervised", "mask", "--alpha", "-1"], "--alpha: expected a number from 0"),
    (["--self-supervised", "mask", "--hidden-fields", "9"], "hiding 9 of 6 fields"),
    (["--epochs", "0"], "--epochs: expected an integer of at least 1"),
    (["--batch-size", "0"], "--batch-size: expected an integer of at least 1"),
    (["--optimizer", "lion"], "--optimizer: expected one of adagrad"),
    (["--override", "genre=token"], "--override names an unknown column 'genre'"),
    (["--positive", "rating"], "cannot read the rule 'rating'"),
    (["--positive", "stars > 3"], "column 'stars' is missing"),
    (["--positive", "rating > 5"], "no interaction passes the rule 'rating > 5'"),
    (["--split", "given:part"], "column 'part' is missing"),
    (["--seed", "-1"], "--seed: expected an integer of at least 0"),
    (["--valid", "0.3"], "--valid is for split files"),
    (["--metric", "coverage@10"], "--metric: expected NAME@K"),
    (["--colour", "blue"], "unrecognized arguments: --colour blue"),
])  # fmt: skip
def test_train__refuses_options(run, world, tmp_path, flags, message):
    assert message in error_of(run("train", world, "--out", tmp_path / "m", *flags))
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- bad files


def replace_line(path: Path, number: int, change) -> None:
    lines = path.read_text().split("\n")
    lines[number - 1] = change(lines[number - 1])
    path.write_text("\n".join(lines))


def cell(column: int, value: str):
    def change(line: str) -> str:
        cells = line.split("\t")
        cells[column] = value
        return "\t".join(cells)

    return change


BAD_LINES = {
    "missing column": (
        "tiny.inter", 1, cell(0, "who:token"), "tiny.inter: column 'user_id' is missing"
    ),
    "ragged row": (
        "tiny.user", 4, lambda line: line + "\tmore", "line 4: expected 5 fields, got 6"
    ),
    "not a number": (
        "tiny.inter", 7, cell(3, "five"),
        "line 7, column 'rating': expected a number, got 'five'",
    ),
    "infinite": (
        "tiny.item", 3, cell(4, "inf"), "line 3, column 'price': the number is infinite"
    ),
    "missing number": ("tiny.user", 5, cell(2, "nan"), "line 5, column 'age'"),
    "missing id": ("tiny.inter", 9, cell(1, ""), "line 9, column 'item_id': missing id"),
    "missing time": (
        "tiny.inter", 9, cell(2, ""), "line 9, column 'timestamp': missing timestamp"
    ),
    "id twice": (
        "tiny.item", 9, cell(0, "item-0"), "line 9, column 'item_id': the id 'item-0' occurs twice"
    ),
    "no type": ("tiny.user", 1, cell(1, "gender"), "line 1: expected a header of name:type"),
}  # fmt: skip
"""What is wrong -> the file, the number of the line, the change of it, and a part of the error."""


@pytest.mark.parametrize("what", BAD_LINES)
def test_bad_lines__one_line_that_says_where(run, world, tmp_path, what):
    """Exit status 2, the file, the line and the column, and no trace of a model."""
    name, number, change, message = BAD_LINES[what]
    folder = shutil.copytree(world, tmp_path / "data")
    replace_line(folder / name, number, change)
    line = error_of(run("train", folder, "--out", tmp_path / "m", *QUICK))
    assert name in line
    assert message in line
    assert names_in(tmp_path) == ["data"]


@pytest.mark.parametrize("name, spoil, message", [
    ("tiny.inter", lambda p: p.write_text(""), "tiny.inter: the file is empty"),
    ("tiny.item", lambda p: p.write_text(p.read_text().split("\n")[0] + "\n"),
     "tiny.item: the file has no line below its header"),
    ("tiny.user", lambda p: p.write_bytes(p.read_bytes().replace(b"Porto", b"P\xff")),
     "tiny.user, line"),
    ("tiny.inter", lambda p: p.unlink(), "found no data; expected interactions.csv"),
], ids=("empty", "no rows", "not UTF-8", "no log"))  # fmt: skip
def test_bad_files__one_line_that_names_the_file(run, world, tmp_path, name, spoil, message):
    folder = shutil.copytree(world, tmp_path / "data")
    spoil(folder / name)
    assert message in error_of(run("train", folder, "--out", tmp_path / "m", *QUICK))
    assert names_in(tmp_path) == ["data"]


def test_bad_files__negative_id(run, tmp_path):
    folder = write_split(tmp_path / "data")
    replace_line(folder / "train.txt", 3, lambda line: line + " -5")
    line = error_of(run("train", folder, "--out", tmp_path / "m"))
    assert "train.txt, line 3: expected integers that are not negative, got '-5'" in line


@pytest.mark.parametrize("spoil, message", [
    (lambda f: (f / "versions/000001/parameters-0.npy").write_bytes(b"PK"), "parameters-0.npy"),
    (lambda f: (f / "versions/000001/users-0.npy").unlink(), "users-0.npy: missing"),
    (lambda f: (f / "versions/000001/manifest.json").write_text("{}"), "manifest.json: damaged"),
    (lambda f: (f / "CURRENT").write_text("{}"), "CURRENT: damaged"),
    (lambda f: shutil.rmtree(f), "the folder is missing"),
])  # fmt: skip
def test_bad_model_folder__names_the_file(run, world, model, tmp_path, spoil, message):
    folder = shutil.copytree(model, tmp_path / "m")
    spoil(folder)
    assert message in error_of(run("recall", folder, "user-7"))
    assert message in error_of(run("evaluate", folder, world))


# ---------------------------------------------------------------- demo


@pytest.fixture
def small_world(monkeypatch):
    """The demo's own data, but less of it."""
    small = lambda seed: simulate(users=150, items=120, seed=seed)
    monkeypatch.setattr(demo, "simulate", small)
    monkeypatch.setitem(demo.SIMULATED, "epochs", 2)


@needs_plots
def test_demo__prints_a_table_an_example_and_a_path(run, small_world, tmp_path):
    page = tmp_path / "report.html"
    status, out, err = run("demo", "--report", page)
    assert status == 0, err
    lines = out.splitlines()
    assert lines[0].split("  ")[-3:] != []
    for name in (
        "this model",
        "without logQ",
        "self-supervised",
        "ItemKNN",
        "EASE",
        "most popular",
    ):
        assert name in lines[0]
    for k in (10, 50, 100):
        for metric in ("Recall", "NDCG", "HitRate", "MRR", "Coverage"):
            assert any(line.startswith(f"{metric}@{k} ") for line in lines)
    assert sum(line.startswith("The best baseline, ") for line in lines) == 1
    assert any(line.startswith("exact") for line in lines)
    assert any(line.startswith("HNSW, ef=") for line in lines)
    assert any(line.startswith("user-") for line in lines)
    assert lines[-1] == str(page)
    assert "without logQ: epoch 2/2" in err
    assert "self-supervised: epoch 2/2" in err
    html = page.read_text()
    assert "a simulated month" in html
    assert html.count("<figure") == 5
    assert "seed 0" in html
    assert "Self-supervision (mask views, alpha 1, temperature 0.3) moved recall@50" in html


def test_demo__refuses_before_it_trains(run, small_world, tmp_path, monkeypatch):
    for name in ("run", "simulated", "open_folder", "can_draw"):
        monkeypatch.setattr(f"minitower.cli.demo.{name}", {"can_draw": lambda: True}.get(name))
    assert "in-batch" in run("demo", "--no-report", "--objective", "pairwise", "--data", ".")[2]
    assert "in-batch" in run("demo", "--no-report", "--objective", "pairwise")[2]
    for place in (tmp_path, "/dev/null"):
        line = error_of(run("demo", "--report", place))
        assert f"{place}: is a folder or a device; name the file" in line


def test_demo__numbers_are_those_of_the_evaluator(run, small_world):
    """The test split, this model in the first column, and the same again for the same seed."""
    out = run("demo", "--no-report")[1]
    again = run("demo", "--no-report")[1]
    rows = lambda text: [line for line in text.splitlines() if "@" in line and "ms" not in line]
    assert rows(out) == rows(again)
    job = read_job({}, ("demo", demo.SIMULATED))
    source = demo.simulated(Reading())
    trained = recipe.fit_by_options(job, source.data)[0].model
    report = evaluate(trained, source.data, k=(10, 50, 100))
    popular = evaluate(PopularityScorer(), source.data, k=(10, 50, 100))
    for name, label in (("recall", "Recall"), ("hit_rate", "HitRate"), ("coverage", "Coverage")):
        row = next(line.split() for line in rows(out) if line.startswith(f"{label}@50 "))
        assert row[1] == f"{report[f'{name}@50']:.4f}"
        assert row[-1] == f"{popular[f'{name}@50']:.4f}"


def test_demo__tells_of_the_tail_with_and_without_views(run, small_world):
    """The third column is the same job with views; asked for views, it is the job without."""
    plain = run("demo", "--no-report")[1].splitlines()
    views = run("demo", "--no-report", "--self-supervised", demo.VIEWS)[1].splitlines()
    assert "without views" in views[0]
    rows = [
        {line[:32].strip(): line.split()[-6:] for line in printed if line.startswith("Recall@50 ")}
        for printed in (plain, views)
    ]
    assert len(rows[0]) > 3
    for name, values in rows[0].items():
        assert rows[1][name][0] == values[2], "this model, with views"
        assert rows[1][name][2] == values[0]


def test_demo__shows_a_model_with_a_history(run, small_world):
    status, out, err = run("demo", "--no-report", "--history", 5)
    assert status == 0, err
    assert any(line.startswith("user-") for line in out.splitlines())


def test_demo__example_is_of_what_came_after(run, small_world):
    """The marked items are those of the user's test split; what was met before is not recalled."""
    out = run("demo", "--no-report")[1]
    data = demo.simulated(Reading()).data
    user = re.search(r"^(user-\d+)", out, re.M)[1]
    row = int(data.users.rows_of([user])[0])
    later = {str(data.items.names[i]) for i in data.test.by_user(len(data.users)).row(row)}
    before = {str(data.items.names[i]) for i in data.seen("test").row(row)}
    recalled = re.findall(r"^ +\d+ (.) [+-]\d\.\d{3}  (.+?)  ", out, re.M)
    assert len(recalled) == 10
    assert {name for mark, name in recalled if mark == "✓"} == later & {n for _, n in recalled}
    assert not before & {name for _, name in recalled}
    history = re.search(r"so far +(.+)", out)[1].split(" · ")
    assert set(history) <= before


def test_demo__on_real_files(run, world):
    status, out, err = run("demo", "--data", world, "--no-report", *QUICK)
    assert status == 0, err
    assert "positives: where rating >= 4" in err
    assert "most popular" in out


def test_demo__on_split_files_without_validation(run, tmp_path):
    """And without fields: there are no views of an id alone."""
    printed = run("demo", "--data", write_split(tmp_path / "data"), "--no-report", *QUICK)
    assert printed[0] == 0, printed[2]
    assert "self-supervised" not in printed[1]


def test_demo__without_matplotlib_says_so_first(run, tmp_path, monkeypatch):
    monkeypatch.setattr("minitower.cli.demo.can_draw", lambda: False)
    monkeypatch.setattr("minitower.cli.demo.run", lambda *args: pytest.fail("it trained first"))
    line = error_of(run("demo", "--report", tmp_path / "report.html"))
    assert "minitower[cli]" in line
    assert "--no-report" in line


@needs_plots
def test_demo__nowhere_to_write_says_so_first(run, tmp_path, monkeypatch):
    monkeypatch.setattr("minitower.cli.demo.run", lambda *args: pytest.fail("it trained first"))
    line = error_of(run("demo", "--report", tmp_path / "no" / "report.html"))
    assert f"the folder {tmp_path / 'no'} is missing" in line


def test_demo__options_of_files_need_files(run):
    line = error_of(run("demo", "--no-report", "--positive", "rating > 3"))
    assert "--positive is for real files" in line


# ---------------------------------------------------------------- real data

LIGHT = ("--dim", 16, "--hidden", "", "--epochs", 1, "--batch-size", 1024)


def test_real_data__ml_100k_demo(run, real_data):
    """From the folder to the table in one command; every positive is a rating of 4 or 5."""
    status, out, err = run("demo", "--data", real_data("ml-100k"), "--no-report", *LIGHT)
    assert status == 0, err
    assert "positives: where rating >= 4" in err
    assert "split: train 44,300 (until 1998-03-08 22:35), valid 5,539" in err
    assert out.splitlines()[2].startswith("Recall@10 ")


def test_real_data__ml_1m_with_genre_as_a_set(run, real_data, tmp_path):
    """Its header calls genre a token; the override makes it a set, and evaluate remembers."""
    folder = real_data("ml-1m")
    override = ("--override", "genre=token_seq", "--override", "occupation=token")
    status, out, err = run(
        "train", folder, "--out", tmp_path / "m", "--no-refit", *override, *LIGHT
    )
    assert status == 0, err
    genres = load_model(tmp_path / "m").encoders.item.vocabulary("genre").values
    assert len(genres) == 18
    assert "Film-Noir" in genres
    status, out, err = run("evaluate", tmp_path / "m", folder, "--json")
    assert status == 0, err
    assert json.loads(out)["model"]["users"] > 1000


# ---------------------------------------------------------------- as a process


def process(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "minitower", *map(str, args)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_process__help_names_the_commands():
    printed = process("--help")
    assert printed.returncode == 0
    for command in ("demo", "train", "evaluate", "recall"):
        assert command in printed.stdout
    assert printed.stderr == ""


def test_process__train_then_recall(world, tmp_path):
    printed = process("train", world, "--out", tmp_path / "m", *QUICK)
    assert printed.returncode == 0, printed.stderr
    printed = process("recall", printed.stdout.strip(), "user-3", "-k", 4)
    assert printed.returncode == 0, printed.stderr
    assert len(printed.stdout.splitlines()) == 4


@pytest.mark.parametrize("arguments", [
    ["train", "nowhere"], ["recall", "nowhere", "user-1"], ["dance"], [], ["train", "--dim"],
])  # fmt: skip
def test_process__errors_are_one_line(arguments, tmp_path):
    printed = process(*arguments)
    assert printed.returncode == 2
    assert printed.stdout == ""
    assert len(printed.stderr.splitlines()) == 1
    assert printed.stderr.startswith("minitower: error: ")


def test_every_option_has_help(run, capsys):
    assert main(["train", "--help"]) == 0
    printed = capsys.readouterr().out
    for name in OPTIONS:
        assert f"--{name.replace('_', '-')}" in printed
