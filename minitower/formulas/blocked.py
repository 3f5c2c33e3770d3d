"""The in-batch softmax on vectors, a block of users at a time.

:func:`~minitower.formulas.softmax.in_batch_softmax` builds an (n,m) matrix of
scores and passes over it a dozen times; at a batch of 65,536 one such matrix
alone is 17 GB. This is the same loss with the same gradients, from three matrix
products and one exponential per entry, on a buffer that holds a few hundred users.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minitower.formulas.arguments import floats, integer, pair_weights
from minitower.formulas.arrays import Vectors
from minitower.formulas.logq import Correction
from minitower.formulas.softmax import check_batch

BLOCK = 256
"""Users at a time: enough for BLAS to be fast, few enough for the scores to stay in cache."""

BUFFER_ENTRIES = 2**25
"""Scores kept at the most, where there are very many candidates: 128 MB in float32."""


def blocked_in_batch_softmax(
    users: Vectors,
    items: Vectors,
    correction: Correction,
    *,
    temperature: float,
    weights: NDArray[np.floating[Any]] | None = None,
    block: int | None = None,
) -> tuple[float, tuple[Vectors, Vectors]]:
    """:func:`in_batch_softmax` of ``users @ items.T``, without that matrix.

    Shapes: (n,d),(m,d)->(),((n,d),(m,d)) with m >= n

    Args:
        users: user vectors.
        items: candidate vectors, row i < n the positive of user i.
        correction, temperature, weights: as in
            :func:`~minitower.formulas.softmax.in_batch_softmax`.
        block: users at a time; by default as many as are fast. The
            result does not depend on it beyond rounding.

    Returns:
        The loss, and its gradients with respect to (users, items).

    Raises:
        ValueError: shapes do not fit, or temperature is outside its domain.

    Gradient:
        With E = exp(logits) and Z its row sums, G = w (E / Z - [i = j]) gives
        d_users = G items / t and d_items = G' users / t. Dividing by Z is moved
        from the (n,m) matrix to the (n,d) factors: d_users = w ((E items) / Z -
        own item) / t, and d_items = (E' (w users / Z) - w own user) / t. Z comes
        out of the same product as a column of ones beside the items.

    Properties: equals_the_textbook, block_changes_nothing,
        float32_is_close_to_float64, extremes_stay_finite

    Reference: X. Yi et al., RecSys 2019, Eqs. 3 and 4.
    """
    users, items = floats("users", users), floats("items", items)
    if users.ndim != 2 or items.ndim != 2 or users.shape[1] != items.shape[1]:
        raise ValueError(f"users {users.shape} and items {items.shape} must be (n,d) and (m,d)")
    (n, d), m = users.shape, len(items)
    temperature = check_batch((n, m), correction, temperature)
    dtype = np.result_type(users, items)
    weights = pair_weights(weights, n, dtype)
    if block is None:
        block = max(1, min(BLOCK, BUFFER_ENTRIES // m))
    block = integer("block", block, 1)

    # Logits are counted in bits, log2(e) times their value: NumPy's exp2 is twice as fast as exp.
    bits = dtype.type(np.log2(np.e))
    scale = bits / dtype.type(temperature)
    own = np.einsum("nd,nd->n", users, items[:n]) * scale
    own -= correction.positive.astype(dtype) * bits
    # A bound on each row's largest logit (Cauchy-Schwarz) is known before the product,
    # and rides in it as two more columns; the exponential is then the only other pass.
    taken_off = correction.candidates.astype(dtype) * bits
    with np.errstate(over="ignore", invalid="ignore"):  # squares of very long vectors
        bound = np.sqrt(np.einsum("nd,nd->n", users, users)) * scale
        bound *= np.sqrt(np.einsum("md,md->m", items, items).max())
        bound = np.maximum(bound - taken_off.min(), own)
    unbounded = ~np.isfinite(bound)
    bound[unbounded] = own[unbounded]
    left = np.column_stack([users * scale, np.full(n, -1, dtype), -bound])
    right = np.column_stack([items, taken_off, np.ones(m, dtype)])
    summing = np.column_stack([items, np.ones(m, dtype)])
    # Where the bound is so loose that the positive's exponential would underflow, the true
    # maximum is taken instead.
    loose = unbounded | (own - bound < np.log2(np.finfo(dtype).tiny) + 36)

    loss = 0.0
    d_users = np.empty((n, d), dtype)
    d_items = np.zeros((m, d), dtype)
    product = np.empty((m, d), dtype)
    buffer = np.empty(m * min(block, n), dtype)
    for start in range(0, n, block):
        rows = slice(start, min(start + block, n))
        width = rows.stop - start
        # Candidates down, users across: BLAS is fastest with the long side first.
        logits = np.matmul(right, left[rows].T, out=buffer[: m * width].reshape(m, width))
        logits[np.arange(start, rows.stop), np.arange(width)] = (own - bound)[rows]
        if correction.hits is not None:
            hit_rows, hit_columns = correction.hits.among(start, rows.stop)
            logits[hit_columns, hit_rows - start] = -np.inf
        if loose[rows].any():
            top = logits.max(axis=0)
            logits -= top
            bound[rows] += top
        exponentials = np.exp2(logits, out=logits)
        weighted = exponentials.T @ summing
        total = weighted[:, d]
        losses = (np.log2(total) + bound[rows] - own[rows]) / bits
        loss += float(weights[rows] @ losses)
        share = (weights[rows] / total)[:, None]
        np.multiply(weighted[:, :d], share, out=d_users[rows])
        np.matmul(exponentials, users[rows] * share, out=product)
        d_items += product
    d_users -= items[:n] * weights[:, None]
    d_items[:n] -= users * weights[:, None]
    d_users /= temperature
    d_items /= temperature
    return loss, (d_users, d_items)
