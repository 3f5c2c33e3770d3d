"""Weights in updates: a store that was trained with weights learns each later click by its own.

A click of weight 0 teaches its user nothing. So the users who move are those whose clicks weigh
something, whatever the order of the records and whichever clicks are left out on the way.
"""

import json

import numpy as np
import pytest

import minitower as mt
from minitower.data import DataError
from minitower.data.layouts import Reading
from minitower.data.source import open_folder
from minitower.updating.options import FullUpdateOptions, IncrementalOptions
from minitower.updating.report import Event

USERS, ITEMS = 20, 12
SCHEMA = mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")])


def log(n, start, weight_of):
    """Clicks in time order, some without a click, some on an unknown item."""
    rng = np.random.default_rng(start)
    users = rng.integers(0, USERS, n)
    return {
        "user_id": users,
        "item_id": rng.integers(0, ITEMS + 2, n),
        "timestamp": start + np.arange(n),
        "is_click": (rng.random(n) < 0.8).astype(int),
        "dwell": np.array([weight_of(user) for user in users.tolist()], float),
    }


def write(folder, name, columns, left_out=()):
    """A log, its records shuffled."""
    rows = [dict(zip(columns, row)) for row in zip(*(c.tolist() for c in columns.values()))]
    rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    rows = [{name: row[name] for name in columns if name not in left_out} for row in rows]
    if name.endswith(".jsonl"):
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        lines = [",".join(map(str, row.values())) for row in rows]
        text = "\n".join([",".join(rows[0]), *lines]) + "\n"
    (folder / name).write_text(text)


@pytest.fixture
def store(tmp_path):
    """A store trained with weights, without state that moves a row by itself."""
    columns = log(400, 0, lambda user: 1 + user % 3)
    columns["item_id"] %= ITEMS
    data = mt.Dataset.from_columns(
        SCHEMA, columns, positive="is_click = 1", weight="dwell", split=mt.TimeSplit(0, 0)
    )
    model = mt.TwoTower(data.schema, dim=4, hidden=(), seed=0)
    trainer = mt.Trainer(model, data, optimizer=mt.SGD(0.5), batch_size=16)
    trainer.fit(epochs=1, validate=False)
    mt.publish(trainer, tmp_path / "store")
    (tmp_path / "logs").mkdir()
    return tmp_path / "store"


def embeddings(store):
    full = mt.Recommender.open(store).store
    return full.users.ids, full.model.parameters["user.user_id.embedding"][1:]


def moved(store, before):
    ids, now = embeddings(store)
    changed = (now[: len(before)] != before).any(axis=1)
    return set(ids[changed].tolist())


def weigh(user):
    return 0.0 if user % 2 else 3.0


@pytest.mark.parametrize("name", ["day.jsonl", "day.csv"])
@pytest.mark.parametrize("full", [True, False])
def test_updates__weigh_each_click_as_the_log_says(store, name, full):
    logs, (_, before) = store.parent / "logs", embeddings(store)
    write(logs, name, log(90, 1000, weigh))
    events = []
    if full:
        mt.full_update(store, logs, FullUpdateOptions(), on_event=events.append)
    else:
        options = IncrementalOptions(allowed_lateness=1e6)
        mt.incremental_update(store, logs, options, on_event=events.append)
    text = "column 'dwell' weighs the clicks, as in training"
    assert Event("training_options", text) in events
    assert moved(store, before) == set(range(0, USERS, 2))


def test_updates__the_next_version_still_weighs(store):
    logs, (_, before) = store.parent / "logs", embeddings(store)
    write(logs, "day-1.csv", log(90, 1000, lambda user: 0.0))
    mt.full_update(store, logs, FullUpdateOptions())
    assert not moved(store, before)
    write(logs, "day-2.csv", log(90, 2000, weigh))
    mt.full_update(store, logs)
    assert moved(store, before) == set(range(0, USERS, 2))


@pytest.mark.parametrize("name, place", [
    ("day.csv", "day.csv, line 1: expected one column 'dwell', got user_id, item_id"),
    ("day.jsonl", "day.jsonl, record 1: record, column 'dwell': expected a weight of at least 0, "
                  "which is 1 where a click has none of its own, got None; to continue, name a "
                  "dead-letter file"),
])  # fmt: skip
@pytest.mark.parametrize("full", [True, False])
def test_updates__refuse_a_log_without_weights(store, name, place, full):
    logs, (_, before) = store.parent / "logs", embeddings(store)
    write(logs, name, log(50, 1000, weigh), left_out=["dwell"])
    update, options = (
        (mt.full_update, FullUpdateOptions())
        if full
        else (mt.incremental_update, IncrementalOptions(allowed_lateness=1e6))
    )
    with pytest.raises(DataError, match=place):
        update(store, logs, options)
    assert not moved(store, before)


def test_session__clicks_of_the_caller_need_weights(store):
    session = mt.IncrementalSession.open(store)
    columns = log(40, 1000, weigh)
    dwell = columns.pop("dwell")
    with pytest.raises(DataError, match="column 'dwell' is missing; columns: user_id, item_id"):
        session.learn(columns)
    session.learn({**columns, "dwell": dwell})
    session.publish()


def test_next_day__has_the_weights_of_the_day(tmp_path):
    columns = log(40, 0, lambda user: 1 + user)
    data = mt.Dataset.from_columns(
        SCHEMA, columns, positive="is_click = 1", weight="dwell", split=mt.TimeSplit(0, 0)
    )
    day = mt.next_day(data, log(40, 100, lambda user: 5 + user), split=mt.TimeSplit(0.5, 0))
    assert day.weight == "dwell"
    for part in (day.train, day.valid):
        assert part.weights.tolist() == [5 + user for user in day.users.ids[part.users].tolist()]
    columns.pop("dwell")
    with pytest.raises(DataError, match="interactions: column 'dwell' is missing"):
        mt.next_day(data, columns)


@pytest.mark.parametrize("rule", ["dwell >= 0", "dwell >= 0 and is_click = 1"])
def test_updates__a_rule_may_read_the_weight(tmp_path, rule):
    """The column of weights is the value of the rule, too: read once, used twice."""
    (tmp_path / "data").mkdir(), (tmp_path / "logs").mkdir()
    columns = log(400, 0, lambda user: 1 + user % 3)
    columns["item_id"] %= ITEMS
    write(tmp_path / "data", "interactions.csv", columns)
    how = Reading(rule, split="time:0,0", columns={"weight": "dwell"})
    data = open_folder(tmp_path / "data", how).data
    model = mt.TwoTower(data.schema, dim=4, hidden=(), seed=0)
    trainer = mt.Trainer(model, data, optimizer=mt.SGD(0.5), batch_size=16)
    trainer.fit(epochs=1, validate=False)
    mt.publish(trainer, tmp_path / "store")
    _, before = embeddings(tmp_path / "store")
    write(tmp_path / "logs", "day.csv", log(90, 1000, weigh))
    options = IncrementalOptions(allowed_lateness=1e6)
    mt.incremental_update(tmp_path / "store", tmp_path / "logs", options)
    assert moved(tmp_path / "store", before) == set(range(0, USERS, 2))
