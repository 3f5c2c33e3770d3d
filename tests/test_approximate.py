"""What approximate search promises beyond the contract of test_index.py."""

import threading
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data.errors import DataError
from minitower.data.table import Ragged
from minitower.search.approximate import (
    ENGINES,
    ApproximateIndex,
)
from minitower.search.engines import Engine
from minitower.search.hnsw import Hnsw
from minitower.search.index import ExactIndex
from minitower.search.over_fetching import by_fetch_size, first_kept, scaled_effort
from minitower.search.points import item_points
from minitower.search.tuning import TuningResult

INSTALLED = [name for name, engine in ENGINES.items() if find_spec(engine.module) is not None]


def clustered(seed, n, d=16, centres=40):
    """Points around shared centres: easier than noise, harder than a line."""
    middle = np.random.default_rng(99).standard_normal((centres, d))
    rng = np.random.default_rng(seed)
    points = middle[rng.integers(0, centres, n)] + 0.5 * rng.standard_normal((n, d))
    return points.astype(np.float32)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def long_tailed(seed, n):
    lengths = np.random.default_rng(seed).lognormal(0, 0.5, (n, 1))
    return clustered(seed, n) * lengths.astype(np.float32)


def found(index, queries, k):
    """The share of the exact top k that an index returns, ties with the last counting."""
    worst = ExactIndex(index.vectors).search(queries, k)[1][:, -1:]
    return float((index.search(queries, k)[1] >= worst).mean())


def build(items, engine="hnsw", **options):
    return ApproximateIndex.build(engine, items, **options)


class Folder:
    """A folder of files that nothing has damaged."""

    def __init__(self, folder):
        self.folder = folder
        self.files = {path.name: None for path in folder.iterdir()}

    def path(self, name):
        return self.folder / name


@pytest.fixture(scope="module")
def cosine():
    return build(unit(clustered(0, 2000)), similarity="cosine", k=10)


@pytest.mark.parametrize("engine", INSTALLED)
@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_build__measures_the_recall_it_reports(similarity, engine):
    items, users = long_tailed(1, 3000), clustered(2, 400)
    if similarity == "cosine":
        items = unit(items)
    index = build(items, engine, similarity=similarity, queries=users, k=20, target_recall=0.97)
    assert index.tuning.recall == found(index, users, 20) >= 0.97
    assert (index.tuning.queries, index.tuning.k) == (400, 20)
    assert found(index, clustered(3, 400), 20) > 0.95  # users it was not tuned with


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
@pytest.mark.parametrize("length", [1e-30, 1e-3, 1e3, 1e37])
def test_search__the_length_of_a_query_is_no_matter(similarity, length):
    """hnswlib holds 1 - product in float32: of a short query it would lose all."""
    items, users = clustered(1, 2000), unit(clustered(2, 50))
    items = unit(items) if similarity == "cosine" else items
    index = build(items, similarity=similarity, k=10)
    rows = index.search(users, 10)[0]
    scaled = index.search((users.astype(np.float64) * length).astype(np.float32), 10)[0]
    assert (rows == scaled).mean() > 0.99


def test_build__picks_the_smallest_rung_that_reaches_the_target():
    """On long-tailed inner products a short candidate list is not enough."""
    items, users = long_tailed(1, 4000), clustered(2, 300)
    index = build(
        items, similarity="inner_product", queries=users, k=10, target_recall=0.98, neighbors=8
    )
    assert index.effort == index.tuning.effort > 10
    assert index.effort / 10 == 2 ** round(np.log2(index.effort / 10))
    index.effort //= 2
    assert found(index, users, 10) < 0.98


def test_build__says_so_when_the_target_is_out_of_reach():
    """Clones link only to each other: a graph with two links an item falls to pieces."""
    items = unit(np.repeat(clustered(0, 60), 50, axis=0))
    with pytest.warns(
        UserWarning,
        match=r"finds .*% of the exact top 100 at its largest",
    ):
        index = build(items, similarity="cosine", target_recall=1.0, neighbors=2, ef_construction=2)
    assert index.tuning.recall < 1
    assert index.tuning.effort == 3000


def test_search__excluded_items_do_not_crowd_out_the_rest(cosine):
    """Exclude the very best of every query: the next best must come."""
    users = unit(clustered(5, 60))
    best = ExactIndex(cosine.vectors).search(users, 50)[0]
    exclude = Ragged.from_counts(np.full(60, 50), best.ravel())
    before = cosine.exact_answers
    rows, scores = cosine.search(users, 10, exclude)
    assert cosine.exact_answers == before  # the graph answered
    assert not any(set(a) & set(b) for a, b in zip(rows.tolist(), best.tolist()))
    worst = ExactIndex(cosine.vectors).search(users, 10, exclude)[1][:, -1:]
    assert (scores >= worst).mean() > 0.95


def test_search__asks_the_exact_index_where_the_graph_has_no_advantage(cosine):
    users = unit(clustered(5, 3))
    counts = np.array([0, 300, 1990])
    exclude = Ragged.from_counts(counts, np.concatenate([np.arange(c) for c in counts]))
    before = cosine.exact_answers
    rows, _ = cosine.search(users, 20, exclude)
    assert cosine.exact_answers == before + 2
    assert rows[2].tolist()[10:] == [-1] * 10
    assert set(rows[2][:10]) == set(range(1990, 2000))


def test_search__the_candidate_list_grows_with_what_is_asked_for(cosine):
    """ef belongs to the k it was measured at; a longer list needs a longer search."""
    asked = []

    class Recording(Torn):
        def set_ef(self, ef):
            asked.append(ef)
            super().set_ef(ef)

    index = over(Recording, cosine)
    index.effort = 40
    users = np.abs(unit(clustered(6, 2)))
    index.search(users, 10)
    index.search(users, 3)
    index.search(users, 10, Ragged.from_counts([0, 50], np.arange(50)))
    assert cosine.tuning.k == 10
    assert asked == [40, 40, 40, 4 * 64]


class Torn:
    """A graph that comes back short whenever a query points to the left."""

    def __init__(self, graph):
        self.graph, self.dim = graph, graph.dim

    def set_ef(self, ef):
        self.graph.set_ef(ef)

    def knn_query(self, queries, k):
        if (queries[:, 0] < 0).any():
            raise RuntimeError("Cannot return the results in a contiguous 2D array. Probably ...")
        return self.graph.knn_query(queries, k=k)


def over(graph, index):
    """The same index, whose graph is wrapped."""
    engine = Hnsw(graph(index.engine._graph))
    return ApproximateIndex(engine, ExactIndex(index.vectors), "cosine", index.tuning)


def test_search__exact_for_those_the_graph_leaves_short(cosine):
    torn = over(Torn, cosine)
    users = unit(clustered(6, 40))
    left = users[:, 0] < 0
    assert 0 < left.sum() < 40
    exclude = Ragged.from_counts(np.full(40, 3), np.arange(120))
    rows, scores = torn.search(users, 10, exclude)
    assert torn.exact_answers == left.sum()
    assert np.array_equal(scores[~left], cosine.search(users, 10, exclude)[1][~left])
    exact = ExactIndex(cosine.vectors).search(users, 10, exclude)
    assert np.array_equal(rows[left], exact[0][left])


def test_search__other_errors_of_the_graph_come_through(cosine):
    class Broken(Torn):
        def knn_query(self, queries, k):
            raise RuntimeError("out of memory")

    broken = over(Broken, cosine)
    with pytest.raises(RuntimeError, match="out of memory"):
        broken.search(unit(clustered(6, 1)), 10)


def test_search__from_several_threads(cosine):
    """Different k need different ef, which is one state of the graph."""
    users = unit(clustered(7, 30))
    expected = {k: cosine.search(users, k)[0] for k in (1, 10, 100)}
    wrong = []

    def ask(k):
        for _ in range(20):
            if not np.array_equal(cosine.search(users, k)[0], expected[k]):
                wrong.append(k)

    threads = [threading.Thread(target=ask, args=(k,)) for k in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("engine", INSTALLED)
@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_open__gives_back_what_was_saved(tmp_path, similarity, engine):
    items, users = unit(clustered(0, 1200)), clustered(1, 50)
    index = build(items, engine, similarity=similarity, queries=users, k=10)
    index.effort += 7  # chosen by hand
    stated = index.save(tmp_path)
    again = ApproximateIndex.open(Folder(tmp_path), items, stated)
    for name in ("name", "effort", "tuning", "similarity", "rescore"):
        assert getattr(again, name) == getattr(index, name)
    for one, other in zip(index.search(users, 10), again.search(users, 10)):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("engine", [e for e in INSTALLED if e != "scann"])
@pytest.mark.parametrize("change", [lambda items: items[:-1], lambda items: unit(items[:, :-1])])
def test_open__refuses_an_index_of_other_vectors(tmp_path, change, engine):
    """ScaNN does not say what it holds."""
    items = unit(clustered(0, 1200))
    stated = build(items, engine, similarity="cosine", k=5).save(tmp_path)
    with pytest.raises(DataError, match=r"is not the graph of these|vectors of 16 numbers"):
        ApproximateIndex.open(Folder(tmp_path), change(items), stated)


def test_open__refuses_a_file_that_was_slipped_in(tmp_path):
    """ScaNN unpickles a file of this name, if there is one."""
    if "scann" not in INSTALLED:
        pytest.skip("scann is not installed: pip install '.[scann]'")
    items = unit(clustered(0, 1200))
    stated = build(items, "scann", similarity="cosine").save(tmp_path)
    saved = Folder(tmp_path)
    saved.files = {path.name: None for path in tmp_path.iterdir()}
    (tmp_path / "scann_docids.pkl").write_bytes(b"")
    with pytest.raises(DataError, match=r"scann_docids\.pkl: is not listed"):
        ApproximateIndex.open(saved, items, stated)


@pytest.mark.parametrize("engine", INSTALLED)
@pytest.mark.parametrize("rescore", [True, False])
def test_delete__deleted_items_never_come_and_the_rest_fills_up(engine, rescore):
    items, users = unit(clustered(0, 2000)), unit(clustered(1, 60))
    index = build(items, engine, similarity="cosine", k=10, queries=users, rescore=rescore)
    best = np.unique(ExactIndex(items).search(users, 5)[0])
    index.delete(best)
    exclude = Ragged.from_counts(np.arange(60) % 7, np.arange(2000)[: (np.arange(60) % 7).sum()])
    rows, scores = index.search(users, 10, exclude)
    assert rows.min() >= 0
    assert not np.isin(rows, best).any()
    assert not any(set(row) & set(exclude.row(i).tolist()) for i, row in enumerate(rows.tolist()))
    exact = ExactIndex(items)
    exact.delete(best)
    assert (scores >= exact.search(users, 10, exclude)[1][:, -1:] - 1e-6).mean() > 0.85


@pytest.mark.parametrize("pooled, sizes", [(False, [5, 10, 40]), (True, [10, 10, 40])])
def test_search__engines_that_rescore_a_pool_fetch_no_shorter_list(cosine, pooled, sizes):
    """The best five of a pool for ten are surer than those of a pool for five."""
    asked = []

    class Pooled(Hnsw):
        def search(self, points, size, effort):
            asked.append(size)
            return super().search(points, size, effort)

    Pooled.pooled = pooled
    engine = Pooled(cosine.engine._graph)
    index = ApproximateIndex(engine, ExactIndex(cosine.vectors), "cosine", cosine.tuning)
    for k in (5, 10, 40):
        index.search(unit(clustered(5, 3)), k)
    assert asked == sizes


class Perfect(Engine):
    """Finds the very best points."""

    name = "perfect"
    module = "numpy"
    library = save = open = None

    def __init__(self, items):
        self.items = items

    @classmethod
    def build(cls, points, *, seed=0):
        return cls(points)

    def search(self, points, size, effort):
        scores = points @ self.items.T
        rows = np.argsort(-scores, axis=1, kind="stable")[:, :size]
        return rows, np.take_along_axis(scores, rows, axis=1)


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
@pytest.mark.parametrize("rescore", [True, False])
def test_build__measures_a_recall_of_one_over_a_perfect_engine(monkeypatch, similarity, rescore):
    """Scores are measured in one scale, or refused."""
    monkeypatch.setitem(ENGINES, "perfect", Perfect)
    items, users = unit(clustered(0, 300)), unit(clustered(1, 50))
    long = {"cosine": 1.0, "inner_product": 3.0}[similarity]
    if similarity == "inner_product" and not rescore:
        with pytest.raises(DataError, match="rescore=False returns cosines, but similarity is"):
            build(long * items, "perfect", similarity=similarity, queries=users, rescore=False)
        return
    index = build(
        long * items, "perfect", similarity=similarity, queries=users, rescore=rescore, k=10
    )
    assert index.tuning.recall == 1


def test_search__without_rescoring_queries_have_length_one(monkeypatch):
    """The engine and the exact index would score other queries in two scales."""
    monkeypatch.setitem(ENGINES, "perfect", Perfect)
    items, users = unit(clustered(0, 300)), 2 * unit(clustered(1, 50))
    users[:3] /= 2
    users[1] = 0
    message = "query 3 has length 2; cosine needs vectors of length one"
    with pytest.raises(DataError, match=message):
        build(items, "perfect", similarity="cosine", queries=users, rescore=False)
    index = build(items, "perfect", similarity="cosine", queries=users[:3], rescore=False)
    with pytest.raises(DataError, match=message):
        index.search(users, 5)
    assert index.search(users[:3], 5)[1][1].tolist() == [0] * 5
    rescored = build(items, "perfect", similarity="cosine", queries=users)
    assert rescored.tuning.recall == 1
    with pytest.raises(DataError, match="rescore=False returns cosines"):
        ApproximateIndex(
            index.engine, ExactIndex(items), "inner_product", index.tuning, rescore=False
        )


few = st.lists(st.integers(0, 199), max_size=9)


@given(
    seed=st.integers(0, 99),
    k=st.integers(1, 9) | st.integers(1, 220),
    excluded=st.none() | st.lists(few | st.just([*range(150)]), min_size=3, max_size=3),
    deleted=few | st.just([*range(50, 200)]),
)
def test_search__over_a_perfect_engine_equals_exact_search(seed, k, excluded, deleted):
    """To the bit, whatever is excluded and deleted, with as many exact answers as it takes."""
    rng = np.random.default_rng(seed)
    items, queries = (rng.standard_normal((n, 8)).astype(np.float32) for n in (200, 3))
    tuning = TuningResult(recall=1.0, target=0.9, effort=1, k=5, queries=1)
    engine = Perfect(item_points(items, "inner_product"))
    index = ApproximateIndex(engine, ExactIndex(items), "inner_product", tuning)
    exact = ExactIndex(items)
    exclude = None
    if excluded is not None:
        exclude = Ragged.from_counts([*map(len, excluded)], [j for e in excluded for j in e])
    for one in (index, exact):
        one.delete(np.array(deleted, np.int64))
    for mine, right in zip(index.search(queries, k, exclude), exact.search(queries, k, exclude)):
        np.testing.assert_array_equal(mine, right)


def test_search__without_rescoring_the_scores_are_those_of_the_engine(cosine):
    bare = ApproximateIndex(
        cosine.engine, ExactIndex(cosine.vectors), "cosine", cosine.tuning, rescore=False
    )
    users = unit(clustered(5, 20))
    rows, scores = bare.search(users, 10)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, cosine.search(users, 10)[1], atol=1e-6)
    assert (rows == cosine.search(users, 10)[0]).mean() > 0.99


@pytest.mark.parametrize("m", [1, 2, 3])
def test_build__tiny(m):
    items = np.zeros((m, 2), np.float32)
    index = build(items, similarity="inner_product")
    assert index.tuning.recall == 1
    assert index.search(np.ones((1, 2)), 5)[0].tolist() == [[*range(m), *[-1] * (5 - m)]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"neighbors": 1}, r"neighbors must be an integer within 2\.\.100, got 1"),
        ({"neighbors": 101}, "within"),
        ({"ef_construction": 3}, "ef_construction must be an integer of at least 16, got 3"),
        ({"k": 0}, "k must be an integer of at least 1"),
        ({"seed": -1}, "seed must be an integer of at least 0"),
        ({"threads": 0}, "threads must be an integer of at least 1"),
        ({"target_recall": 0.0}, "target_recall must be in"),
        ({"target_recall": 1.1}, "target_recall must be in"),
        ({"similarity": "l2"}, "similarity must be one of cosine, inner_product"),
        ({"vectors": np.array([[1.0, 0], [1.0, 1]])}, "item vector 1 has length 1.414"),
        ({"vectors": np.ones((0, 2))}, "at least one item"),
        ({"queries": np.ones((0, 2))}, "queries is empty"),
        ({"queries": np.ones((1, 3))}, "queries have 3 dimensions"),
    ],
)
def test_build__refuses(options, message):
    with pytest.raises(ValueError, match=message):
        ApproximateIndex.build("hnsw", **{"vectors": np.eye(2), "similarity": "cosine"} | options)


@given(st.lists(st.integers(0, 100), max_size=20), st.integers(1, 20), st.integers(0, 100))
def test_by_fetch_size__every_query_once_and_enough_for_each(extra, k, more):
    wanted = k + np.array(extra, np.int64)
    groups = [*by_fetch_size(wanted, k, k + more)]
    assert sorted(np.concatenate([np.zeros(0), *(rows for _, rows in groups)])) == [
        *range(len(extra))
    ]
    for size, rows in groups:
        assert (np.minimum(wanted[rows], k + more) <= size).all()
        assert size <= k + more
        assert size == k or (size < 2 * wanted[rows]).all()
        assert (size == k) == (wanted[rows] == k).all() or more == 0 or size == k + more
    assert len(groups) <= 8


def test_first_kept():
    rows = np.array([[3, 1, 2, -1], [5, 4, 0, 6]])
    cosines = np.array([[0.9, 0.8, 0.7, -np.inf], [0.9, 0.8, 0.7, 0.6]], np.float32)
    kept = np.array([[False, True, False, False], [True, False, True, True]])
    found, scores = first_kept(2, rows, cosines, kept)
    assert found.tolist() == [[1, -1], [5, 0]]
    np.testing.assert_array_equal(scores, np.array([[0.8, -np.inf], [0.9, 0.7]], np.float32))


@given(st.integers(1, 500), st.integers(1, 500), st.integers(1, 100))
def test_scaled_effort__in_proportion_and_never_below_the_tuned_one(effort, size, k):
    assert scaled_effort(effort, size, k) >= effort
    assert scaled_effort(effort, size, k) * k >= effort * size
    assert scaled_effort(effort, k, k) == effort
