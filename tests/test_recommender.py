"""Recommender: who gets what."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shop import random_clicks, small_model
from strategies import batches, datasets

from minitower.data import (
    Categorical,
    Continuous,
    DataError,
    Dataset,
    Id,
    MultiValued,
    Ragged,
    Schema,
)
from minitower.evaluation.encode import encode
from minitower.search.index import ExactIndex
from minitower.store import lists
from minitower.store import recommender as module
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.recommender import Recommender
from minitower.store.transaction import prune, rollback
from minitower.towers.two_tower import TwoTower


def recommender(data, model=None):
    model = model or TwoTower(data.schema, dim=3, hidden=(4,), seed=1)
    index = ExactIndex(encode(model.item, data.items))
    return Recommender(model, data.items, data.users, data.seen("all"), index)


@pytest.fixture(scope="module")
def shop():
    schema = Schema(
        user=[Id("user"), Categorical("city"), Continuous("age"), MultiValued("likes")],
        item=[Id("item"), Categorical("kind")],
    )
    users = {
        "user": ["ann", "bob", "cem"],
        "city": ["rome", "oslo", "rome"],
        "age": [30, 40, 50],
        "likes": ["tea", "tea jam", ""],
    }
    items = {"item": np.arange(6), "kind": list("aabbcc"), "title": list("uvwxyz")}
    log = {"user": ["ann", "ann", "bob", "cem", "bob", "cem"], "item": [0, 1, 2, 3, 4, 0]}
    data = Dataset.from_columns(schema, log, users, items, item_name="title")
    return recommender(data)


@given(datasets(), st.data(), st.booleans(), st.integers(1, 8))
def test_recall__equals_naive(data, draw, exclude_seen, k):
    """Score every item by both towers, leave out what was met, sort."""
    row = draw.draw(st.integers(0, len(data.users) - 1))
    serving = recommender(data)
    user = serving.store.model.user(data.users.take(np.array([row])))[0][0].astype(float)
    scores = serving.store.index.vectors.astype(float) @ user
    met = set()
    for part in (data.train, data.valid, data.test) if exclude_seen else ():
        met |= set(part.items[part.users == row].tolist())
    allowed = [j for j in range(len(data.items)) if j not in met]
    ids, found = serving.recall(data.users.ids[row].item(), k=k, exclude_seen=exclude_seen)
    assert len(ids) == len(found) == min(k, len(allowed))
    assert not {data.items.rows_of([i])[0] for i in ids} & met
    np.testing.assert_allclose(found, np.sort(scores[allowed])[::-1][:k], atol=1e-6)
    np.testing.assert_allclose(scores[data.items.rows_of(ids)], found, atol=1e-6)


def vector(shop, user, profile=None):
    rows = shop.store.users.rows_of([user])
    return shop.store.model.user(lists._features(shop.store, rows, [profile or {}]))[0][0]


def test_recall__unknown_user_with_a_profile(shop):
    """Their vector is that of a known user with the same features, but for the id."""
    like_ann = {"city": "rome", "age": 30, "likes": "tea"}
    features = dict(shop.store.users.take(np.array([0])))
    features["user"] = np.zeros(1, np.int32)
    expected = shop.store.model.user(features)[0][0]
    np.testing.assert_allclose(vector(shop, "eve", like_ann), expected, rtol=1e-6)
    ids, _ = shop.recall("eve", like_ann, k=10)
    assert len(ids) == 6  # met nothing


def test_recall__unknown_user_without_a_profile_is_the_default(shop):
    """Row 0 of every table, and the training mean of every number."""
    features = {name: np.zeros(1, np.int32) for name in ("user", "city")}
    features |= {"age": np.array([40], np.float32), "likes": Ragged.from_counts([1], [0])}
    expected = shop.store.model.user(features)[0][0]
    np.testing.assert_array_equal(vector(shop, "eve"), expected)
    assert len(shop.recall("eve", k=4)[0]) == 4


def test_recall__a_profile_overrides_what_is_stored(shop):
    assert np.array_equal(vector(shop, "ann", {"city": "rome"}), vector(shop, "ann"))
    moved = vector(shop, "ann", {"city": "oslo"})
    assert not np.array_equal(moved, vector(shop, "ann"))
    features = dict(shop.store.users.take(np.array([0])))
    features["city"] = shop.store.users.columns["city"][[1]]
    np.testing.assert_allclose(moved, shop.store.model.user(features)[0][0], rtol=1e-6)
    assert set(shop.recall("ann", {"city": "oslo"})[0]) == {2, 3, 4, 5}  # still met 0 and 1


def test_recall__stored_features_stay_as_they_are(shop):
    before = {name: np.copy(c) for name, c in shop.store.users.to_arrays().items()}
    shop.recall("ann", {"city": "oslo", "age": 90, "likes": "jam"})
    assert all(np.array_equal(c, before[name]) for name, c in shop.store.users.to_arrays().items())


@given(datasets(), st.data())
def test_recall__is_the_cosine_that_training_saw(data, draw):
    """Of any pair of a training batch, without logQ, whatever the two towers read."""
    model = TwoTower(data.schema, dim=3, hidden=(4,), seed=1)
    pairs = draw.draw(batches(data))
    users, _ = model.user(data.users.take(pairs.users))
    items, _ = model.item(data.items.take(pairs.items))
    cosines = np.einsum("nd,nd->n", users, items)
    serving = recommender(data, model)
    for user, item, cosine in zip(pairs.users, pairs.items, cosines, strict=True):
        ids, scores = serving.recall(data.users.ids[user].item(), exclude_seen=False)
        assert scores[ids == data.items.ids[item]] == pytest.approx(cosine, abs=1e-6)


@given(datasets(), st.data(), st.booleans())
def test_recall_many__equals_one_by_one(data, draw, exclude_seen):
    """Known users and strangers, with profiles and without, each with items of their own to
    leave out; but for the last bit, for a product may round otherwise in company."""
    serving = recommender(data)
    stranger = "nobody" if data.users.ids.dtype.kind == "U" else 2**62 + 1
    one = st.sampled_from([*data.users.ids.tolist(), stranger])
    users = draw.draw(st.lists(one, min_size=1, max_size=5))
    profiles = [draw.draw(profiles_of(data.schema.user)) for _ in users]
    some = st.lists(st.sampled_from(data.items.ids.tolist()), max_size=3)
    exclude = [draw.draw(some) for _ in users]
    answers = serving.recall_many(users, profiles, 4, exclude_seen, exclude)
    assert len(answers) == len(users)
    for user, profile, out, answer in zip(users, profiles, exclude, answers, strict=True):
        ids, scores = serving.recall(user, profile, 4, exclude_seen, out)
        np.testing.assert_allclose(answer[1], scores, atol=1e-6)
        assert len(answer[0]) == len(ids)
        assert not set(answer[0].tolist()) & set(out)


@st.composite
def profiles_of(draw, encoder):
    """Some fields of a side, the id not among them, with values."""
    fields = [field for field in encoder.fields if not isinstance(field, Id)]
    told = draw(st.lists(st.sampled_from(fields), unique=True)) if fields else []
    value = lambda field: (
        draw(st.sampled_from([0.5, 3.0]))
        if isinstance(field, Continuous)
        else encoder.vocabulary(field.name).values[:1].tolist()
    )
    return {
        field.name: (value(field) or [None])[0] if isinstance(field, Categorical) else value(field)
        for field in told
    }


def test_recall__leaves_out_what_it_is_told(shop):
    assert set(shop.recall("ann", k=9)[0]) == {2, 3, 4, 5}  # met 0 and 1
    assert set(shop.recall("ann", k=9, exclude=[1, 3, 99])[0]) == {2, 4, 5}
    assert set(shop.recall("eve", k=9, exclude=[1, 3])[0]) == {0, 2, 4, 5}
    assert set(shop.recall("ann", k=9, exclude_seen=False, exclude=[3])[0]) == {0, 1, 2, 4, 5}


def test_recall_many__refuses(shop):
    with pytest.raises(DataError, match="1 profiles for 2 users"):
        shop.recall_many(["ann", "bob"], [{}])
    with pytest.raises(DataError, match="3 exclude for 2 users"):
        shop.recall_many(["ann", "bob"], exclude=[[], [], []])
    assert shop.recall_many([]) == []


def test_reload__changes_over_once(tmp_path, world):
    model, data = world
    publish_model(model, data, tmp_path / "s")
    serving = Recommender.open(tmp_path / "s")
    assert not serving.reload()
    opened = serving.store
    other = TwoTower(data.schema, dim=3, hidden=(), seed=7)
    publish_model(other, data, tmp_path / "s")
    before = serving.recall(1, k=3)
    assert serving.version.number == 1, "nothing changes by itself"
    assert serving.reload()
    assert not serving.reload()
    after = serving.recall(1, k=3)
    assert not np.array_equal(before[1], after[1])
    np.testing.assert_array_equal(after[1], Recommender.open(tmp_path / "s").recall(1, k=3)[1])
    assert serving.store is not opened


def test_reload__an_incremental_version_opens_on_the_full_one_that_is_open(tmp_path, world):
    model, data = world
    publish_model(model, data, tmp_path / "s")
    serving = Recommender.open(tmp_path / "s")
    full = serving.store
    for value in (1.0, 2.0):
        rows = np.full((1, 3), value, np.float32)
        publish_incremental(
            tmp_path / "s", {"user.user.embedding": (np.array([1]), rows)}, parent=1
        )
        assert serving.reload()
        assert serving.store.full is full
        assert serving.store.index is full.index
        assert serving.store.model.parameters["user.user.embedding"][1].tolist() == [value] * 3
    rollback(tmp_path / "s", 1)
    assert serving.reload()
    np.testing.assert_array_equal(
        serving.recall(1)[1], Recommender.open(tmp_path / "s").recall(1)[1]
    )


def test_reload__a_damaged_version_leaves_the_open_one(tmp_path, world):
    model, data = world
    publish_model(model, data, tmp_path / "s")
    serving = Recommender.open(tmp_path / "s")
    publish_model(model, data, tmp_path / "s")
    (tmp_path / "s/versions/000002/index.hnsw").write_bytes(b"")
    before = serving.recall(1)
    with pytest.raises(DataError, match=r"000002.index.hnsw: 0 bytes"):
        serving.reload()
    assert serving.version.number == 1
    np.testing.assert_array_equal(serving.recall(1)[1], before[1])


def test_reload__needs_a_store(shop):
    assert shop.version is None
    with pytest.raises(DataError, match="without a store to reload"):
        shop.reload()


def test_open__finds_the_version_that_came_while_it_looked(tmp_path, world, monkeypatch):
    """Between reading the pointer and opening the version it is replaced, and pruned."""
    model, data = world
    publish_model(model, data, tmp_path / "s")
    read, done = module.read_version, []

    def late(log, version, full=None):
        if not done:
            done.append(publish_model(model, data, tmp_path / "s"))
            assert prune(tmp_path / "s", 1) == [1]
        return read(log, version, full)

    monkeypatch.setattr(module, "read_version", late)
    assert Recommender.open(tmp_path / "s").store.version.number == 2


@pytest.fixture(scope="module")
def world():
    data = random_clicks(8, 12, 60)
    return small_model(data, dim=3), data


def test_names(shop):
    assert shop.names([3, 0]) == ["x", "u"]
    store = shop.store
    unnamed = dataclasses.replace(store.items, names=None)
    shop_without = Recommender(store.model, unnamed, store.users, store.seen, store.index)
    assert shop_without.names([3, 0]) == ["3", "0"]
    with pytest.raises(DataError, match="unknown item 9"):
        shop.names([0, 9])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("ann", {"town": "rome"}), "unknown field 'town'"),
        (("ann", {"user": "bob"}), "'user' is the id"),
        (("ann", {"age": "old"}), "profile, column 'age'"),
        ((7,), "holds strings"),
        (("ann", None, 0), "k must be an integer of at least 1, got 0"),
        (("ann", None, 2.0), "k must be an integer of at least 1, got 2.0"),
        (("ann", None, True), "k must be an integer of at least 1, got True"),
        (("ann", None, "2"), "k must be an integer of at least 1, got '2'"),
    ],
)
def test_recall__refuses(shop, arguments, message):
    with pytest.raises(DataError, match=message):
        shop.recall(*arguments)


def test_recommender__refuses_parts_that_do_not_belong_together(shop):
    parts = (shop.store.model, shop.store.items, shop.store.users, shop.store.seen)
    with pytest.raises(ValueError, match=r"the index holds vectors \(5, 3\)"):
        Recommender(*parts, ExactIndex(shop.store.index.vectors[:5]))
    with pytest.raises(ValueError, match="seen has 2 rows for 3 users"):
        Recommender(*parts[:3], shop.store.seen.take([0, 1]), shop.store.index)
    one_name = dataclasses.replace(shop.store.items, names=np.array(["u"]))
    with pytest.raises(ValueError, match=r"names \(1,\) for 6 items"):
        Recommender(parts[0], one_name, *parts[2:], shop.store.index)


def test_recall__more_than_the_catalogue_holds_is_all_that_is_left(shop):
    ids, scores = shop.recall("ann", k=10**15)
    assert sorted(ids.tolist()) == [2, 3, 4, 5]
    assert np.isfinite(scores).all()
