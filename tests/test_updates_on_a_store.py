"""Full and incremental updates of a store, called from Python: typed results, no printing."""

import threading

import numpy as np
import pytest

import minitower as mt
from minitower.data import DataError
from minitower.store import folder, new_folder
from minitower.store.folder import fingerprint
from minitower.store.model_files import load_model
from minitower.store.version_log import VersionConflict, VersionLog
from minitower.updating.streams import write_events

FIRST_LOG = {"user_id": [1, 2, 3, 4] * 30, "item_id": [5, 6, 7] * 40, "timestamp": range(120)}
TRAINING = {"batch_size": 16, "learning_rate": 0.1}


def clicks(day, n=60, users=6, items=5):
    rng = np.random.default_rng(day)
    return {
        "user_id": rng.integers(1, users, n),
        "item_id": rng.integers(5, 5 + items, n),
        "timestamp": 1000 * day + np.arange(n),
    }


@pytest.fixture
def places(tmp_path, capsys):
    """A store and a folder of logs; nothing may be printed."""
    schema = mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")])
    data = mt.Dataset.from_columns(schema, FIRST_LOG, positive="all", split=mt.RandomSplit(0, 0))
    trainer = mt.Trainer(mt.TwoTower(data.schema, dim=4, hidden=(6,)), data, batch_size=16)
    trainer.fit(1)
    mt.publish(trainer, tmp_path / "store")
    (tmp_path / "logs").mkdir()
    yield tmp_path / "store", tmp_path / "logs"
    assert capsys.readouterr() == ("", "")


def write(logs, day, **options):
    log = clicks(day, **options)
    write_events(logs / f"{day}.jsonl", log)
    return log


def served(store):
    return mt.Recommender.open(store).store.model.parameters


def test_full_update__reports_numbers_and_events(places):
    store, logs = places
    write(logs, 1)
    events, steps, encoded = [], [], []
    options = mt.FullUpdateOptions(
        retire=[7, 99], users={"user_id": [50]}, validate=0.2, training=TRAINING
    )
    result = mt.full_update(
        *(store, logs, options),
        on_event=events.append,
        on_progress=steps.append,
        on_encoded=lambda *numbers: encoded.append(numbers),
    )
    assert result.published.version.number == 2
    assert result.read.records == 60
    assert result.report.pairs == 48
    assert result.report.after.keys() == {"recall@20"}
    changes = result.new_users, result.new_items, result.retired_items, result.reactivated_items
    assert changes == (2, 2, 1, 0)
    assert [event.kind for event in events] == ["ignored", "trained", "result"]
    assert str(events[0]) == "retire: 1 ids belong to no item, such as 99"
    assert str(events[-1]) == "2 new users, 2 new items, 1 items retired, 0 reactivated"
    assert [step.step for step in steps] == [1, 2, 3]
    assert encoded[-1] == (4, 4)


def test_full_update__without_news_has_a_result_without_a_version(places):
    store, logs = places
    events = []
    result = mt.full_update(store, logs, on_event=events.append)
    assert (result.published, result.report, result.read.records) == (None, None, 0)
    assert "no clicks since version 1: nothing to publish" in str(events[-1])
    assert VersionLog.read(store).current == 1


@pytest.mark.parametrize("item_ids", [False, True])
def test_incremental_session__with_columns_is_the_update_from_logs(places, item_ids):
    """Whoever brings the clicks, and however they are cut, the published bits are the same."""
    store, logs = places
    log = write(logs, 1)
    options = mt.IncrementalOptions(training=TRAINING, item_ids=item_ids)
    published = []
    result = mt.incremental_update(store, logs, options, on_publish=published.append)
    assert result.versions == (2,) == (published[0].version.number,)
    assert result.increment.report.pairs + result.increment.unknown_items == 60
    from_logs = served(store)
    session = mt.IncrementalSession.open(store, options=options)
    for cut in (slice(0, 7), slice(7, 60)):
        assert (
            session.learn({name: column[cut] for name, column in log.items()})
            == cut.stop - cut.start
        )
    assert session.publish() is None, "the same rows are served already"
    session.learn({"user_id": [1, 2], "item_id": [5, 6], "timestamp": [9000, 9001]})
    assert session.publish().version.number == 3
    again = mt.IncrementalSession.open(store, options=options)
    again.learn(log)
    rows = again.update.finished().increment().rows
    for name, (at, values) in rows.items():
        assert np.array_equal(from_logs[name][at], values)
        assert not np.array_equal(served(store)[name], from_logs[name])


def test_incremental_session__learns_batches_of_its_logs(places):
    store, logs = places
    write(logs, 1)
    session = mt.IncrementalSession.open(store, logs, mt.IncrementalOptions(training=TRAINING))
    assert sum(session.learn(batch) for batch in session.batches()) == 60
    assert session.publish().notes["learned"]["by_day"] == [1000.0, 1059.0]
    with pytest.raises(DataError, match="opened without logs"):
        next(mt.IncrementalSession.open(store).batches())


def test_incremental_session__hashes_no_file_of_an_earlier_version_again(places, monkeypatch):
    """Neither those of the full version, nor those that the session has published itself."""
    store, _ = places
    session, hashed = mt.IncrementalSession.open(store), []

    def noted(path):
        hashed.append(path.parent.name)
        return fingerprint(path)

    for module in (folder, new_folder):
        monkeypatch.setattr(module, "fingerprint", noted)
    for number in (2, 3):
        hashed.clear()
        session.learn(clicks(number))
        assert session.publish().version.number == number
        assert {*hashed} == {"new", f"00000{number}"}
    assert session.publish() is None


def test_incremental_session__a_new_full_version_ends_it(places):
    store, logs = places
    session = mt.IncrementalSession.open(store)
    session.learn({"user_id": [1, 2], "item_id": [5, 6], "timestamp": [9000, 9001]})
    write(logs, 1)
    assert mt.full_update(store, logs).published.version.number == 2
    for call in (session.publish, lambda: session.learn(clicks(9))):
        with pytest.raises(VersionConflict):
            call()
    assert VersionLog.read(store).current == 2


def test_incremental_session__refuses_clicks_out_of_order(places):
    store, _ = places
    session = mt.IncrementalSession.open(store)
    session.learn(clicks(2))
    with pytest.raises(DataError, match="event 0 is older than the last"):
        session.learn(clicks(1))


def test_incremental_update__follows_until_it_is_stopped(places):
    """Each version is told at once; `stop` ends the update after what was read."""
    store, logs = places
    write(logs, 1)
    stop, events = threading.Event(), []

    def on_publish(version):
        if version.version.number == 2:
            write(logs, 2)
        else:
            stop.set()

    options = mt.IncrementalOptions(training=TRAINING, follow=True, every=0.01)
    result = mt.incremental_update(
        store, logs, options, stop=stop, on_event=events.append, on_publish=on_publish
    )
    assert result.versions == (2, 3)
    assert result.read.records == 120
    assert [event.kind for event in events].count("trained") == 2


def test_updates__a_version_conflict_starts_again_from_the_new_version(places, monkeypatch):
    """It is an event, and the result is that of the second attempt."""
    store, logs = places
    write(logs, 1)
    events, base = [], load_model(store)
    data = mt.IncrementalSession.open(store).update.data

    def on_event(event):
        if event.kind == "trained" and not any(e.kind == "conflict" for e in events):
            counts = np.zeros(len(data.items), np.int64)
            notes = mt.Recommender.open(store).store.notes
            mt.publish_model(base, data, store, parent=1, notes=notes, item_counts=counts,
                             optimizer=mt.Adagrad(0.05))  # fmt: skip
        events.append(event)

    result = mt.full_update(store, logs, mt.FullUpdateOptions(reset_optimizer=True),
                            on_event=on_event)  # fmt: skip
    assert [event.kind for event in events].count("conflict") == 1
    assert result.published.version.parent == 2


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: mt.FullUpdateOptions(validate=1.0),
            "validate must be a number from 0 and below 1",
        ),
        (lambda: mt.FullUpdateOptions(at_least=0.1), "set validate, too"),
        (lambda: mt.IncrementalOptions(every=0.0), "every must be a number above 0"),
        (lambda: mt.IncrementalOptions(training={"negatives": "uniform:2"}), "the full update"),
    ],
)
def test_options__are_refused_outside_their_domain(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_full_update__refuses_a_training_option_that_does_not_exist(places):
    with pytest.raises(DataError, match="unknown training option 'learning'"):
        mt.full_update(*places, mt.FullUpdateOptions(training={"learning": 0.1}))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"training": {"temperature": -1}}, "temperature: expected a number"),
        ({"training": {"no_such": 1}}, "no_such"),
        ({"allowed_lateness": -1.0}, "allowed_lateness must be a number of at least 0"),
        ({"max_error_rate": 2.0}, "max_error_rate must be a number from 0 to 1"),
        ({"after": 5.0}, "records itself which clicks it has learned"),
        ({"positive": "event = buy and"}, "cannot read the rule"),
    ],
)
def test_incremental_update__refuses_wrong_options(places, options, message):
    store, logs = places
    with pytest.raises(DataError, match=message):
        mt.incremental_update(store, logs, mt.IncrementalOptions(**options))


@pytest.mark.parametrize("full", [True, False])
def test_an_update_that_leaves_the_finite_numbers_names_the_version(places, full, monkeypatch):
    store, logs = places
    write(logs, 1)
    before = served(store)
    update, options = (
        (mt.full_update, mt.FullUpdateOptions)
        if full
        else (mt.incremental_update, mt.IncrementalOptions)
    )
    nowhere = lambda users, items, *_, **__: (np.nan, (users, items))
    monkeypatch.setattr("minitower.training.objectives.blocked_in_batch_softmax", nowhere)
    with pytest.raises(mt.TrainingError, match=r"^store version 1: .+: the loss is nan"):
        update(store, logs, options(training=TRAINING))
    assert all(np.array_equal(before[name], array) for name, array in served(store).items())
