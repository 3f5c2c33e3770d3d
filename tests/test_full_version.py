"""Models and stores: what comes back is what was written, or one clear line."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import datasets

from minitower.data import Categorical, DataError, Dataset, GivenSplit, Id, Schema
from minitower.evaluation.encode import encode
from minitower.search.approximate import ApproximateIndex
from minitower.search.index import ExactIndex
from minitower.store.folder import fingerprint
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.model_files import load_model, load_notes, load_optimizer, save_model
from minitower.store.recommender import Recommender
from minitower.store.version_log import VersionLog
from minitower.towers.optimizers import SGD, Adagrad, RowWiseAdam
from minitower.towers.two_tower import TwoTower
from minitower.training.trainer import Trainer


def shop(names=True):
    schema = Schema(user=[Id("user"), Categorical("city")], item=[Id("item"), Categorical("kind")])
    rng = np.random.default_rng(0)
    log = {"user": rng.integers(0, 30, 400), "item": rng.integers(0, 90, 400)}
    log["part"] = rng.choice(["train", "train", "train", "valid", "test"], 400)
    users = {"user": np.arange(30), "city": rng.choice(["rome", "oslo"], 30)}
    items = {"item": np.arange(90), "kind": rng.integers(0, 5, 90)}
    items["title"] = [f"item {i}" for i in range(90)]
    return Dataset.from_columns(
        schema, log, users, items, split=GivenSplit("part"),
        item_name="title" if names else None,
    )  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return shop()


@pytest.fixture(scope="module")
def model(data):
    return TwoTower(data.schema, dim=4, hidden=(8,), similarity="cosine")


@given(
    datasets(),
    st.sampled_from([(), (4,)]),
    st.sampled_from(["cosine", "inner_product"]),
    st.sampled_from(["float32", "float64"]),
)
@settings(max_examples=15)
def test_model__comes_back(tmp_path_factory, data, hidden, similarity, dtype):
    """Of every schema: equal parameters, configuration and vectors, to the bit."""
    widths = [field.dim for field in (*data.schema.user.fields, *data.schema.item.fields)]
    dim = 3 if any(widths) else 2
    if not hidden and set(widths) - {None, dim}:
        hidden = (4,)
    model = TwoTower(data.schema, dim=dim, hidden=hidden, similarity=similarity, dtype=dtype)
    folder = tmp_path_factory.mktemp("m") / "model"
    save_model(folder, model, notes={"positive": "rating >= 4"})
    again = load_model(folder)
    assert again.config == model.config
    assert again.parameters.keys() == model.parameters.keys()
    for name, array in model.parameters.items():
        assert array.dtype == again.parameters[name].dtype
        np.testing.assert_array_equal(array, again.parameters[name])
    np.testing.assert_array_equal(encode(model.item, data.items), encode(again.item, data.items))
    assert load_notes(folder) == {"positive": "rating >= 4"}
    profile = again.encoders.user.encode_profile({})
    np.testing.assert_array_equal(again.user(profile)[0], model.user(profile)[0])


@given(datasets(), st.sampled_from(["hnsw", "exact"]))
@settings(max_examples=15)
def test_store__recalls_as_before(tmp_path_factory, data, index):
    model = TwoTower(data.schema, dim=3, hidden=(4,), seed=2)
    folder = tmp_path_factory.mktemp("s") / "store"
    publish_model(model, data, folder, index=index)
    before = Recommender(
        model, data.items, data.users, data.seen("all"),
        ExactIndex(encode(model.item, data.items)),
    )  # fmt: skip
    after = Recommender.open(folder)
    assert type(after.store.index) is {"hnsw": ApproximateIndex, "exact": ExactIndex}[index]
    np.testing.assert_array_equal(after.store.item_counts, data.item_counts)
    for user in data.users.ids.tolist():
        for one, other in zip(before.recall(user, k=4), after.recall(user, k=4)):
            np.testing.assert_array_equal(one, other)
    assert after.names(data.items.ids) == before.names(data.items.ids)


def test_store__is_also_a_model(tmp_path, data, model):
    publish_model(model, data, tmp_path / "s", notes={"n": 1})
    again = load_model(tmp_path / "s")
    assert np.array_equal(encode(again.user, data.users), encode(model.user, data.users))
    assert load_notes(tmp_path / "s") == {"n": 1}
    with pytest.raises(DataError, match="s: already there, and holds a store"):
        save_model(tmp_path / "s", model)
    save_model(tmp_path / "m", model)
    with pytest.raises(DataError, match="m: already there, and holds a model"):
        publish_model(model, data, tmp_path / "m")
    with pytest.raises(DataError, match=r"CURRENT: missing; expected a store"):
        Recommender.open(tmp_path / "m")


def test_store__serves_what_the_exact_index_would(tmp_path, data, model):
    publish_model(model, data, tmp_path / "s")
    serving = Recommender.open(tmp_path / "s")
    assert isinstance(serving.store.index, ApproximateIndex)
    assert serving.store.index.tuning.recall >= 0.95
    users = encode(model.user, data.users)
    exact = ExactIndex(encode(model.item, data.items)).search(users, 10, data.seen("all"))
    for row, user in enumerate(data.users.ids.tolist()):
        ids, scores = serving.recall(user, k=10)
        np.testing.assert_allclose(scores, exact[1][row], atol=1e-6)
        met = [part.items[part.users == row] for part in (data.train, data.valid, data.test)]
        assert not set(ids) & set(np.concatenate(met))


def test_store__without_names(tmp_path, model):
    data = shop(names=False)
    publish_model(model, data, tmp_path / "s", index="exact")
    serving = Recommender.open(tmp_path / "s")
    assert isinstance(serving.store.index, ExactIndex)
    assert serving.store.items.names is None


def test_store__an_index_of_ones_own(tmp_path, data, model):
    vectors = encode(model.item, data.items)
    index = ApproximateIndex.build("hnsw", vectors, similarity="cosine", k=5, neighbors=8)
    publish_model(model, data, tmp_path / "s", index=index)
    assert Recommender.open(tmp_path / "s").store.index.tuning == index.tuning
    with pytest.raises(ValueError, match="other item vectors than the model makes"):
        publish_model(model, data, tmp_path / "t", index=ExactIndex(vectors[::-1]))
    with pytest.raises(ValueError, match=r"index must be one of exact, hnsw, .*, got 'faiss'"):
        publish_model(model, data, tmp_path / "t", index="faiss")
    assert not (tmp_path / "t").exists()


def test_publish__refuses_other_data(tmp_path, data):
    other = Dataset.from_columns(
        Schema(user=[Id("user")], item=[Id("item")]), {"user": [1, 2], "item": [1, 2]}
    )
    with pytest.raises(DataError, match="were not fitted together"):
        publish_model(TwoTower(other.schema, dim=2), data, tmp_path / "s")


@pytest.mark.parametrize(
    "name",
    [
        "parameters-0.npy", "schema-1.npy", "items-0.npy", "users-2.npy", "seen-1.npy",
        "item_vectors.npy", "item_counts.npy", "index.hnsw",
        "manifest.json", "CURRENT",
    ],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_open__names_the_damaged_file(tmp_path, data, model, name, damage):
    publish_model(model, data, tmp_path / "s")
    path = tmp_path / "s" / ("" if name == "CURRENT" else "versions/000001") / name
    good = path.read_bytes()
    middle = len(good) // 2
    changed = good[:middle] + bytes([good[middle] ^ 0x80]) + good[middle + 1 :]
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(good[:middle] if damage == "cut" else changed)
    with pytest.raises(DataError, match=name) as caught:
        Recommender.open(tmp_path / "s")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [SGD, Adagrad, RowWiseAdam])
def test_optimizer__goes_on_as_if_never_stopped(tmp_path, data, make):
    """Two epochs, or one, a night on disk, and another: the same parameters, to the bit."""

    def train(model, optimizer, seed):
        Trainer(model, data, optimizer=optimizer, batch_size=64, seed=seed).fit(1, validate=False)

    model, optimizer = TwoTower(data.schema, dim=4, hidden=(8,)), make(0.1)
    train(model, optimizer, seed=1)
    publish_model(model, data, tmp_path / "s", index="exact", optimizer=optimizer)
    train(model, optimizer, seed=2)
    again, later = load_model(tmp_path / "s"), make(0.1)
    load_optimizer(tmp_path / "s", later)
    assert later.step > 0
    train(again, later, seed=2)
    assert all(np.array_equal(again.parameters[n], p) for n, p in model.parameters.items())
    assert all(np.array_equal(later.state[n], p) for n, p in optimizer.state.items())


def test_optimizer__of_another_kind_is_refused(tmp_path, data, model):
    publish_model(model, data, tmp_path / "s", index="exact", optimizer=Adagrad())
    with pytest.raises(DataError, match="000001: saved with Adagrad, not SGD"):
        load_optimizer(tmp_path / "s", SGD(0.1))
    publish_model(model, data, tmp_path / "s", index="exact")
    with pytest.raises(DataError, match="000002: saved with no optimizer, not SGD"):
        load_optimizer(tmp_path / "s", SGD(0.1))


def damage(state):
    """A state without the table of users, and with that of nobody."""
    key = next(key for key in state if key.startswith("user."))
    return {f"no{name}" if name == key else name: kept for name, kept in state.items()}


def test_optimizer__a_state_of_other_parameters_is_refused(tmp_path, data, monkeypatch):
    """Where its hashes are right, and before it is written."""
    model, optimizer = TwoTower(data.schema, dim=4, hidden=(8,)), Adagrad(0.1)
    Trainer(model, data, optimizer=optimizer, batch_size=64).fit(1, validate=False)
    whole = dict(optimizer.state)
    optimizer.state = damage(whole)
    with pytest.raises(ValueError, match=r"'nouser[^ ]+/square' is the state of no parameter"):
        publish_model(model, data, tmp_path / "s", index="exact", optimizer=optimizer)
    with monkeypatch.context() as patch:
        patch.setattr(Adagrad, "check_state", lambda *args: None)
        publish_model(model, data, tmp_path / "s", index="exact", optimizer=optimizer)
    later = Adagrad(0.1)
    with pytest.raises(DataError, match=r"000001: .* fit together: optimizer: 'nouser"):
        load_optimizer(tmp_path / "s", later)
    assert (later.state, later.step) == ({}, 0)


def test_load_model__of_a_version(tmp_path, data):
    models = [TwoTower(data.schema, dim=4, hidden=(8,), seed=seed) for seed in (1, 2)]
    for n, one in enumerate(models, start=1):
        publish_model(one, data, tmp_path / "s", index="exact", notes={"n": n})
    rows = {"user.user.embedding": (np.array([1]), np.ones((1, 4), np.float32))}
    publish_incremental(tmp_path / "s", rows, parent=2)
    for version, expected in ((None, 2), (2, 2), (1, 1)):
        loaded = load_model(tmp_path / "s", version)
        for name, parameter in models[expected - 1].parameters.items():
            assert np.array_equal(loaded.parameters[name], parameter)
            assert loaded.parameters[name].flags.writeable, "training changes it in place"
        assert load_notes(tmp_path / "s", version) == {"n": expected}
    with pytest.raises(DataError, match="version 3 is not a full one"):
        load_model(tmp_path / "s", 3)
    save_model(tmp_path / "m", models[0])
    with pytest.raises(DataError, match="CURRENT: missing; expected a store"):
        load_model(tmp_path / "m", 1)


def test_publish__tells_its_progress(tmp_path, data, model):
    told = []
    publish_model(
        model, data, tmp_path / "s", index="exact", on_progress=lambda *done: told.append(done)
    )  # fmt: skip
    assert told == [(90, 90)]


def test_open__maps_what_is_large(tmp_path, data, model):
    publish_model(model, data, tmp_path / "s", index="exact")
    store = Recommender.open(tmp_path / "s").store
    large = (*store.model.parameters.values(), store.index.vectors, store.seen.values)
    assert not any(array.flags.writeable for array in large)


def rewrite(folder, change):
    """Another manifest, with its hash in the pointer, as a faulty writer would leave it."""
    log = VersionLog.read(folder)
    path = log.path(1) / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest["content"])
    path.write_text(json.dumps(manifest))
    entry = replace(log.version(), manifest=fingerprint(path)["sha256"])
    replace(log, versions=(entry,)).write()


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("config"),
        lambda content: content.pop("schema"),
        lambda content: content["config"].update(width=3),
        lambda content: content["config"].update(similarity="l2"),
        lambda content: content["schema"].pop("user"),
        lambda content: content["schema"]["user"]["fields"][0]["field"].update(kind="gone"),
        lambda content: content["config"].update(dim=8),
        lambda content: content["config"].update(dtype="float64"),
        lambda content: content["index"].pop("tuning"),
        lambda content: content["index"].update(similarity="inner_product"),
        lambda content: content["index"].update(engine=["hnsw"]),
        lambda content: content["index"].update(engine="nmslib"),
        lambda content: content["index"].update(effort="x"),
    ],
)
def test_open__refuses_a_manifest_that_does_not_fit(tmp_path, data, model, change):
    publish_model(model, data, tmp_path / "s")
    rewrite(tmp_path / "s", change)
    with pytest.raises(DataError, match=str(tmp_path)) as caught:
        Recommender.open(tmp_path / "s")
    assert "\n" not in str(caught.value)
