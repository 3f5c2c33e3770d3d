"""Lists for many users are the lists of one user, for each of them."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import datasets

from minitower.data import Categorical, DataError, Dataset, Id, RandomSplit, Schema
from minitower.evaluation.encode import encode
from minitower.search.index import ExactIndex
from minitower.store import lists
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.lists import list_blocks
from minitower.store.recommender import Recommender
from minitower.towers.two_tower import TwoTower


def serving(data):
    model = TwoTower(data.schema, dim=3, hidden=(4,), seed=1)
    index = ExactIndex(encode(model.item, data.items))
    return Recommender(model, data.items, data.users, data.seen("all"), index)


def rows_of(table):
    return list(zip(*(table[name].tolist() for name in table), strict=True))


def assert_lists(table, recommender, users, k, allowed=None, exclude_seen=True, profiles=None):
    """One recall of all items for each user, those that are not allowed dropped, cut at k.

    Scores are equal to the rounding of BLAS, which depends on the number of users in a block;
    so items may only differ where their scores are tied.
    """
    rows = iter(rows_of(table))
    for i, user in enumerate(users):
        profile = None if profiles is None else profiles[i]
        found = recommender.recall(user, profile, 1000, exclude_seen)
        score_of = dict(zip(*(side.tolist() for side in found), strict=True))
        best = [pair for pair in score_of.items() if allowed is None or pair[0] in allowed][:k]
        listed = [next(rows) for _ in best]
        assert [row[0] for row in listed] == [user] * len(best)
        assert [row[3] for row in listed] == list(range(1, len(best) + 1))
        assert len({row[1] for row in listed}) == len(best)
        assert allowed is None or {row[1] for row in listed} <= set(allowed)
        scores = [row[2] for row in listed]
        np.testing.assert_allclose(scores, [score for _, score in best], atol=1e-6)
        np.testing.assert_allclose(scores, [score_of[row[1]] for row in listed], atol=1e-6)
    assert next(rows, None) is None


@given(datasets(), st.data(), st.booleans(), st.integers(1, 8), st.integers(1, 3))
def test_list_blocks__equal_one_recall_for_each_user(data, draw, exclude_seen, k, size):
    """With any allow-list, users known and unknown, blocks of any size."""
    recommender, many = serving(data), lambda values: st.lists(st.sampled_from(values), max_size=4)
    users = draw.draw(many(data.users.ids.tolist()))
    users.append("nobody" if data.users.ids.dtype.kind == "U" else 10**15)
    some = st.lists(st.sampled_from(data.items.ids.tolist()), min_size=1, max_size=4)
    allowed = draw.draw(st.none() | some)
    old, lists._USERS = lists._USERS, size
    try:
        table = recommender.recommend(users, k, items=allowed, exclude_seen=exclude_seen)
    finally:
        lists._USERS = old
    assert_lists(table, recommender, users, k, allowed, exclude_seen)


@pytest.fixture(scope="module")
def shop():
    """Strings as users, integers as items; nobody sees an item twice."""
    rng = np.random.default_rng(0)
    seen = [rng.permutation(40)[: 1 + u % 9] for u in range(30)]
    log = {
        "user": [f"u{u}" for u, items in enumerate(seen) for _ in items],
        "item": np.concatenate(seen),
    }
    users = {"user": [f"u{u}" for u in range(30)]}
    data = Dataset.from_columns(
        Schema(user=[Id("user")], item=[Id("item")]), log, users, {"item": np.arange(40)},
        split=RandomSplit(0, 0),
    )  # fmt: skip
    return data


def test_recommend__columns(shop):
    recommender = serving(shop)
    table = recommender.recommend(k=4)
    assert list(table) == ["user", "item", "score", "rank"]
    assert [column.dtype.kind for column in table.values()] == ["U", "i", "f", "i"]
    assert table["user"].tolist() == np.repeat(shop.users.ids, 4).tolist()
    assert table["rank"].tolist() == [1, 2, 3, 4] * 30
    assert_lists(table, recommender, shop.users.ids.tolist(), 4)


def test_recommend__short_lists_and_no_users(shop):
    recommender = serving(shop)
    table = recommender.recommend(["u8", "u0"], 1000)
    assert [(table["user"] == user).sum() for user in ("u8", "u0")] == [40 - 9, 40 - 1]
    assert table["rank"][-1] == 39
    empty = recommender.recommend([], 3)
    assert [len(column) for column in empty.values()] == [0] * 4


def test_recommend__allowed_items_only(shop):
    recommender, users = serving(shop), shop.users.ids.tolist()
    allowed = [30, 3, 99, 17, 3]
    table = recommender.recommend(users, 2, items=allowed)
    assert set(table["item"].tolist()) == {3, 17, 30}
    assert_lists(table, recommender, users, 2, allowed)


def test_recommend__in_pandas(shop):
    pandas = pytest.importorskip("pandas", reason="not installed: pip install '.[frames]'")
    frame, table = (serving(shop).recommend(k=3, as_pandas=flag) for flag in (True, False))
    assert isinstance(frame, pandas.DataFrame)
    assert rows_of(table) == list(frame.itertuples(index=False, name=None))


def test_recommend__pandas_missing(shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ModuleNotFoundError, match=r"minitower\[frames\]"):
        serving(shop).recommend(as_pandas=True)


@pytest.mark.parametrize("exact", [True, False])
def test_list_blocks__from_a_patched_approximate_index(shop, tmp_path, exact):
    """The index of the store answers as recall does; scoring all items, as exact search."""
    model = TwoTower(shop.schema, dim=4, seed=0)
    publish_model(model, shop, tmp_path / "s", index="hnsw")
    rows = {"item.item.embedding": (np.array([3, 9]), np.ones((2, 4), np.float32))}
    publish_incremental(tmp_path / "s", rows, parent=1)
    recommender = Recommender.open(tmp_path / "s")
    users = shop.users.ids.tolist()
    table = recommender.recommend(k=5, exact=exact)
    asked = recommender
    if exact:
        parts = recommender.store
        index = ExactIndex(parts.index.vectors)
        asked = Recommender(parts.model, parts.items, parts.users, parts.seen, index)
    assert_lists(table, asked, users, 5)


def test_list_blocks__profiles_reach_the_tower():
    schema = Schema(user=[Id("user"), Categorical("city")], item=[Id("item")])
    log = {"user": [1, 2, 3], "item": [1, 2, 3]}
    users = {"user": [1, 2, 3], "city": ["rome", "oslo", "bern"]}
    data = Dataset.from_columns(schema, log, users, split=RandomSplit(0, 0))
    recommender = serving(data)
    profiles = [{"city": "oslo"}, {}, {"city": "rome"}]
    table = recommender.recommend([1, 9, 3], 3, profiles=profiles)
    assert_lists(table, recommender, [1, 9, 3], 3, profiles=profiles)
    without = recommender.recommend([1, 9, 3], 3)
    assert not np.allclose(without["score"][:2], table["score"][:2])


def test_list_blocks__come_from_one_version_and_in_bounded_size(shop, monkeypatch):
    monkeypatch.setattr(lists, "_ROWS", 20)
    recommender, done = serving(shop), []
    blocks = list_blocks(recommender.store, k=6, on_progress=lambda *of: done.append(of))
    sizes = [len(block["rank"]) for block in blocks]
    assert sizes == [18] * 10
    assert done == [(n, 30) for n in range(3, 31, 3)]


@pytest.mark.parametrize("options, message", [
    ({"k": 0}, "k must be"),
    ({"users": ["u1"], "profiles": []}, "0 profiles for 1 users"),
    ({"users": [1]}, "integers"),
    ({"items": [77, 78]}, "the store knows none of the 2 allowed items"),
    ({"items": []}, "none of the 0"),
    ({"items": [1], "exact": False}, "needs exact search"),
    ({"items": 7}, "items: expected a column"),
])  # fmt: skip
def test_list_blocks__refuse(shop, options, message):
    with pytest.raises(DataError, match=message):
        serving(shop).recommend(**options)


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_similar__equals_naive_cosines(shop, similarity):
    model = TwoTower(shop.schema, dim=4, similarity=similarity, seed=2)
    index = ExactIndex(encode(model.item, shop.items))
    recommender = Recommender(model, shop.items, shop.users, shop.seen("all"), index)
    vectors = index.vectors / np.linalg.norm(index.vectors, axis=1, keepdims=True)
    for item in (0, 17):
        cosines = vectors @ vectors[item]
        best = [row for row in np.argsort(-cosines) if row != item][:6]
        ids, scores = recommender.similar(item, 6)
        assert ids.tolist() == best
        np.testing.assert_allclose(scores, cosines[best], atol=1e-6)
    assert len(recommender.similar(3, 1000)[0]) == 39
    with pytest.raises(DataError, match="unknown item 99"):
        recommender.similar(99)
    with pytest.raises(DataError, match="k must be"):
        recommender.similar(3, 0)


def test_snapshot__stays_when_the_store_reloads(shop, tmp_path):
    publish_model(TwoTower(shop.schema, dim=4, seed=0), shop, tmp_path / "s")
    recommender = Recommender.open(tmp_path / "s")
    before, opened = recommender.recall("u1"), recommender.snapshot()
    publish_model(TwoTower(shop.schema, dim=4, seed=1), shop, tmp_path / "s", parent=1)
    assert recommender.reload()
    assert (opened.version.number, recommender.version.number) == (1, 2)
    assert all(map(np.array_equal, opened.recall("u1"), before))
    assert not np.array_equal(recommender.recall("u1")[1], before[1])
