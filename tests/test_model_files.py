"""The index of a version: any engine serves a store, and stores of earlier releases open."""

import json
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import numpy as np
import pytest
from test_full_version import rewrite, shop

from minitower.data import DataError
from minitower.evaluation.encode import encode
from minitower.search.approximate import ENGINES, ApproximateIndex
from minitower.search.index import ExactIndex
from minitower.search.patched import PatchedIndex
from minitower.store.full_version import publish_model
from minitower.store.incremental import publish_incremental
from minitower.store.local_index import LocalIndex
from minitower.store.model_files import build_index, check_engine
from minitower.store.recommender import Recommender
from minitower.store.version_log import VersionLog
from minitower.towers.two_tower import TwoTower

INSTALLED = [name for name, engine in ENGINES.items() if find_spec(engine.module) is not None]


@pytest.fixture(scope="module")
def data():
    return shop()


@pytest.fixture(scope="module", params=["cosine", "inner_product"])
def model(data, request):
    return TwoTower(data.schema, dim=4, hidden=(8,), similarity=request.param)


def engine_of(folder):
    catalogue = VersionLog.read(folder)
    return catalogue.open(catalogue.version()).content["index"]["engine"]


def recalled(folder, k=5):
    recommender = Recommender.open(folder)
    answers = recommender.recall_many(recommender.store.users.ids[:9], k=k)
    return [ids.tolist() for ids, _ in answers], [scores.tolist() for _, scores in answers]


@pytest.mark.parametrize("engine", INSTALLED)
def test_store__is_served_by_any_engine_and_updates_keep_it(tmp_path, data, model, engine):
    store = publish_model(model, data, tmp_path / "s", index=engine)
    assert (store.index.name, engine_of(tmp_path / "s")) == (engine, engine)
    publish_model(model, data, tmp_path / "exact", index="exact")
    # Ties aside, 90 items are few enough that every engine finds the very best.
    right = recalled(tmp_path / "exact")[1]
    np.testing.assert_array_equal(np.array(recalled(tmp_path / "s")[1]), np.array(right))
    table = model.parameters["item.item.embedding"]
    moved = np.full((2, table.shape[1]), 0.5, table.dtype)
    rows = {"item.item.embedding": (np.array([3, 7]), moved)}
    changed = publish_incremental(tmp_path / "s", rows, parent=1)
    assert isinstance(changed.index, PatchedIndex)
    assert changed.index.name == engine
    vectors = encode(changed.model.item, data.items)
    users = encode(changed.model.user, data.users)
    expected = ExactIndex(vectors).search(users, 5)[1]
    assert (changed.index.search(users, 5)[1] >= expected[:, -1:] - 1e-6).mean() > 0.9
    publish_model(model, data, tmp_path / "s", parent=1)
    assert engine_of(tmp_path / "s") == engine


def test_publish__an_exact_store_stays_exact(tmp_path, data, model):
    publish_model(model, data, tmp_path / "s", index="exact")
    publish_model(model, data, tmp_path / "s", parent=1)
    assert isinstance(Recommender.open(tmp_path / "s").store.index, ExactIndex)
    publish_model(model, data, tmp_path / "s")
    assert Recommender.open(tmp_path / "s").store.index.name == "hnsw"


@pytest.mark.parametrize("engine", [name for name in INSTALLED if name != "hnsw"])
def test_open__names_the_extra_of_a_missing_engine(tmp_path, data, model, engine, monkeypatch):
    module = ENGINES[engine].module
    publish_model(model, data, tmp_path / "s", index=engine)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"minitower\[{module}\]"):
        Recommender.open(tmp_path / "s")
    with pytest.raises(ModuleNotFoundError, match=rf"minitower\[{module}\]"):
        publish_model(model, data, tmp_path / "t", index=engine)
    assert not (tmp_path / "t").exists()


def test_hnswlib_missing__exact_search_serves_and_this_is_said(tmp_path, data, model, monkeypatch):
    publish_model(model, data, tmp_path / "s")
    publish_model(model, data, tmp_path / "exact", index="exact")
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    with pytest.warns(UserWarning, match="hnswlib is missing: pip install hnswlib; exact search"):
        assert recalled(tmp_path / "s", 20) == recalled(tmp_path / "exact", 20)
    with pytest.warns(UserWarning, match="hnswlib is missing"):
        publish_model(model, data, tmp_path / "t")
    assert engine_of(tmp_path / "t") == "exact"
    monkeypatch.undo()
    publish_model(model, data, tmp_path / "t", parent=1)  # hnswlib is back
    assert engine_of(tmp_path / "t") == "hnsw"


WITHOUT = """
    import sys
    sys.modules["hnswlib"] = None
    import numpy as np
    import minitower as mt

    log = {"user": np.arange(600) % 40, "item": np.arange(600) * 7 % 90}
    schema = mt.Schema(user=[mt.Id("user")], item=[mt.Id("item")])
    data = mt.Dataset.from_columns(schema, log, split=mt.RandomSplit(0, 0.2))
    trainer = mt.Trainer(mt.TwoTower(data.schema, dim=4, hidden=()), data)
    trainer.fit(epochs=1)
    mt.evaluate(trainer.model, data)
    for _ in range(3):
        mt.publish(trainer, sys.argv[1])
        print(len(mt.Recommender.open(sys.argv[1]).recall(1, k=5)[0]))
"""


def test_hnswlib_missing__everything_else_works_and_it_is_said_once(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(WITHOUT), str(tmp_path / "s")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "5\n" * 3
    assert run.stderr.count("hnswlib is missing: pip install hnswlib; exact search serves") == 1


def old_model(content):
    """What releases before the choice of engines wrote of a model's index."""
    stated = content.pop("index")
    if stated["engine"] == "hnsw":
        measured = stated["tuning"] | {"ef": stated["tuning"]["effort"], "exact_answers": 0}
        del measured["effort"]
        old = {"similarity": stated["similarity"], "measured": measured, "ef": stated["effort"]}
        content["hnsw"] = old


def old_vectors(content):
    """The same, of a folder of vectors by id."""
    stated = content.pop("index")
    content |= {"backend": stated["engine"], "library": None, "measured": stated.get("tuning")}


@pytest.mark.parametrize("engine", ["hnsw", "exact"])
def test_open__stores_of_earlier_releases(tmp_path, data, model, engine):
    index = engine
    if engine == "hnsw":
        items = encode(model.item, data.items)
        index = ApproximateIndex.build("hnsw", items, similarity=model.similarity, k=5)
        index.effort = 33  # chosen by hand
    publish_model(model, data, tmp_path / "s", index=index)
    before, opened = recalled(tmp_path / "s"), Recommender.open(tmp_path / "s").store.index
    rewrite(tmp_path / "s", old_model)
    again = Recommender.open(tmp_path / "s").store.index
    assert recalled(tmp_path / "s") == before
    assert again.name == engine
    if engine == "hnsw":
        assert (again.tuning, again.effort) == (opened.tuning, 33)
    publish_model(model, data, tmp_path / "s", parent=1)
    assert engine_of(tmp_path / "s") == engine


@pytest.mark.parametrize("backend", ["exact", "hnsw", "faiss-hnsw", "scann"])
def test_open__folders_of_vectors_of_earlier_releases(tmp_path, backend):
    if backend not in ("exact", *INSTALLED):
        pytest.skip(f"{backend} is not installed")
    vectors = np.random.default_rng(0).standard_normal((1200, 8))
    index = LocalIndex.build(backend, np.arange(1200), vectors, k=5)
    index.delete([5])
    index.save(tmp_path / "s")
    rewrite(tmp_path / "s", old_vectors)
    manifest = json.loads((tmp_path / "s/versions/000001/manifest.json").read_text())
    assert "index" not in manifest["content"]
    again = LocalIndex.open(tmp_path / "s", backend=backend)
    for one, other in zip(index.search(vectors[:9], 5), again.search(vectors[:9], 5)):
        np.testing.assert_array_equal(one, other)
    assert (again.tuning, len(again)) == (index.tuning, 1199)


def test_build_index__exact_search_stands_in_for_a_missing_hnswlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "hnswlib", None)
    check_engine("hnsw")
    with pytest.warns(UserWarning, match="hnswlib is missing: pip install hnswlib; exact search"):
        index = build_index("hnsw", np.eye(3), similarity="cosine")
    assert isinstance(index, ExactIndex)
    with pytest.raises(ModuleNotFoundError, match="hnswlib is missing: pip install hnswlib"):
        ApproximateIndex.build("hnsw", np.eye(3), similarity="cosine")


@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "hnsw"])
def test_check_engine__names_the_extra(monkeypatch, engine):
    module = ENGINES[engine].module
    monkeypatch.setitem(sys.modules, module, None)
    for use in (check_engine, lambda name: build_index(name, np.eye(3), similarity="cosine")):
        with pytest.raises(ModuleNotFoundError, match=rf"minitower\[{module}\]"):
            use(engine)


def test_check_engine__refuses_what_is_unknown():
    with pytest.raises(DataError, match=r"index must be one of exact, hnsw, .*, got 'nmslib'"):
        check_engine("nmslib")
    with pytest.raises(DataError, match=r"engine must be one of hnsw, .*, got 'exact'"):
        ApproximateIndex.build("exact", np.eye(3), similarity="cosine")
    check_engine("exact")


def test_open__a_damaged_graph_is_one_clear_line(tmp_path, data, model):
    publish_model(model, data, tmp_path / "s")
    path = tmp_path / "s/versions/000001/index.hnsw"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=rf"^{path}: damaged"):
        Recommender.open(tmp_path / "s")
