"""Cross-batch negatives: the item vectors of earlier batches, remembered.

A vector changes little from step to step, so yesterday's is nearly as good a negative as
today's, and costs no pass through the item tower.
"""

from __future__ import annotations

import numpy as np

from minitower.formulas.arguments import positive_temperature, strict_integer
from minitower.formulas.arrays import Vectors
from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.formulas.logq import cross_batch
from minitower.training.batches import Batch


class CrossBatchSoftmax:
    """In-batch softmax over the batch and a first-in first-out bank of earlier item vectors.

    The bank pulls on the users and is itself a constant: what is remembered gets no
    gradient. Its log q is what it was when the item was remembered. Copies of a row's own
    item in the bank are left out, as they are among further negatives of the batch.

    Args:
        size: vectors remembered at the most, >= 0; 0 is Yi et al.'s in-batch softmax.
        temperature: 1e-6 to 1e12.
        warmup: steps before the bank is used, >= 0: at first vectors move too fast to be
            remembered. (Wang et al. wait for 40,000 of theirs.)

    Attributes:
        vectors, log_q, rows: what is remembered, oldest first.
        drift: mean distance between the vectors of this step's items and what the bank
            still held of them, NaN where it held none; how stale the bank is.

    Raises:
        ValueError: a parameter is outside its domain.

    Reference: J. Wang et al., Cross-Batch Negative Sampling, SIGIR 2021, Eqs. 3, 4, 5 and 9.
    """

    def __init__(self, size: int, temperature: float = 0.07, warmup: int = 0) -> None:
        size, warmup = strict_integer("size", size, 0), strict_integer("warmup", warmup, 0)
        positive_temperature(temperature)
        self.size, self.temperature, self.warmup = size, temperature, warmup
        self.vectors: Vectors = np.empty((0, 0), np.float32)
        self.log_q: Vectors = np.empty(0)
        self.rows = np.empty(0, np.int64)
        self.drift = np.nan
        self._step = 0

    def __call__(
        self, users: Vectors, items: Vectors, batch: Batch
    ) -> tuple[float, tuple[Vectors, Vectors]]:
        n, m = len(users), len(items)
        if not len(self.rows):
            self.vectors = items[:0]
        used = slice(None) if self._step >= self.warmup else slice(0)
        candidates = np.concatenate([items, self.vectors[used]])
        log_q = np.concatenate([batch.log_q, self.log_q[used]])
        rows = np.concatenate([batch.item_rows, self.rows[used]])
        loss, (d_users, d_candidates) = blocked_in_batch_softmax(
            users, candidates, cross_batch(log_q, rows, n), temperature=self.temperature
        )
        self._remember(items[:n], batch.log_q[:n], batch.item_rows[:n])
        return loss, (d_users, d_candidates[:m])

    def _remember(self, vectors: Vectors, log_q: Vectors, rows: np.ndarray) -> None:
        _, now, then = np.intersect1d(rows, self.rows, return_indices=True)
        moved = np.linalg.norm(vectors[now] - self.vectors[then], axis=1)
        self.drift = float(moved.mean()) if len(moved) else np.nan
        last = slice(-self.size, None) if self.size else slice(0)
        self.vectors = np.concatenate([self.vectors, vectors])[last]
        self.log_q = np.concatenate([self.log_q, log_q])[last]
        self.rows = np.concatenate([self.rows, rows])[last]
        self._step += 1
