"""The in-batch softmax for large batches: the form that training runs. Chapter 4.

:func:`~minitower.formulas.softmax.in_batch_softmax` builds an (n,m) matrix of scores; at a
batch of 65,536 that is 17 GB. This is the same loss with the same gradients, a block of users
at a time. With t the temperature, c the correction, w the weights of the pairs
and omega the weight of the log-sum:

    for each block of users:
        logits   = users items' / t - c
        E        = exp(logits - bound)                  bound: one number per row
        Z        = row sums of E
        loss    += w (omega (log Z + bound) - own logit)
        d_users  = w (omega (E items) / Z - own item) / t
        d_items += (E' (w omega users / Z) - w own user) / t

Three tricks make it fast. Each entry of the matrix is passed over once, by the exponential:

1. The bound of a row is known before its logits (Cauchy-Schwarz: |user| |item|), where the
   textbook passes over the row to find its maximum.
2. The correction and the bound are two more columns of the factors of the first product.
   Z is one more column of the second product.
3. Logits are in bits, log2(e) times their value: NumPy's exp2 is twice as fast as its exp.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minitower.formulas.arguments import (
    LOG_SUM_WEIGHTS,
    as_floats,
    integer,
    number_within,
    weights_over_n,
)
from minitower.formulas.arrays import Floats, Mask, Vectors
from minitower.formulas.logq import Correction, check_batch
from minitower.formulas.threads import buffered_map

BLOCK = 256
"""Users in a block: enough for BLAS to be fast, few enough for the scores to stay in cache."""

BUFFER_ENTRIES = 2**24
"""Bound on the scores of a block, for very many candidates: 64 MB in float32, in each thread."""


def blocked_in_batch_softmax(
    users: Vectors,
    items: Vectors,
    correction: Correction,
    *,
    temperature: float,
    weights: ArrayLike | None = None,
    log_sum_weight: float = 1.0,
    block: int | None = None,
) -> tuple[float, tuple[Vectors, Vectors]]:
    """Compute ``in_batch_softmax(users @ items.T, ...)`` without the matrix of scores.

    Shapes: (n,d),(m,d)->(),((n,d),(m,d)) with m >= n; row i < n of items is user i's positive.
    Args:
        block: users in a block, >= 1. It changes the speed, and the result only by rounding.
    Raises ValueError: shapes do not fit, or a number is outside its domain.
    Properties: equals_the_textbook, block_changes_nothing, float32_is_close_to_float64,
        extremes_stay_finite

    Reference: X. Yi et al., RecSys 2019, Eqs. 3 and 4; docs/04.
    """
    users, items = as_floats("users", users), as_floats("items", items)
    if users.ndim != 2 or items.ndim != 2 or users.shape[1] != items.shape[1]:
        raise ValueError(f"users {users.shape} and items {items.shape} must be (n,d) and (m,d)")
    (n, d), m = users.shape, len(items)
    temperature = check_batch((n, m), correction, temperature)
    dtype = np.result_type(users, items)
    weights = weights_over_n(weights, n, dtype)
    omega = number_within("log_sum_weight", log_sum_weight, LOG_SUM_WEIGHTS)
    if block is None:
        block = max(1, min(BLOCK, BUFFER_ENTRIES // m))
    block = integer("block", block, 1)

    bits = _bits(dtype)
    subtracted = correction.candidates.astype(dtype) * bits
    right = np.column_stack([items, subtracted, np.ones(m, dtype)])
    items_and_one = np.column_stack([items, np.ones(m, dtype)])
    longest = np.sqrt(np.einsum("md,md->m", items, items).max())
    least = subtracted.min()
    loss, d_users, d_items = 0.0, np.empty((n, d), dtype), np.zeros((m, d), dtype)

    def of_block(rows: slice, buffer: tuple[Floats, Vectors]) -> tuple[float, Vectors]:
        """Set d_users of these rows; return their part of the loss and of d_items."""
        width, own_items, weight = rows.stop - rows.start, items[rows], weights[rows]
        positive = correction.positive[rows].astype(dtype) * bits
        left, own, bound, is_loose = _factors(
            users[rows], own_items, positive, bits / dtype.type(temperature), longest, least
        )
        # Candidates down, users across: BLAS is fastest with the long side first.
        logits = np.matmul(right, left.T, out=buffer[0][: m * width].reshape(m, width))
        np.fill_diagonal(logits[rows], -np.inf if correction.decoupled else own - bound)
        if correction.hits is not None:
            hit_rows, hit_columns = correction.hits.among(rows.start, rows.stop)
            logits[hit_columns, hit_rows - rows.start] = -np.inf
        if correction.decoupled or is_loose.any():
            top = logits.max(axis=0)
            top[np.isneginf(top)] = 0  # no negative, where the positive is left out
            logits -= top
            bound += top
        exponentials = np.exp2(logits, out=logits)
        sums = exponentials.T @ items_and_one
        total = sums[:, d]
        if correction.decoupled:
            alone = total == 0  # no negative: the pair teaches nothing
            total[alone], weight[alone] = 1, 0
        losses = (omega * (np.log2(total) + bound) - own) / bits
        share = (omega * weight / total)[:, None]
        d_block = np.multiply(sums[:, :d], share, out=d_users[rows])
        d_block -= own_items * weight[:, None]
        d_block /= temperature
        product = np.matmul(exponentials, users[rows] * share, out=buffer[1])
        return float(weight @ losses), product

    new_buffer = lambda: (np.empty(m * min(block, n), dtype), np.empty((m, d), dtype))
    blocks = [slice(start, min(start + block, n)) for start in range(0, n, block)]
    for of_loss, of_items in buffered_map(of_block, blocks, new_buffer):
        loss += of_loss
        d_items += of_items
    d_items[:n] -= users * weights[:, None]
    d_items /= temperature
    return loss, (d_users, d_items)


def _factors(
    users: Vectors, items: Vectors, positive: Floats, scale: Any, longest: Any, least: Any
) -> tuple[Floats, Floats, Floats, Mask]:
    """Compute a block's part of the factors of the logits, in bits.

    Args:
        users, items: of n pairs.
        positive: subtracted from the logits of the pairs.
        scale: from inner products to bits.
        longest, least: length of the longest candidate; the least that is subtracted from one.
    Returns:
        left (n,d+2): left right' = logits - bound, except for the positives.
        own (n): logit of each row's positive.
        bound (n): at least the largest logit of each row.
        is_loose (n): rows whose bound is so large that exp(own - bound) would underflow. The
            caller replaces such a bound by the true maximum.
    """
    dtype, n = scale.dtype, len(users)
    own = np.einsum("nd,nd->n", users, items) * scale - positive
    with np.errstate(over="ignore", invalid="ignore"):  # squares of very long vectors
        bound = np.sqrt(np.einsum("nd,nd->n", users, users)) * scale * longest
        bound = np.maximum(bound - least, own)
    is_unbounded = ~np.isfinite(bound)
    bound[is_unbounded] = own[is_unbounded]
    is_loose = is_unbounded | (own - bound < np.log2(np.finfo(dtype).tiny) + 36)
    left = np.column_stack([users * scale, np.full(n, -1, dtype), -bound])
    return left, own, bound, is_loose


def _bits(dtype: np.dtype[Any]) -> Any:
    """log2(e), the bits in one nat."""
    return dtype.type(np.log2(np.e))
