"""Recommender: who gets what."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import datasets

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
from minitower.retrieval import ExactIndex, Recommender, encode
from minitower.towers.two_tower import TwoTower


def recommender(data, model=None):
    model = model or TwoTower(data.schema, dim=3, hidden=(4,), seed=1)
    index = ExactIndex(encode(model.item, data.items))
    return Recommender(
        model, data.items, data.users, data.seen("all"), index, item_names=data.item_names
    )


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
    user = serving.model.user(data.users.take(np.array([row])))[0][0].astype(float)
    scores = serving.index.vectors.astype(float) @ user
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
    row = int(shop.users.rows_of([user])[0])
    return shop.model.user(shop._features(row, profile or {}))[0][0]


def test_recall__unknown_user_with_a_profile(shop):
    """Their vector is that of a known user with the same features, but for the id."""
    like_ann = {"city": "rome", "age": 30, "likes": "tea"}
    features = dict(shop.users.take(np.array([0])))
    features["user"] = np.zeros(1, np.int32)
    expected = shop.model.user(features)[0][0]
    np.testing.assert_allclose(vector(shop, "eve", like_ann), expected, rtol=1e-6)
    ids, _ = shop.recall("eve", like_ann, k=10)
    assert len(ids) == 6  # met nothing


def test_recall__unknown_user_without_a_profile_is_the_default(shop):
    """Row 0 of every table, and the training mean of every number."""
    features = {name: np.zeros(1, np.int32) for name in ("user", "city")}
    features |= {"age": np.array([40], np.float32), "likes": Ragged.from_counts([1], [0])}
    expected = shop.model.user(features)[0][0]
    np.testing.assert_array_equal(vector(shop, "eve"), expected)
    assert len(shop.recall("eve", k=4)[0]) == 4


def test_recall__a_profile_overrides_what_is_stored(shop):
    assert np.array_equal(vector(shop, "ann", {"city": "rome"}), vector(shop, "ann"))
    moved = vector(shop, "ann", {"city": "oslo"})
    assert not np.array_equal(moved, vector(shop, "ann"))
    features = dict(shop.users.take(np.array([0])))
    features["city"] = shop.users.columns["city"][[1]]
    np.testing.assert_allclose(moved, shop.model.user(features)[0][0], rtol=1e-6)
    assert set(shop.recall("ann", {"city": "oslo"})[0]) == {2, 3, 4, 5}  # still met 0 and 1


def test_recall__stored_features_stay_as_they_are(shop):
    before = {name: np.copy(c) for name, c in shop.users.to_arrays().items()}
    shop.recall("ann", {"city": "oslo", "age": 90, "likes": "jam"})
    assert all(np.array_equal(c, before[name]) for name, c in shop.users.to_arrays().items())


def test_names(shop):
    assert shop.names([3, 0]) == ["x", "u"]
    shop_without = Recommender(shop.model, shop.items, shop.users, shop.seen, shop.index)
    assert shop_without.names([3, 0]) == ["3", "0"]
    with pytest.raises(DataError, match="there is no item 9"):
        shop.names([0, 9])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("ann", {"town": "rome"}), "there is no field 'town'"),
        (("ann", {"user": "bob"}), "'user' is the id"),
        (("ann", {"age": "old"}), "profile, column 'age'"),
        ((7,), "holds text"),
        (("ann", None, 0), "k must be at least 1"),
    ],
)
def test_recall__refuses(shop, arguments, message):
    with pytest.raises(DataError, match=message):
        shop.recall(*arguments)


def test_recommender__refuses_parts_that_do_not_belong_together(shop):
    parts = (shop.model, shop.items, shop.users, shop.seen)
    with pytest.raises(ValueError, match=r"the index holds vectors \(5, 3\)"):
        Recommender(*parts, ExactIndex(shop.index.vectors[:5]))
    with pytest.raises(ValueError, match="seen has 2 rows for 3 users"):
        Recommender(*parts[:3], shop.seen.take([0, 1]), shop.index)
    with pytest.raises(ValueError, match="1 names for 6 items"):
        Recommender(*parts, shop.index, np.array(["u"]))
