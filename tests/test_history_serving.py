"""Histories from the store on: saved, served, given by a profile, grown by updates."""

import shutil

import numpy as np
import pytest
from test_user_history import ONLY_HISTORY, read, sessions

import minitower as mt
from minitower.data.histories import clicks_before
from minitower.data.schema import HISTORY
from minitower.data.table import Ragged
from minitower.store.histories import GrowingHistories, add_given
from minitower.store.incremental import same_moved, with_grown
from minitower.store.model_files import load_model

LAST = 6


@pytest.fixture(scope="module", params=[False, True], ids=["with ids", "history alone"])
def base(request, tmp_path_factory):
    """A store of users who like one of ten themes, and the data it was trained on."""
    schema = ONLY_HISTORY if request.param else mt.Schema([mt.Id("user_id")], [mt.Id("item_id")])
    data = read(sessions(users=120), schema)
    model = mt.TwoTower(data.schema, dim=16, hidden=(), history=mt.UserHistory(LAST))
    trainer = mt.Trainer(model, data, objective=mt.InBatchSoftmax(0.1), batch_size=64)
    trainer.fit(8, validate=False)
    folder = tmp_path_factory.mktemp("base") / "store"
    mt.publish(trainer, folder, index="exact")
    return folder, data, model


@pytest.fixture
def store(base, tmp_path):
    return shutil.copytree(base[0], tmp_path / "store")


def column(store):
    return store.users.columns[HISTORY]


def test_a_store_serves_the_histories_of_its_data(base):
    folder, data, model = base
    recommender = mt.Recommender.open(folder)
    assert recommender.store.model.history == mt.UserHistory(LAST)
    assert load_model(folder).history == mt.UserHistory(LAST)
    stored = column(recommender.store)
    expected = model.users(data).columns[HISTORY]
    assert np.array_equal(stored.indptr, expected.indptr)
    assert np.array_equal(stored.values, expected.values)
    ids, scores = recommender.recall(7, k=3)
    vector = mt.encode(model.user, model.users(data), np.array([7]))[0]
    items = mt.encode(model.item, data.items)
    np.testing.assert_allclose(scores, items[data.items.rows_of(ids)] @ vector, rtol=1e-5)


def test_unknown_users_are_served_by_the_history_they_give(base):
    recommender = mt.Recommender.open(base[0])
    for theme in (2, 7):
        clicks = [10 * theme + i for i in (1, 4, 5)]
        ids, _ = recommender.recall(-1, {"history": clicks}, k=5)
        assert (ids // 10 == theme).mean() >= 0.8
        assert not set(clicks) & set(ids.tolist())
        again, _ = recommender.recall(-1, {"history": clicks}, k=5, exclude_seen=False)
        assert (again // 10 == theme).mean() >= 0.8


def test_a_click_changes_a_recommendation_without_training(base):
    folder, data, _ = base
    recommender = mt.Recommender.open(folder)
    liked = int(data.train.items[0]) // 10
    other = (data.items.ids[data.train.items[0]] // 10 + 5) % 10
    before, _ = recommender.recall(0, k=20)
    clicks = [int(10 * other + i) for i in range(4)]
    after, _ = recommender.recall(0, {"history": clicks}, k=20)
    assert (after // 10 == other).sum() > (before // 10 == other).sum(), liked


def test_given_clicks_join_the_stored_history(base):
    folder, data, model = base
    recommender = mt.Recommender.open(folder)
    stored = column(recommender.store).row(0)
    values = data.schema.item.vocabulary("item_id").values
    row = lambda item: int(np.searchsorted(values, item)) + 1
    features = recommender.store.users.take(np.array([0, 1]))
    profiles = [{"history": [values[stored[0] - 1], 55]}, {"city": 3}]
    rest = add_given(model, features, profiles)
    assert rest == [{}, {"city": 3}]
    both = [*stored, stored[0], row(55)]
    expected = [r for k, r in enumerate(both) if r not in both[k + 1 :]][-LAST:]
    assert features[HISTORY].row(0).tolist() == expected
    assert features[HISTORY].row(1).tolist() == column(recommender.store).row(1).tolist()


def test_many_users_give_histories_at_once(base):
    recommender = mt.Recommender.open(base[0])
    users = [0, -1, 3, -2]
    profiles = [{}, {"history": [21, 22]}, {"history": [5]}, {}]
    together = recommender.recall_many(users, profiles, k=5)
    for user, profile, (ids, scores) in zip(users, profiles, together, strict=True):
        alone, its_scores = recommender.recall(user, profile, k=5)
        np.testing.assert_allclose(scores, its_scores, rtol=1e-5)
        assert set(alone.tolist()) == set(ids.tolist())


@pytest.mark.parametrize("given_ids", [5, "x", [[1]], ["a"], {"a": 1}, 1.5])
def test_a_history_that_is_no_list_of_ids_is_refused(base, given_ids):
    with pytest.raises(mt.DataError, match=r"^profile.*'history'"):
        mt.Recommender.open(base[0]).recall(0, {"history": given_ids})


@pytest.mark.parametrize(
    "how, place",
    [
        ({"exclude": ["a"]}, "^exclude: the vocabulary holds integers, the values are strings"),
        ({"exclude": object()}, "^exclude: "),
        ({"user_id": "x"}, "^user ids: the vocabulary holds integers, the values are strings"),
    ],
)
def test_a_refused_recall_names_the_argument(base, how, place):
    with pytest.raises(mt.DataError, match=place):
        mt.Recommender.open(base[0]).recall(**{"user_id": 0, **how})


@pytest.mark.parametrize("indptr", [[0, 9], [1, 2], [0, 1], [2, 0], [0.0, 2.0]])
def test_grown_histories_lead_through_their_clicks(base, indptr):
    store = mt.Recommender.open(base[0]).store
    grown = np.array([3]), Ragged(np.array(indptr), np.array([1, 2], np.int32))
    with pytest.raises(ValueError, match=r"^histories: .*indptr"):
        with_grown(store, grown)


@pytest.mark.parametrize("nothing", [[], None, (), np.empty(0, int), [10**9]])
def test_an_empty_history_changes_nothing(base, nothing):
    recommender = mt.Recommender.open(base[0])
    for user in (0, -1):
        ids, scores = recommender.recall(user, {"history": nothing}, k=5)
        plain, plain_scores = recommender.recall(user, k=5)
        assert np.array_equal(ids, plain)
        assert np.array_equal(scores, plain_scores)


def test_a_model_without_a_history_knows_no_such_field(tmp_path):
    data = read(sessions(users=20))
    model = mt.TwoTower(data.schema, dim=4, hidden=())
    mt.publish_model(model, data, tmp_path / "store", index="exact")
    with pytest.raises(mt.DataError, match="unknown field 'history'"):
        mt.Recommender.open(tmp_path / "store").recall(0, {"history": [1]})
    assert HISTORY not in mt.Recommender.open(tmp_path / "store").store.users.columns


def test_a_store_with_damaged_histories_is_refused(base, monkeypatch, tmp_path):
    """Each part is checked when the store is opened: rows beyond the table would be read."""
    _, data, model = base
    honest = type(model).users

    def users(self, data, before="all"):
        table = honest(self, data, before)
        histories = table.columns[HISTORY]
        table.columns[HISTORY] = Ragged(histories.indptr, histories.values + 1000)
        return table

    monkeypatch.setattr(type(model), "users", users)
    with pytest.raises(mt.DataError, match="histories: expected numbers from 0 to"):
        mt.publish_model(model, data, tmp_path / "store", index="exact")


# --- growing ---------------------------------------------------------------------------------

DAY = {"user_id": [3, 3, 5, 3], "item_id": [91, 92, 15, 93], "timestamp": [100, 101, 102, 103]}


def grown_by_hand(base, log=None):
    """Histories after a day: those of the data, with the clicks of the log."""
    _, data, _ = base
    log = log or DAY
    day = mt.next_day(data, log)
    values = day.schema.item.vocabulary("item_id").values
    clicks = clicks_before(day, "all")
    return {
        int(day.users.ids[row]): values[clicks.row(row) - 1].tolist()[-LAST:]
        for row in range(len(day.users))
    }


def served(store):
    values = store.model.encoders.item.vocabulary("item_id").values
    histories = column(store)
    return {
        int(user): values[histories.row(row) - 1].tolist()
        for row, user in enumerate(store.users.ids)
    }


def test_histories_grow_by_day(base, store):
    """An incremental version carries them; they are those of a full day, without training."""
    session = mt.IncrementalSession.open(store)
    session.learn(DAY)
    published = session.publish()
    assert served(published) == grown_by_hand(base)
    recommender = mt.Recommender.open(store)
    assert recommender.version.kind == "incremental"
    assert served(recommender.store) == grown_by_hand(base)
    theirs = recommender.recall(3, k=20)[0] // 10
    ours = mt.Recommender.open(base[0]).recall(3, k=20)[0] // 10
    assert (theirs == 9).sum() >= (ours == 9).sum()
    assert session.publish() is None


def test_a_single_click_grows_a_history_though_it_trains_nothing(base, store):
    session = mt.IncrementalSession.open(store)
    one = {name: values[:1] for name, values in DAY.items()}
    session.learn(one)
    published = session.publish()
    assert session.published.rows == {}
    assert served(published) == grown_by_hand(base, one)
    assert session.publish() is None
    again = mt.IncrementalSession.open(store)
    again.learn(one)
    assert again.publish() is None  # the served version has the same histories
    more = {name: values[1:2] for name, values in DAY.items()}
    again.learn(more)
    assert served(again.publish()) == grown_by_hand(
        base, {name: values[:2] for name, values in DAY.items()}
    )


def test_reloading_changes_over_to_grown_histories(base, store):
    recommender = mt.Recommender.open(store)
    session = mt.IncrementalSession.open(store)
    session.learn(DAY)
    session.publish()
    assert recommender.reload()
    assert served(recommender.store) == grown_by_hand(base)


def write_log(folder, log):
    folder.mkdir()
    lines = [",".join(log), *(",".join(map(str, row)) for row in zip(*log.values(), strict=True))]
    (folder / "day.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def test_histories_grow_by_night_and_the_next_day_goes_on(base, store, tmp_path):
    night = {name: [*values] for name, values in DAY.items()}
    night["user_id"] += [9999, 9999]
    night["item_id"] += [500, 15]
    night["timestamp"] += [104, 105]
    logs = write_log(tmp_path / "logs", night)
    result = mt.full_update(store, logs)
    assert served(result.published) == grown_by_hand(base, night)
    session = mt.IncrementalSession.open(store)
    log = {"user_id": [9999, 3], "item_id": [91, 500], "timestamp": [200, 201]}
    session.learn(log)
    after = served(session.publish())
    assert after[9999] == [500, 15, 91]
    assert after[3] == [*grown_by_hand(base, night)[3], 500][-LAST:]


def test_an_incremental_update_of_a_folder_carries_the_histories(base, store, tmp_path):
    logs = write_log(tmp_path / "logs", DAY)
    result = mt.incremental_update(store, logs)
    assert len(result.versions) == 1
    assert served(mt.Recommender.open(store).store) == grown_by_hand(base)
    assert mt.incremental_update(store, logs).versions == ()


def test_retired_items_stay_in_histories(base, store, tmp_path):
    logs = write_log(tmp_path / "logs", DAY)
    retired = tmp_path / "retired.txt"
    retired.write_text("92\n", "utf-8")
    mt.full_update(store, logs)
    before = served(mt.Recommender.open(store).store)
    assert 92 in before[3]
    result = mt.full_update(store, logs, mt.FullUpdateOptions(retire=retired))
    assert served(result.published) == before
    assert 92 not in mt.Recommender.open(store).recall(3, k=100, exclude_seen=False)[0]


def test_a_step_sees_the_histories_before_its_clicks(base):
    _, data, model = base
    growing = GrowingHistories(model, data)
    before = model.users(data).columns[HISTORY]
    rows = data.items.rows_of([91, 92])
    features = {}
    growing.learn(features, np.array([3, -1]), rows)
    assert features[HISTORY].row(0).tolist() == before.row(3).tolist()
    assert features[HISTORY].row(1).tolist() == []
    growing.learn(features, np.array([3, 3]), rows)
    row = int(data.items.columns["item_id"][rows[0]])
    assert features[HISTORY].row(1).tolist() == [*before.row(3).tolist(), row][-LAST:]


def test_the_pieces_of_a_stream_do_not_matter(base):
    """However a day is cut into pieces, histories and rows are the same."""
    _, data, model = base
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 120, 50), rng.integers(0, 100, 50)
    found = []
    for cuts in ([50], [7, 20, 50]):
        update = mt.IncrementalUpdate(model, data, batch_size=8)
        start = 0
        for end in cuts:
            part = slice(start, end)
            clicks = mt.Interactions(users[part], items[part], np.arange(50.0)[part])
            update.feed(clicks)
            start = end
        found.append(update.finished().increment())
    assert found[0].histories is not None
    assert same_moved(*((one.rows, one.histories) for one in found))
