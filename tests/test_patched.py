"""Items that moved, beside an index of where they were: the answers of a new index."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minitower.data.table import Ragged
from minitower.search.approximate import ApproximateIndex
from minitower.search.index import MAX_K, ExactIndex
from minitower.search.patched import PatchedIndex

grid = st.integers(-2, 2).map(float)  # ties everywhere


@st.composite
def moves(draw):
    """Items before and after, which rows moved, queries, k and what is excluded."""
    n, m, d = draw(st.integers(1, 4)), draw(st.integers(1, 12)), draw(st.integers(1, 3))
    before, after = (draw(arrays(np.float32, (m, d), elements=grid)) for _ in "ba")
    rows = np.array(sorted(draw(st.sets(st.integers(0, m - 1)))), np.int64)
    after = np.where(np.isin(np.arange(m), rows)[:, None], after, before)
    queries = draw(arrays(np.float32, (n, d), elements=grid))
    sets = draw(st.lists(st.lists(st.integers(0, m - 1), max_size=m), min_size=n, max_size=n))
    exclude = Ragged.from_counts([len(s) for s in sets], [j for s in sets for j in s])
    return (
        before,
        after,
        rows,
        queries,
        draw(st.integers(1, 14)),
        draw(st.sampled_from([None, exclude])),
    )


@given(moves())
def test_patched__equals_a_new_index(case):
    """To the bit, ties, padding and exclusions included, whatever moved."""
    before, after, rows, queries, k, exclude = case
    patched = PatchedIndex(ExactIndex(before), rows, after[rows])
    assert np.array_equal(patched.vectors, after)
    expected = ExactIndex(after).search(queries, k, exclude)
    for one, other in zip(patched.search(queries, k, exclude), expected):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("exclude", [None, Ragged.from_counts([1], [2])])
def test_patched__without_a_changed_item_is_the_index(exclude):
    index = ExactIndex(np.eye(3))
    patched = PatchedIndex(index, np.empty(0, np.int64), np.empty((0, 3)))
    queries = np.array([[0.0, 1.0, 2.0]])
    for one, other in zip(patched.search(queries, 2, exclude), index.search(queries, 2, exclude)):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_patched__asks_on_where_the_best_have_moved_away(k):
    """The sixteen best became the worst: twice k is not enough, nor twice that."""
    before = np.arange(24.0, 0, -1)[:, None]
    rows = np.arange(16)
    patched = PatchedIndex(ExactIndex(before), rows, -before[rows])
    exclude = Ragged.from_counts([0, 1], [16])
    found, _ = patched.search(np.ones((2, 1)), k, exclude)
    assert found.tolist() == [list(range(16, 16 + k)), list(range(17, 17 + k))]


def unit(rng, n, d=16):
    vectors = rng.standard_normal((n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def graph():
    rng = np.random.default_rng(0)
    items, queries = unit(rng, 3000), unit(rng, 200)
    return ApproximateIndex.build(
        "hnsw", items, similarity="cosine", queries=queries, k=20, target_recall=0.98
    )


@pytest.mark.parametrize("moved", [1, 60, 1500])
def test_patched__finds_what_the_graph_was_measured_to_find(graph, moved):
    """Also when all the best have moved away, or to where they are found."""
    rng = np.random.default_rng(moved)
    queries = unit(rng, 50)
    best = np.unique(graph.search(queries, max(moved // 50, 1))[0])[:moved]
    after = graph.vectors.copy()
    after[best] = unit(rng, len(best))
    patched = PatchedIndex(graph, best, after[best])
    before = graph.exact_answers
    rows, scores = patched.search(queries, 20)
    worst = ExactIndex(after).search(queries, 20)[1][:, -1:]
    assert (scores >= worst).mean() > 0.97
    assert graph.exact_answers == before or moved == 1500
    for i in range(50):  # in other company, the same to the bit
        alone = patched.search(queries[i : i + 1], 20)
        assert np.array_equal(alone[0][0], rows[i])
        assert np.array_equal(alone[1][0], scores[i])


@pytest.mark.parametrize("rows", [[1, 0], [0, 0], [-1, 1], [1, 3], [0]])
def test_patched__refuses_rows_that_do_not_fit(rows):
    index = ExactIndex(np.eye(3))
    with pytest.raises(ValueError, match="do not fit 3 of 3"):
        PatchedIndex(index, np.array(rows), np.zeros((2, 3)))


def test_search__a_list_as_long_as_a_large_catalogue():
    """Longer than any list that the few that moved may be asked for."""
    old = np.random.default_rng(0).standard_normal((MAX_K + 10, 2))
    rows = np.array([3, 7, MAX_K])
    new = old.copy()
    new[rows] *= -1
    queries = np.ones((1, 2))
    for k in (MAX_K + 9, MAX_K + 10):
        found = PatchedIndex(ExactIndex(old), rows, new[rows]).search(queries, k)
        for mine, right in zip(found, ExactIndex(new).search(queries, k)):
            np.testing.assert_array_equal(mine, right)
