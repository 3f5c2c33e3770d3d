"""One contract, and every index of ids must keep it."""

from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.scale.milvus import MilvusIndex
from minitower.scale.milvus_versions import publish_to_milvus
from minitower.search.approximate import ENGINES
from minitower.search.by_id import VectorIndex, search_database
from minitower.store.local_index import BACKENDS as LOCAL
from minitower.store.local_index import LocalIndex

APPROXIMATE = ("hnsw", "faiss-hnsw", "faiss-ivfpq", "scann")
M, D = 1200, 16


def clustered(seed, n, d=D, centres=60):
    middle = np.random.default_rng(99).standard_normal((centres, d))
    rng = np.random.default_rng(seed)
    points = middle[rng.integers(0, centres, n)] + 0.5 * rng.standard_normal((n, d))
    return points.astype(np.float32)


def unit(vectors):
    return vectors / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)


def cosines(queries, items):
    return unit(queries) @ unit(items).T


def needs(module):
    if find_spec(module) is None:  # importing ScaNN beside another TensorFlow than its own fails
        pytest.skip(f"{module} is not installed")


class Local:
    def __init__(self, backend, folder):
        self.backend, self.folder = backend, folder / "index"
        if backend != "exact":
            needs(ENGINES[backend].module)

    def build(self, ids, vectors, **options):
        return LocalIndex.build(self.backend, ids, vectors, **options)

    def reopened(self, index):
        index.save(self.folder)
        return LocalIndex.open(self.folder)

    def close(self):
        pass


class MilvusLite:
    def __init__(self, backend, folder):
        self.uri, self.index = str(folder / "items.db"), None
        needs("pymilvus")

    def build(self, ids, vectors, **options):
        self.index = publish_to_milvus(self.uri, ids, vectors, **options)
        return self.index

    def reopened(self, index):
        self.close()
        self.index = MilvusIndex.open(self.uri)
        return self.index

    def close(self):
        if self.index is not None:
            self.index.close()


BACKENDS = {**dict.fromkeys(LOCAL, Local), "milvus-lite": MilvusLite}


@pytest.fixture(params=BACKENDS)
def backend(request, tmp_path):
    chosen = BACKENDS[request.param](request.param, tmp_path)
    yield chosen
    chosen.close()


def test_scores_are_cosines(backend):
    items, queries = 3 * clustered(0, M), 0.1 * clustered(1, 50)
    index = backend.build(np.arange(M), items, k=10)
    assert isinstance(index, VectorIndex)
    ids, scores = index.search(queries, 10)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(
        scores, np.take_along_axis(cosines(queries, items), ids, 1), atol=1e-5
    )
    assert (np.diff(scores) <= 0).all()
    assert all(len(set(row)) == 10 for row in ids.tolist())


@pytest.mark.parametrize(
    "ids",
    [
        [f"item {i}\u2713 'q\" \\" for i in range(M)],
        [-7 * i for i in range(M)],
        [2**63 - 1 - i for i in range(M)],
    ],
    ids=["text", "negative", "large"],
)
def test_ids_of_any_kind_survive(backend, ids):
    items = clustered(0, M)
    index = backend.reopened(backend.build(ids, items, k=10, target_recall=1.0))
    found, _ = index.search(items[:50], 1)
    assert found[:, 0].tolist() == ids[:50]
    found, _ = index.search(items[:2], 3, exclude=[ids[:1], ids[1:2]])
    assert ids[0] not in found[0].tolist()
    assert ids[1] not in found[1].tolist()
    assert found.dtype.kind == ("U" if isinstance(ids[0], str) else "i")


@pytest.mark.parametrize("k", [M // 2, M, M + 7])
def test_k_larger_than_the_catalogue(backend, k):
    ids, scores = backend.build(np.arange(M), clustered(0, M), k=10).search(clustered(1, 3), k)
    assert ids.shape == scores.shape == (3, k)
    there = min(k, M)
    assert all(len(set(row[:there])) == there for row in ids.tolist())
    assert (ids[:, there:] == -1).all()
    assert np.isneginf(scores[:, there:]).all()
    assert np.isfinite(scores[:, :there]).all()


def test_excluded_items_never_come_and_the_rest_fills_up(backend):
    items, queries = clustered(0, M), clustered(1, 40)
    index = backend.build(np.arange(M), items, k=10)
    order = np.argsort(-cosines(queries, items), axis=1)
    counts = np.r_[0, 1, np.arange(36) * 30, M - 3, M]
    exclude = [row[:count].tolist() for row, count in zip(order, counts)]
    exclude[0] = [M + 1, -5]  # unknown
    ids, scores = index.search(queries, 10, exclude)
    right = []
    for row, score, out, best in zip(ids.tolist(), scores, exclude, order.tolist()):
        left = [i for i in best if i not in set(out)][:10]
        assert not set(row[: len(left)]) & set(out)
        assert len(set(row[: len(left)])) == len(left)
        assert row[len(left) :] == [-1] * (10 - len(left))
        assert np.isneginf(score[len(left) :]).all()
        right += [i in left for i in row[: len(left)]]
    assert np.mean(right) > 0.9


def test_deleted_items_never_come_back(backend):
    items = clustered(0, M)
    index = backend.build(np.arange(M), items, k=10)
    gone = np.flatnonzero(np.random.default_rng(0).random(M) < 0.5)
    assert index.delete(gone) == len(gone)
    assert index.delete([*gone[:5], M + 5]) == 0
    for each in (lambda: index, lambda: backend.reopened(index)):
        each = each()
        assert len(each) == M - len(gone)
        ids, _ = each.search(items, 10, [[i] for i in range(M)])
        assert not np.isin(ids, gone).any()
        assert (ids != np.arange(M)[:, None]).all()
        assert ids.min() >= 0
        everything, _ = each.search(items[:1], M)
        assert set(everything[0]) == set(range(M)) - set(gone) | {-1}


@pytest.mark.parametrize("target", [0.7, 0.9, 0.99])
def test_recall_is_measured_and_reaches_the_target(backend, target):
    items, queries = clustered(0, M), clustered(1, 300)
    index = backend.build(np.arange(M), items, queries=queries, k=20, target_recall=target)
    ids, _ = index.search(queries, 20)
    best = np.argsort(-cosines(queries, items), axis=1)[:, :20]
    recall = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(ids.tolist(), best.tolist())])
    # What an engine leaves short counts as missed, and is filled up all the same.
    if getattr(index, "backend", None) == "exact":
        assert (index.tuning, recall) == (None, 1)
        return
    assert index.tuning.recall == pytest.approx(recall, abs=1e-3) or getattr(
        index.index, "exact_answers", 0
    )
    assert recall + 1e-3 >= index.tuning.recall >= target == index.tuning.target
    assert (index.tuning.k, index.tuning.queries) == (20, 300)


def test_results_after_save_and_open_are_the_same(backend):
    items, queries = clustered(0, M), clustered(1, 60)
    index = backend.build(np.arange(M), items, k=10, version=3)
    exclude = [list(range(3 * i)) for i in range(60)]
    search = lambda index: [*index.search(queries, 10), *index.search(queries, 10, exclude)]
    before, measured = search(index), index.tuning
    opened = backend.reopened(index)
    for a, b in zip(before, search(opened)):
        np.testing.assert_array_equal(a, b)
    assert (opened.version, opened.dim, len(opened)) == (3, D, M)
    assert opened.tuning == measured


BAD = {
    "twice": ([1, 2, 1], np.ones((3, 2)), "1 occurs 2 times"),
    "NaN": (["a", "b"], np.array([[1, 0], [0, np.nan]]), "item 'b' is not finite"),
    "too large": (["a", "b"], np.array([[1, 0], [0, 1e300]]), "item 'b' is not finite"),
    "zero": ([7, 8], np.array([[1.0, 0], [0, 0]]), "item 8 is zero"),
    "empty": ([], np.ones((0, 2)), "ids is empty"),
    "ragged": ([1, 2], [[1.0], [1.0, 2.0]], "vectors is not an array"),
    "fewer": ([1], np.ones((2, 2)), "1 ids for vectors of shape"),
    "flat": ([1, 2], np.ones(2), "vectors must be of shape"),
    "complex": ([1, 2], np.ones((2, 2), complex), "vectors must be real numbers"),
    "missing": (["a", ""], np.ones((2, 2)), "ids, row 1: missing id"),
    "mixed": (["a", 1], np.ones((2, 2)), "among"),
    "half": ([1.5, 2], np.ones((2, 2)), "expected an integer or a string"),
}


@pytest.mark.parametrize("ids, vectors, message", BAD.values(), ids=BAD)
def test_refuses_items(backend, ids, vectors, message):
    with pytest.raises(DataError, match=message):
        backend.build(ids, vectors)


@pytest.mark.parametrize("queries, k, exclude, message", [
    (np.ones((1, D + 1)), 1, None, f"queries have {D + 1} dimensions, the items have {D}"),
    (np.ones(D), 1, None, "queries must be of shape"),
    (np.full((1, D), np.inf), 1, None, "queries: row 0 is not finite"),
    (np.zeros((1, D)), 1, None, "queries: row 0 is zero"),
    (np.ones((1, D)), 0, None, "k must be an integer of at least 1"),
    (np.ones((1, D)), 2.0, None, "k must be an integer of at least 1, got 2.0"),
    (np.ones((1, D)), 10**9, None, "k must be at most 16384, got 1000000000"),
    (np.ones((1, D)), 1, [[1], [2]], "exclude has 2 rows for 1 queries"),
    (np.ones((1, D)), 1, [["a"]], "integers"),
])  # fmt: skip
def test_refuses_searches(backend, queries, k, exclude, message):
    index = backend.build(np.arange(20), clustered(0, 20), k=5)
    with pytest.raises(DataError, match=message):
        index.search(queries, k, exclude)


def test_no_queries(backend):
    ids, scores = backend.build(["a", "b"], clustered(0, 2)).search(np.ones((0, D)), 3, [])
    assert ids.shape == scores.shape == (0, 3)
    assert ids.dtype.kind == "U"


def test_few_items(backend):
    """Trees, lists and codes must not need many."""
    for m in (1, 2, 40, 300):
        items = clustered(0, m, 5)
        ids, _ = backend.build(np.arange(m), items, target_recall=1.0).search(items, 3)
        assert ids[:, 0].tolist() == list(range(m))
        assert (ids >= 0).sum() == m * min(m, 3)


LISTED = 40


class Forgetful:
    """A database that is a sorted list of 40 items; answers lack some at random, as a graph's."""

    def __init__(self, seed, lost):
        self.rng, self.lost, self.calls = np.random.default_rng(seed), lost, []
        self.cosines = self.rng.permutation(LISTED) / LISTED

    def __call__(self, queries, size, without):
        self.calls.append((len(queries), size, len(without)))
        best = [i for i in np.argsort(-self.cosines).tolist() if i not in set(without)][:size]
        answers = []
        for _ in queries:
            there = [i for i in best if self.rng.random() >= self.lost]
            answers.append({i: self.cosines[i] for i in there or best[:1]})
        return answers


queries = lambda n: np.ones((n, 2), np.float32)
some_ids = st.lists(st.sets(st.integers(0, LISTED + 5)), min_size=1, max_size=8)


@given(some_ids, st.integers(1, LISTED + 5), st.integers(0, 9), st.integers(0, LISTED))
def test_search_database__what_remains_best_first_whatever_the_most(left_out, k, seed, more):
    ask = Forgetful(seed, lost=0)
    answers = search_database(ask, queries(len(left_out)), k, left_out, k + more)
    for answer, out in zip(answers, left_out):
        right = [i for i in np.argsort(-ask.cosines).tolist() if i not in out][:k]
        assert [*answer.items()] == [(i, ask.cosines[i]) for i in right]


@given(some_ids, st.integers(1, LISTED + 5), st.integers(0, 9))
def test_search_database__fills_up_as_far_as_items_remain(left_out, k, seed):
    ask = Forgetful(seed, lost=0.6)
    for answer, out in zip(search_database(ask, queries(len(left_out)), k, left_out, 99), left_out):
        assert len(answer) == min(k, len({*range(LISTED)} - out))
        assert not {*answer} & out
        assert [*answer.values()] == sorted(answer.values(), reverse=True)


def test_search_database__one_call_where_nothing_is_left_out():
    ask = Forgetful(0, lost=0)
    search_database(ask, queries(50), 5, [set()] * 50, 99)
    assert ask.calls == [(50, 5, 0)]
    assert search_database(ask, queries(0), 5, [], 99) == []
