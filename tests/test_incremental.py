"""Incremental versions: some rows move, nothing else does, and only on the version they left."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitower.data import Categorical, DataError, Dataset, Id, RandomSplit, Schema
from minitower.evaluation.encode import encode
from minitower.search.index import ExactIndex
from minitower.search.patched import PatchedIndex
from minitower.store import folder, new_folder, transaction
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.model_files import load_model
from minitower.store.recommender import Recommender
from minitower.store.transaction import rollback
from minitower.store.version_log import VersionLog
from minitower.towers.two_tower import TwoTower

USERS, ITEMS = "user.user.embedding", "item.item.embedding"


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    log = {"user": rng.integers(0, 8, 60), "item": rng.integers(0, 12, 60)}
    schema = Schema(user=[Id("user"), Categorical("city")], item=[Id("item")])
    users = {"user": np.arange(8), "city": rng.choice(["rome", "oslo"], 8)}
    return Dataset.from_columns(schema, log, users, split=RandomSplit(0, 0))


@pytest.fixture(scope="module")
def model(data):
    return TwoTower(data.schema, dim=4, hidden=(6,))


def moved(model, name, rows, seed=1):
    shape = (len(rows), *model.parameters[name].shape[1:])
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return {name: (np.array(rows), values)}


@given(
    st.dictionaries(
        st.sampled_from([USERS, ITEMS, "user.city.embedding"]),
        st.sets(st.integers(0, 2), min_size=1).map(sorted),
    ),
    st.sampled_from(["exact", "hnsw"]),
)
@settings(max_examples=15)
def test_incremental__is_the_model_with_these_rows(tmp_path_factory, data, model, names, index):
    """Parameters, item vectors and answers are those of a full version of the changed model."""
    store = tmp_path_factory.mktemp("s") / "store"
    publish_model(model, data, store, index=index)
    rows = {
        key: value for name, at in names.items() for key, value in moved(model, name, at).items()
    }
    changed = load_model(store)
    for name, (at, values) in rows.items():
        changed.parameters[name][at] = values
    publish_incremental(store, rows, parent=1)
    serving = Recommender.open(store)
    for name, parameter in changed.parameters.items():
        assert np.array_equal(serving.store.model.parameters[name], parameter)
    vectors = encode(changed.item, data.items)
    assert np.array_equal(serving.store.index.vectors, vectors)
    by_hand = Recommender(changed, data.items, data.users, data.seen("all"), ExactIndex(vectors))
    for user in range(8):
        for one, other in zip(serving.recall(user, k=5), by_hand.recall(user, k=5)):
            np.testing.assert_array_equal(one, other)
    assert np.array_equal(load_model(store).parameters[USERS], model.parameters[USERS]), (
        "training goes on from the full version"
    )


def test_incremental__holds_what_moved_and_no_more(tmp_path, data, model):
    publish_model(model, data, tmp_path / "s")
    publish_incremental(tmp_path / "s", moved(model, USERS, [2, 5]), parent=1)
    names = {path.name for path in (tmp_path / "s/versions/000002").iterdir()}
    assert names == {"rows-0.npy", "values-0.npy", "items.npy", "item_vectors.npy", "manifest.json"}
    serving = Recommender.open(tmp_path / "s")
    assert serving.store.index is serving.store.full.index
    rows = moved(model, ITEMS, [3])
    publish_incremental(tmp_path / "s", rows, parent=1)
    serving = Recommender.open(tmp_path / "s")
    assert isinstance(serving.store.index, PatchedIndex)
    assert (
        serving.store.index.rows.tolist()
        == np.flatnonzero(data.items.columns["item"] == 3).tolist()
    )


def test_incremental__each_stands_on_the_full_version_alone(tmp_path, data, model):
    """What the one before moved and this one does not is as in the full version."""
    publish_model(model, data, tmp_path / "s")
    publish_incremental(tmp_path / "s", moved(model, USERS, [2]), parent=1)
    rows = moved(model, USERS, [5])
    publish_incremental(tmp_path / "s", rows, parent=1)
    table = Recommender.open(tmp_path / "s").store.model.parameters[USERS]
    assert np.array_equal(table[2], model.parameters[USERS][2])
    assert np.array_equal(table[5], rows[USERS][1][0])


def test_incremental__refused_on_any_other_version(tmp_path, data, model):
    store, rows = tmp_path / "s", moved(model, USERS, [2])
    publish_model(model, data, store)
    publish_model(model, data, store)
    with pytest.raises(DataError, match="version 1 is not the current full version, which is 2"):
        publish_incremental(store, rows, parent=1)
    publish_incremental(store, rows, parent=2)
    with pytest.raises(DataError, match="version 3 is not the current full version"):
        publish_incremental(store, rows, parent=3)
    rollback(store, 1)
    with pytest.raises(DataError, match="version 2 is not the current full version"):
        publish_incremental(store, rows, parent=2)
    assert len(VersionLog.read(store).versions) == 3


def test_open__refuses_rows_of_another_parent(tmp_path, data, model):
    """Even where a log says they belong together."""
    store = tmp_path / "s"
    publish_model(model, data, store)
    publish_model(model, data, store, index="exact")
    publish_incremental(store, moved(model, USERS, [2]), parent=2)
    log = VersionLog.read(store)
    entry = replace(log.version(3), parent=1)
    replace(log, versions=(*log.versions[:2], entry)).write()
    with pytest.raises(DataError, match=r"000003: branched from another version than 1"):
        Recommender.open(store)


@pytest.mark.parametrize(
    "rows, message",
    [
        ({"user.gone.embedding": (np.array([0]), np.zeros((1, 4)))}, "no parameter 'user.gone.emb"),
        ({USERS: (np.array([0.0]), np.zeros((1, 4)))}, r"expected \(r,\) integers"),
        ({USERS: (np.array([[0]]), np.zeros((1, 4)))}, r"expected \(r,\) integers"),
        ({USERS: (np.array([0]), np.zeros((1, 3)))}, r"values \(r, \*\(4,\)\)"),
        ({USERS: (np.array([0, 1]), np.zeros((1, 4)))}, r"values \(r, "),
        ({USERS: (np.array([1, 1]), np.zeros((2, 4)))}, "not distinct and ascending within 0..8"),
        ({USERS: (np.array([2, 1]), np.zeros((2, 4)))}, "not distinct and ascending"),
        ({USERS: (np.array([-1, 1]), np.zeros((2, 4)))}, "not distinct and ascending"),
        ({USERS: (np.array([9]), np.zeros((1, 4)))}, "not distinct and ascending"),
        ({USERS: (np.array([1]), np.full((1, 4), np.nan))}, "a value is not finite"),
    ],
)
def test_incremental__refuses_rows_that_do_not_fit(tmp_path, data, model, rows, message):
    publish_model(model, data, tmp_path / "s", index="exact")
    with pytest.raises(DataError, match=message):
        publish_incremental(tmp_path / "s", rows, parent=1)
    assert VersionLog.read(tmp_path / "s").current == 1


@pytest.fixture
def hashed(monkeypatch):
    """The folders of the files whose SHA-256 is computed."""
    folders, real = [], folder.fingerprint

    def noted(path):
        folders.append(path.parent.name)
        return real(path)

    for module in (folder, new_folder, transaction):
        monkeypatch.setattr(module, "fingerprint", noted)
    return folders


def test_incremental__of_an_open_version_reads_its_own_files_only(tmp_path, data, model, hashed):
    """A click must not cost a pass over the full version."""
    full = publish_model(model, data, tmp_path / "s")
    rows = moved(model, USERS, [2]) | moved(model, ITEMS, [3])
    hashed.clear()
    one = publish_incremental(tmp_path / "s", rows, parent=1, full=full)
    assert {*hashed} == {"new", "000002"}
    assert one.full is full
    hashed.clear()
    two = publish_incremental(tmp_path / "s", rows, parent=1)
    assert "000001" in hashed
    assert np.array_equal(one.index.vectors, two.index.vectors)
    assert all(np.array_equal(two.model.parameters[n], p) for n, p in one.model.parameters.items())


def test_incremental__another_version_that_is_open_is_not_taken(tmp_path, data, model):
    """It may be of the same number, in another store."""
    rows, other = moved(model, USERS, [2]), TwoTower(data.schema, dim=4, hidden=(6,), seed=1)
    full = publish_model(other, data, tmp_path / "other", notes={"other": True})
    publish_model(model, data, tmp_path / "s")
    one = publish_incremental(tmp_path / "s", rows, parent=1, full=full)
    assert one.full is not full
    name = "item.item.embedding"
    assert np.array_equal(one.model.parameters[name], model.parameters[name])
