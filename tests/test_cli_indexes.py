"""minitower publish and index-bench: what they print, how they fail."""

import shutil
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from minitower.data import Dataset, Id, RandomSplit, Schema
from minitower.lab.index_bench import BACKENDS
from minitower.scale.milvus import MilvusIndex
from minitower.store.full_version import publish_model as publish_models
from minitower.store.local_index import LocalIndex
from minitower.store.recommender import Recommender
from minitower.towers.two_tower import TwoTower

SCHEMES = {"exact": "numpy", "hnsw": "hnswlib", "faiss": "faiss", "scann": "scann"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store of an untrained model of texts, and one that scores by inner product."""
    folder = tmp_path_factory.mktemp("stores")
    rng = np.random.default_rng(0)
    users = [f"user-{u}" for u in rng.integers(0, 90, 4000)]
    items = [f"item-{i}" for i in rng.integers(0, 900, 4000)]
    schema = Schema(user=[Id("user")], item=[Id("item")])
    log = {"user": users, "item": items}
    data = Dataset.from_columns(schema, log, split=RandomSplit(0, 0))
    for similarity in ("cosine", "inner_product"):
        model = TwoTower(data.schema, dim=8, hidden=(), similarity=similarity)
        publish_models(model, data, folder / similarity)
    return folder


@pytest.fixture
def store(trained, tmp_path):
    shutil.copytree(trained / "cosine", tmp_path / "store")
    return tmp_path / "store"


def needs(module, extra):
    if find_spec(module) is None:
        pytest.skip(f"not installed: pip install '.[{extra}]'")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_publish__serves_what_the_store_serves(run, store, tmp_path, scheme):
    needs(SCHEMES[scheme], scheme)
    folder = tmp_path / "index"
    status, out, err = run("publish", store, "--to", f"{scheme}:{folder}", "-k", 20)
    assert (status, out) == (0, "1\n")
    assert ("exact search" if scheme == "exact" else "of the exact top 20 at effort") in err
    recommender, index = Recommender.open(store), LocalIndex.open(folder, version=1)
    users = recommender.store.users.ids[:9]
    queries = recommender.store.model.user(recommender.store.users.take(np.arange(9)))[0]
    seen = [recommender.store.items.ids[recommender.store.seen.row(row)] for row in range(9)]
    ids, cosines = index.search(queries, 5, seen)
    for user, row, scores in zip(users, ids, cosines):
        right, right_scores = recommender.recall(user, k=5)
        assert len(set(row) & set(right)) >= 3
        np.testing.assert_allclose(scores[row == right], right_scores[row == right], atol=1e-5)
    assert run("publish", store, "--to", f"{scheme}:{folder}", "--keep", 1)[1] == "2\n"
    assert run("store", "list", folder)[1].startswith("2\tindex")


def test_publish__faiss_has_kinds(run, store, tmp_path):
    needs("faiss", "faiss")
    for number, kind in enumerate(("flat", "hnsw", "ivfpq"), start=1):
        target = f"faiss:{tmp_path / 'index'}"
        assert run("publish", store, "--to", target, "--kind", kind)[1] == f"{number}\n"
        assert LocalIndex.open(tmp_path / "index").backend == f"faiss-{kind}"


def test_publish__to_milvus(run, store, tmp_path, monkeypatch):
    needs("pymilvus", "milvus")
    monkeypatch.setenv("MILVUS_TOKEN", "root:secret")
    uri = str(tmp_path / "items.db")
    for number in (1, 2):
        status, out, err = run("publish", store, "--to", f"milvus:{uri}", "--name", "shop",
                               "--keep", 1)  # fmt: skip
        assert (status, out) == (0, f"shop_00000{number}\n")
        assert "secret" not in out + err
    index = MilvusIndex.open(uri, "shop", version=1)
    items = Recommender.open(store).store.items.ids
    assert len(index) == len(items)
    assert index.client.list_collections() == ["shop_000002"]
    index.close()


@pytest.mark.parametrize("arguments, status, message", [
    (["--to", "nmslib:x"], 2, "expected exact:PATH, hnsw:PATH, faiss:PATH, scann:PATH, milvus:URI"),
    (["--to", "exact:"], 2, "expected exact:PATH"),
    (["--to", "exact:a\0b"], 2, r"'exact:a\x00b' cannot be a path or URI"),
    (["--to", "exact:\ud800"], 2, r"'exact:\ud800' cannot be a path or URI"),
    (["--to", "scann:{}/x", "--kind", "flat"], 2, "scann has no kind 'flat'; kinds: scann"),
    (["--to", "exact:{}/store"], 2, "store: is a store of models; choose another folder"),
    (["--to", "exact:{}"], 2, "already there, and not written by minitower"),
    (["--to", "exact:{}/x", "--keep", 0], 2, "--keep: expected an integer of at least 1, got '0'"),
    (["--to", "exact:{}/x", "--target-recall=--"], 2, "--target-recall: expected a value, got"),
    (["--to", "exact:{}/x", "--target-recall", 2], 2, "target_recall must be in (0, 1], got 2.0"),
    ([], 2, "required: --to (see minitower publish --help)"),
    (["--to", "milvus:http://127.0.0.1:1"], 1, "http://127.0.0.1:1: Milvus: Fail connecting"),
])  # fmt: skip
def test_publish__one_clear_line(run, store, tmp_path, arguments, status, message):
    if status == 1:
        needs("pymilvus", "milvus")
    found = run("publish", store, *(str(a).format(tmp_path) for a in arguments))
    assert found[:2] == (status, "")
    assert message in found[2]
    assert found[2].count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_publish__refuses_a_folder_before_it_builds(run, store, monkeypatch):
    def build(*_, **__):
        raise AssertionError("minutes of building, for nothing")

    monkeypatch.setattr(LocalIndex, "build", build)
    assert "is a store of models" in run("publish", store, "--to", f"exact:{store}")[2]


def test_publish__is_alone_in_saying_what_went_wrong(run, store, tmp_path):
    """Milvus logs a page for each error, which only a process of its own shows."""
    needs("pymilvus", "milvus")
    uri = str(tmp_path / "items.db")
    run("publish", store, "--to", f"milvus:{uri}")
    command = [sys.executable, "-m", "minitower", "publish", str(store), "--to", f"milvus:{uri}"]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    MilvusIndex.open(uri).close()
    assert (failed.returncode, failed.stdout) == (1, "")
    held = f"{uri}: another process holds it: Milvus Lite serves only one"
    assert failed.stderr == f"minitower: error: {held}\n"
    limited = "import resource, runpy; resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 2**40))"
    command[1:3] = ["-c", f"{limited}; runpy.run_module('minitower', run_name='__main__')"]
    failed = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith(f"minitower: error: {uri}: Milvus: ")
    assert failed.stderr.count("\n") == 1
    index = MilvusIndex.open(uri)
    assert index.client.describe_alias("items")["collection_name"] == "items_000001"
    index.close()


@pytest.fixture
def clicks(tmp_path):
    """A folder of split files of clicks."""
    (tmp_path / "data").mkdir()
    rng = np.random.default_rng(0)
    for part, n in (("train", 40), ("test", 2)):
        lists = [f"{u} {' '.join(map(str, rng.integers(0, 60, n)))}\n" for u in range(30)]
        (tmp_path / "data" / f"{part}.txt").write_text("".join(lists))
    return tmp_path / "data"


@pytest.mark.parametrize("engine, from_job", [("exact", True), ("faiss-hnsw", False)])
def test_train__serves_through_the_index_that_is_named(run, clicks, tmp_path, engine, from_job):
    if engine != "exact":
        needs("faiss", "faiss")
    job = tmp_path / "job.toml"
    job.write_text(f'data = "data"\nindex = "{engine if from_job else "scann"}"\n')
    named = [] if from_job else ["--index", engine]
    out = tmp_path / "out"
    options = ["--out", out, "--dim", 4, "--hidden", "", "--epochs", 1]
    status, _, err = run("train", "--job", job, *named, *options)
    assert status == 0, err
    assert (f"index: {engine} finds" in err) == (engine != "exact")
    assert Recommender.open(out).store.index.name == engine


def test_train__refuses_an_index_before_it_trains(run, clicks, tmp_path, monkeypatch):
    out = tmp_path / "out"
    status, _, err = run("train", clicks, "--out", out, "--index", "nmslib")
    assert (status, err.count("\n")) == (2, 1)
    assert "--index: expected one of exact, hnsw, faiss-flat" in err
    monkeypatch.setitem(sys.modules, "faiss", None)
    status, _, err = run("train", clicks, "--out", out, "--index", "faiss-hnsw")
    assert (status, err.count("\n")) == (1, 1)
    assert 'Faiss is missing: pip install "minitower[faiss]"' in err
    assert not out.exists()


@pytest.mark.parametrize("command", [["publish", "--to", "exact:{}/x"], ["index-bench"]])
def test_inner_products_are_refused(run, trained, tmp_path, command):
    name, *more = command
    store = trained / "inner_product"
    status, out, err = run(name, store, *(a.format(tmp_path) for a in more))
    assert (status, out) == (2, "")
    assert "the model scores by inner_product, and vector indexes by cosine" in err


@pytest.mark.parametrize("target, module, extra", [
    ("faiss:{}/x", "faiss", "faiss"),
    ("scann:{}/x", "scann", "scann"),
    ("milvus:{}/x.db", "pymilvus", "milvus"),
])  # fmt: skip
def test_publish__names_the_extra(run, store, tmp_path, monkeypatch, target, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    status, out, err = run("publish", store, "--to", target.format(tmp_path))
    assert (status, out) == (1, "")
    assert err.endswith(f'is missing: pip install "minitower[{extra}]"\n')
    assert err.count("\n") == 1


def test_index_bench__a_line_for_each_effort_and_a_plot(run, store, tmp_path, monkeypatch):
    needs("faiss", "faiss")
    monkeypatch.chdir(tmp_path)
    status, out, err = run("index-bench", store, "-k", 10, "--only", "exact", "hnsw", "faiss-flat")
    assert status == 0
    head, *rows = (line.split("\t") for line in out.splitlines())
    assert head == ["index", "build s", "memory MB", "disk MB", "effort", "recall@10", "ms",
                    "queries/s", "chosen"]  # fmt: skip
    assert {row[0] for row in rows} == {"exact", "hnsw", "faiss-flat"}
    assert [row[0] for row in rows if row[8] == "*"] == ["exact", "hnsw", "faiss-flat"]
    assert all(float(row[5]) >= 0.95 for row in rows if row[8] == "*")
    assert all(float(cell) > 0 for row in rows for cell in (row[3], row[6], row[7]))
    if find_spec("matplotlib") is not None:
        svg = (tmp_path / "index-bench.svg").read_text()
        assert all(f">{name}</text>" in svg for name in ("exact", "hnsw", "faiss-flat"))
        assert err == "plot: index-bench.svg\n"


@pytest.mark.parametrize("name", ["plot.txt", "plot", "none/plot.svg", "folder.svg"])
def test_index_bench__refuses_a_plot_before_it_builds(run, store, tmp_path, monkeypatch, name):
    needs("matplotlib", "cli")

    def measure_backends(*_):
        raise AssertionError("minutes of building, for nothing")

    monkeypatch.setattr("minitower.cli.indexes.measure_backends", measure_backends)
    (tmp_path / "folder.svg").mkdir()
    status, out, err = run("index-bench", store, "--plot", tmp_path / name)
    assert (status, out) == (2, "")
    assert f"{tmp_path / name}: " in err
    assert "plot" in err
    assert err.count("\n") == 1


def test_index_bench__k_beyond_the_catalogue_is_the_catalogue(run, store, tmp_path):
    bench = ("index-bench", store, "--only", "exact", "--plot", tmp_path / "plot.svg", "-k")
    items = len(Recommender.open(store).store.items)
    assert f"\trecall@{items}\t" in run(*bench, 10**9)[1]
    assert run(*bench, 0) == (
        2,
        "",
        "minitower: error: argument -k: expected an integer of at least 1, got '0' "
        "(see minitower index-bench --help)\n",
    )


def test_index_bench__names_what_is_not_installed(run, store, tmp_path, monkeypatch):
    there = dict.fromkeys(BACKENDS, False) | {"exact": True}
    monkeypatch.setattr("minitower.cli.indexes.installed", lambda: there)
    status, out, err = run("index-bench", store, "-k", 10, "--plot", tmp_path / "plot.svg")
    assert status == 0
    assert [line.split("\t")[0] for line in out.splitlines()] == ["index", "exact"]
    for name, extra in (("scann", "scann"), ("faiss-hnsw", "faiss"), ("milvus-lite", "milvus")):
        assert f'{name}: not installed: pip install "minitower[{extra}]"\n' in err
