"""What HnswIndex promises beyond the contract of test_index.py."""

import struct
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data.ragged import Ragged
from minitower.search import hnsw
from minitower.search.hnsw import HnswIndex
from minitower.search.index import ExactIndex


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


@pytest.fixture(scope="module")
def cosine():
    return HnswIndex.build(unit(clustered(0, 2000)), similarity="cosine", k=10)


@given(st.integers(0, 999), st.integers(1, 30), st.integers(1, 5), st.booleans())
def test_placed__unit_vectors_that_rank_like_inner_products(seed, m, d, zero):
    rng = np.random.default_rng(seed)
    items, query = rng.standard_normal((m, d)) * rng.lognormal(0, 2, (m, 1)), rng.random(d)
    items[0] *= not zero
    placed = hnsw._placed(items, "inner_product")
    np.testing.assert_allclose(np.linalg.norm(placed, axis=1), 1, rtol=1e-12)
    longest = np.linalg.norm(items, axis=1).max()
    np.testing.assert_allclose(
        placed @ np.append(query, 0) * (longest or 1), items @ query, atol=1e-12 * (longest or 1)
    )


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_build__measures_the_recall_it_reports(similarity):
    items, users = long_tailed(1, 3000), clustered(2, 400)
    if similarity == "cosine":
        items = unit(items)
    index = HnswIndex.build(items, similarity=similarity, queries=users, k=20, target_recall=0.97)
    assert index.measured.recall == found(index, users, 20) >= 0.97
    assert (index.measured.queries, index.measured.k) == (400, 20)
    assert found(index, clustered(3, 400), 20) > 0.95  # users it was not tuned with


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
@pytest.mark.parametrize("length", [1e-30, 1e-3, 1e3, 1e37])
def test_search__the_length_of_a_query_is_no_matter(similarity, length):
    """hnswlib holds 1 - product in float32: of a short query it would lose all."""
    items, users = clustered(1, 2000), unit(clustered(2, 50))
    items = unit(items) if similarity == "cosine" else items
    index = HnswIndex.build(items, similarity=similarity, k=10)
    rows = index.search(users, 10)[0]
    scaled = index.search((users.astype(np.float64) * length).astype(np.float32), 10)[0]
    assert (rows == scaled).mean() > 0.99


def test_build__picks_the_smallest_rung_that_reaches_the_target():
    """On long-tailed inner products a short candidate list is not enough."""
    items, users = long_tailed(1, 4000), clustered(2, 300)
    index = HnswIndex.build(
        items, similarity="inner_product", queries=users, k=10, target_recall=0.98, neighbours=8
    )
    assert index.ef == index.measured.ef > 10
    assert index.ef / 10 == 2 ** round(np.log2(index.ef / 10))
    index.ef //= 2
    assert found(index, users, 10) < 0.98


def test_build__same_seed_same_graph(tmp_path):
    items = unit(clustered(0, 500))
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        HnswIndex.build(items, similarity="cosine", seed=seed).save(tmp_path / name)
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c


def test_build__says_so_when_the_target_is_out_of_reach():
    """Clones link only to each other: a graph with two links an item falls to pieces."""
    items = unit(np.repeat(clustered(0, 60), 50, axis=0))
    with pytest.warns(UserWarning, match=r"finds .*% of the top 100, below the target of 100"):
        index = HnswIndex.build(
            items, similarity="cosine", target_recall=1.0, neighbours=2, ef_construction=2
        )
    assert index.measured.recall < 1
    assert index.measured.ef == 3000


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

    index = HnswIndex(
        Recording(cosine._graph), ExactIndex(cosine.vectors), "cosine", cosine.measured
    )
    index.ef = 40
    users = np.abs(unit(clustered(6, 2)))
    index.search(users, 10)
    index.search(users, 3)
    index.search(users, 10, Ragged.from_counts([0, 50], np.arange(50)))
    assert cosine.measured.k == 10
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


def test_search__exact_for_those_the_graph_leaves_short(cosine):
    torn = HnswIndex(Torn(cosine._graph), ExactIndex(cosine.vectors), "cosine", cosine.measured)
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

    broken = HnswIndex(Broken(cosine._graph), ExactIndex(cosine.vectors), "cosine", cosine.measured)
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


@pytest.mark.parametrize("similarity", ["cosine", "inner_product"])
def test_load__gives_back_what_was_saved(tmp_path, similarity):
    items, users = unit(clustered(0, 1000)), clustered(1, 50)
    index = HnswIndex.build(items, similarity=similarity, queries=users, k=10)
    index.ef += 7  # chosen by hand
    again = HnswIndex.load(tmp_path / "g", items, index.save(tmp_path / "g"))
    assert (again.ef, again.measured, again.similarity) == (index.ef, index.measured, similarity)
    for one, other in zip(index.search(users, 10), again.search(users, 10)):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items[:-1],
        lambda items: np.vstack([items, items[:1]]),
        lambda items: items[::-1],
        lambda items: unit(items[:, :-1]),
        lambda items: unit(np.hstack([items, items])),
    ],
)
def test_load__refuses_a_graph_of_other_vectors(tmp_path, change):
    items = unit(clustered(0, 300))
    stored = HnswIndex.build(items, similarity="cosine").save(tmp_path / "g")
    with pytest.raises(ValueError, match="is not the graph of these"):
        HnswIndex.load(tmp_path / "g", change(items), stored)


@pytest.mark.parametrize("width", [15, 17])
def test_load__looks_before_hnswlib_reads_past_the_end(tmp_path, monkeypatch, width):
    """hnswlib takes the width it is told, whatever the file holds."""
    stored = HnswIndex.build(unit(clustered(0, 300)), similarity="cosine").save(tmp_path / "g")

    class Unread:
        def __init__(self, space, dim):
            pass

        def load_index(self, path, max_elements):
            pytest.fail("read with a wrong width")

    monkeypatch.setattr(hnsw.hnswlib, "Index", Unread)
    with pytest.raises(ValueError, match="is not the graph of these 300"):
        HnswIndex.load(tmp_path / "g", unit(clustered(0, 300, d=width)), stored)


@pytest.mark.parametrize("kept", [0, 40, 48, 100, 5000])
def test_load__refuses_a_truncated_file(tmp_path, kept):
    items = unit(clustered(0, 300))
    stored = HnswIndex.build(items, similarity="cosine").save(tmp_path / "g")
    (tmp_path / "g").write_bytes((tmp_path / "g").read_bytes()[:kept])
    with pytest.raises(ValueError, match="is not the graph of these"):
        HnswIndex.load(tmp_path / "g", items, stored)


@pytest.mark.parametrize("label", [5, 2**40])
def test_load__refuses_a_graph_without_one_of_the_labels(tmp_path, label):
    items = unit(clustered(0, 3))
    stored = HnswIndex.build(items, similarity="cosine").save(tmp_path / "g")
    content = bytearray((tmp_path / "g").read_bytes())
    size, offset = struct.unpack("<2Q", content[24:40])  # of an element, and of its label in it
    at = 96 + 2 * size + offset
    assert content[at : at + 8] in [(i).to_bytes(8, "little") for i in range(3)]
    content[at : at + 8] = label.to_bytes(8, "little")
    (tmp_path / "g").write_bytes(content)
    with pytest.raises(ValueError, match="is not the graph of these 3 item vectors"):
        HnswIndex.load(tmp_path / "g", items, stored)


def test_load__refuses_a_graph_of_no_vectors(tmp_path):
    items = unit(clustered(0, 3))
    stored = HnswIndex.build(items, similarity="cosine").save(tmp_path / "g")
    with pytest.raises(ValueError, match="is not the graph of these 0 item vectors"):
        HnswIndex.load(tmp_path / "g", items[:0], stored)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_build__tiny(m):
    items = np.zeros((m, 2), np.float32)
    index = HnswIndex.build(items, similarity="inner_product")
    assert index.measured.recall == 1
    assert index.search(np.ones((1, 2)), 5)[0].tolist() == [[*range(m), *[-1] * (5 - m)]]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"neighbours": 1}, r"neighbours must be an integer within 2\.\.100, got 1"),
        ({"neighbours": 101}, "within"),
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
        HnswIndex.build(**{"vectors": np.eye(2), "similarity": "cosine"} | options)
