"""Every property that the docstrings of formulas/spectral.py promise."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from minitower.formulas.spectral import (
    item_bias,
    randomized_svd,
    scaled_clicks,
    spectral_vectors,
    with_bias,
)

seeds = st.integers(0, 999)


def random_clicks(n, m, seed, density=0.3):
    """Zeros and ones; rows and columns may be empty."""
    rng = np.random.default_rng(seed)
    return sparse.csr_array((rng.random((n, m)) < density).astype(float))


@st.composite
def clicks(draw, dtype=float):
    n, m, seed = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(seeds)
    return random_clicks(n, m, seed, draw(st.sampled_from([0.2, 0.5, 1.0]))).astype(dtype)


def planted(n, m, values, seed):
    """A matrix of these singular values, and its singular vectors."""
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.standard_normal((size, len(values))))[0] for size in (n, m))
    return sparse.csr_array((u * values) @ v.T), u, v


# ------------------------------------------------------------------ the scaling


@given(clicks(), st.sampled_from([0.0, 0.5, 1.0]))
def test_scaled_clicks__equals_naive(matrix, smoothing):
    dense = matrix.toarray()
    a, b = dense.sum(axis=1), dense.sum(axis=0)
    a, b = a + smoothing * a.mean(), b + smoothing * b.mean()
    scaled = scaled_clicks(matrix, smoothing).toarray()
    for u, i in np.ndindex(dense.shape):
        expected = dense[u, i] / np.sqrt(a[u] * b[i]) if dense[u, i] else 0.0
        assert scaled[u, i] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2, 3), (0, 3), (2, 0), (0, 0)])
def test_scaled_clicks__keeps_type_and_shape(shape, dtype):
    scaled = scaled_clicks(sparse.csr_array(np.ones(shape, dtype)))
    assert (scaled.shape, scaled.dtype) == (shape, dtype)


@given(clicks())
def test_scaled_clicks__largest_singular_value_is_one(matrix):
    """Without smoothing; its singular vectors are the square roots of the sums."""
    scaled = scaled_clicks(matrix, smoothing=0)
    top = np.linalg.svd(scaled.toarray(), compute_uv=False)[0]
    assert top == pytest.approx(1.0 if matrix.nnz else 0.0, abs=1e-9)
    roots = np.sqrt(matrix.sum(axis=1)), np.sqrt(matrix.sum(axis=0))
    assert scaled @ roots[1] == pytest.approx(roots[0], abs=1e-12)
    if matrix.nnz:
        assert np.linalg.svd(scaled_clicks(matrix).toarray(), compute_uv=False)[0] < 1


@given(clicks(), st.sampled_from([0.0, 1.0]))
def test_scaled_clicks__transposes(matrix, smoothing):
    """Users and items are treated alike."""
    scaled = scaled_clicks(matrix, smoothing).toarray()
    assert scaled_clicks(matrix.T.tocsr(), smoothing).toarray() == pytest.approx(scaled.T)


def communities_and_loners(loners=30):
    """Two communities of 20 users and 20 items, a few clicks between them, and lonely pairs."""
    rng = np.random.default_rng(0)
    within, between = rng.random((40, 40)) < 0.5, rng.random((40, 40)) < 0.05
    same = np.equal.outer(np.arange(40) < 20, np.arange(40) < 20)
    dense = sparse.csr_array(np.where(same, within, between).astype(float))
    return sparse.block_diag([dense, sparse.eye(loners)], format="csr")


def test_scaled_clicks__smoothing_puts_large_components_first():
    """Without it, thirty lonely users take the first dimensions, and communities are lost."""
    separation = {}
    for smoothing in (0.0, 1.0):
        vectors, _, _ = spectral_vectors(
            communities_and_loners(), 4, np.random.default_rng(0), smoothing=smoothing
        )
        unit = vectors[:40] / np.linalg.norm(vectors[:40], axis=1, keepdims=True)
        cosines = unit @ unit.T
        separation[smoothing] = cosines[:20, :20].mean() - cosines[:20, 20:].mean()
    assert separation[0.0] < 0.01
    assert separation[1.0] > 0.5


@pytest.mark.parametrize("smoothing", [-0.1, np.inf, np.nan, "1"])
def test_scaled_clicks__refuses(smoothing):
    with pytest.raises(ValueError, match="smoothing must be"):
        scaled_clicks(random_clicks(3, 3, 0), smoothing)


# ------------------------------------------------------------------ singular triples


@given(clicks(), st.integers(1, 9), seeds)
def test_randomized_svd__equals_the_exact_svd(matrix, k, seed):
    """Of small matrices, whose whole space is sampled: values, and the best approximation."""
    u, s, v = randomized_svd(matrix, k, np.random.default_rng(seed))
    left, values, right = np.linalg.svd(matrix.toarray(), full_matrices=False)
    kept = min(k, *matrix.shape)
    assert (u.shape, s.shape, v.shape) == (
        (matrix.shape[0], kept), (kept,), (matrix.shape[1], kept),
    )  # fmt: skip
    assert s == pytest.approx(values[:kept], abs=1e-9)
    if kept == len(values) or values[kept - 1] - values[kept] > 1e-4:  # else it is not unique
        best = (left[:, :kept] * values[:kept]) @ right[:kept]
        assert (u * s) @ v.T == pytest.approx(best, abs=1e-7)


@given(clicks(), st.integers(1, 9), seeds)
def test_randomized_svd__columns_are_orthonormal(matrix, k, seed):
    """Of matrices of low rank, too."""
    u, s, v = randomized_svd(matrix, k, np.random.default_rng(seed))
    for vectors in (u, v):
        assert vectors.T @ vectors == pytest.approx(np.eye(len(s)), abs=1e-9)
    assert (np.diff(s) <= 0).all()


@given(seeds)
def test_randomized_svd__finds_the_subspace(seed):
    """Of a matrix far wider than the block, with a tail of singular values at half the last."""
    values = np.array([8.0, 6, 5, 4, *np.linspace(2, 1, 96)])
    matrix, u, v = planted(150, 120, values, seed)
    got_u, s, got_v = randomized_svd(matrix, 4, np.random.default_rng(seed))
    assert s == pytest.approx(values[:4], rel=1e-3)
    for got, exact in ((got_u, u), (got_v, v)):
        cosines = np.linalg.svd(got.T @ exact[:, :4], compute_uv=False)
        assert cosines.min() > 0.999


@given(seeds)
def test_randomized_svd__small_values_stand_beside_large_ones(seed):
    """In float32, after nine products: the ninth power of 1/30 is lost where nothing separates."""
    values = np.array([1, 1 / 3, 1 / 10, 1 / 30])
    matrix, _, _ = planted(60, 50, values, seed)
    _, s, _ = randomized_svd(matrix.astype(np.float32), 4, np.random.default_rng(seed))
    assert s == pytest.approx(values, rel=1e-3)


def test_randomized_svd__never_densifies():
    """A million users and a million items: as a dense matrix 8,000 GB."""
    n, k = 1_000_000, 1
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(0, n, (2, 50))
    matrix = sparse.csr_array((np.ones(50, np.float32), (rows, columns)), shape=(n, n))
    tracemalloc.start()
    u, s, v = randomized_svd(matrix, k, rng)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert u.shape == v.shape == (n, k)
    assert s == pytest.approx([1], rel=1e-5)
    assert peak < 1.25 * 4 * 3 * 2 * n * (k + 16), "the docstring's bound, and a quarter"


@given(clicks(), st.integers(1, 4), seeds)
def test_randomized_svd__float32_is_close(matrix, k, seed):
    single = randomized_svd(matrix.astype(np.float32), k, np.random.default_rng(seed))
    assert all(array.dtype == np.float32 for array in single)
    exact = np.linalg.svd(matrix.toarray(), compute_uv=False)[: len(single[1])]
    assert single[1] == pytest.approx(exact, abs=1e-5)


@pytest.mark.parametrize("k", [0, -1, 1.5])
def test_randomized_svd__refuses(k):
    with pytest.raises(ValueError, match="k must be"):
        randomized_svd(random_clicks(3, 3, 0), k, np.random.default_rng(0))


@pytest.mark.parametrize("rounds", [-1, 1.5])
def test_randomized_svd__refuses_rounds(rounds):
    with pytest.raises(ValueError, match="rounds must be"):
        randomized_svd(random_clicks(3, 3, 0), 1, np.random.default_rng(0), rounds)


def test_randomized_svd__rounds_damp_the_tail():
    values = np.array([2.0, *np.ones(60)])
    matrix, _, v = planted(70, 65, values, 0)
    leaks = []
    for rounds in (0, 1, 2, 4):
        _, _, got = randomized_svd(matrix, 1, np.random.default_rng(0), rounds)
        leaks.append(1 - abs(got[:, 0] @ v[:, 0]))
    assert leaks == sorted(leaks, reverse=True)
    assert leaks[2] < leaks[0] / 100


# ------------------------------------------------------------------ vectors


@given(clicks(), st.integers(1, 4), seeds)
def test_spectral_vectors__products_approximate_common_clicks(matrix, d, seed):
    """A A' of users and A' A of items, as well as any matrix of this rank: Eckart and Young."""
    users, items, values = spectral_vectors(matrix, d, np.random.default_rng(seed))
    scaled = scaled_clicks(matrix).toarray()
    exact = np.linalg.svd(scaled, compute_uv=False)
    assert values == pytest.approx(exact[:d], abs=1e-9)
    for vectors, common in ((users, scaled @ scaled.T), (items, scaled.T @ scaled)):
        error = np.linalg.norm(common - vectors @ vectors.T)
        assert error == pytest.approx(np.linalg.norm(exact[d:] ** 2), abs=1e-7)
    # A user vector is the sum of the directions of what the user clicked.
    nonzero = values > 1e-6
    directions = items[:, nonzero] / values[nonzero]
    assert users[:, nonzero] == pytest.approx(scaled @ directions, abs=1e-7)


@given(st.integers(2, 4), st.integers(2, 5), seeds)
def test_spectral_vectors__blocks_point_apart(blocks, size, seed):
    """Groups that share no item: cosine 1 within a group, 0 between two."""
    matrix = sparse.csr_array(np.kron(np.eye(blocks), np.ones((size, size))))
    users, items, _ = spectral_vectors(matrix, blocks, np.random.default_rng(seed))
    both = np.concatenate([users, items])
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    group = np.tile(np.repeat(np.arange(blocks), size), 2)
    assert both @ both.T == pytest.approx(np.equal.outer(group, group).astype(float), abs=1e-7)


# ------------------------------------------------------------------ the bias


counts_of_clicks = st.lists(st.integers(1, 10_000), min_size=1, max_size=9).map(np.array)


@given(counts_of_clicks)
def test_item_bias__is_a_difference_of_logs(clicks):
    """A tenth of the log of each count over that of the mean click, cut where it is extreme."""
    mean = sum(b * np.log(b) for b in clicks) / sum(clicks)
    expected = [min(max(0.1 * (np.log(b) - mean), -0.9), 0.9) for b in clicks]
    assert item_bias(clicks) == pytest.approx(expected, abs=1e-12)


@given(counts_of_clicks, st.integers(1, 9))
def test_item_bias__scale_of_the_counts_is_free(clicks, factor):
    assert item_bias(clicks * factor) == pytest.approx(item_bias(clicks), abs=1e-12)


def test_item_bias__ends_where_a_row_would_be_all_bias():
    assert item_bias([1, 10**9]).tolist() == pytest.approx([-0.9, 0], abs=1e-6)
    assert item_bias([50_000] + [1] * 3_000_000)[0] == 0.9


@pytest.mark.parametrize("clicks", [[1, 0], [-1, 2], [np.nan, 1], [np.inf, 1]])
def test_item_bias__refuses(clicks):
    with pytest.raises(ValueError, match="clicks must be positive"):
        item_bias(clicks)


@st.composite
def biased(draw):
    n, seed = draw(st.integers(1, 5)), draw(seeds)
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, n), rng.standard_normal((n, 3)), rng.standard_normal((n, 3))


@given(biased())
def test_with_bias__rows_have_length_one(problem):
    bias, vectors, _ = problem
    rows = with_bias(bias, vectors)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1)
    assert rows[:, 0] == pytest.approx(bias)
    assert with_bias(bias, vectors.astype(np.float32)).dtype == np.float32


@given(biased(), st.floats(0, 1))
def test_with_bias__score_is_a_cosine_and_a_bias(problem, share):
    """A share of the item's bias, and of the cosine what both rows leave to it."""
    bias, items, users = problem
    cosine = [u @ i / np.linalg.norm(u) / np.linalg.norm(i) for u, i in zip(users, items)]
    scores = (with_bias(np.full(len(users), share), users) * with_bias(bias, items)).sum(axis=1)
    rest = np.sqrt((1 - share**2) * (1 - bias**2))
    assert scores == pytest.approx(share * bias + rest * cosine, abs=1e-12)


@pytest.mark.parametrize(("bias", "vectors", "message"), [
    ([1.1], [[1.0]], "bias must be within -1 and 1"),
    ([np.nan], [[1.0]], "bias must be within -1 and 1"),
    ([0.1], [[0.0, 0.0]], "without a row of zeros"),
    ([0.1], [[np.inf, 0.0]], "vectors must be finite"),
    ([0.1, 0.2], [[1.0, 0.0]], "2 biases for 1 vectors"),
])  # fmt: skip
def test_with_bias__refuses(bias, vectors, message):
    with pytest.raises(ValueError, match=message):
        with_bias(bias, vectors)
