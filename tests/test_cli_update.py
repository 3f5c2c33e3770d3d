"""minitower update: night by night and by day, from folders, as a cron job would start it."""

import json
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import minitower.cli.update as command
from minitower.cli import main
from minitower.data import (
    Categorical,
    Dataset,
    Id,
    MultiValued,
    RandomSplit,
    Schema,
    TimeSplit,
    next_day,
)
from minitower.data.streams import write_events
from minitower.retrieval import Recommender, load_model, load_notes, publish
from minitower.retrieval.catalogue import Catalogue
from minitower.retrieval.snapshot import load_optimizer
from minitower.towers.optimizers import Adagrad
from minitower.towers.two_tower import TwoTower
from minitower.training.objectives import InBatchSoftmax
from minitower.training.trainer import Trainer
from minitower.training.updates import IncrementalUpdate, full_update

SCHEMA = Schema(user=[Id("user"), Categorical("city")], item=[Id("item"), MultiValued("tags")])
FLAGS = ("--batch-size", "16", "--seed", "3")


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


@pytest.fixture
def places(tmp_path):
    """A store of the first day, and an empty folder of logs."""
    model, optimizer = TwoTower(FIRST.schema, dim=4, hidden=(6,)), Adagrad(0.05)
    Trainer(model, FIRST, optimizer=optimizer, batch_size=16).fit(1)
    publish(model, FIRST, tmp_path / "store", optimizer=optimizer, notes={"reading": {"seed": 1}})
    (tmp_path / "logs").mkdir()
    return tmp_path / "store", tmp_path / "logs"


@pytest.fixture
def run(capsys):
    def start(*arguments):
        status = main(["update", *map(str, arguments)])
        told = capsys.readouterr()
        return status, told.out, told.err

    return start


def write(logs, day, users, items):
    log = clicks(day, users, items)
    fields = command.EventFields("user", "item", user_type="text")
    write_events(logs / f"{day:03d}.jsonl", log, fields)
    return log


def test_full__is_the_chain_of_full_updates(places, run, tmp_path):
    """The files of each night, only new clicks read, carry on model, optimizer and what was met."""
    store, logs = places
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
        by_hand = full_update(model, data, make, optimizer=optimizer, seed=3)
        model, optimizer = by_hand.model, by_hand.optimizer
        published = load_model(store)
        for name, parameter in model.parameters.items():
            assert np.array_equal(published.parameters[name], parameter), name
    serving = Recommender.open(store)
    assert np.array_equal(serving.seen.values, data.seen("all").values)
    assert serving.users.ids.tolist() == data.users.ids.tolist()
    assert load_notes(store)["reading"] == {"seed": 1}
    assert load_notes(store)["update"]["pairs"] == len(data.train)


def test_full__without_news_publishes_nothing_and_lets_a_script_go_on(places, run):
    store, logs = places
    write(logs, 1, 12, 12)
    assert run(store, logs, "--full", *FLAGS)[0] == 0
    status, out, err = run(store, logs, "--full", *FLAGS)
    assert (status, out) == (0, "")
    assert "no clicks since version 2" in err
    assert Catalogue.read(store).current == 2


def test_full__refused_leaves_the_store_as_it_was(places, run):
    store, logs = places
    write(logs, 1, 12, 15)
    status, out, err = run(store, logs, "--full", "--validate", "0.2", "--at-least", "1.1", *FLAGS)
    assert (status, out) == (1, "")
    assert "refused: recall@20 on validation would be" in err
    assert Catalogue.read(store).current == 1
    assert run(store, logs, "--full", "--validate", "0.2", *FLAGS)[:2] == (0, "2\n")


def test_full__an_optimizer_of_another_kind_is_refused_or_reset(places, run):
    store, logs = places
    write(logs, 1, 12, 15)
    status, _, err = run(store, logs, "--full", "--optimizer", "sgd")
    assert status == 2
    assert "saved with Adagrad, not SGD" in err
    assert run(store, logs, "--full", "--optimizer", "sgd", "--reset-optimizer")[0] == 0


def branch(store, log, base=1, **options):
    """The branch by hand."""
    model, optimizer = load_model(store, base), Adagrad(0.05)
    load_optimizer(store, optimizer, base)
    update = IncrementalUpdate(model, FIRST, optimizer=optimizer, batch_size=16, **options)
    update.feed(command.EventFields("user", "item", user_type="text").events(columns(log)))
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
        assert np.array_equal(served.model.parameters[name], parameter), name
    for name, values in write(logs, 2, 12, 12).items():
        log[name] = [*log[name], *values]
    assert run(store, logs, "--incremental", *flags, *FLAGS)[:2] == (0, "3\n")
    served = Recommender.open(store)
    for name, parameter in branch(store, log, **options).parameters.items():
        assert np.array_equal(served.model.parameters[name], parameter), name
    assert run(store, logs, "--full", *FLAGS)[:2] == (0, "4\n")
    assert Catalogue.read(store).version(4).parent == 1


def test_incremental__follows_and_changes_over_to_a_new_full_version(places, run, monkeypatch):
    """While it waits, a night passes; it then publishes on top of the new full version."""
    store, logs = places
    stop = threading.Event()
    follow = lambda every: command_follow(every=every, poll=0.02, stop=stop)
    command_follow = command.Follow
    monkeypatch.setattr(command, "Follow", follow)
    write(logs, 1, 12, 12)
    seen = []

    def meanwhile():
        waiting_for(store, 2)
        seen.append(Catalogue.read(store).version())
        publish(load_model(store), FIRST, store, parent=1)
        write(logs, 2, 12, 12)
        waiting_for(store, 4)
        seen.append(Catalogue.read(store).version())
        stop.set()

    other = threading.Thread(target=meanwhile)
    other.start()
    status, _, err = run(store, logs, "--incremental", "--follow", "--every", "0.05s", *FLAGS)
    other.join()
    assert status == 0, err
    assert "there is a new full version" in err
    assert [(v.kind, v.parent) for v in seen] == [("incremental", 1), ("incremental", 3)]


def waiting_for(store, number):
    for _ in range(1000):
        if Catalogue.read(store).current == number:
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
    assert sorted(served.items.ids) == [i for i in range(12) if i not in (3, 11)]
    assert len(load_model(store).parameters["item.item.embedding"]) == 13
    write(logs, 2, 12, 12)
    (tmp_path / "gone").write_text("3\n99\n")
    status, _, err = run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)
    assert (status, "1 ids are of no item, such as 99" in err) == (0, True)
    write(logs, 3, 12, 12)
    (tmp_path / "gone").write_text("x\n")
    assert run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)[0] == 2
    (tmp_path / "gone").write_text("\n".join(map(str, range(12))))
    status, _, err = run(store, logs, "--full", "--retire", tmp_path / "gone", *FLAGS)
    assert (status, "retires every item" in err) == (2, True)
    assert Catalogue.read(store).current == 3


def test_full__trains_as_the_store_was_trained_unless_told(places, run):
    """Its notes say how; what was typed comes before them, and is kept for the next night."""
    store, logs = places
    twin = shutil.copytree(store, store.parent / "twin")
    model, optimizer = load_model(store), Adagrad(0.05)
    load_optimizer(store, optimizer)
    notes = {"training": {"temperature": 0.5, "learning_rate": 0.2, "batch_size": 16, "seed": 3}}
    publish(model, FIRST, store, optimizer=optimizer, notes=notes, parent=1)
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


def test_update__says_what_it_has_not_read_yet(places, run):
    """The last record of a log has no end of line: it waits, and is not lost."""
    store, logs = places
    log = write(logs, 1, 12, 12)
    path = next(logs.iterdir())
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    status, _, err = run(store, logs, "--full", *FLAGS)
    assert status == 0
    assert f"{path.name}: the " in err
    assert "no whole record yet, and wait" in err
    path.write_bytes(whole)
    assert run(store, logs, "--full", *FLAGS)[0] == 0
    pairs = [
        Catalogue.read(store).open(version).content["notes"].get("update", {}).get("pairs", 0)
        for version in Catalogue.read(store).versions
    ]
    assert sum(pairs) == len(log["user"])


def test_full__a_name_is_told_with_the_item(places, run, tmp_path):
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
    publish(model, data, store, optimizer=Adagrad(0.05), notes={"item_name": "title"})
    write(logs, 1, 12, 12)
    items = tmp_path / "items.jsonl"
    rows = ({"item": 3, "tags": ["a"], "title": "New 3"}, {"item": 77, "tags": [], "title": "77!"})
    items.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(store, logs, "--full", "--items", items, *FLAGS)[0] == 0
    assert Recommender.open(store).names([3, 4, 77]) == ["New 3", "Item 4", "77!"]


@pytest.mark.parametrize("content, told", [("", "is empty"), ('{"user": "u9"}', "no whole record")])
def test_full__a_file_without_a_whole_record_is_refused(places, run, tmp_path, content, told):
    store, logs = places
    write(logs, 1, 12, 12)
    users = tmp_path / "users.jsonl"
    users.write_text(content)
    status, out, err = run(store, logs, "--full", "--users", users, *FLAGS)
    assert (status, out) == (2, "")
    assert str(users) in err
    assert told in err


def test_incremental__a_night_that_comes_between_is_branched_off(places, run, monkeypatch):
    """It is published after the branch has looked and before its rows are: no rows are lost."""
    store, logs = places
    write(logs, 1, 12, 12)
    increment, nights = IncrementalUpdate.increment, []

    def late(update):
        if not nights:
            base = load_model(store)
            nights.append(publish(base, FIRST, store, parent=1, optimizer=Adagrad(0.05)))
        return increment(update)

    monkeypatch.setattr(IncrementalUpdate, "increment", late)
    status, out, err = run(store, logs, "--incremental", *FLAGS)
    assert (status, out) == (0, "3\n"), err
    assert "there is a new full version" in err
    served = Catalogue.read(store).version()
    assert (served.kind, served.parent) == ("incremental", 2)


def test_incremental__goes_on_after_the_clicks_of_the_night(places, run):
    """The cursor of the full version: what the night learned, the day does not learn again."""
    store, logs = places
    write(logs, 1, 12, 12)
    assert run(store, logs, "--full", *FLAGS)[0] == 0
    assert run(store, logs, "--incremental", *FLAGS)[:2] == (0, "")  # nothing is new
    log = write(logs, 2, 12, 12)
    assert run(store, logs, "--incremental", *FLAGS)[:2] == (0, "3\n")
    catalogue = Catalogue.read(store)
    update = catalogue.open(catalogue.version(3)).content["notes"]["update"]
    known = np.isin(log["item"], Recommender.open(store).items.ids)
    assert update["pairs"] == known.sum()
    assert update["unknown_items"] == (~known).sum()


def test_incremental__sets_aside_the_same_however_often_it_begins(places, run, tmp_path):
    """Its file is its own: the length in the night's cursor is that of the night's."""
    store, logs = places
    write(logs, 1, 12, 12)
    (logs / "0-bad.jsonl").write_text("bad\n")
    night, day = tmp_path / "night", tmp_path / "day"
    assert run(store, logs, "--full", "--aside", night, *FLAGS)[0] == 0
    write(logs, 2, 12, 12)
    (logs / "3-bad.jsonl").write_text(f"{'bad' * 40}\nworse\n")
    for _ in range(3):
        assert run(store, logs, "--incremental", "--aside", day, *FLAGS)[0] == 0
        told = [json.loads(line)["record"] for line in day.read_text().splitlines()]
        assert told == ["bad" * 40, "worse"]
    assert [json.loads(line)["record"] for line in night.read_text().splitlines()] == ["bad"]
    mine = tmp_path / "mine.txt"
    mine.write_text("not ours\n")
    for own in (night, mine):  # what stands in the file stays, whoever wrote it
        before = own.read_text()
        assert run(store, logs, "--incremental", "--aside", own, *FLAGS)[0] == 0
        assert own.read_text().startswith(before)


def test_update__states_how_much_may_be_set_aside(places, run, tmp_path):
    store, logs = places
    write(logs, 1, 12, 12)
    (logs / "0-bad.jsonl").write_text("bad\n" * 3)
    flags = ("--aside", tmp_path / "aside", "--grace", 2, "--tolerance", 0.01)
    status, _, err = run(store, logs, "--full", *flags, *FLAGS)
    assert (status, "more than 0.01 of them" in err) == (2, True)
    flags = ("--aside", tmp_path / "aside", "--grace", 3)
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
    if Recommender.open(store).version.number == 1:
        subprocess.run([*arguments, str(store), *flags], check=True, capture_output=True)
    for name in ("parameters.npz", "optimizer.npz", "item_vectors.npy", "seen.npz"):
        ours, theirs = (one / "versions/000002" / name for one in (store, other))
        assert ours.read_bytes() == theirs.read_bytes(), name


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((), "one of the arguments --full --incremental is required"),
        (("--full", "--incremental"), "not allowed with"),
        (("--incremental", "--every", "5x"), "expected a time such as 90s, 20m or 2h"),
        (("--incremental", "--every", "0m"), "expected a time such as 90s, 20m or 2h"),
        (("--full", "--users", "gone.jsonl"), "gone.jsonl: expected a file whose name ends with"),
        (("--full", "--window", "-1"), "window must be at least 0"),
        (("--incremental", "--objective", "pairwise"), "has no negatives, which --objective pair"),
        (("--incremental", "--negatives", "uniform:2"), "--negatives belongs to --full"),
        (("--incremental", "--at-least", "0.1"), "--at-least belongs to --full"),
        (("--full", "--item-ids"), "--item-ids belongs to --incremental"),
        (("--full", "--at-least", "0.1"), "nothing to measure recall@20 on"),
        (("--full", "--validate", "1.5"), "shares of valid and test"),
    ],
)
def test_update__refuses(places, run, arguments, message):
    store, logs = places
    write(logs, 1, 12, 12)
    status, out, err = run(store, logs, *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert Catalogue.read(store).current == 1


def test_full__a_wrong_record_of_users_is_named(places, run, tmp_path):
    store, logs = places
    write(logs, 1, 12, 12)
    (tmp_path / "users.jsonl").write_text('{"user": "u1", "city": "rome"}\nnothing\n')
    status, _, err = run(store, logs, "--full", "--users", tmp_path / "users.jsonl")
    assert status == 2
    assert "users.jsonl, offset 31" in err
