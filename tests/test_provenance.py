"""A store knows how it was made, and updates and evaluations keep to it."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from minitower.data import DataError, Dataset, Id, MultiValued, Schema, TimeSplit
from minitower.data.layouts import Reading
from minitower.data.source import open_folder
from minitower.evaluation.evaluator import evaluate
from minitower.store.full_version import publish_model
from minitower.store.model_files import load_model, load_notes
from minitower.store.recommender import Recommender
from minitower.store.version_log import VersionLog
from minitower.towers.optimizers import Adam
from minitower.towers.schedules import EpochSchedule
from minitower.towers.two_tower import TwoTower
from minitower.training.objectives import InBatchSoftmax
from minitower.training.recipe import FORMER_NAMES
from minitower.training.regularization import Regularization
from minitower.training.trainer import Trainer
from minitower.updating.base import base_dataset
from minitower.updating.plan import TrainingPlan
from minitower.updating.publishing import publish
from minitower.updating.streams import EventFields, write_events

SCHEMA = Schema(user=[Id("user_id")], item=[Id("item_id"), MultiValued("tags")])
QUICK = ("--dim", "4", "--hidden", "", "--epochs", "2", "--batch-size", "64")
N, USERS, ITEMS = 600, 30, 40
_rng = np.random.default_rng(3)
LOG = {
    "user_id": _rng.integers(0, USERS, N),
    "item_id": _rng.integers(0, ITEMS, N),
    "timestamp": 1e9 + np.arange(N) * 60,
    "rating": _rng.integers(1, 6, N),
}
TAGS = {"item_id": np.arange(ITEMS), "tags": ["a b", "b", "c", "a c"] * 10}


def rows(start, stop):
    return {name: column[start:stop] for name, column in LOG.items()}


def atomic(folder, log=LOG):
    folder.mkdir()
    types = {"timestamp": "float", "rating": "float", "tags": "token_seq"}
    for suffix, table in (("inter", log), ("item", TAGS)):
        header = "\t".join(f"{name}:{types.get(name, 'token')}" for name in table)
        lines = ["\t".join(map(str, row)) for row in zip(*table.values(), strict=True)]
        (folder / f"tiny.{suffix}").write_text("\n".join([header, *lines]) + "\n")
    return folder


@pytest.fixture
def data(tmp_path):
    return atomic(tmp_path / "data")


@pytest.fixture
def logs(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs"


def day_file(logs, name, start, stop, day=0.0):
    log = rows(start, stop)
    log["timestamp"] = log["timestamp"] + day
    write_events(logs / name, log, EventFields(value="rating"))


def trainer_of(split=None, **options):
    data = Dataset.from_columns(
        SCHEMA, LOG, items=TAGS, positive="rating >= 4", split=split or TimeSplit(0.1, 0.1)
    )
    model = TwoTower(data.schema, dim=4, hidden=())
    trainer = Trainer(model, data, **({"batch_size": 32} | options))
    trainer.fit(1)
    return trainer


# ------------------------------------------------------------------ published from Python


def test_publish__records_how_the_version_was_made(tmp_path):
    """A1: the rule of positives, columns, options of the step, optimizer, and where it ends."""
    trainer = trainer_of(
        objective=InBatchSoftmax(temperature=0.3), optimizer=Adam(0.01, betas=(0.5, 0.9)), seed=7
    )
    report = evaluate(trainer.model, trainer.data, k=(5,))
    store = publish(trainer.refit(), tmp_path / "s", report=report, notes={"ticket": 9})
    notes = load_notes(tmp_path / "s")
    assert store.notes == notes
    assert notes["reading"] == {"positive": "rating >= 4", "timestamp": "timestamp"}
    wanted = {"objective": "in-batch", "temperature": 0.3, "correction": "yi", "logq_weight": 1.0,
              "mask_known": False, "log_sum_weight": 1.0, "decoupled": False, "optimizer": "adam",
              "learning_rate": 0.01, "batch_size": 32, "seed": 7, "negatives": "none",
              "self_supervised": "none", "positive_exponent": 1.0,
              "weight_decay": 0.0, "max_norm": 0.0,
              "user_dropout": 0.0, "history_dropout": 0.0}  # fmt: skip
    assert notes["training"] == wanted
    liked = LOG["timestamp"][LOG["rating"] >= 4]
    assert notes["learned"]["until"] == liked.max()
    assert notes["learned"]["everything"] is True
    assert notes["report"]["metrics"] == report.metrics
    assert (notes["best_epoch"], notes["ticket"]) == (1, 9)
    log = VersionLog.read(tmp_path / "s")
    content = log.open(log.version()).content
    assert content["optimizer"]["settings"] == {"betas": [0.5, 0.9], "epsilon": 1e-8,
                                                "count": "row"}  # fmt: skip


@pytest.mark.parametrize("kind", ["--full", "--incremental"])
def test_update__goes_on_with_the_recorded_options_of_training(run, tmp_path, data, logs, kind):
    """At the rate where the schedule ended, with the same decay and dropout; flags win."""
    how = ("--schedule", "linear", "--warmup-epochs", "0.5", "--final-rate", "0.2")
    more = ("--weight-decay", "0.125", "--user-dropout", "0.25", "--positive", "all", "--no-refit")
    store = tmp_path / "s"
    assert run("train", data, "--out", store, *QUICK, *how, *more)[0] == 0
    notes = load_notes(store)
    ended = 0.05 * EpochSchedule("linear", 2, 0.5, 0.2)(notes["best_epoch"])
    assert notes["training"]["learning_rate"] == pytest.approx(ended)
    assert notes["training"]["weight_decay"] == 0.125
    assert notes["training"]["user_dropout"] == 0.25
    assert notes["schedule"] == {"learning_rate": 0.05, "schedule": "linear", "epochs": 2,
                                 "warmup_epochs": 0.5, "final_rate": 0.2}  # fmt: skip
    for given, decay in (({}, 0.125), ({"weight_decay": 0.5}, 0.5)):
        plan = TrainingPlan.read("s", notes, given, "all", incremental=kind == "--incremental")
        assert plan.recipe.regularization == Regularization(decay, user_dropout=0.25)
        assert plan.recipe.optimizer.current_rate == pytest.approx(ended)
    day_file(logs, "0.jsonl", 0, 500, day=86400.0)
    shutil.copytree(store, tmp_path / "t")
    assert run("update", store, logs, kind)[0] == 0
    off = ("--weight-decay", "0", "--user-dropout", "0")
    assert run("update", tmp_path / "t", logs, kind, *off)[0] == 0
    ours, theirs = (
        Recommender.open(tmp_path / name).store.model.parameters["user.user_id.embedding"]
        for name in ("s", "t")
    )
    assert not np.array_equal(ours, theirs)
    if kind == "--full":
        assert "schedule" not in load_notes(store)
        assert load_notes(store)["training"]["weight_decay"] == 0.125


@pytest.mark.parametrize("kind", ["--full", "--incremental"])
@pytest.mark.parametrize("name, flag, without, objective, refusal", [
    ("log_sum_weight", ["--log-sum-weight", 1.25], ["--log-sum-weight", 1],
     InBatchSoftmax(log_sum_weight=1.25), "log_sum_weight 1.25 has no minimum with similarity"),
    ("decoupled", ["--decoupled"], ["--no-decoupled"], InBatchSoftmax(decoupled=True),
     "a decoupled loss has no minimum with similarity"),
    ("mask_known", ["--mask-known"], ["--no-mask-known"], InBatchSoftmax(mask_known=True), None),
])  # fmt: skip
def test_update__options_that_older_notes_lack(
    run, tmp_path, data, logs, kind, name, flag, without, objective, refusal
):
    """It is recorded and used; notes without it mean its default; inner products refuse some."""
    more = ("--positive", "all", "--no-refit")
    weighted, plain, products = (tmp_path / name for name in ("weighted", "plain", "products"))
    assert run("train", data, "--out", weighted, *QUICK, *more, *flag)[0] == 0
    assert load_notes(weighted)["training"][name] == getattr(objective, name)
    plan = TrainingPlan.read("s", load_notes(weighted), {}, "all", incremental=False)
    assert plan.recipe.objective == objective
    notes = load_notes(weighted)
    del notes["training"][name]
    for incremental in (False, True):
        plan = TrainingPlan.read("s", notes, {}, "all", incremental=incremental)
        assert plan.recipe.objective == InBatchSoftmax()

    day_file(logs, "0.jsonl", 0, 500, day=86400.0)
    shutil.copytree(weighted, plain)
    assert run("update", weighted, logs, kind)[0] == 0
    assert run("update", plain, logs, kind, *without)[0] == 0
    ours, theirs = (
        Recommender.open(store).store.model.parameters["user.user_id.embedding"]
        for store in (weighted, plain)
    )
    assert not np.array_equal(ours, theirs)

    if refusal is None:
        return
    similarity = ("--similarity", "inner_product", "--temperature", 1)
    assert run("train", data, "--out", products, *QUICK, *more, *similarity)[0] == 0
    status, out, err = run("update", products, logs, kind, *flag)
    assert (status, out) == (2, "")
    assert f"{refusal} 'inner_product'" in err
    assert err.count("error") == 1
    assert VersionLog.read(products).current == 1


def test_publish__refuses_what_would_hide_the_record(tmp_path):
    trainer = trainer_of()
    with pytest.raises(DataError, match="the name 'learned' is taken"):
        publish(trainer, tmp_path / "s", notes={"learned": 1})
    with pytest.raises(DataError, match="takes a Trainer, got TwoTower; publish_model"):
        publish(trainer.model, tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("kind", ["--full", "--incremental"])
def test_update__of_a_store_from_python_is_that_of_the_command(run, tmp_path, data, logs, kind):
    """A1: positives, options, optimizer and the place in time are the recorded ones."""
    how = ("--positive", "rating >= 4", "--optimizer", "adam", "--learning-rate", "0.01")
    flags = (*QUICK, *how, "--temperature", "0.3", "--seed", "7")
    assert run("train", data, "--out", tmp_path / "cli", *flags)[0] == 0
    of_cli = open_folder(data, Reading(positive="rating >= 4")).data
    model = TwoTower(of_cli.schema, dim=4, hidden=(), seed=7)
    trainer = Trainer(model, of_cli, objective=InBatchSoftmax(0.3), optimizer=Adam(0.01),
                      batch_size=64, seed=7)  # fmt: skip
    trainer.fit(2)
    publish(trainer.refit(), tmp_path / "py")
    day_file(logs, "0.jsonl", 0, 500, day=86400.0)
    for store in ("cli", "py"):
        status, out, err = run("update", tmp_path / store, logs, kind)
        assert (status, out) == (0, "2\n"), err
        assert "of 500 clicks are positives: rating >= 4" in err
    stores = [Recommender.open(tmp_path / name).store for name in ("cli", "py")]
    ours, theirs = (store.model.parameters for store in stores)
    for name, parameter in ours.items():
        assert np.array_equal(parameter, theirs[name]), name


@pytest.mark.parametrize("lost, flags", [
    (["reading"], ["--positive"]),
    (["training"], ["--objective", "--optimizer", "--learning-rate", "--batch-size",
                    "--negatives", "--self-supervised"]),
    (["learned"], ["--after"]),
])  # fmt: skip
def test_update__refuses_to_guess_what_the_version_does_not_say(run, tmp_path, logs, lost, flags):
    trainer = trainer_of()
    publish(trainer, tmp_path / "s")
    notes = {k: v for k, v in load_notes(tmp_path / "s").items() if k not in lost}
    publish_model(trainer.model, trainer.data, tmp_path / "t", notes=notes,
                  optimizer=trainer.optimizer)  # fmt: skip
    day_file(logs, "0.jsonl", 0, 500, day=86400.0)
    status, out, err = run("update", tmp_path / "t", logs, "--full")
    assert (status, out) == (2, "")
    for flag in flags:
        assert flag in err.splitlines()[-1]
    assert "version 1 does not record" in err
    assert VersionLog.read(tmp_path / "t").current == 1


def test_update__refuses_to_begin_with_an_optimizer_that_nobody_asked_for(run, tmp_path, logs):
    trainer = trainer_of()
    notes = publish(trainer, tmp_path / "s").notes
    publish_model(trainer.model, trainer.data, tmp_path / "t", notes=notes)
    day_file(logs, "0.jsonl", 0, 500, day=86400.0)
    status, _, err = run("update", tmp_path / "t", logs, "--full")
    assert status == 2
    assert "has no optimizer state; reset_optimizer (--reset-optimizer)" in err
    assert run("update", tmp_path / "t", logs, "--full", "--reset-optimizer")[0] == 0


def test_update__goes_on_with_the_settings_of_the_optimizer(run, tmp_path, logs):
    """Betas are not on the command line; state under other betas moves rows otherwise."""
    day_file(logs, "0.jsonl", 0, 500, day=86400.0)
    moved = []
    for betas in ((0.9, 0.999), (0.1, 0.2)):
        store = tmp_path / f"{betas[0]}"
        publish(trainer_of(optimizer=Adam(0.01, betas=betas)), store)
        settings = VersionLog.read(store)
        assert run("update", store, logs, "--full")[0] == 0
        content = VersionLog.read(store).open(VersionLog.read(store).version()).content
        moved.append(content["optimizer"]["settings"]["betas"])
        assert settings.current == 1
    assert moved == [[0.9, 0.999], [0.1, 0.2]]


# ------------------------------------------------------------------ where training ended


def test_update__first_after_train_begins_where_training_ended(run, tmp_path, data, logs):
    """A2: the days that training has read lie in the folder, too, and are not learned twice."""
    assert run("train", data, "--out", tmp_path / "s", "--positive", "all", *QUICK)[0] == 0
    day_file(logs, "0.jsonl", 0, 300)
    day_file(logs, "1.jsonl", 300, 600)
    for kind in ("--full", "--incremental"):
        status, out, err = run("update", tmp_path / "s", logs, kind)
        assert (status, out) == (0, ""), err
        assert "600 clicks skipped: version 1 has learned" in err
    day_file(logs, "2.jsonl", 0, 100, day=86400.0)
    status, out, err = run("update", tmp_path / "s", logs, "--full")
    assert (status, out) == (0, "2\n"), err
    assert load_notes(tmp_path / "s")["update"]["pairs"] == 100
    status, out, err = run("update", tmp_path / "s", logs, "--full")
    assert (status, out) == (0, ""), "and each day once"


def test_update__without_refit_the_held_out_clicks_are_still_new(run, tmp_path, data, logs):
    """Training has ended before validation and test, which an update may learn from."""
    flags = ("--positive", "all", "--no-refit", *QUICK)
    assert run("train", data, "--out", tmp_path / "s", *flags)[0] == 0
    day_file(logs, "0.jsonl", 0, N)
    status, _, err = run("update", tmp_path / "s", logs, "--full")
    assert status == 0, err
    assert "480 clicks skipped: version 1 has learned" in err
    assert load_notes(tmp_path / "s")["update"]["pairs"] == N - 480


def test_update__logs_that_the_data_was_made_of_are_known_by_content(run, tmp_path, logs):
    """Late clicks in a new log are then new, and a log is skipped under another name, too."""
    day_file(logs, "0.jsonl", 0, N)
    publish(trainer_of(), tmp_path / "s", logs=logs)
    (logs / "0.jsonl").rename(logs / "old.jsonl")
    day_file(logs, "late.jsonl", 0, 50, day=30.0)  # between two clicks of the known log
    status, _, err = run("update", tmp_path / "s", logs, "--full")
    assert status == 0, err
    assert "old.jsonl skipped: the same log as 0.jsonl, which was learned before" in err
    liked = int((LOG["rating"][:50] >= 4).sum())
    assert load_notes(tmp_path / "s")["update"]["pairs"] == liked


def test_update__after_is_for_versions_that_do_not_say(run, tmp_path, logs):
    trainer = trainer_of()
    notes = {k: v for k, v in publish(trainer, tmp_path / "s").notes.items() if k != "learned"}
    day_file(logs, "0.jsonl", 0, N)
    cases = (("a", "start", 600), ("b", str(LOG["timestamp"][99]), 500),
             ("c", "2001-09-09T01:46:40", 599), ("d", "2101-01-01", 0))  # fmt: skip
    for name, after, clicks in cases:
        store = tmp_path / name
        publish_model(trainer.model, trainer.data, store, notes=notes,
                      optimizer=trainer.optimizer)  # fmt: skip
        status, _, err = run("update", store, logs, "--full", "--after", after)
        assert status == 0, err
        assert f"of {clicks:,} clicks are positives" in err
    status, _, err = run("update", tmp_path / "s", logs, "--full", "--after", "start")
    assert status == 2
    assert "version 1 records itself which clicks it has learned" in err
    assert (
        "expected seconds since 1970 or a date"
        in run("update", tmp_path / "s", logs, "--full", "--after", "monday")[2]
    )


# ------------------------------------------------------------------ trained on everything


def test_train__publishes_what_was_trained_on_everything(run, tmp_path, data, monkeypatch):
    """A11: the epoch is chosen on validation, the report is from before, no click is missing."""
    status, _, err = run("train", data, "--out", tmp_path / "s", "--positive", "all", *QUICK)
    assert status == 0, err
    assert "training on everything: epoch" in err
    of_cli = open_folder(data, Reading(positive="all")).data
    model = TwoTower(of_cli.schema, dim=4, hidden=())
    trainer = Trainer(model, of_cli, objective=InBatchSoftmax(0.07), batch_size=64)
    history = trainer.fit(2)
    report = evaluate(model, of_cli)
    again = trainer.refit()
    published = load_model(tmp_path / "s")
    for name, parameter in again.model.parameters.items():
        assert np.array_equal(published.parameters[name], parameter), name
    status, out, _ = run("store", "show", tmp_path / "s")
    shown = json.loads(out)
    assert shown["notes"]["report"]["metrics"] == report.metrics
    assert shown["notes"]["report"]["split"] == "test"
    assert shown["notes"]["best_epoch"] == history.best_epoch
    assert shown["metrics"] == history.epochs[history.best_epoch - 1].metrics
    counts = np.load(tmp_path / "s/versions/000001/item_counts.npy")
    assert counts.sum() == N


def test_train__no_refit_publishes_what_validation_kept(run, tmp_path, data):
    flags = ("--positive", "all", "--no-refit", *QUICK)
    status, _, err = run("train", data, "--out", tmp_path / "s", *flags)
    assert status == 0
    assert "everything" not in err
    assert np.load(tmp_path / "s/versions/000001/item_counts.npy").sum() == 480
    assert load_notes(tmp_path / "s")["learned"]["everything"] is False


# ------------------------------------------------------------------ what is served is measured


def test_evaluate__measures_the_version_that_is_served(run, tmp_path, data, logs):
    """A5: an incremental version has figures of its own."""
    flags = ("--positive", "all", "--no-refit", *QUICK)
    assert run("train", data, "--out", tmp_path / "s", *flags)[0] == 0
    day_file(logs, "0.jsonl", 0, 500, day=86400.0)
    more = ("--item-ids", "--learning-rate", "0.5")
    assert run("update", tmp_path / "s", logs, "--incremental", *more)[0] == 0
    status, out, err = run("evaluate", tmp_path / "s", data, "--json", "-k", 5)
    assert status == 0, err
    assert "measuring version 2, which is served (incremental)" in err
    figures = json.loads(out)["model"]["metrics"]
    served, full = Recommender.open(tmp_path / "s").store.model, load_model(tmp_path / "s")
    encoded = open_folder(data, Reading(positive="all")).encoded_by(full.encoders).data
    assert figures == evaluate(served, encoded, k=(5,)).metrics
    assert figures != evaluate(full, encoded, k=(5,)).metrics


def newer(folder, tmp_path, day=10 * 86400.0):
    log = {**LOG, "timestamp": LOG["timestamp"] + day, "item_id": LOG["item_id"][::-1]}
    return atomic(tmp_path / folder, log)


def test_evaluate__refuses_clicks_that_the_version_has_learned_from(run, tmp_path, data):
    assert run("train", data, "--out", tmp_path / "s", "--positive", "all", *QUICK)[0] == 0
    status, out, err = run("evaluate", tmp_path / "s", data)
    assert (status, out) == (2, "")
    assert "the model may have learned from 60 of the 60 test positives" in err.splitlines()[-1]
    status, out, _ = run("evaluate", tmp_path / "s", data, "--learned", "-k", 5)
    assert status == 0
    assert out.startswith("\tmodel, 60 of 60 learned\tmost popular\tItemKNN\tEASE\n")
    assert json.loads(run("evaluate", tmp_path / "s", data, "--learned", "--json")[1])[
        "learned"
    ] == 60  # fmt: skip
    status, out, err = run("evaluate", tmp_path / "s", newer("newer", tmp_path), "-k", 5)
    assert status == 0, err
    assert out.startswith("\tmodel\tmost popular\tItemKNN\tEASE\n")


@pytest.mark.parametrize("split", ["time", "random", "last:1,2"])
def test_evaluate__without_refit_the_held_out_parts_are_a_test(run, tmp_path, data, split):
    """Also those whose clicks are older than the last of training; its own part is none."""
    flags = ("--positive", "all", "--split", split, "--no-refit", *QUICK)
    assert run("train", data, "--out", tmp_path / "s", *flags)[0] == 0
    for part in ("valid", "test"):
        status, _, err = run("evaluate", tmp_path / "s", data, "--part", part, "-k", 5)
        assert status == 0, err
    assert run("evaluate", tmp_path / "s", data, "--part", "train", "-k", 5)[0] == 2
    if split != "time":  # cut otherwise, the test holds clicks of training
        status, _, err = run("evaluate", tmp_path / "s", data, "--split", "time", "-k", 5)
        assert status == 2, err


def test_evaluate__what_an_update_has_learned_is_no_test_either(run, tmp_path, data, logs):
    flags = ("--positive", "all", "--no-refit", *QUICK)
    assert run("train", data, "--out", tmp_path / "s", *flags)[0] == 0
    write_events(logs / "0.jsonl", LOG, EventFields(value="rating"))
    for kind, version in (("--incremental", "2\n"), ("--full", "3\n")):
        assert run("evaluate", tmp_path / "s", data, "-k", 5)[0] == 0 or version == "3\n"
        assert run("update", tmp_path / "s", logs, kind)[1] == version
        status, _, err = run("evaluate", tmp_path / "s", data, "-k", 5)
        assert status == 2, err
        assert "60 of the 60 test positives" in err


def test_evaluate__a_version_that_does_not_say_what_it_learned(run, tmp_path, data):
    """Of the release before: measured, and said."""
    flags = ("--positive", "all", "--no-refit", *QUICK)
    assert run("train", data, "--out", tmp_path / "s", *flags)[0] == 0
    store = Recommender.open(tmp_path / "s").store
    notes = {k: v for k, v in store.notes.items() if k != "learned"}
    source = open_folder(data, Reading(positive="all"))
    publish_model(store.model, source.data, tmp_path / "t", notes=notes)
    status, _, err = run("evaluate", tmp_path / "t", data, "-k", 5)
    assert status == 0
    assert "does not record what it has learned from" in err


# ------------------------------------------------------------------ stores of release 0.1.0


@pytest.fixture
def old_store(tmp_path):
    """Two versions that release 0.1.0 trained and published; see what each answers below."""
    with zipfile.ZipFile(Path(__file__).with_name("store-0.1.zip")) as archive:
        archive.extractall(tmp_path)
    return tmp_path / "store-0.1"


def test_old_store__is_opened_and_answers_as_before(old_store):
    store = Recommender.open(old_store)
    assert store.version.kind == "incremental"
    ids, scores = store.recall("u1", k=3)
    assert ids.tolist() == ["3", "2", "0"]
    assert scores == pytest.approx([0.891607, -0.164231, -0.433889], abs=1e-6)


def test_old_store__of_an_objective_that_nobody_knows_is_one_line(run, old_store, logs):
    store = Recommender.open(old_store).store.full
    notes = json.loads(json.dumps(store.notes))
    notes["training"]["objective"] = "of another release"
    data = base_dataset(store)
    publish_model(store.model, data, old_store, notes=notes, item_counts=store.item_counts)
    status, out, err = run("update", old_store, logs, "--full", "--after", "start")
    assert (status, out) == (2, "")
    assert "objective: expected one of in-batch" in err.splitlines()[-1]


def test_old_store__is_updated_once_it_is_said_what_it_does_not_say(run, old_store, logs):
    """It says how it was trained, and not up to where."""
    log = [{"user_id": f"u{k % 6}", "item_id": str(k % 8), "rating": 1 + k % 5,
            "timestamp": 1e9 + k * 60} for k in range(240)]  # fmt: skip
    (logs / "0.jsonl").write_text("".join(json.dumps(click) + "\n" for click in log))
    status, out, err = run("update", old_store, logs, "--full")
    assert (status, out) == (2, "")
    assert "does not record which clicks it has learned; set 'after' to a time (--after" in err
    status, out, err = run("update", old_store, logs, "--full", "--after", 1e9 + 119 * 60)
    assert (status, out) == (0, "3\n"), err
    assert load_notes(old_store)["update"]["pairs"] == 48
    assert run("update", old_store, logs, "--full")[:2] == (0, ""), "and then it says so itself"
    assert load_model(old_store, 3).dim == 2
    training = load_notes(old_store)["training"]
    assert (training["logq_weight"], training["positive_exponent"]) == (1.0, 1.0)
    assert not training.keys() & FORMER_NAMES.keys()


def test_old_store__options_under_former_names_are_read(old_store):
    """The notes of release 0.1 say "strength" and "positive_power"."""
    notes = json.loads(json.dumps(Recommender.open(old_store).store.full.notes))
    assert notes["training"].keys() >= FORMER_NAMES.keys()
    notes["training"] |= {"strength": 0.25, "positive_power": 0.5}
    for given, weight in (({}, 0.25), ({"logq_weight": 0.75}, 0.75)):
        plan = TrainingPlan.read("store", notes, given, "all", incremental=False)
        assert plan.recipe.objective.logq_weight == weight
        assert plan.recipe.positive_exponent == 0.5
        assert plan.recipe.regularization == Regularization()
        assert plan.to_notes()["logq_weight"] == weight


@pytest.mark.parametrize("rule", [2**63 - 1, "rating >=", ["rating >= 4"]])
def test_a_recorded_rule_that_cannot_be_read_is_refused_by_its_place(old_store, rule):
    notes = json.loads(json.dumps(Recommender.open(old_store).store.full.notes))
    notes["reading"] = {"positive": rule}
    with pytest.raises(DataError, match=r"^store: version 2: manifest: notes: positive: "):
        TrainingPlan.read("store: version 2", notes, {}, None, incremental=False)
