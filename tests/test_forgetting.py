"""Forgetting: no file of the new version holds the user, and no later log brings the user back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minitower as mt
from minitower.cli import main
from minitower.data import DataError
from minitower.store.forgotten import Forgotten, versions_with_forgotten
from minitower.store.model_files import load_optimizer
from minitower.store.transaction import prune, rollback
from minitower.store.version_log import VersionLog
from minitower.updating.forgetting import without_users
from minitower.updating.streams import write_events

BASE = 987_654_300
USERS = BASE + np.arange(1, 9)
GONE = BASE + 3
TABLE = "user.user_id.embedding"
TRAINING = {"batch_size": 16}


def clicks(seed, n=60, kind=np.int64):
    rng = np.random.default_rng(seed)
    return {
        "user_id": (rng.integers(1, 9, n) + BASE).astype(kind),
        "item_id": rng.integers(0, 12, n),
        "timestamp": 1000 * seed + np.arange(n),
    }


def trained(optimizer=None, kind=np.int64, embed=True, history=None):
    """A trainer after an epoch: all users have clicks, and an embedding of their own."""
    schema = mt.Schema(
        user=[mt.Id("user_id", embed=embed), mt.Categorical("city"), mt.MultiValued("tags")],
        item=[mt.Id("item_id")],
    )
    tags = [["x"], [], ["y", "z"], ["x", "y"], ["z"], [], ["x"], ["y"]]
    users = {"user_id": USERS.astype(kind), "city": list("aabbccdd"), "tags": tags}
    data = mt.Dataset.from_columns(
        schema, clicks(0, 200, kind), users, positive="all", split=mt.RandomSplit(0, 0)
    )
    model = mt.TwoTower(data.schema, dim=4, hidden=(6,), history=history)
    trainer = mt.Trainer(model, data, batch_size=32, optimizer=optimizer or mt.Adagrad(0.1))
    trainer.fit(1)
    return trainer


@pytest.fixture
def places(tmp_path):
    """A store of one full version, and a folder of logs."""
    mt.publish(trained(), tmp_path / "store")
    (tmp_path / "logs").mkdir()
    return tmp_path / "store", tmp_path / "logs"


def write(logs, day, **options):
    log = clicks(day, **options)
    write_events(logs / f"{day}.jsonl", log)
    return log


def update(store, logs, forget=None, **options):
    """A full update; its result and its events of forgetting."""
    events = []
    options = mt.FullUpdateOptions(forget=forget, training=TRAINING, **options)
    result = mt.full_update(store, logs, options, on_event=events.append)
    return result, [str(event) for event in events if event.kind in ("forgotten", "ignored")]


def found_in(folder, *needles):
    """Names of the files that hold one of the byte strings."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [p.name for p in files if any(needle in p.read_bytes() for needle in needles)]


@pytest.mark.parametrize("kind", [np.int64, np.str_])
@pytest.mark.parametrize(
    "make", [mt.Adagrad, mt.RowWiseAdagrad, mt.Adam, mt.RowWiseAdam], ids=lambda c: c.__name__
)
def test_no_file_of_the_new_version_holds_the_user(tmp_path, kind, make):
    """Neither the id in any form, nor the bytes of an embedding or an optimizer row."""
    store, optimizer = tmp_path / "store", make(0.05)
    mt.publish(trained(optimizer, kind), store)
    (tmp_path / "logs").mkdir()
    before = mt.Recommender.open(store).store
    load_optimizer(store, optimizer)
    row = int(before.users.columns["user_id"][before.users.ids == kind(GONE)][0])
    rows = {name: array[row].tobytes() for name, array in optimizer.state.items()
            if name.startswith(TABLE) and array.shape[1] > 1}  # fmt: skip
    assert len(rows) == len(optimizer.layout) - sum(optimizer.layout.values())
    digits = str(GONE)
    id_forms = np.int64(GONE).tobytes(), digits.encode(), digits.encode("utf-32-le")
    needles = (*id_forms, before.model.parameters[TABLE][row].tobytes(), *rows.values())
    for needle in needles:  # the test can see what it looks for
        if needle not in id_forms:
            assert found_in(store / "versions" / "000001", needle)
    assert len(found_in(store / "versions" / "000001", *id_forms)) == 2  # table and vocabulary
    result, _ = update(store, tmp_path / "logs", forget=[GONE])
    assert (result.published.version.number, result.forgotten_users) == (2, 1)
    assert result.still_held_by == (1,)
    assert found_in(store / "versions" / "000002", *needles) == []


def test_the_others_keep_their_bits(places):
    """Without clicks nothing is trained: every other user gets the very answers of before."""
    store, logs = places
    before = mt.Recommender.open(store)
    result, _ = update(store, logs, forget=[GONE])
    after = mt.Recommender.open(store)
    assert after.store.users.ids.tolist() == [u for u in USERS.tolist() if u != GONE]
    for user in after.store.users.ids.tolist():
        for ours, theirs in zip(before.recall(user, k=5), after.recall(user, k=5)):
            assert np.array_equal(ours, theirs)
    unknown, gone = after.recall(1, k=5), after.recall(GONE, k=5)
    assert np.array_equal(unknown[1], gone[1]), "a forgotten user is an unknown user"
    assert result.report is None


def test_a_later_log_does_not_bring_the_user_back(places):
    store, logs = places
    first = write(logs, 1)
    result, events = update(store, logs, forget=[GONE])
    n = int((first["user_id"] == GONE).sum())
    assert result.forgotten_clicks == n > 0
    assert result.report.pairs == 60 - n
    assert events == [
        "1 users forgotten",
        f"{n} clicks of forgotten users left out",
        "version 1 holds forgotten users until pruned (minitower store prune)",
    ]
    later = write(logs, 2)
    n = int((later["user_id"] == GONE).sum())
    again, _ = update(store, logs)
    assert again.forgotten_clicks == n > 0
    assert again.report.pairs == 60 - n
    assert again.new_users == again.forgotten_users == 0
    assert GONE not in again.published.users.ids
    assert again.published.notes["forgotten"] == result.published.notes["forgotten"]


@pytest.mark.parametrize("item_ids", [False, True])
def test_an_incremental_update_leaves_the_clicks_out(places, item_ids):
    """The clicks are no negatives either: the bits are those of a log without them."""
    store, logs = places
    update(store, logs, forget=[GONE])
    log = write(logs, 1)
    options = mt.IncrementalOptions(training=TRAINING, item_ids=item_ids)
    session = mt.IncrementalSession.open(store, options=options)
    session.learn({name: column[log["user_id"] != GONE] for name, column in log.items()})
    expected = session.update.finished().increment().rows
    events = []
    result = mt.incremental_update(store, logs, options, on_event=events.append)
    n = int((log["user_id"] == GONE).sum())
    assert result.forgotten_clicks == n > 0
    assert result.increment.report.pairs == 60 - n
    assert str(events[-1]).endswith(f"; {n} clicks of forgotten users left out")
    assert result.increment.rows.keys() == expected.keys()
    for name, (at, values) in expected.items():
        assert np.array_equal(result.increment.rows[name][0], at)
        assert np.array_equal(result.increment.rows[name][1], values)


def test_a_list_does_not_bring_the_user_back(places):
    store, logs = places
    update(store, logs, forget=[GONE])
    users = {"user_id": [GONE, BASE + 50], "city": ["a", "b"], "tags": [["x"], []]}
    result, events = update(store, logs, users=users)
    assert result.published.users.ids.tolist()[-1] == BASE + 50
    assert GONE not in result.published.users.ids
    assert events[0] == "users: 1 rows of forgotten users ignored"
    only = {name: column[:1] for name, column in users.items()}
    result, _ = update(store, logs, users=only)
    assert result.published is None, "nothing is left to add"


def test_a_rollback_does_not_bring_the_user_back(places):
    """The version before the forgetting is served again; the next full update forgets again."""
    store, logs = places
    update(store, logs, forget=[GONE])
    rollback(store, 1)
    assert GONE in mt.Recommender.open(store).store.users.ids
    result, events = update(store, logs)
    assert (result.published.version.number, result.forgotten_users) == (3, 1)
    assert GONE not in result.published.users.ids
    assert events[0] == "1 users forgotten"
    assert prune(store, 1) == [1, 2]
    assert versions_with_forgotten(VersionLog.read(store)) == []
    assert found_in(store, np.int64(GONE).tobytes()) == []


def test_an_unknown_user_is_recorded_too(places):
    store, logs = places
    result, events = update(store, logs, forget=[5, GONE])
    assert events[0] == ("1 ids belong to no user of version 1, such as 5; recorded all the same")
    assert Forgotten.in_notes(result.published.notes) == Forgotten.of([5, GONE])
    again, events = update(store, logs, forget=[5, GONE])
    assert again.published is None, "all of it is done"
    assert events == ["version 1 holds forgotten users until pruned (minitower store prune)"]


def test_too_few_clicks__still_forgets(places):
    store, logs = places
    write_events(logs / "1.jsonl", {"user_id": [USERS[0]], "item_id": [1], "timestamp": [5000]})
    result, _ = update(store, logs, forget=[GONE])
    assert result.report is None
    assert GONE not in result.published.users.ids


def test_an_id_that_no_tower_reads(tmp_path):
    mt.publish(trained(embed=False), tmp_path / "store")
    (tmp_path / "logs").mkdir()
    result, _ = update(tmp_path / "store", tmp_path / "logs", forget=[GONE])
    assert GONE not in result.published.users.ids
    assert found_in(tmp_path / "store" / "versions" / "000002", np.int64(GONE).tobytes()) == []


def parquet(path):
    arrow, files = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    files.write_table(arrow.table({"user_id": [GONE, 5], "city": ["a", "b"]}), path)


@pytest.mark.parametrize(
    "name, content",
    [
        ("ids.txt", f"{GONE}\r\n5\n{GONE}"),
        ("ids", f"\ufeff{GONE}\n\n5\n"),
        ("ids.csv", f"city,user_id\na,{GONE}\nb,5\n"),
        ("ids.jsonl", f'{{"user_id": {GONE}}}\n{{"user_id": "5"}}'),
        ("ids.parquet", parquet),
    ],
)
def test_files(places, tmp_path, name, content):
    path = tmp_path / name
    content(path) if callable(content) else path.write_text(content, newline="")
    result, _ = update(*places, forget=path)
    assert Forgotten.in_notes(result.published.notes) == Forgotten.of([5, GONE])


@pytest.mark.parametrize(
    "forget, message",
    [
        (["ann"], "forget, row 0, column 'user_id': expected an integer, got 'ann'"),
        ([1, None], "forget, row 1, column 'user_id'"),
        ([-4], "forget, row 0, column 'user_id': negative id -4"),
        (7, "forget, column 'user_id': expected a column of values, got 7"),
        (USERS.tolist(), "all users would be forgotten; train a new store"),
        ("missing.txt", "missing.txt: .*No such file|missing.txt: "),
        (
            "missing.csv",
            "missing.csv: expected a file whose name ends with",
        ),
        (
            "missing.jsonl",
            "missing.jsonl: expected a file whose name ends with",
        ),
        (("a.txt", "1\nann\n"), "a.txt, line 2: ids are integers of 64 bits here, got 'ann'"),
        (("a.txt", "-3\n"), "a.txt, row 0, column 'user_id': negative id -3"),
        (
            ("a.csv", "name\n1\n"),
            "a.csv: found no column 'user_id' of user ids; columns: name; for a list",
        ),
        (("a.csv", "user_id\nann\n"), "a.csv, line 2, column 'user_id': expected an integer"),
        (("a.csv", "user_id,x\n1,2\n3\n"), "a.csv, line 3: expected 2 fields, got 1"),
        (("a.jsonl", '{"user": 1}\n'), "a.jsonl, line 1: no 'user_id'"),
        (("a.parquet", "PAR"), "a.parquet: not complete"),
    ],
)
def test_refusals(places, tmp_path, monkeypatch, forget, message):
    """One line, and the store is as before."""
    monkeypatch.chdir(tmp_path)
    if "parquet" in message:
        pytest.importorskip("pyarrow")
    if isinstance(forget, tuple):
        forget, content = forget
        (tmp_path / forget).write_text(content)
    with pytest.raises(DataError, match=message) as refused:
        update(*places, forget=forget)
    assert "\n" not in str(refused.value)
    assert VersionLog.read(places[0]).current == 1


def test_a_forged_record_is_refused(places):
    store, _ = places
    with pytest.raises(DataError, match="the note 'forgotten' was not written by minitower"):
        mt.publish(trained(), store, notes={"forgotten": ["ann"]})
    assert VersionLog.read(store).current == 1


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A full version, as opened, and its optimizer."""
    trainer = trained()
    return mt.publish(trainer, tmp_path_factory.mktemp("law") / "s"), trainer.optimizer


@given(first=st.sets(st.integers(0, 7), max_size=4), second=st.sets(st.integers(0, 7), max_size=3))
def test_without_users__in_two_steps_is_in_one(opened, first, second):
    full, optimizer = opened
    ids = full.users.ids
    once, state = without_users(full, optimizer, np.isin(ids, ids[list(first | second)]))
    half, half_state = without_users(full, optimizer, np.isin(ids, ids[list(first)]))
    left = np.isin(half.users.ids, ids[list(second)])
    twice, twice_state = without_users(half, half_state, left)
    assert np.array_equal(once.users.ids, twice.users.ids)
    assert once.model.parameters.keys() == full.model.parameters.keys()
    for name, array in once.model.parameters.items():
        assert np.array_equal(array, twice.model.parameters[name])
        assert name == TABLE or array is full.model.parameters[name]
    for name, array in state.state.items():
        assert np.array_equal(array, twice_state.state[name])
    state.check_state(once.model.parameters)
    for user in once.users.ids:
        (now,), (before,) = (np.flatnonzero(s.users.ids == user) for s in (once, full))
        assert np.array_equal(once.seen.row(now), full.seen.row(before))
        ours, theirs = (
            s.model.parameters[TABLE][s.users.columns["user_id"][row]]
            for s, row in ((once, now), (full, before))
        )
        assert np.array_equal(ours, theirs)


def test_command(places, tmp_path, capsys):
    store, logs = places
    (tmp_path / "ids.txt").write_text(f"{GONE}\n")
    arguments = "update", "--full", str(store), str(logs), "--forget"
    assert main([*arguments, str(tmp_path / "ids.txt")]) == 0
    out, err = capsys.readouterr()
    assert out == "2\n"
    assert "1 users forgotten\n" in err
    assert "version 1 holds forgotten users until pruned (minitower store prune)\n" in err
    assert main(["store", "list", str(store)]) == 0
    assert "version 1 holds forgotten users" in capsys.readouterr().err
    assert main(["store", "rollback", str(store), "1"]) == 0
    assert "the next full update forgets them again" in capsys.readouterr().err
    assert main(["store", "show", str(store), "2"]) == 0
    assert json.loads(capsys.readouterr().out)["notes"]["forgotten"]
    assert main([*arguments, ""]) != 0
    assert "--forget: expected a path" in capsys.readouterr().err
    incremental = "update", "--incremental", str(store), str(logs), "--forget", "ids.txt"
    assert main([*incremental]) != 0
    assert "--forget belongs to --full" in capsys.readouterr().err


def test_a_history_leaves_with_its_user(places, tmp_path):
    """The others keep theirs, and the day's clicks of the user grow no history."""
    store, logs = tmp_path / "histories", places[1]
    mt.publish(trained(history=mt.UserHistory(5)), store)
    before = mt.Recommender.open(store).store.users
    kept = np.flatnonzero(before.ids != GONE)
    update(store, logs, forget=[GONE])
    after = mt.Recommender.open(store).store.users
    assert after.ids.tolist() == before.ids[kept].tolist()
    histories, old = after.columns["history"], before.columns["history"].take(kept)
    assert [row.tolist() for row in map(histories.row, range(7))] == [
        row.tolist() for row in map(old.row, range(7))
    ]
    log = write(logs, 5)
    update(store, logs)
    grown = mt.Recommender.open(store).store.users
    assert GONE not in grown.ids
    for row, user in enumerate(grown.ids.tolist()):
        clicked = log["item_id"][log["user_id"] == user]
        latest = list(dict.fromkeys(clicked[::-1].tolist()))[:1]
        items = mt.Recommender.open(store).store.items
        newest = grown.columns["history"].row(row)[-1]
        assert items.columns["item_id"][items.ids == latest[0]].tolist() == [newest]
