"""A store's small files: whatever they state, the store opens or says in one line why not."""

import copy
import hashlib
import json
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitower.data import Categorical, Continuous, DataError, Dataset, Id, RandomSplit, Schema
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.model_files import load_model, load_notes, load_optimizer
from minitower.store.recommender import Recommender
from minitower.store.transaction import prune, rollback
from minitower.store.version_log import VersionLog
from minitower.towers.optimizers import Adagrad
from minitower.towers.two_tower import TwoTower


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A full version with a graph and an optimizer, an exact one, rows on top of it."""
    store = tmp_path_factory.mktemp("night") / "s"
    rng = np.random.default_rng(0)
    log = {"user": rng.integers(0, 5, 40), "item": rng.integers(0, 9, 40)}
    users = {"user": np.arange(5), "age": rng.random(5), "city": ["a", "b", "a", "c", "b"]}
    schema = Schema(user=[Id("user"), Continuous("age"), Categorical("city")], item=[Id("item")])
    data = Dataset.from_columns(schema, log, users, split=RandomSplit(0, 0))
    model = TwoTower(data.schema, dim=4, hidden=(3,))
    optimizer = Adagrad()
    name = "user.user.embedding"
    optimizer.state[f"{name}/square"] = np.ones((6, 4), np.float32)
    publish_model(model, data, store, optimizer=optimizer, notes={"reading": {"positive": None}})
    publish_model(model, data, store, index="exact")
    publish_incremental(store, {name: (np.array([1]), np.ones((1, 4), np.float32))}, parent=2)
    return store


odd = st.sampled_from(
    [None, True, False, 0, 1, -1, 2, 3, 1.0, 1e300, 10**9, 10**18, 10**40, "", "1", "x", "../../x",
     "/etc/passwd", "..", "a\0b", "\ud800", "ü" * 99, [], {}, [1], [[]], {"a": 1}, [None] * 9,
     "full", "index", "item", "0" * 64]
).map(copy.deepcopy)  # fmt: skip
changes = st.sampled_from(["set", "set", "scale", "remove", "name or double"])
scale = lambda value: value * 1000 if isinstance(value, int) else value


def places(value, path=()):
    """The path of every value within a value of JSON."""
    yield path
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    for key in keys:
        yield from places(value[key], (*path, key))


@st.composite
def mutated(draw, value):
    """The value with one to three values in it replaced, removed, doubled or renamed."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([*places(value)]))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                value = draw(odd)
            continue
        parent = value
        for key in path[:-1]:
            parent = parent[key]
        how, key = draw(changes), path[-1]
        if how == "set":
            parent[key] = draw(odd)
        elif how == "scale":
            parent[key] = scale(parent[key])
        elif how == "remove":
            del parent[key]
        elif isinstance(parent, dict):
            parent[draw(odd.filter(lambda x: isinstance(x, str)))] = parent.pop(key)
        else:
            parent.append(copy.deepcopy(parent[key]))
    return value


def point(store, stated):
    """Make this the CURRENT of a store, with its checksum."""
    text = (json.dumps(stated, indent=1) + "\n").encode()
    digest = hashlib.sha256(text).hexdigest().encode()
    (store / "CURRENT").write_bytes(text + b"\n" + digest)


def pointed(store):
    return json.loads((store / "CURRENT").read_bytes().rpartition(b"\n")[0])


def use(store):
    """Whatever reads a store, and the changes that read no data: each works or says why not."""
    readers = [
        lambda: Recommender.open(store).recall(1, k=3),
        lambda: load_model(store),
        lambda: load_model(store, 1),
        lambda: load_notes(store),
        lambda: load_optimizer(store, Adagrad(), 1),
        lambda: VersionLog.read(store).verify(VersionLog.read(store).version(1)),
        lambda: rollback(store),
        lambda: prune(store, 1),
    ]
    for reader in readers:
        try:
            reader()
        except DataError as error:
            text = str(error).replace(str(store), "")
            assert len(text) < 500, text
            assert "\n" not in text, text
    return store


@given(st.data())
@settings(max_examples=60)
def test_current__any_value_changed(tmp_path_factory, night, data):
    """With its SHA-256 computed again: as if another program wrote it."""
    store = Path(shutil.copytree(night, tmp_path_factory.mktemp("s") / "s"))
    point(store, data.draw(mutated(pointed(store))))
    tracemalloc.start()
    use(store)
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()


@given(st.data(), st.integers(1, 3))
@settings(max_examples=60)
def test_manifest__any_value_changed(tmp_path_factory, night, data, number):
    """With its SHA-256 in CURRENT."""
    store = Path(shutil.copytree(night, tmp_path_factory.mktemp("s") / "s"))
    path = store / f"versions/{number:06d}/manifest.json"
    text = json.dumps(data.draw(mutated(json.loads(path.read_bytes())))).encode()
    path.write_bytes(text)
    stated = pointed(store)
    stated["versions"][number - 1]["manifest"] = hashlib.sha256(text).hexdigest()
    stated["current"] = number
    point(store, stated)
    tracemalloc.start()
    use(store)
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()
