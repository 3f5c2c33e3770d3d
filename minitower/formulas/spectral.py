"""Spectral vectors: users and items from the click matrix in closed form, without training.

R (n,m) holds 1 where a user clicked an item, and a_u, b_i are its row and column sums. Scale it
symmetrically, and take the first d singular triples:

    A = D_u^(-1/2) R D_i^(-1/2),   D_u = diag(a + smoothing mean(a)),   D_i likewise of b
    A ~ U S V',   user vectors: rows of U S^(1/2),   item vectors: rows of V S^(1/2)

so that the inner product of two vectors is the best approximation of rank d to an entry of A.
The matrix stays sparse: nothing here holds n times m numbers.

Chapter 4.
"""

from typing import Any

import numpy as np
from numpy.random import Generator
from scipy import sparse

from minitower.formulas.arguments import integer, number_within
from minitower.formulas.arrays import Floats, Vectors

OVERSAMPLING = 16
"""Random directions beside the d that are kept: the subspace of the first d is then accurate."""

ROUNDS = 4
"""Rounds of power iteration; each damps a direction beyond the block by another (s_j / s_d)^2."""


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


def randomized_svd(matrix: Any, k: int, rng: Generator) -> tuple[Floats, Floats, Floats]:
    """Compute the first k singular triples of a sparse matrix by subspace iteration.

        Y = A G, G Gaussian;   ROUNDS times: Y = A basis(A' basis(Y));   Q = qr(Y)
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
    Raises ValueError: k < 1.
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
    for _ in range(ROUNDS):
        y = matrix @ _basis(transposed @ _basis(y))
    q, _ = linalg.qr(y, mode="economic")
    p, r = linalg.qr(transposed @ q, mode="economic")  # Q' A = r' p'
    left, values, right = np.linalg.svd(r.T)
    return q @ left[:, :k], values[:k], p @ right[:k].T


def spectral_vectors(
    clicks: Any, d: int, rng: Generator, *, smoothing: float = 1.0
) -> tuple[Vectors, Vectors, Floats]:
    """Compute the vectors of users and items from the first d singular triples.

        user vectors = U S^(1/2),   item vectors = V S^(1/2),   U S V' ~ scaled_clicks(clicks)

    Shapes: sparse (n,m)->(n,d),(m,d),(d) vectors of users and items, and singular values. With
        d > min(n,m), d is min(n,m).
    Args: as in :func:`scaled_clicks` and :func:`randomized_svd`.
    Raises ValueError: as these.
    Properties: products_approximate_the_matrix, blocks_point_apart

    >>> clicks = sparse.csr_array(np.kron(np.eye(2), np.ones((2, 2))))   # two groups of two
    >>> users, items, _ = spectral_vectors(clicks, 2, np.random.default_rng(0), smoothing=0)
    >>> (users @ items.T).round(3)[0] + 0.0
    array([0.5, 0.5, 0. , 0. ])

    Reference: K. Rohe et al., PNAS 2016; docs/04.
    """
    d = integer("d", d, 1)
    u, s, v = randomized_svd(scaled_clicks(clicks, smoothing), d, rng)
    root = np.sqrt(s)
    return u * root, v * root, s


def _basis(block: Floats) -> Floats:
    """A basis of the span of a block's columns: block W L^(-1/2), with block' block = W L W'.

    Directions that rounding cannot tell from 0 become columns of zeros.
    """
    values, vectors = np.linalg.eigh(block.T @ block)
    lost = values <= len(values) * np.finfo(block.dtype).eps * values[-1]
    values[lost] = np.inf
    basis: Floats = block @ (vectors / np.sqrt(values))
    return basis
