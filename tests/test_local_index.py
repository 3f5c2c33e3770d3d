"""An index in files: what it refuses, what it survives."""

import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minitower.data import DataError, Dataset, Id, RandomSplit, Schema
from minitower.search.approximate import ENGINES, ApproximateIndex
from minitower.search.engines import Engine
from minitower.search.index import ExactIndex
from minitower.search.tuning import TuningResult
from minitower.store.full_version import publish_model
from minitower.store.local_index import BACKENDS, LocalIndex
from minitower.store.model_files import load_model
from minitower.store.recommender import Recommender
from minitower.store.transaction import prune, rollback
from minitower.store.version_log import VersionLog
from minitower.towers.two_tower import TwoTower

OTHERS = sorted({engine.module for engine in ENGINES.values()} - {"hnswlib"})


def vectors(seed, m=300, d=8):
    return np.random.default_rng(seed).standard_normal((m, d)).astype(np.float32)


def unit(points):
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def build(backend="hnsw", seed=0, m=300, **options):
    if backend != "exact" and find_spec(ENGINES[backend].module) is None:
        pytest.skip(f"{ENGINES[backend].module} is not installed")
    return LocalIndex.build(backend, np.arange(m), vectors(seed, m), k=5, **options)


def answers(folder):
    return LocalIndex.open(folder).search(vectors(9, 20), 5)[0].tolist()


@pytest.fixture
def folder(tmp_path):
    build(version=4).save(tmp_path / "index")
    return tmp_path / "index"


@pytest.fixture
def models(tmp_path):
    log = {"user": [1, 1, 2], "item": [1, 2, 2]}
    schema = Schema(user=[Id("user")], item=[Id("item")])
    data = Dataset.from_columns(schema, log, split=RandomSplit(0, 0))
    model = TwoTower(data.schema, dim=2, hidden=())
    publish_model(model, data, tmp_path / "models")
    return model, data, tmp_path / "models"


@pytest.mark.parametrize("wanted, message", [
    ({"backend": "scann"}, "its backend is hnsw, not scann"),
    ({"dim": 9}, "its dimension is 8, not 9"),
    ({"version": 5}, "its version of the model is 4, not 5"),
])  # fmt: skip
def test_open__refuses_what_another_wrote(folder, wanted, message):
    with pytest.raises(DataError, match=message):
        LocalIndex.open(folder, **wanted)
    assert LocalIndex.open(folder, backend="hnsw", dim=8, version=4).version == 4


def test_stores_of_models_and_of_indexes_do_not_mix(folder, models):
    model, data, store = models
    for use in (Recommender.open, load_model, lambda f: publish_model(model, data, f)):
        with pytest.raises(DataError, match="is a store of indexes"):
            use(folder)
    for use in (LocalIndex.open, build().save):
        with pytest.raises(DataError, match="is a store of models"):
            use(store)
    assert Recommender.open(store).store.version.number == 1
    assert answers(folder)


def test_versions_are_rolled_back_and_pruned(folder):
    first = answers(folder)
    reader = LocalIndex.open(folder)
    build(seed=1).save(folder)
    assert answers(folder) != first
    assert reader.search(vectors(9, 20), 5)[0].tolist() == first
    assert rollback(folder).number == 1
    assert answers(folder) == first
    assert prune(folder, keep=1) == []
    build(seed=2).save(folder)
    assert prune(folder, keep=1) == [1, 2]


def test_open__names_a_damaged_file(folder):
    path = folder / "versions/000001/index.hnsw"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"index\.hnsw: damaged"):
        LocalIndex.open(folder)


@pytest.mark.parametrize("backend", ["hnsw", "faiss-hnsw", "scann"])
def test_open__says_so_when_the_library_cannot_read_it(tmp_path, monkeypatch, backend):
    """As a library does with a file of a later release; the checksum is right."""
    index = build(backend, m=1000)
    engine = index.index.engine
    save = engine.save
    monkeypatch.setattr(engine, "save", lambda place: (save(place), spoil(place)))

    def spoil(place):
        for path in place.iterdir():
            if path.suffix in (".hnsw", ".faiss", ".pb"):
                path.write_bytes(b"of a later release")

    build("exact", seed=3).save(tmp_path / "index")
    before = answers(tmp_path / "index")
    with pytest.raises(DataError, match="cannot read it") as refused:
        index.save(tmp_path / "index")
    assert "\n" not in str(refused.value)
    assert answers(tmp_path / "index") == before


@pytest.mark.parametrize("backend, message", [
    ("hnsw", "is not the graph of these 300 item vectors"),
    ("faiss-hnsw", "finds other items than the index did"),
])  # fmt: skip
def test_save__serves_no_index_of_other_vectors(folder, monkeypatch, backend, message):
    index = build(backend, seed=1)
    monkeypatch.setattr(index.index.engine, "save", build(backend, seed=2).index.engine.save)
    before = answers(folder)
    with pytest.raises(DataError, match=message):
        index.save(folder)
    assert answers(folder) == before


@pytest.mark.parametrize("module", OTHERS)
def test_a_missing_library_is_named_with_its_extra(folder, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    before = answers(folder)
    for backend, engine in ENGINES.items():
        if engine.module == module:
            with pytest.raises(ModuleNotFoundError, match=rf"minitower\[{module}\]"):
                LocalIndex.build(backend, [1, 2], vectors(0, 2))
    assert answers(folder) == before


items_at = st.integers(-2, 70)  # of 64


class Forgetful(Engine):
    """Finds most of what it should, and now and then too few; as libraries do."""

    name = "forgetful"
    module = "numpy"
    library = None

    def __init__(self, items, complete):
        self.items, self.complete = items, complete

    @classmethod
    def build(cls, points, *, seed=0):
        return cls(points, False)

    def search(self, points, size, effort):
        cosines = points @ self.items.T
        if not self.complete:
            cosines[:, ::7] = -np.inf  # never met on the way
        rows = np.argsort(-cosines, axis=1, kind="stable")[:, :size]
        cosines = np.take_along_axis(cosines, rows, axis=1)
        if not self.complete:
            cosines[points[:, 0] > 0, size // 2 :] = -np.inf
        rows[np.isneginf(cosines)] = -1
        return rows, cosines

    def save(self, folder):
        raise NotImplementedError

    @classmethod
    def open(cls, saved, shape):
        raise NotImplementedError


@settings(max_examples=100)
@given(
    seed=st.integers(0, 999),
    k=st.integers(1, 6) | st.integers(1, 70),
    complete=st.booleans(),
    left_out=st.lists(
        st.lists(items_at, max_size=2) | st.lists(items_at, max_size=70), min_size=3, max_size=3
    ),
    deleted=st.sets(items_at, max_size=2) | st.sets(items_at, max_size=64),
)
def test_search__never_what_is_left_out_and_full_as_long_as_items_remain(
    seed, k, complete, left_out, deleted
):
    """Whatever an engine does; and where it finds all, the very best."""
    ids, items = np.arange(64), unit(vectors(seed, 64))
    tuning = TuningResult(recall=0.5, target=0.5, effort=1, k=3, queries=1)
    engine = Forgetful(items, complete)
    approximate = ApproximateIndex(engine, ExactIndex(items), "cosine", tuning, rescore=False)
    index = LocalIndex(approximate, ids)
    assert index.delete(sorted(deleted)) == len(deleted & set(range(64)))
    queries = unit(vectors(seed + 1, 3))
    found, cosines = index.search(queries, k, left_out)
    right = queries @ items.T
    for i in range(3):
        allowed = [j for j in range(64) if j not in deleted and j not in left_out[i]]
        best = sorted(allowed, key=lambda j: -right[i, j])
        n = min(k, len(allowed))
        mine = found[i, :n].tolist()
        assert len(set(mine)) == n
        assert set(mine) <= set(allowed)
        assert (found[i, n:] == -1).all()
        assert np.isneginf(cosines[i, n:]).all()
        np.testing.assert_allclose(cosines[i, :n], right[i, mine], atol=1e-6)
        assert (np.diff(cosines[i, :n]) <= 0).all()
        if complete or n > 64 // 8:
            np.testing.assert_allclose(cosines[i, :n], right[i, best[:n]], atol=1e-6)


def test_scann__finds_too_few_and_says_so():
    """It answers with row 0 and NaN itself, which is an item that nobody asked for."""
    if find_spec("scann") is None:
        pytest.skip("scann is not installed: pip install '.[scann]'")
    items = unit(vectors(0, 1200))
    rows, cosines = ENGINES["scann"].build(items, seed=0).search(unit(vectors(1, 20)), 300, 1)
    assert (rows == -1).any()
    assert np.array_equal(rows == -1, np.isneginf(cosines))
    assert (rows >= 0).any()
    assert not np.isnan(cosines).any()


FULL_DISK = """
    import resource, sys
    import numpy as np
    from minitower.data import DataError
    from minitower.store.local_index import LocalIndex

    backend, folder, room = sys.argv[1], sys.argv[2], int(sys.argv[3])
    vectors = np.random.default_rng(1).standard_normal((1200, 8)).astype(np.float32)
    index = LocalIndex.build(backend, np.arange(1200), vectors, k=5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        index.save(folder)
    except DataError as error:
        print(error)
"""


@pytest.mark.parametrize("room", [20_000, 1200 * 8 * 4 + 128], ids=["vectors", "library"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_save__a_full_disk_leaves_the_previous_index_served(folder, backend, room):
    """The second limit lets the vectors through, and not what the library adds to them."""
    if room > 20_000 and backend not in ("hnsw", "faiss-hnsw", "faiss-ivfpq"):
        room = 20_000
    build(backend, m=30)  # skips where the library is missing
    before = answers(folder)
    script = textwrap.dedent(FULL_DISK)
    command = [sys.executable, "-c", script, backend, str(folder), str(room)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("\n") == 1
    assert f"{folder}/versions/000002: cannot be written: " in run.stdout
    why = "File too large" if room == 20_000 else "the graph: is it full|Faiss: .*write error"
    assert re.search(why, run.stdout)
    assert answers(folder) == before
    assert [v.number for v in VersionLog.read(folder).versions] == [1]


def test_build__says_so_when_the_target_is_out_of_reach():
    clones = np.repeat(vectors(0, 60), 50, axis=0)
    with pytest.warns(
        UserWarning,
        match=r"finds .*% of the exact top 100 at its largest",
    ):
        index = LocalIndex.build(
            "hnsw", np.arange(3000), clones, target_recall=1.0, neighbors=2, ef_construction=2
        )
    assert index.tuning.recall < 1


@pytest.mark.parametrize("options, message", [
    ({"k": 0}, "k must be an integer of at least 1, got 0"),
    ({"target_recall": 0.0}, r"target_recall must be in \(0, 1\], got 0"),
    ({"queries": np.ones((0, 8))}, "queries is empty"),
    ({"queries": np.ones((3, 7))}, "queries have 7 dimensions, the items have 8"),
])  # fmt: skip
def test_build__refuses(options, message):
    with pytest.raises(DataError, match=message):
        LocalIndex.build("exact", np.arange(30), vectors(0, 30), **options)
    with pytest.raises(DataError, match=r"backend must be one of exact, hnsw, .*, got 'nmslib'"):
        LocalIndex.build("nmslib", np.arange(30), vectors(0, 30))


TOGETHER = """
    import importlib, sys
    import numpy as np
    from minitower.search.approximate import ENGINES
    from minitower.store.local_index import LocalIndex

    vectors = np.random.default_rng(0).standard_normal((2000, 16)).astype(np.float32)
    build = lambda name: LocalIndex.build(name, np.arange(2000), vectors, k=10)
    names = [name for name in ENGINES if importlib.util.find_spec(ENGINES[name].module)]
    first = [build(name) for name in names] if sys.argv[1] == "before" else []
    import tensorflow, torch
    assert float(torch.ones(300, 300).mm(torch.ones(300, 300))[0, 0]) == 300
    assert float(tensorflow.linalg.matmul(*[tensorflow.ones((300, 300))] * 2)[0, 0]) == 300
    for index in [*first, *(build(name) for name in names)]:
        assert (index.search(vectors[:50], 1)[0][:, 0] == np.arange(50)).mean() > 0.9
"""


@pytest.mark.parametrize("order", ["before", "after"])
def test_all_libraries_in_one_process(order):
    """Each brings threads of its own, and `import scann` fails beside a newer TensorFlow."""
    for module in ("torch", "tensorflow"):
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install '.[peers]'")
    command = [sys.executable, "-c", textwrap.dedent(TOGETHER), order]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
