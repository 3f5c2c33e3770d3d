"""minitower update: night by night and by day, from folders, as a cron job would start it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

from minitower.cli import main
from minitower.data import (
    Categorical,
    Continuous,
    Dataset,
    Id,
    MultiValued,
    RandomSplit,
    Schema,
    TimeSplit,
    next_day,
)
from minitower.data.parquet import write_parquet
from minitower.store import folder, new_folder
from minitower.store.folder import fingerprint
from minitower.store.full_version import publish_model
from minitower.store.model_files import load_model, load_notes, load_optimizer
from minitower.store.provenance import provenance
from minitower.store.recommender import Recommender
from minitower.store.transaction import rollback
from minitower.store.version_log import VersionLog
from minitower.towers.optimizers import Adagrad
from minitower.towers.two_tower import TwoTower
from minitower.training.objectives import InBatchSoftmax
from minitower.training.trainer import Trainer
from minitower.updating import base as update_base
from minitower.updating import full_update as full_update_job
from minitower.updating import incremental_session
from minitower.updating.base import UpdateBase
from minitower.updating.incremental_update import IncrementalUpdate
from minitower.updating.streams import EventFields, PollOptions, write_events
from minitower.updating.train_full_update import train_full_update

SCHEMA = Schema(user=[Id("user"), Categorical("city")], item=[Id("item"), MultiValued("tags")])
FLAGS = ("--batch-size", "16", "--seed", "3")
TRAINED = {"learning_rate": 0.01, "temperature": 0.3, "batch_size": 16, "seed": 3}
LOG = EventFields("user", "item", user_type="string")


def clicks(day, users, items, n=60):
    rng = np.random.default_rng(day)
    users = [f"u{user}" for user in rng.integers(0, users, n)]
    return {
        "user": users,
        "item": rng.integers(0, items, n).tolist(),
        "timestamp": (1000 * day + np.arange(n)).tolist(),
    }


FIRST = Dataset.from_columns(
    SCHEMA,
    clicks(0, 10, 12),
    {"user": [f"u{i}" for i in range(10)], "city": ["rome", "oslo"] * 5},
    {"item": list(range(12)), "tags": ["a", "a b", "c"] * 4},
    split=RandomSplit(0, 0),
)


def store_of(model, data, folder, optimizer=None, parent=None, **notes):
    """A version that says how it was made, with some notes in place of the recorded ones."""
    optimizer = optimizer or Adagrad(0.05)
    made = provenance(Trainer(model, data, optimizer=optimizer, batch_size=16))
    for name, value in notes.items():
        made[name] = {**made.get(name, {}), **value} if isinstance(value, dict) else value
    return publish_model(model, data, folder, optimizer=optimizer, notes=made, parent=parent)


def trained_once(optimizer):
    model = TwoTower(FIRST.schema, dim=4, hidden=(6,))
    Trainer(model, FIRST, optimizer=optimizer, batch_size=16).fit(1)
    return model


@pytest.fixture
def places(tmp_path):
    """A store of the first day, and an empty folder of logs."""
    optimizer = Adagrad(0.05)
    model = trained_once(optimizer)
    store_of(model, FIRST, tmp_path / "store", optimizer, reading={"seed": 1})
    (tmp_path / "logs").mkdir()
    return tmp_path / "store", tmp_path / "logs"


def test_update__a_value_typed_wrongly_is_named_before_one_that_is_missing(run, tmp_path):
    store = published_with(tmp_path)
    (tmp_path / "logs").mkdir(exist_ok=True)
    _, _, err = run(store, tmp_path / "logs", "--full", "--self-supervised", "*")
    assert "--self-supervised: expected one of none, mask" in err


def published_with(tmp_path, **notes):
    """The store of the first day, published with other notes."""
    optimizer = Adagrad(0.05)
    store_of(trained_once(optimizer), FIRST, tmp_path / "noted", optimizer, **notes)
    return tmp_path / "noted"


@pytest.fixture
def run(run):
    return partial(run, "update")


def write(logs, day, users, items, n=60):
    log = clicks(day, users, items, n)
    write_events(logs / f"{day:03d}.jsonl", log, LOG)
    return log


def test_full__is_the_chain_of_full_updates(places, run, tmp_path, monkeypatch):
    """The files of each night, only new clicks read, carry on model, optimizer and what was met."""
    store, logs = places
    monkeypatch.setattr(update_base, "CHUNK", 16)  # several batches a night
    model, optimizer, data = load_model(store), Adagrad(0.05), FIRST
    load_optimizer(store, optimizer)
    new = tmp_path / "new.jsonl"
    new.write_text(json.dumps({"user": "u12", "city": "bern"}) + "\n")
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({"item": 14, "tags": ["d", "a"]}) + "\n")
    for day in (1, 2):
        log = write(logs, day, 11 + day, 15)
        more = ("--users", new, "--items", items) if day == 2 else ()
        status, out, err = run(store, logs, "--full", "--validate", "0.2", *more, *FLAGS)
        assert (status, out) == (0, f"{day + 1}\n"), err
        assert "recall@20" in err
        tables = ()
        if day == 2:
            tables = {"user": ["u12"], "city": ["bern"]}, {"item": [14], "tags": [["d", "a"]]}
        data = next_day(data, log, *tables, split=TimeSplit(0.2, 0))
        make = lambda model, day: Trainer(
            model, day, objective=InBatchSoftmax(), batch_size=16, seed=3
        )
        by_hand = train_full_update(model, data, make, optimizer=optimizer, seed=3)
        model, optimizer = by_hand.model, by_hand.optimizer
        catalogue = VersionLog.read(store)
        kept = catalogue.open(catalogue.version()).content
        assert kept["metrics"] == kept["notes"]["update"]["after"] == by_hand.report.after
        assert kept["metrics"].keys() == {"recall@20"}
        published = load_model(store)
        for name, parameter in model.parameters.items():
            assert np.array_equal(published.parameters[name], parameter), name
    serving = Recommender.open(store)
    assert np.array_equal(serving.store.seen.values, data.seen("all").values)
    assert serving.store.users.ids.tolist() == data.users.ids.tolist()
    reading = {"positive": "all", "timestamp": "timestamp", "seed": 1}
    assert load_notes(store)["reading"] == reading
    assert load_notes(store)["update"]["pairs"] == len(data.train)


def test_full__the_seed_is_that_of_new_rows_too(tmp_path, run):
    """They are drawn where row 0 is no beginning: in towers of ids alone."""
    schema = Schema(user=[Id("user")], item=[Id("item"), MultiValued("tags")])
    items = {"item": list(range(12)), "tags": ["a", "b", "c"] * 4}
    data = Dataset.from_columns(schema, clicks(0, 10, 12), None, items, split=RandomSplit(0, 0))
    store, logs = tmp_path / "store", tmp_path / "logs"
    store_of(TwoTower(data.schema, dim=4, hidden=()), data, store)
    logs.mkdir()
    (tmp_path / "items.jsonl").write_text('{"item": 50, "tags": ["new"]}')
    flags = ("--items", tmp_path / "items.jsonl", *FLAGS)
    assert run(store, logs, "--full", *flags)[:2] == (0, "2\n"), "nothing was clicked"
    log = write(logs, 1, 13, 15)
    assert run(store, logs, "--full", *FLAGS)[:2] == (0, "3\n")
    make = lambda model, day: Trainer(model, day, batch_size=16, seed=3)
    none = {"user": [], "item": [], "timestamp": []}
    quiet = next_day(data, none, None, {"item": [50], "tags": [["new"]]})
    day = next_day(quiet, log)
    same = []
    for seed in (3, 0):
        grown = load_model(store, 1).extended(quiet.schema, seed=seed)
        trained = train_full_update(load_model(store, 2), day, make, seed=seed).model
        for version, by_hand in ((2, grown), (3, trained)):
            published = load_model(store, version).parameters
            made = by_hand.parameters
            same.append(all(np.array_equal(made[name], published[name]) for name in published))
    assert same == [True, True, False, False]


def test_full__without_news_publishes_nothing_and_lets_a_script_go_on(places, run, tmp_path):
    store, logs = places
    assert "no clicks since version 1: nothing to publish" in run(store, logs, "--full")[2]
    write(logs, 1, 12, 12)
    assert run(store, logs, "--full", *FLAGS)[0] == 0
    for name, text in (("users.jsonl", "\n"), ("items.jsonl", ""), ("gone", "99\n")):
        (tmp_path / name).write_text(text)
    lists = ["--users", tmp_path / "users.jsonl", "--items", tmp_path / "items.jsonl"]
    for more in ([], [*lists, "--retire", tmp_path / "gone"]):
        status, out, err = run(store, logs, "--full", *more, *FLAGS)
        assert (status, out) == (0, ""), err
        assert "no clicks since version 2: nothing to publish" in err
    assert VersionLog.read(store).current == 2


def test_full__without_clicks_users_and_items_still_come_and_go(places, run, tmp_path):
    """Nothing is trained, and what is there stays: model, optimizer, popularity, the cursor."""
    store, logs = places
    write(logs, 1, 10, 12)
    assert run(store, logs, "--full", *FLAGS)[0] == 0
    before, optimizer = Recommender.open(store), Adagrad(0.05)
    load_optimizer(store, optimizer)
    (tmp_path / "users.jsonl").write_text('{"user": "new", "city": "bern"}')
    (tmp_path / "items.jsonl").write_text('{"item": 50, "tags": ["a", "new"]}')
    (tmp_path / "gone").write_text("3\n7\n77\n")
    lists = ("--users", tmp_path / "users.jsonl", "--items", tmp_path / "items.jsonl")
    more = (*lists, "--retire", tmp_path / "gone", "--validate", "0.1")
    status, out, err = run(store, logs, "--full", *more, *FLAGS)
    assert (status, out) == (0, "3\n"), err
    assert "no clicks since version 2: nothing is trained" in err
    assert "gone: 1 ids belong to no item, such as 77" in err
    after = Recommender.open(store)
    assert after.store.users.ids.tolist()[-1] == "new"
    assert after.store.items.ids.tolist() == [i for i in range(12) if i not in (3, 7)] + [50]
    for name, parameter in before.store.model.parameters.items():
        assert np.array_equal(after.store.model.parameters[name][: len(parameter)], parameter), name
    assert len(after.store.model.parameters["item.tags.embedding"]) == 5
    again = Adagrad(0.05)
    load_optimizer(store, again)
    for name, state in optimizer.state.items():
        assert np.array_equal(again.state[name][: len(state)], state), name
        assert (
            again.state[name].shape == after.store.model.parameters[name.rpartition("/")[0]].shape
        )
    counts = [np.load(store / f"versions/00000{n}/item_counts.npy") for n in (2, 3)]
    assert counts[1].tolist() == [*np.delete(counts[0], [3, 7]).tolist(), 0]
    assert counts[0].sum() == 60
    assert load_notes(store)["cursor"] == load_notes(store, 2)["cursor"]
    assert "update" not in load_notes(store)
    (tmp_path / "gone").write_text("50\n")
    assert run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)[:2] == (0, "4\n")
    assert 50 not in Recommender.open(store).store.items.ids
    assert run(store, logs, "--full", *lists[:2], *FLAGS)[:2] == (0, "5\n"), "a list of users alone"
    write(logs, 2, 10, 12)
    assert run(store, logs, "--full", *FLAGS)[0] == 0
    assert load_notes(store)["update"]["pairs"] == 60


def test_full__a_night_of_no_positives_is_one_without_clicks(places, run, tmp_path):
    _, logs = places
    store = published_with(tmp_path, training=TRAINED, reading={"positive": "rating >= 4"})
    (logs / "1.jsonl").write_text('{"user": "u1", "item": 3, "timestamp": 9000, "rating": 1}\n')
    status, out, err = run(store, logs, "--full")
    assert (status, out) == (0, ""), err
    assert "0 of 1 clicks are positives" in err
    assert "nothing to learn from in 1 records since version 1: nothing to publish" in err
    (logs / "1.jsonl").unlink()
    status, out, err = run(store, logs, "--full")
    assert (status, out) == (0, ""), err
    assert "no clicks since version 1: nothing to publish" in err


def test_update__logs_that_overlap_stop_nobody(places, run):
    """A night has no order, nor has a day at its end. What a stated lateness leaves is counted."""
    store, logs = places
    write(logs, 1, 10, 12)
    late = [{"user": "u1", "item": 3, "timestamp": 1000 + k} for k in range(3)]
    (logs / "002.jsonl").write_text("".join(json.dumps(click) + "\n" for click in late))
    status, out, err = run(store, logs, "--incremental", "--allowed-lateness", "0", *FLAGS)
    assert (status, out) == (0, "2\n"), err
    assert "3 late clicks ignored: the next full update learns them; a longer allowed" in err
    assert Recommender.open(store).store.notes["update"]["pairs"] == 60
    status, out, err = run(store, logs, "--incremental", *FLAGS)
    assert (status, out, "late" in err) == (0, "3\n", False), err
    assert Recommender.open(store).store.notes["update"]["pairs"] == 63
    assert run(store, logs, "--full", *FLAGS)[:2] == (0, "4\n")
    assert load_notes(store)["update"]["pairs"] == 63
    (logs / "003.jsonl").write_text(json.dumps(late[0] | {"timestamp": 999}) + "\n")
    write(logs, 4, 10, 12)
    assert run(store, logs, "--full", *FLAGS)[:2] == (0, "5\n"), "nor older than the night before"
    assert load_notes(store)["update"]["pairs"] == 61


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_incremental__a_file_sorted_by_user_is_learned_in_time_order(places, run, suffix):
    """A day's file is complete when it is read: the order of its lines says nothing."""
    store, logs = places
    write(logs, 1, 10, 12)
    (written,) = logs.iterdir()
    clicks = list(map(json.loads, written.read_text().splitlines()))
    rows = []
    for order in ("user", "timestamp"):
        written.unlink()
        clicks.sort(key=lambda click: click[order])
        written = (logs / order).with_suffix(suffix)
        write_events(written, {name: [c[name] for c in clicks] for name in clicks[0]}, LOG)
        status, _, err = run(store, logs, "--incremental", *FLAGS)
        assert (status, "late" in err) == (0, False), err
        opened = Recommender.open(store).store
        assert opened.notes["update"]["pairs"] == len(clicks)
        rows.append(opened.model.parameters["user.user.embedding"])
    assert np.array_equal(*rows)


def test_full__one_click_is_no_night(places, run, tmp_path):
    """It has no negative, so nothing would be learned; it waits for the next, and lists go on."""
    store, logs = places
    click = {"user": "u1", "item": 3, "timestamp": 2000}
    (logs / "1.jsonl").write_text(json.dumps(click) + "\n")
    status, out, err = run(store, logs, "--full", *FLAGS)
    assert (status, out) == (0, ""), err
    assert "1 click is too few to train on" in err
    assert "the next update reads it again" in err
    (tmp_path / "gone").write_text("7\n")
    status, out, err = run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)
    assert (status, out) == (0, "2\n"), err
    assert "update" not in load_notes(store)
    (logs / "2.jsonl").write_text(json.dumps(click | {"timestamp": 2001}) + "\n")
    assert run(store, logs, "--full", *FLAGS)[:2] == (0, "3\n")
    assert load_notes(store)["update"]["pairs"] == 2
    assert run(store, logs, "--full", "--batch-size", "1")[0] == 0, "without clicks no step"
    (logs / "3.jsonl").write_text((json.dumps(click | {"timestamp": 2002}) + "\n") * 3)
    status, _, err = run(store, logs, "--full", "--batch-size", "1")
    assert (status, "a batch size of 1 trains nothing" in err) == (2, True)


def test_full__refused_leaves_the_store_as_it_was(places, run):
    store, logs = places
    write(logs, 1, 12, 15)
    status, out, err = run(store, logs, "--full", "--validate", "0.2", "--at-least", "1.1", *FLAGS)
    assert (status, out) == (1, "")
    assert "refused: recall@20 on validation would be" in err
    assert VersionLog.read(store).current == 1
    assert run(store, logs, "--full", "--validate", "0.2", *FLAGS)[:2] == (0, "2\n")


def test_full__an_optimizer_of_another_kind_is_refused_or_reset(places, run):
    store, logs = places
    write(logs, 1, 12, 15)
    status, _, err = run(store, logs, "--full", "--optimizer", "sgd")
    assert status == 2
    assert "saved with Adagrad, not SGD; reset_optimizer (--reset-optimizer)" in err
    assert run(store, logs, "--full", "--optimizer", "sgd", "--reset-optimizer")[0] == 0


def branch(store, log, base=1, rate=0.05, **options):
    """The branch by hand."""
    model, optimizer = load_model(store, base), Adagrad(rate)
    load_optimizer(store, optimizer, base)
    options = {"batch_size": 16} | options
    update = IncrementalUpdate(model, FIRST, optimizer=optimizer, **options)
    update.feed(LOG.events(columns(log)))
    update.finish()
    return update.model


def columns(log):
    from minitower.data.columns import read_columns
    from minitower.data.errors import Place

    return read_columns(log, Place("log"))


@pytest.mark.parametrize("flags, options", [((), {}), (("--item-ids",), {"item_ids": True})])
def test_incremental__publishes_what_moved_on_top_of_the_full_version(places, run, flags, options):
    """Run again later, it begins from the full version, and so does the next full update."""
    store, logs = places
    log = write(logs, 1, 12, 12)
    status, out, err = run(store, logs, "--incremental", *flags, *FLAGS)
    assert (status, out) == (0, "2\n"), err
    served = Recommender.open(store)
    assert served.version.kind == "incremental"
    for name, parameter in branch(store, log, **options).parameters.items():
        assert np.array_equal(served.store.model.parameters[name], parameter), name
    for name, values in write(logs, 2, 12, 12).items():
        log[name] = [*log[name], *values]
    assert run(store, logs, "--incremental", *flags, *FLAGS)[:2] == (0, "3\n")
    served = Recommender.open(store)
    for name, parameter in branch(store, log, **options).parameters.items():
        assert np.array_equal(served.store.model.parameters[name], parameter), name
    assert run(store, logs, "--full", *FLAGS)[:2] == (0, "4\n")
    assert VersionLog.read(store).version(4).parent == 1


def test_incremental__follows_and_changes_over_to_a_new_full_version(places, run, monkeypatch):
    """While it waits, a night passes; it then publishes on top of the new full version."""
    store, logs = places
    monkeypatch.setattr(incremental_session, "PollOptions", partial(PollOptions, interval=0.02))
    write(logs, 1, 12, 12)
    seen = []

    def meanwhile():
        waiting_for(store, 2)
        seen.append(VersionLog.read(store).version())
        store_of(load_model(store), FIRST, store, parent=1)
        write(logs, 2, 12, 12)
        waiting_for(store, 4)
        seen.append(VersionLog.read(store).version())
        os.kill(os.getpid(), signal.SIGINT)

    other = threading.Thread(target=meanwhile)
    other.start()
    status, _, err = run(store, logs, "--incremental", "--follow", "--every", "0.05s", *FLAGS)
    other.join()
    assert status == 0, err
    assert "there is a new full version" in err
    assert [(v.kind, v.parent) for v in seen] == [("incremental", 1), ("incremental", 3)]


def waiting_for(store, number):
    for _ in range(1000):
        if VersionLog.read(store).current == number:
            return
        time.sleep(0.01)
    raise AssertionError(f"version {number} never came")


def test_full__retires_items(places, run, tmp_path):
    """They are trained on a last time; nobody is shown them afterwards."""
    store, logs = places
    write(logs, 1, 12, 12)
    (tmp_path / "gone").write_text("3\n11\n99\n")
    assert run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)[0] == 0
    served = Recommender.open(store)
    assert sorted(served.store.items.ids) == [i for i in range(12) if i not in (3, 11)]
    assert len(load_model(store).parameters["item.item.embedding"]) == 13
    write(logs, 2, 12, 12)
    (tmp_path / "gone").write_text("3\n99\n")
    status, _, err = run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)
    assert (status, "1 ids belong to no item, such as 99" in err) == (0, True)
    write(logs, 3, 12, 12)
    (tmp_path / "gone").write_text("x\n")
    assert run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)[0] == 2
    (tmp_path / "gone").write_text("\n".join(map(str, range(12))))
    status, _, err = run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)
    assert (status, "gone: all items would be retired" in err) == (2, True)
    assert "epoch" not in err, "the error comes before the training"
    assert VersionLog.read(store).current == 3


def test_full__trains_as_the_store_was_trained_by_default(places, run):
    """Its notes say how; what was typed comes before them, and is kept for the next night."""
    store, logs = places
    twin = shutil.copytree(store, store.parent / "twin")
    model, optimizer = load_model(store), Adagrad(0.05)
    load_optimizer(store, optimizer)
    training = {"temperature": 0.5, "learning_rate": 0.2, "batch_size": 16, "seed": 3}
    store_of(model, FIRST, store, optimizer, parent=1, training=training)
    write(logs, 1, 12, 12)
    status, _, err = run(store, logs, "--full", "--learning-rate", 0.1)
    assert status == 0
    assert "as version 2 was trained: temperature 0.5, batch_size 16, seed 3" in err
    kept = load_notes(store)["training"]
    assert (kept["temperature"], kept["learning_rate"]) == (0.5, 0.1)
    typed = ("--temperature", 0.5, "--learning-rate", 0.1, "--batch-size", 16, "--seed", 3)
    assert run(twin, logs, "--full", *typed)[0] == 0
    for name, array in load_model(twin).parameters.items():
        assert np.array_equal(array, load_model(store).parameters[name])


def test_update__says_from_where_on_a_broken_log_is_set_aside(places, run, tmp_path):
    pytest.importorskip("google_crc32c"), pytest.importorskip("google.protobuf")
    store, logs = places
    clicks = {"user": ["u1", "u2", "u3"], "item": [1, 2, 3], "timestamp": [900, 901, 902]}
    write_events(logs / "001.tfrecord", clicks, LOG)
    content = (logs / "001.tfrecord").read_bytes()
    (logs / "001.tfrecord").write_bytes(content[:-1])
    bad = tmp_path / "bad.jsonl"
    status, _, err = run(store, logs, "--full", "--dead-letter-file", bad, *FLAGS)
    assert (status, f"001.tfrecord: from record 3 on in {bad}" in err) == (0, True)
    assert "2 clicks" in err


@pytest.mark.parametrize("kind", ["--full", "--incremental"])
def test_update__a_log_that_was_changed_is_refused(places, run, kind):
    """Whoever appends to a log would lose clicks without a word."""
    store, logs = places
    write(logs, 1, 12, 12)
    assert run(store, logs, "--full", *FLAGS)[0] == 0
    (path,) = logs.iterdir()
    path.write_bytes(path.read_bytes() * 2)
    status, _, err = run(store, logs, kind, *FLAGS)
    assert (status, f"{path.name}: its content is not the one that was read" in err) == (2, True)


def test_full__a_warning_names_the_item(places, run, tmp_path):
    store, logs = places
    data = Dataset.from_columns(
        SCHEMA,
        clicks(0, 10, 12),
        {"user": [f"u{i}" for i in range(10)], "city": ["rome", "oslo"] * 5},
        {"item": list(range(12)), "tags": ["a"] * 12, "title": [f"Item {i}" for i in range(12)]},
        split=RandomSplit(0, 0),
        item_name="title",
    )
    shutil.rmtree(store)
    model = TwoTower(data.schema, dim=4)
    store_of(model, data, store)
    write(logs, 1, 12, 12)
    items = tmp_path / "items.jsonl"
    rows = ({"item": 3, "tags": ["a"], "title": "New 3"}, {"item": 77, "tags": [], "title": "77!"})
    items.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(store, logs, "--full", "--items", items, *FLAGS)[0] == 0
    assert Recommender.open(store).names([3, 4, 77]) == ["New 3", "Item 4", "77!"]


def test_incremental__a_night_that_comes_between_is_branched_off(places, run, monkeypatch):
    """It is published after the branch has looked and before its rows are: no rows are lost."""
    store, logs = places
    write(logs, 1, 12, 12)
    increment, nights = IncrementalUpdate.increment, []

    def late(update):
        if not nights:
            base = load_model(store)
            nights.append(store_of(base, FIRST, store, parent=1))
        return increment(update)

    monkeypatch.setattr(IncrementalUpdate, "increment", late)
    status, out, err = run(store, logs, "--incremental", *FLAGS)
    assert (status, out) == (0, "3\n"), err
    assert "there is a new full version" in err
    served = VersionLog.read(store).version()
    assert (served.kind, served.parent) == ("incremental", 2)


def test_incremental__goes_on_after_the_clicks_of_the_night(places, run):
    """The cursor of the full version: what the night learned, the day does not learn again."""
    store, logs = places
    write(logs, 1, 12, 12)
    assert run(store, logs, "--full", *FLAGS)[0] == 0
    assert run(store, logs, "--incremental", *FLAGS)[:2] == (0, "")  # nothing is new
    log = write(logs, 2, 12, 12)
    assert run(store, logs, "--incremental", *FLAGS)[:2] == (0, "3\n")
    catalogue = VersionLog.read(store)
    update = catalogue.open(catalogue.version(3)).content["notes"]["update"]
    known = np.isin(log["item"], Recommender.open(store).store.items.ids)
    assert update["pairs"] == known.sum()
    assert update["unknown_items"] == (~known).sum()


def test_incremental__sets_aside_the_same_however_often_it_begins(places, run, tmp_path):
    """Its file is its own: the length in the night's cursor is that of the night's."""
    store, logs = places
    write(logs, 1, 12, 12)
    (logs / "0-bad.jsonl").write_text("bad\n")
    night, day = tmp_path / "night", tmp_path / "day"
    assert run(store, logs, "--full", "--dead-letter-file", night, *FLAGS)[0] == 0
    write(logs, 2, 12, 12)
    (logs / "3-bad.jsonl").write_text(f"{'bad' * 40}\nworse\n")
    for _ in range(3):
        assert run(store, logs, "--incremental", "--dead-letter-file", day, *FLAGS)[0] == 0
        printed = [json.loads(line)["record"] for line in day.read_text().splitlines()]
        assert printed == ["bad" * 40, "worse"]
    assert [json.loads(line)["record"] for line in night.read_text().splitlines()] == ["bad"]
    before = night.read_text()
    assert run(store, logs, "--incremental", "--dead-letter-file", night, *FLAGS)[0] == 0
    assert night.read_text().startswith(before)


@pytest.mark.parametrize("name", ["CURRENT", "LOCK", "CURRENT.new", "versions/new", "link"])
def test_update__sets_nothing_aside_in_a_file_of_the_store(places, run, name, tmp_path):
    """Appending to CURRENT or to an empty LOCK, which a store then refuses, destroyed the store."""
    store, logs = places
    aside = tmp_path / name if name == "link" else store / name
    (tmp_path / "link").symlink_to(store / "LOCK")
    write(logs, 1, 12, 12)
    (logs / "0-bad.jsonl").write_text("bad\n")
    before = (store / "CURRENT").read_bytes()
    for job in ("--full", "--incremental"):
        status, _, err = run(store, logs, job, "--dead-letter-file", aside, *FLAGS)
        assert (status, f"dead_letter_file: {aside} is within the store" in err) == (2, True)
    assert (store / "CURRENT").read_bytes() == before
    assert (store / "LOCK").read_bytes() == b""


def test_update__states_how_much_may_be_set_aside(places, run, tmp_path):
    store, logs = places
    write(logs, 1, 12, 12)
    (logs / "0-bad.jsonl").write_text("bad\n" * 3)
    flags = ("--dead-letter-file", tmp_path / "aside", "--min-errors", 2, "--max-error-rate", 0.01)
    status, _, err = run(store, logs, "--full", *flags, *FLAGS)
    assert (status, "more than 0.01 of them" in err) == (2, True)
    flags = ("--dead-letter-file", tmp_path / "aside", "--min-errors", 3)
    assert run(store, logs, "--full", *flags, *FLAGS)[0] == 0


@pytest.mark.parametrize("delay", [0.6, 0.9])
def test_full__killed_and_started_again_ends_the_same(places, tmp_path, delay):
    """A process that is killed anywhere leaves the old version or the new one served."""
    store, logs = places
    write(logs, 1, 12, 15)
    arguments = [sys.executable, "-m", "minitower", "update"]
    flags = [str(logs), "--full", *FLAGS]
    other = shutil.copytree(store, tmp_path / "other")
    start = time.monotonic()
    subprocess.run([*arguments, str(other), *flags], check=True, capture_output=True)
    process = subprocess.Popen(
        [*arguments, str(store), *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(delay * (time.monotonic() - start))
    process.kill()
    process.wait()
    if Recommender.open(store).store.version.number == 1:
        subprocess.run([*arguments, str(store), *flags], check=True, capture_output=True)
    arrays = [
        {path.name: path.read_bytes() for path in log.path(log.current).glob("*.npy")}
        for log in map(VersionLog.read, (store, other))
    ]
    assert "item_vectors.npy" in arrays[0]
    assert arrays[0] == arrays[1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "one of the arguments --full --incremental is required"),
        (("--full", "--incremental"), "not allowed with"),
        (("--incremental", "--every", "5x"), "expected a time such as 90s, 20m or 2h"),
        (("--incremental", "--every", "0m"), "expected a time such as 90s, 20m or 2h"),
        (("--full", "--users", "gone.jsonl"), "gone.jsonl: expected a file whose name ends with"),
        (
            ("--incremental", "--allowed-lateness", "-1"),
            "allowed_lateness must be a number of at least 0",
        ),
        (
            ("--incremental", "--objective", "pairwise"),
            "draws no negatives, which the objective pair",
        ),
        (
            ("--incremental", "--negatives", "uniform:2"),
            "training option 'negatives' belongs to the full update",
        ),
        (("--incremental", "--at-least", "0.1"), "--at-least belongs to --full"),
        (("--full", "--item-ids"), "--item-ids belongs to --incremental"),
        (("--full", "--at-least", "0.1"), "at_least needs clicks to measure on: set validate"),
        (("--full", "--dead-letter-file", "no/aside"), "no/aside: the folder"),
        (("--full", "--allowed-lateness", "30x"), "expected a time such as 90s, 20m or 2h"),
        (("--incremental", "--batch-size", "0"), "--batch-size: expected an integer of at least 1"),
        (("--full", "--validate", "1.5"), "--validate: expected a number from 0 and below 1"),
    ],
)
def test_update__refuses(places, run, arguments, message):
    store, logs = places
    write(logs, 1, 12, 12)
    status, out, err = run(store, logs, *arguments)
    assert (status, out) == (2, "")
    *_, last = err.splitlines()
    assert message in last
    assert err.count("error") == 1
    assert VersionLog.read(store).current == 1


USER = '{"user": "u1", "city": "rome"}\n'


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("users.jsonl", USER + "nothing\n", "users.jsonl, line 2: Expecting value"),
        ("users.jsonl", USER + USER[:9], "users.jsonl, line 2: "),
        ("users.jsonl", USER + "\n[3]\n", "users.jsonl, line 3: expected an object"),
        ("users.jsonl", '\n{"user": "u1", "city": 7.5}', "users.jsonl, line 2, column 'city': "),
        ("users.jsonl", USER * 2, "users.jsonl, line 2, column 'user': the id 'u1' occurs twice"),
        ("users.jsonl", '{"user": "u1", "City": 7.5}', "users.jsonl, line 1: no 'city'; null is"),
        ("users.jsonl", USER + '{"user": "u2"}', "users.jsonl, line 2: no 'city'; null is a"),
        ("users.parquet", "PAR1 half", "users.parquet: not complete: it has no footer"),
        ("users.csv", "user\nu1\n", "users.csv: column 'city' is missing; columns: user"),
        ("users.txt", "", "users.txt: expected a file whose name ends with .jsonl, .csv or"),
    ],
)
def test_full__a_wrong_record_of_users_is_named(places, run, tmp_path, name, content, message):
    if name.endswith(".parquet"):
        pytest.importorskip("pyarrow")
    store, logs = places
    write(logs, 1, 12, 12)
    (tmp_path / name).write_text(content)
    status, out, err = run(store, logs, "--full", "--users", tmp_path / name)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("error") == 1


@pytest.mark.parametrize("content", ["", "\n", USER.replace("u1", "n1"), "\ufeff" + USER[:-1]])
def test_full__a_file_of_users_is_whole(places, run, tmp_path, content):
    """Its last line needs no end, and it may be empty."""
    store, logs = places
    write(logs, 1, 10, 12)
    lines = content + '{"user": "n2", "city": "oslo"}' if content.endswith("\n") else content
    (tmp_path / "users.jsonl").write_text(lines, encoding="utf-8")
    assert run(store, logs, "--full", "--users", tmp_path / "users.jsonl", *FLAGS)[0] == 0
    users = Recommender.open(store).store.users.ids.tolist()
    assert users[10:] == [n for n in ("n1", "n2") if n in lines]


def test_full__users_from_parquet(places, run, tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    store, logs = places
    write(logs, 1, 10, 12)
    path = tmp_path / "users.parquet"
    for ids, status in ((["n1", "n1"], 2), (["n1", "n2"], 0), ([], 0)):
        write_parquet(path, {"user": np.array(ids, object), "city": np.array(["rome"] * len(ids))})
        got, _, err = run(store, logs, "--full", "--users", path, *FLAGS)
        assert got == status, err
        assert status == 0 or "users.parquet, row 1, column 'user': the id 'n1' occurs" in err
        write(logs, 5 + len(list(logs.iterdir())), 10, 12)
    assert Recommender.open(store).store.users.ids.tolist()[10:] == ["n1", "n2"]
    odd = arrow.array([1], arrow.time64("ns"))  # which Python cannot hold
    parquet.write_table(arrow.table({"user": ["n3"], "city": odd}), path)
    status, _, err = run(store, logs, "--full", "--users", path, *FLAGS)
    assert (status, f"{path}: record, column 'city': " in err) == (2, True), err


PRICED = Schema(
    user=[Id("user"), Continuous("age")],
    item=[Id("item"), MultiValued("tags"), Continuous("price")],
)


@pytest.fixture
def priced(tmp_path):
    """A store whose users and items have numbers that cannot be missing, and logs."""
    users = {"user": [f"u{i}" for i in range(10)], "age": list(range(10))}
    items = {"item": list(range(12)), "tags": ["a", "a b", "c"] * 4, "price": list(range(12))}
    data = Dataset.from_columns(PRICED, clicks(0, 10, 12), users, items, split=RandomSplit(0, 0))
    store_of(TwoTower(data.schema, dim=4, hidden=(6,)), data, tmp_path / "store")
    (tmp_path / "logs").mkdir()
    return tmp_path / "store", tmp_path / "logs", data


def test_full__a_retired_item_that_is_clicked_again_is_what_it_was(priced, run, tmp_path):
    """In the next night, or in one of those after it."""
    store, logs, data = priced
    write(logs, 1, 10, 12)
    (tmp_path / "gone").write_text("1\n4\n")
    assert run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)[0] == 0
    for night, item in ((2, 4), (3, 1)):
        log = {"user": ["u1", "u2"], "item": [item, 3], "timestamp": [night * 1000] * 2}
        write_events(logs / f"{night:03d}.jsonl", log, LOG)
        status, _, err = run(store, logs, "--full", *FLAGS)
        assert status == 0, err
    items = Recommender.open(store).store.items
    assert items.ids.tolist() == [0, 2, 3, *range(5, 12), 4, 1]
    for row, item in ((10, 4), (11, 1)):
        assert items.columns["price"][row] == data.items.columns["price"][item]
        tags = items.columns["tags"].row(row), data.items.columns["tags"].row(item)
        assert np.array_equal(*tags)


def test_full__clicks_whose_numbers_nobody_knows_are_left_out_and_reported(priced, run, tmp_path):
    store, logs, _ = priced
    write(logs, 1, 10, 12)
    users, items = ["stranger", "u1", "u2", "new"], [1, 99, 2, 3]
    log = {"user": users, "item": items, "timestamp": [2000, 2001, 2002, 2003]}
    write_events(logs / "002.jsonl", log, LOG)
    (tmp_path / "users.jsonl").write_text('{"user": "new", "age": 3}')
    status, _, err = run(store, logs, "--full", "--users", tmp_path / "users.jsonl", *FLAGS)
    assert status == 0, err
    assert "1 clicks of users ignored: their age is unknown; list them, such as 'stranger'" in err
    assert "1 clicks of items ignored: their price is unknown; list them, such as 99" in err
    assert load_notes(store)["update"]["pairs"] == 62
    assert Recommender.open(store).store.users.ids.tolist() == [
        *(f"u{i}" for i in range(10)),
        "new",
    ]


def rated(logs):
    """A log of 60 clicks; a third is rated 5, a third 3, and the others have no rating."""
    log = clicks(1, 10, 12) | {"rating": [5, None, 3] * 20}
    lines = [json.dumps(dict(zip(log, row))) + "\n" for row in zip(*log.values())]
    (logs / "001.jsonl").write_text("".join(lines))
    return {name: values[::3] for name, values in log.items() if name != "rating"}


@pytest.mark.parametrize("kind", ["--full", "--incremental"])
def test_update__the_rule_of_positives_holds_for_the_stream(places, run, tmp_path, kind):
    _, logs = places
    store = published_with(tmp_path, training=TRAINED, reading={"positive": "rating >= 4"})
    log = rated(logs)
    status, _, err = run(store, logs, kind)
    assert status == 0, err
    assert "20 of 60 clicks are positives: rating >= 4" in err
    served = Recommender.open(store)
    if kind == "--incremental":
        by_hand = branch(store, log, rate=0.01, objective=InBatchSoftmax(0.3))
        name = "user.user.embedding"
    else:
        assert load_notes(store)["reading"]["positive"] == "rating >= 4"
        optimizer = Adagrad(0.01)
        load_optimizer(store, optimizer, 1)
        make = lambda model, day: Trainer(
            model, day, objective=InBatchSoftmax(0.3), batch_size=16, seed=3
        )
        day = next_day(FIRST, log)
        by_hand = train_full_update(
            load_model(store, 1), day, make, optimizer=optimizer, seed=3
        ).model
        name = "item.item.embedding"
        assert served.store.seen.values.tolist() == day.seen("all").values.tolist()
    assert np.array_equal(served.store.model.parameters[name], by_hand.parameters[name])


def test_update__logs_that_do_not_say_what_is_a_positive(places, run, tmp_path):
    """Nothing is trained on; unless one says that all are."""
    _, logs = places
    rule = {"positive": "rating >= 4"}
    store = published_with(tmp_path, training=TRAINED, reading=rule)
    write(logs, 1, 12, 12)
    status, _, err = run(store, logs, "--full")
    assert status == 2
    assert "column 'rating' is missing from all 60 clicks, but the rule" in err
    status, out, err = run(store, logs, "--incremental")
    assert (status, out) == (2, "")
    assert "column 'rating' is missing from all 60 clicks, but the rule" in err
    assert run(store, logs, "--full", "--positive", "all")[:2] == (0, "2\n")
    assert load_notes(store)["update"]["pairs"] == 60
    assert load_notes(store)["reading"]["positive"] == "all"
    (logs / "002.csv").write_text("user,item,timestamp\nu1,3,2000\n")
    status, _, err = run(store, logs, "--full", "--positive", "rating >= 4")
    assert (status, "002.csv, line 1: expected one column 'rating'" in err) == (2, True)
    status, _, err = run(store, logs, "--full", "--positive", "event = buy")
    assert (status, "002.csv, line 1: expected one column 'event'" in err) == (2, True)


def test_train__leaves_what_an_update_needs_to_go_on(run, tmp_path):
    """How the model was trained, and the rule of positives, which the columns decide here."""
    (tmp_path / "data").mkdir()
    drawn = np.random.default_rng(0).integers([20, 30, 6], size=(300, 3)).tolist()
    rows = [f"u{user}\ti{item}\t{rating}\t{k}" for k, (user, item, rating) in enumerate(drawn)]
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    (tmp_path / "data/a.inter").write_text("\n".join([header, *rows, ""]))
    store, logs = tmp_path / "store", tmp_path / "logs"
    flags = ["--epochs", "1", "--objective", "pairwise", "--temperature", "0.3", "--dim", "4"]
    assert main(["train", str(tmp_path / "data"), "--out", str(store), *flags]) == 0
    logs.mkdir()
    log = [
        {"user_id": f"u{k % 9}", "item_id": f"i{k % 7}", "rating": k % 5 + 1, "timestamp": 1000 + k}
        for k in range(100)
    ]
    (logs / "1.jsonl").write_text("".join(json.dumps(click) + "\n" for click in log))
    status, _, err = run(store, logs, "--full")
    assert status == 0, err
    assert "trained: positive rating >= 4, objective pairwise, negatives uniform:1, temp" in err
    assert "40 of 100 clicks are positives: rating >= 4" in err


def test_incremental__trains_as_the_store_was_trained(places, run, tmp_path):
    _, logs = places
    store = published_with(tmp_path, training=TRAINED | {"correction": "none"})
    log = write(logs, 1, 12, 12)
    assert run(store, logs, "--incremental")[:2] == (0, "2\n")
    by_hand = branch(store, log, rate=0.01, objective=InBatchSoftmax(0.3, "none"))
    served = Recommender.open(store).store.model.parameters
    for name, parameter in by_hand.parameters.items():
        assert np.array_equal(served[name], parameter), name
    store = published_with(tmp_path / "other", training={"objective": "pairwise"})
    status, _, err = run(store, logs, "--incremental")
    assert status == 2
    assert "draws no negatives, which the objective pairwise needs" in err


def test_incremental__clicks_of_whom_nothing_is_known_are_reported_and_noted(places, run):
    store, logs = places
    log = clicks(2, 10, 12, n=7)
    log["item"], log["user"][6] = [97, 98, 99, 99, 1, 2, 3], "nobody"
    write_events(logs / "002.jsonl", log, LOG)
    status, out, err = run(store, logs, "--incremental", *FLAGS)
    assert (status, out) == (0, "2\n")
    assert "3 clicks learned; users moved by" in err
    assert "; 1 clicks of unknown users ignored" in err
    assert "; 4 clicks on unknown or retired items ignored" in err
    catalogue = VersionLog.read(store)
    noted = catalogue.open(catalogue.version()).content["notes"]["update"]
    assert (noted["pairs"], noted["unknown_users"], noted["unknown_items"]) == (3, 1, 4)
    log["item"] = [99] * 7
    (logs / "002.jsonl").unlink()
    write_events(logs / "003.jsonl", log, LOG)
    status, out, err = run(store, logs, "--incremental", *FLAGS)
    assert (status, out) == (0, "")
    assert "0 clicks learned; 1 clicks of unknown users ignored; 7 clicks on unknown" in err


@pytest.mark.parametrize("kind", ["--full", "--incremental"])
def test_update__a_clock_that_is_ahead(places, run, tmp_path, kind):
    store, logs = places
    write(logs, 1, 10, 12)
    ahead = {"user": "u1", "item": 1, "timestamp": round(time.time() + 2 * 86400)}
    (logs / "000.jsonl").write_text(json.dumps(ahead) + "\n")
    flags = (kind, "--dead-letter-file", tmp_path / "aside", *FLAGS)
    if kind == "--incremental":  # a night has no order
        status, _, err = run(store, logs, *flags, "--max-clock-skew", "49h", "--min-errors", "59",
                             "--allowed-lateness", "0")  # fmt: skip
        assert (status, "0 of 61 records are malformed and 60 late" in err) == (2, True)
        (tmp_path / "aside").unlink()
    status, _, err = run(store, logs, *flags)
    assert status == 0, err
    (record,) = map(json.loads, (tmp_path / "aside").read_text().splitlines())
    assert "ahead of time: dated after" in record["reason"]


def test_incremental__the_full_version_is_read_once(places, run, monkeypatch):
    """When the job begins; a publication reads its own files."""
    store, logs = places
    write(logs, 1, 10, 12)
    read, publish_rows = [], incremental_session.publish_incremental

    def noted(path):
        read.append(path.parent.name)
        return fingerprint(path)

    def published(*args, **options):
        read.clear()
        version = publish_rows(*args, **options)
        assert {*read} == {"new", "000002"}
        return version

    for module in (folder, new_folder):
        monkeypatch.setattr(module, "fingerprint", noted)
    monkeypatch.setattr(incremental_session, "publish_incremental", published)
    assert run(store, logs, "--incremental", *FLAGS)[:2] == (0, "2\n")


def test_incremental__few_clicks_are_published_by_the_clock(places, run, monkeypatch):
    """They are fewer than a step has; the branch goes on in steps of one size all the same."""
    store, logs = places
    monkeypatch.setattr(incremental_session, "PollOptions", partial(PollOptions, interval=0.02))
    first, moved = write(logs, 1, 12, 12), []

    def meanwhile():
        for day in (2, 3):
            waiting_for(store, day)
            moved.append(Recommender.open(store).store.model.parameters["user.user.embedding"])
            if day == 2:
                write(logs, 2, 12, 12)
        os.kill(os.getpid(), signal.SIGTERM)

    other = threading.Thread(target=meanwhile)
    other.start()
    flags = ("--batch-size", "100", "--seed", "3", "--every", "0.05s", "--follow")
    status, out, err = run(store, logs, "--incremental", *flags)
    other.join()
    assert (status, out) == (0, "2\n3\n"), err
    both = {name: [*first[name], *values] for name, values in clicks(2, 12, 12).items()}
    for log, served in zip((first, both), moved):
        by_hand = branch(store, log, batch_size=100).parameters["user.user.embedding"]
        assert np.array_equal(served, by_hand)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_incremental__a_signal_publishes_what_was_read(places, run, monkeypatch, sent):
    """It is no failure; without --follow it is as always."""
    store, logs = places
    monkeypatch.setattr(incremental_session, "PollOptions", partial(PollOptions, interval=0.02))
    log = write(logs, 1, 12, 12)
    by_hand, before, feed = branch(store, log), signal.getsignal(sent), IncrementalUpdate.feed

    def fed(update, events):
        feed(update, events)
        if len(events):
            os.kill(os.getpid(), sent)

    monkeypatch.setattr(IncrementalUpdate, "feed", fed)
    status, out, err = run(store, logs, "--incremental", "--follow", "--every", "2h", *FLAGS)
    assert (status, out) == (0, "2\n"), err
    served = Recommender.open(store).store.model.parameters
    for name, parameter in by_hand.parameters.items():
        assert np.array_equal(served[name], parameter), name
    assert signal.getsignal(sent) == before
    if sent == signal.SIGINT:
        status, out, err = run(store, logs, "--incremental", *FLAGS)
        assert (status, out, "interrupted" in err) == (130, "", True)


def test_incremental__stopped_while_it_catches_up_it_publishes_nothing(places, run, monkeypatch):
    """What is served may have learned from clicks that this one has not read yet."""
    store, logs = places
    monkeypatch.setattr(incremental_session, "PollOptions", partial(PollOptions, interval=0.02))
    monkeypatch.setattr(update_base, "CHUNK", 16)
    monkeypatch.setattr(incremental_session, "CHUNK", 16)
    for day in (1, 2, 3):
        write(logs, day, 12, 12)
    feed = IncrementalUpdate.feed

    def fed(update, events):
        feed(update, events)
        if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)

    monkeypatch.setattr(IncrementalUpdate, "feed", fed)
    status, out, err = run(store, logs, "--incremental", "--follow", *FLAGS)
    assert (status, out) == (0, "")
    assert "stopped before all logs were read: nothing is published" in err


def test_incremental__the_second_interrupt_is_as_always(places, run, monkeypatch):
    """It does not wait for what the first one began."""
    store, logs = places
    monkeypatch.setattr(incremental_session, "PollOptions", partial(PollOptions, interval=0.02))
    write(logs, 1, 12, 12)
    monkeypatch.setattr(
        IncrementalUpdate, "feed", lambda *_: [os.kill(os.getpid(), signal.SIGINT) for _ in "ab"]
    )
    assert run(store, logs, "--incremental", "--follow", *FLAGS)[:2] == (130, "")
    assert VersionLog.read(store).current == 1


def test_incremental__a_night_while_it_stops_is_branched_off_with_all_that_is_there(
    places, run, monkeypatch
):
    store, logs = places
    monkeypatch.setattr(incremental_session, "PollOptions", partial(PollOptions, interval=0.02))
    for day in (1, 2, 3):  # files, and so blocks, after each of which it could stop
        write(logs, day, 12, 12)
    feed = IncrementalUpdate.feed

    def fed(update, events):
        feed(update, events)
        if VersionLog.read(store).current == 1:
            store_of(load_model(store), FIRST, store, parent=1)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(IncrementalUpdate, "feed", fed)
    status, out, err = run(store, logs, "--incremental", "--follow", "--every", "2h", *FLAGS)
    assert (status, out) == (0, "3\n"), err
    catalogue = VersionLog.read(store)
    assert catalogue.open(catalogue.version()).content["notes"]["update"]["pairs"] == 180


def test_incremental__publishes_when_it_has_caught_up_and_then_by_the_clock(
    places, run, monkeypatch
):
    """Before, what is served may know more; and not more often than `--every` says."""
    store, logs = places
    feed, clock, seen = IncrementalUpdate.feed, [0.0], []
    monkeypatch.setattr(incremental_session, "PollOptions", partial(PollOptions, interval=0.01))
    monkeypatch.setattr(update_base, "CHUNK", 16)
    monkeypatch.setattr(incremental_session, "CHUNK", 16)
    monkeypatch.setattr(incremental_session, "_LONGEST_PAUSE", 0.01)
    monkeypatch.setattr(incremental_session, "monotonic", lambda: clock[0])
    write(logs, 1, 12, 12)

    def fed(update, events):
        """A look a minute; after each of the first eight, one more click."""
        feed(update, events)
        seen.append((len(events), VersionLog.read(store).current))
        if len(events) < 16:
            clock[0] += 60
            day = 2 + len(seen)
            if day < 14:
                write(logs, day, 12, 12, n=1)
            else:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(IncrementalUpdate, "feed", fed)
    status, out, _ = run(store, logs, "--incremental", "--follow", "--every", "3m", *FLAGS)
    assert (status, out) == (0, "2\n3\n4\n5\n")
    assert [n for n, _ in seen[:4]] == [16, 16, 16, 12]
    versions = [version for _, version in seen]
    assert versions[:4] == [1] * 4
    assert [versions.count(n) for n in (2, 3)] == [3, 3]
    monkeypatch.setattr(IncrementalUpdate, "feed", feed)
    status, out, _ = run(store, logs, "--incremental", "--every", "0.001s", *FLAGS)
    assert (status, out) == (0, ""), "the same rows are served already"
    write(logs, 99, 12, 12)
    status, out, _ = run(store, logs, "--incremental", "--every", "0.001s", *FLAGS)
    assert (status, out) == (0, "6\n"), "not following, it publishes at the end"


def test_incremental__a_new_full_version_is_noticed_without_clicks(places, run, monkeypatch):
    store, logs = places
    monkeypatch.setattr(incremental_session, "PollOptions", partial(PollOptions, interval=0.01))
    monkeypatch.setattr(incremental_session, "_LONGEST_PAUSE", 0.01)
    opened = UpdateBase.open

    def opens(*arguments):
        if VersionLog.read(store).current == 2:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            night = (load_model(store), FIRST, store)
            threading.Timer(0.1, store_of, night, {"parent": 1}).start()
        return opened(*arguments)

    monkeypatch.setattr(UpdateBase, "open", opens)
    status, out, err = run(store, logs, "--incremental", "--follow", *FLAGS)
    assert (status, out) == (0, "")
    assert err.count("there is a new full version: starting again from it") == 1


def test_full__a_night_of_nothing_but_wrong_records_says_so(places, run, tmp_path):
    """It is none of those without clicks: somebody renamed a column."""
    store, logs = places
    (logs / "1.jsonl").write_text('{"uid": 1}\n' * 9)
    status, out, err = run(store, logs, "--full", "--dead-letter-file", tmp_path / "aside", *FLAGS)
    assert (status, out) == (0, "")
    assert f"9 of 9 records are malformed and 0 late: see {tmp_path / 'aside'}" in err
    assert "nothing to learn from in 9 records since version 1: nothing to publish" in err
    write(logs, 2, 12, 12)
    flags = ("--full", "--dead-letter-file", tmp_path / "aside", *FLAGS)
    assert "9 of 69 records are malformed" in run(store, logs, *flags)[2]
    write(logs, 3, 12, 12)
    assert "malformed" not in run(store, logs, *flags)[2], "that was the night before"


@pytest.mark.parametrize("change", ["publish", "rollback"])
def test_full__what_comes_while_it_trains_is_gone_on_from(
    places, run, tmp_path, monkeypatch, change
):
    """Another night with its lists, or a version taken back: neither is undone."""
    store, logs = places
    write(logs, 1, 12, 12)
    assert run(store, logs, "--full", *FLAGS)[:2] == (0, "2\n")
    write(logs, 2, 12, 12)
    items, real, nights = tmp_path / "items.jsonl", full_update_job.train_full_update, []
    items.write_text('{"item": 50, "tags": ["a"]}')

    def trained(*arguments, **options):
        if not nights:
            nights.append(1)
            if change == "publish":
                assert main(["update", str(store), str(logs), "--full", "--items", str(items)]) == 0
            else:
                rollback(store, 1)
        return real(*arguments, **options)

    monkeypatch.setattr(full_update_job, "train_full_update", trained)
    status, out, err = run(store, logs, "--full", *FLAGS)
    assert status == 0
    assert "there is a new full version: starting again from it" in err
    served = VersionLog.read(store).version()
    if change == "publish":
        assert out == "3\n", "of the other; this one then had no clicks to learn from"
        assert "no clicks since version 3: nothing to publish" in err
        assert 50 in Recommender.open(store).store.items.ids
    else:
        assert (out, served.parent) == ("3\n", 1)
        assert load_notes(store)["update"]["pairs"] == 120, "the clicks of both days"


def test_full__ids_are_of_the_type_of_the_store(tmp_path, run):
    """Text files make texts of whole numbers; JSON need not write them as such."""
    schema = Schema(user=[Id("user"), Categorical("city")], item=[Id("item")])
    log = clicks(0, 10, 12)
    log["user"] = [user[1:] for user in log["user"]]
    users = {"user": [str(i) for i in range(10)], "city": ["rome", "oslo"] * 5}
    data = Dataset.from_columns(schema, log, users, split=RandomSplit(0, 0))
    store, logs, listed = tmp_path / "store", tmp_path / "logs", tmp_path / "users.jsonl"
    store_of(TwoTower(data.schema, dim=4), data, store)
    logs.mkdir()
    (logs / "1.jsonl").write_text('{"user": 3, "item": 4, "timestamp": 9000}\n' * 2)
    listed.write_text('{"user": 77, "city": "rome"}\n')
    assert run(store, logs, "--full", "--users", listed)[:2] == (0, "2\n")
    assert Recommender.open(store).store.users.ids.tolist() == [*map(str, range(10)), "77"]
    listed.write_text('{"user": 7.5, "city": "rome"}\n')
    status, _, err = run(store, logs, "--full", "--users", listed)
    assert (status, "users.jsonl, line 1, column 'user': expected a string" in err) == (2, True)


def test_full__says_who_came_and_went(places, run, tmp_path):
    store, logs = places
    write(logs, 1, 10, 12)
    (tmp_path / "gone").write_text("3\n7\n")
    (tmp_path / "users.jsonl").write_text('{"user": "new", "city": "bern"}')
    lists = ("--users", tmp_path / "users.jsonl", "--retire", tmp_path / "gone")
    err = run(store, logs, "--full", *lists, *FLAGS)[2]
    assert "1 new users, 0 new items, 2 items retired, 0 reactivated" in err
    write_events(
        logs / "2.jsonl", {"user": ["u1"] * 2, "item": [7, 99], "timestamp": [2000] * 2}, LOG
    )
    err = run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)[2]
    assert "0 new users, 1 new items, 0 items retired, 0 reactivated" in err
    assert "belong to no item" not in err, "3 is gone, and 7 was back for a night"
    write_events(
        logs / "3.jsonl", {"user": ["u1"] * 2, "item": [3, 4], "timestamp": [3000] * 2}, LOG
    )
    assert "0 items retired, 1 reactivated" in run(store, logs, "--full", *FLAGS)[2]
