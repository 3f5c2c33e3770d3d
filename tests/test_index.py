"""The contract of an index, held by every kind of it, and what the exact one promises besides."""

import math
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minitower.data.table import Ragged
from minitower.search import index
from minitower.search.approximate import ENGINES, ApproximateIndex
from minitower.search.index import ExactIndex, Index
from minitower.search.patched import PatchedIndex

approximate = lambda engine: (
    lambda items: ApproximateIndex.build(engine, items, similarity="inner_product", k=5)
)
installed = [e for e in ("hnsw", "faiss-hnsw", "scann") if find_spec(ENGINES[e].module) is not None]
KINDS = {
    "exact": ExactIndex,
    **{engine: approximate(engine) for engine in installed},
    "patched": lambda items: PatchedIndex(ExactIndex(-items), np.arange(len(items)), items),
}
kinds = pytest.mark.parametrize("kind", KINDS)
# Small whole numbers: every product is exact, and ties are everywhere.
grid = st.integers(-2, 2).map(float)


@st.composite
def searches(draw, max_items=9):
    n, m, d = draw(st.integers(1, 4)), draw(st.integers(1, max_items)), draw(st.integers(1, 3))
    queries = draw(arrays(np.float32, (n, d), elements=grid))
    items = draw(arrays(np.float32, (m, d), elements=grid))
    sets = draw(st.lists(st.lists(st.integers(0, m - 1), max_size=m), min_size=n, max_size=n))
    return queries, items, draw(st.integers(1, 12)), sets


def ragged(sets):
    return Ragged.from_counts([len(s) for s in sets], [j for s in sets for j in s])


def naive(queries, items, k, sets):
    """The definition: one query at a time, every allowed item, sorted."""
    rows, scores = [], []
    for query, excluded in zip(queries.tolist(), sets):
        ranked = sorted(
            (-sum(a * b for a, b in zip(query, item)), j)
            for j, item in enumerate(items.tolist())
            if j not in excluded
        )[:k]
        pad = k - len(ranked)
        rows.append([j for _, j in ranked] + [-1] * pad)
        scores.append([-s for s, _ in ranked] + [-math.inf] * pad)
    return rows, scores


def normal(seed, n, d, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(dtype)


@kinds
@given(case=searches(max_items=7))
def test_index__equals_naive(kind, case):
    """So few items that even the graph leaves them to the exact index."""
    queries, items, k, sets = case
    rows, scores = KINDS[kind](items).search(queries, k, ragged(sets))
    expected_rows, expected_scores = naive(queries, items, k, sets)
    assert rows.tolist() == expected_rows
    assert scores.tolist() == expected_scores


@kinds
@settings(max_examples=20)  # of seven searches each
@given(seed=st.integers(0, 99), excluding=st.booleans())
def test_index__answers_do_not_depend_on_company(kind, seed, excluding):
    """To the bit: asked alone, asked together, asked in another order."""
    items, queries = normal(1, 900, 24), normal(seed, 5, 24)
    counts = np.random.default_rng(seed).integers(0, 30, 5) * excluding
    exclude = Ragged.from_counts(counts, np.arange(counts.sum()) * 7 % 900)
    chosen = CHOSEN.setdefault(kind, KINDS[kind](items))
    rows, scores = chosen.search(queries, 8, exclude)
    for i in range(5):
        alone = chosen.search(queries[i : i + 1], 8, exclude.take([i]))
        assert np.array_equal(alone[0][0], rows[i])
        assert np.array_equal(alone[1][0], scores[i])
    turned = chosen.search(queries[::-1], 8, exclude.take(np.arange(5)[::-1]))
    assert np.array_equal(turned[1][::-1], scores)


CHOSEN: dict[str, Index] = {}


@kinds
def test_index__keeps_the_contract_at_size(kind):
    items, queries = normal(2, 2000, 16), normal(3, 50, 16)
    exclude = Ragged.from_counts(np.arange(50), np.arange(50 * 49 // 2) % 2000)
    found = KINDS[kind](items)
    assert isinstance(found, Index)
    rows, scores = found.search(queries, 10, exclude)
    assert rows.dtype == np.int64
    assert scores.dtype == np.float64
    assert rows.min() >= 0
    assert np.all(np.diff(scores) <= 0)
    assert all(len(set(row)) == 10 for row in rows.tolist())
    assert all(not set(row) & set(exclude.row(i).tolist()) for i, row in enumerate(rows.tolist()))
    own = np.einsum("nd,nkd->nk", queries.astype(float), items[rows].astype(float))
    np.testing.assert_allclose(scores, own, rtol=1e-14)


@kinds
@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, np.int64])
def test_index__of_other_types_searches_as_if_converted_first(kind, dtype):
    wide = np.float32 if dtype == np.float16 else np.float64
    items = np.array([[0, 1], [1, 0], [0, 1], [1, 0]]).astype(dtype)
    queries = np.array([[100, 120], [120, 100]]).astype(dtype)
    index = KINDS[kind](items)
    assert index.vectors.dtype == wide
    expected = KINDS[kind](items.astype(wide)).search(queries.astype(wide), 4)
    for a, b in zip(index.search(queries, 4), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@kinds
@pytest.mark.parametrize("vectors", [np.ones((4, 2), complex), np.ones((4, 2), object)])
def test_index__refuses_vectors_that_are_no_numbers(kind, vectors):
    with pytest.raises(ValueError, match="vectors must be real numbers"):
        KINDS[kind](vectors)


@kinds
@pytest.mark.parametrize(
    "queries, k, exclude, message",
    [
        (np.ones((1, 3)), 1, None, "queries have 3 dimensions, the items have 2"),
        (np.ones(2), 1, None, "queries must be of shape"),
        (np.ones((1, 2), complex), 1, None, "queries must be real numbers"),
        (np.array([[0, 1], [0, np.nan]]), 1, None, "queries: row 1 is not finite"),
        (np.ones((1, 2)), 0, None, "k must be an integer of at least 1, got 0"),
        (np.ones((1, 2)), True, None, "k must be an integer of at least 1, got True"),
        (np.ones((1, 2)), 10**9, None, "k must be at most 16384, got 1000000000"),
        (np.ones((1, 2)), 1, Ragged.from_counts([0, 0], []), "exclude has 2 rows for 1"),
        (np.ones((1, 2)), 1, Ragged.from_counts([1], [4]), r"an item outside 0\.\.3"),
        (np.ones((1, 2)), 1, Ragged.from_counts([1], [-1]), r"an item outside 0\.\.3"),
    ],
)
def test_index__refuses(kind, queries, k, exclude, message):
    with pytest.raises(ValueError, match=message):
        KINDS[kind](np.ones((4, 2), np.float32)).search(queries, k, exclude)


@kinds
@pytest.mark.parametrize("items", [np.ones((2, 0)), np.ones(3)])
def test_index__refuses_items(kind, items):
    with pytest.raises(ValueError, match="vectors must be of shape"):
        KINDS[kind](items)
    with pytest.raises(ValueError, match="vectors: row 1 is not finite"):
        KINDS[kind](np.array([[0.0], [np.inf]]))


@given(case=searches(max_items=40), block=st.integers(1, 200))
def test_exact__does_not_depend_on_its_blocks(case, block):
    queries, items, k, sets = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "_BLOCK", block)
        patch.setattr(index, "_PAIRS", block)
        rows, scores = ExactIndex(items).search(queries, k, ragged(sets))
    assert (rows.tolist(), scores.tolist()) == naive(queries, items, k, sets)


@given(
    st.integers(0, 999),
    st.sampled_from([1e-42, 1e-30, 1e-21, 1e-18, 1.0, 1e18, 1e30]),
    st.sampled_from([np.float32, np.float64]),
)
def test_exact__ranks_what_single_precision_cannot_tell_apart(seed, scale, dtype):
    """Items a few units in the last place apart, at sizes where products over- or underflow."""
    rng = np.random.default_rng(seed)
    items = (1 + 2e-7 * rng.integers(0, 4, (300, 40))).astype(dtype) * dtype(scale)
    queries = rng.standard_normal((3, 40)).astype(np.float32) * np.float32(scale)
    rows, scores = ExactIndex(items).search(queries, 7)
    terms = np.einsum("nd,md->nmd", queries.astype(float), items.astype(float))
    sizes = np.abs(terms).sum(axis=2).max(axis=1) + np.finfo(float).tiny
    for row, score, truth, size in zip(rows, scores, terms.sum(axis=2), sizes):
        best = np.sort(truth)[::-1][:7]
        np.testing.assert_allclose(score, best, atol=1e-13 * size, rtol=0)
        np.testing.assert_allclose(truth[row], best, atol=1e-13 * size, rtol=0)


def test_exact__everything_ties():
    rows, scores = ExactIndex(np.zeros((5000, 3), np.float32)).search(normal(0, 40, 3), 6)
    assert np.array_equal(rows, np.tile(np.arange(6), (40, 1)))
    assert not scores.any()


def test_exact__nothing_to_find():
    rows, scores = ExactIndex(np.zeros((0, 3), np.float32)).search(normal(0, 2, 3), 2)
    assert rows.tolist() == [[-1, -1]] * 2
    assert np.isneginf(scores).all()
    assert ExactIndex(normal(0, 4, 3)).search(normal(0, 0, 3), 2)[0].shape == (0, 2)


@given(st.integers(0, 99), st.integers(-1000, 900))
def test_lengths_of__to_the_bit_at_any_scale(seed, exponent):
    """Points of an older graph are compared with new ones to the bit."""
    vectors = np.random.default_rng(seed).standard_normal((5, 7))
    vectors[3] = 0
    expected = np.linalg.norm(vectors, axis=1)
    assert np.array_equal(index.lengths_of(vectors), expected)
    assert np.array_equal(
        index.lengths_of(np.ldexp(vectors, exponent)), np.ldexp(expected, exponent)
    )
