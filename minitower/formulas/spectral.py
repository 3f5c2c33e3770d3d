"""Spectral vectors: users and items from the click matrix in closed form, without training.

R (n,m) holds 1 where a user clicked an item, and a_u, b_i are its row and column sums. Scale it
symmetrically, and take the first d singular triples:

    A = D_u^(-1/2) R D_i^(-1/2),   D_u = diag(a + smoothing mean(a)),   D_i likewise of b
    A ~ U S V',   user vectors: rows of U S = A V,   item vectors: rows of V S = A' U

A user vector is the sum of the directions of what the user clicked. An item vector is the sum of
the directions of who clicked it. The matrix stays sparse: nothing here holds n times m numbers.

Directions do not say how popular an item is. The corrected softmax learns, but for a constant of
the user,

    s_ui / tau = log p(i|u) = log (p(i|u) / p(i)) + log p(i)

The cosine of two directions begins as the first term. An item bias, of which :func:`with_bias`
makes a coordinate, begins as the second.

Chapter 4.
"""

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy import sparse

from minitower.formulas.arguments import as_float64, as_floats, integer, number_within
from minitower.formulas.arrays import Floats, Vectors

OVERSAMPLING = 16
"""Random directions beside the d that are kept: the subspace of the first d is then accurate."""

BIAS_SLOPE, LARGEST_BIAS = 0.1, 0.9
"""The bias of an item for each unit of log clicks, chosen on validation. And where it ends."""


def scaled_clicks(clicks: Any, smoothing: float = 1.0) -> Any:
    """Scale a click matrix symmetrically by its row and column sums.

        A_ui = R_ui / sqrt((a_u + smoothing mean(a)) (b_i + smoothing mean(b)))

    Shapes: sparse (n,m)->sparse (n,m)
    Args:
        clicks: entries >= 0, of float32 or float64. An empty row or column stays empty.
        smoothing: >= 0. At 0 the largest singular value is 1, and each connected component of
            the graph of clicks has it: with a thousand users who share no item with anybody, the
            first thousand triples describe them alone. Smoothing moves the triples of small
            components behind those of the large one.
    Raises ValueError: smoothing < 0.
    Properties: equals_naive, largest_singular_value_is_one, transposes,
        smoothing_puts_large_components_first

    >>> clicks = sparse.csr_array(np.array([[1.0, 1.0], [0.0, 1.0]]))
    >>> scaled_clicks(clicks, smoothing=0).toarray().round(3)
    array([[0.707, 0.5  ],
           [0.   , 0.707]])

    Reference: K. Rohe, T. Qin, B. Yu, Co-clustering directed graphs to discover asymmetries and
        directional communities, PNAS 2016, step 1 of DI-SIM.
    """
    smoothing = number_within("smoothing", smoothing, (0, np.inf))
    factors = []
    for axis in (1, 0):
        sums = clicks.sum(axis=axis, dtype=np.float64)
        sums += smoothing * sums.mean() if len(sums) else 0.0
        sums[sums == 0] = 1
        factors.append(sparse.diags_array((sums**-0.5).astype(clicks.dtype)))
    rows, columns = factors
    return (rows @ clicks @ columns).tocsr()


def randomized_svd(
    matrix: Any, k: int, rng: Generator, rounds: int = 4
) -> tuple[Floats, Floats, Floats]:
    """Compute the first k singular triples of a sparse matrix by subspace iteration.

        Y = A G, G Gaussian;   rounds times: Y = A basis(A' basis(Y));   Q = qr(Y)
        then the SVD of Q' A

    The bases keep the columns apart from each other between products, as QR does in the paper,
    in a tenth of its time. They are orthonormal up to rounding; the last one is QR's.

    Shapes: sparse (n,m)->(n,k),(k),(m,k) with A ~ U diag(s) V', s descending. With
        k > min(n,m), k is min(n,m).
    Memory: about 3 (n + m) (k + OVERSAMPLING) numbers of the matrix's type, and the matrix once.
    Args:
        matrix: of float32 or float64; the result has its type.
        k: >= 1.
        rng: the same state gives the same triples, bit for bit with one thread of BLAS on
            the same kind of CPU.
        rounds: >= 0; each damps a direction beyond the block by another (s_j / s_k)^2.
    Raises ValueError: k < 1, or rounds < 0.
    Properties: equals_the_exact_svd, columns_are_orthonormal, finds_the_subspace,
        small_values_stand_beside_large_ones, never_densifies, float32_is_close

    >>> matrix = sparse.csr_array(np.diag([3.0, 2.0, 1.0]))
    >>> randomized_svd(matrix, 2, np.random.default_rng(0))[1].round(6)
    array([3., 2.])

    Reference: N. Halko, P. Martinsson, J. Tropp, Finding Structure with Randomness, SIAM Review
        2011, Algorithms 4.4 and 5.1.
    """
    from scipy import linalg  # here: it loads more slowly than all of minitower

    k = min(integer("k", k, 1), *matrix.shape)
    width, transposed = min(k + OVERSAMPLING, *matrix.shape), matrix.T
    y = matrix @ rng.standard_normal((matrix.shape[1], width), matrix.dtype)
    for _ in range(integer("rounds", rounds, 0)):
        y = matrix @ _basis(transposed @ _basis(y))
    q, _ = linalg.qr(y, mode="economic")
    p, r = linalg.qr(transposed @ q, mode="economic")  # Q' A = r' p'
    left, values, right = np.linalg.svd(r.T)
    return q @ left[:, :k], values[:k], p @ right[:k].T


def spectral_vectors(
    clicks: Any, d: int, rng: Generator, *, smoothing: float = 1.0, rounds: int = 4
) -> tuple[Vectors, Vectors, Floats]:
    """Compute the vectors of users and items from the first d singular triples.

        user vectors = U S,   item vectors = V S,   U S V' ~ scaled_clicks(clicks)

    Shapes: sparse (n,m)->(n,d),(m,d),(d) vectors of users and items, and singular values. With
        d > min(n,m), d is min(n,m).
    Args: as in :func:`scaled_clicks` and :func:`randomized_svd`.
    Raises ValueError: as these.
    Properties: products_approximate_common_clicks, blocks_point_apart

    >>> clicks = sparse.csr_array(np.kron(np.eye(2), np.ones((2, 2))))   # two groups of two
    >>> users, items, _ = spectral_vectors(clicks, 2, np.random.default_rng(0), smoothing=0)
    >>> (users @ items.T).round(3)[0] + 0.0
    array([0.5, 0.5, 0. , 0. ])

    Reference: K. Rohe et al., PNAS 2016; docs/04.
    """
    d = integer("d", d, 1)
    u, s, v = randomized_svd(scaled_clicks(clicks, smoothing), d, rng, rounds)
    return u * s, v * s, s


def item_bias(clicks: ArrayLike) -> Floats:
    """Compute the bias of items: what popularity adds to a score.

        c_i = BIAS_SLOPE (log b_i - sum_j b_j log b_j / sum_j b_j), within +-LARGEST_BIAS

    It is 0 for the item of the mean click.

    Shapes: (m)->(m)
    Args:
        clicks: b_i > 0 of each item.
    Raises ValueError: a number of clicks is not positive or not finite.
    Properties: is_a_difference_of_logs, scale_of_the_counts_is_free

    >>> item_bias([1, 10, 100]).round(2)
    array([-0.44, -0.21,  0.02])

    Reference: Y. Koren, R. Bell, C. Volinsky, Computer 2009, Eq. 4, learn such a bias; here it is
        a logarithm; docs/04.
    """
    counts = as_float64("clicks", clicks)
    if not ((counts > 0) & (counts < np.inf)).all():
        raise ValueError("clicks must be positive: an item without clicks has no bias")
    logs = np.log(counts)
    bias = BIAS_SLOPE * (logs - (counts * logs).sum() / counts.sum())
    within: Floats = np.clip(bias, -LARGEST_BIAS, LARGEST_BIAS)
    return within


def with_bias(bias: ArrayLike, vectors: ArrayLike) -> Vectors:
    """Make rows of length one from a first coordinate and a direction for the others.

        w_r = (c_r, sqrt(1 - c_r^2) x_r / |x_r|)

    Where all users have the same first coordinate, the item's adds to the score of the item
    for everybody.

    Shapes: (n),(n,d)->(n,d+1)
    Args:
        bias: first coordinates, in [-1, 1].
        vectors: finite, without a row of zeros.
    Raises ValueError: a bias or a vector is outside of that, or their numbers differ.
    Properties: rows_have_length_one, score_is_a_cosine_and_a_bias

    >>> with_bias([0.6, -1.0], [[0.0, 5.0], [3.0, 4.0]]).round(3)
    array([[ 0.6,  0. ,  0.8],
           [-1. ,  0. ,  0. ]])

    Reference: Y. Bachrach et al., RecSys 2014 (a bias as a coordinate); docs/04.
    """
    first, vectors = as_floats("bias", bias), as_floats("vectors", vectors)
    if len(first) != len(vectors):
        raise ValueError(f"{len(first)} biases for {len(vectors)} vectors")
    if not (np.abs(first) <= 1).all():
        raise ValueError("bias must be within -1 and 1: it is a coordinate of a row of length one")
    lengths = np.linalg.norm(vectors, axis=1)
    if not ((lengths > 0) & (lengths < np.inf)).all():
        raise ValueError("vectors must be finite, without a row of zeros, which has no direction")
    rest = np.sqrt(1 - first**2) / lengths
    rows: Vectors = np.column_stack([first, vectors * rest[:, None]]).astype(vectors.dtype)
    return rows


def _basis(block: Floats) -> Floats:
    """A basis of the span of a block's columns: block W L^(-1/2), with block' block = W L W'.

    Directions that rounding cannot tell from 0 become columns of zeros.
    """
    values, vectors = np.linalg.eigh(block.T @ block)
    lost = values <= len(values) * np.finfo(block.dtype).eps * values[-1]
    values[lost] = np.inf
    basis: Floats = block @ (vectors / np.sqrt(values))
    return basis
