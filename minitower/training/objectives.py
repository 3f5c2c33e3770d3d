"""Objectives: the losses that training minimizes, on the vectors of a batch. Chapters 4 and 9.

InBatchSoftmax      each user against all items of the batch
CrossBatchSoftmax   and against the items of earlier batches

:mod:`minitower.training.sampled_objectives` has those with sampled negatives of each pair.

The weight of a click, if any, multiplies its terms: the reward of Yi et al., RecSys 2019, Eq. 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal, Protocol

import numpy as np

from minitower.data.options import Option, check_options
from minitower.formulas.arguments import (
    LOG_SUM_WEIGHTS,
    TEMPERATURES,
    strict_integer,
)
from minitower.formulas.arrays import Rows, Vectors
from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.formulas.hits import KnownPositives
from minitower.formulas.logq import calibrated, cross_batch, mixed, uncorrected, yi
from minitower.training.batches import Batch

Gradients = tuple[Vectors, Vectors]  # with respect to the vectors of users and items
Result = tuple[float, Gradients]  # a loss and its gradients

Temperature = Annotated[
    float,
    Option("a softmax or logistic loss divides scores by this", *TEMPERATURES, metavar="TAU"),
]
LogSumWeight = Annotated[
    float,
    Option(
        "weight of a softmax's log-sum; above 1, which needs cosines, negatives are pushed harder",
        *LOG_SUM_WEIGHTS,
        metavar="OMEGA",
    ),
]
TEMPERATURE = 0.07  # the default


class Objective(Protocol):
    """Any callable of this form trains a model."""

    def __call__(self, users: Vectors, items: Vectors, batch: Batch) -> Result:
        """Shapes: (n,d),(m,d)->(),((n,d),(m,d)) with m >= n, pair i in row i of both."""


def check_bounded(objective: Objective, similarity: str) -> None:
    """Refuse a weight of the log-sum above 1, and a decoupled loss, with inner products.

    Subtracting a from all logits lowers the first loss by a (omega - 1). Adding a to the positives
    lowers the second by a. Cosines bound a.

    Raises ValueError: the loss has no minimum.
    """
    if similarity == "cosine":
        return
    weight = getattr(objective, "log_sum_weight", 1.0)
    if getattr(objective, "decoupled", False):
        raise ValueError(
            f"a decoupled loss has no minimum with similarity {similarity!r}: take similarity "
            "'cosine', or leave decoupled out"
        )
    if weight > 1:
        raise ValueError(
            f"log_sum_weight {weight:g} has no minimum with similarity {similarity!r}: take "
            "similarity 'cosine', or log_sum_weight 1"
        )


def reads_known(objective: Objective) -> bool:
    """Whether the objective reads :attr:`Batch.known`."""
    return bool(getattr(objective, "mask_known", False))


@dataclass(frozen=True)
class InBatchSoftmax:
    """Softmax over the items of the batch, and extra negatives: the default, and the lecture's.

    Args:
        temperature: 1e-6 to 1e12; about 0.05 to 0.2 with cosines, 1 with inner products.
        correction: a form of :mod:`minitower.formulas.logq`; "none" is ``uncorrected``.
        logq_weight: weight of log q in [0, 1], for "yi".
        mask_hits: drop other copies of a row's own item from its negatives, for "none".
            "calibrated" always does; in "yi" and "mixed" log q counts these copies.
        mask_known: drop from a row's negatives the other items that its user has clicked, so
            that the clicks of a user do not compete.
        log_sum_weight: omega of :func:`~minitower.formulas.softmax.softmax_cross_entropy`, 1 to
            100; useful values are 1 to 1.4. Above 1 it needs cosines.
        decoupled: leave the positive out of the softmax's sum, as in
            :func:`~minitower.formulas.softmax.softmax_cross_entropy`. It needs cosines.
    Raises ValueError: a parameter is outside its domain, or not for this correction.
    """

    temperature: Temperature = TEMPERATURE
    correction: Annotated[
        Literal["yi", "calibrated", "mixed", "none"], Option("logQ correction of in-batch")
    ] = "yi"
    logq_weight: Annotated[float, Option("weight of log q in yi", 0, 1, metavar="BETA")] = 1.0
    mask_hits: bool = False
    mask_known: Annotated[
        bool, Option("leave other items that the user has clicked out of the negatives")
    ] = False
    log_sum_weight: LogSumWeight = 1.0
    decoupled: Annotated[
        bool, Option("leave the positive out of the softmax's sum, which needs cosines")
    ] = False

    def __post_init__(self) -> None:
        check_options(self)
        if self.correction != "yi" and self.logq_weight != 1:
            raise ValueError(f"logq_weight belongs to yi; correction is {self.correction!r}")
        if self.mask_hits and self.correction in ("yi", "mixed"):
            raise ValueError(
                f"mask_hits belongs to none and calibrated: log q of {self.correction} already "
                "counts the copies of an item"
            )

    def __call__(self, users: Vectors, items: Vectors, batch: Batch) -> Result:
        n, log_q, rows = len(batch), batch.log_q, batch.item_rows
        if self.correction == "yi":
            correction = yi(log_q, logq_weight=self.logq_weight, n=n)
        elif self.correction == "calibrated":
            correction = calibrated(log_q, rows, n=n)
        elif self.correction == "mixed":
            correction = mixed(log_q, n)
        else:
            correction = uncorrected(rows, mask_hits=self.mask_hits, n=n)
        if self.mask_known:
            if batch.known is None:
                raise ValueError("a batch without known items: take it from Batches(known=True)")
            clicked = batch.known.indptr, batch.known.values
            own = correction.hits is not None  # elsewhere log q counts the copies of an own item
            hits = KnownPositives(np.arange(n), rows, clicked, own=own)
            correction = replace(correction, hits=hits)
        return blocked_in_batch_softmax(
            users,
            items,
            replace(correction, decoupled=self.decoupled),
            temperature=self.temperature,
            weights=batch.weights,
            log_sum_weight=self.log_sum_weight,
        )


class CrossBatchSoftmax:
    """In-batch softmax over the batch and a first-in first-out bank of earlier item vectors.

    A vector changes little from step to step. An earlier one is nearly as good a negative, and
    costs no pass through the item tower. The bank is a constant: its vectors get no
    gradient and keep their log q. Copies of a row's own item in the bank are dropped.

    Negatives that the batch shares (``shared:N``) are candidates like those of the bank: they
    have the log q of the mixture that the batch is drawn from, and copies of a row's own item
    among them are dropped. They get a gradient, and they never enter the bank.

    Args:
        size: vectors in the bank at most, >= 0; 0 is Yi et al.'s in-batch softmax.
        warmup: steps before the bank is used, >= 0; at first vectors move too fast.
        log_sum_weight: as of :class:`InBatchSoftmax`.

    Attributes:
        vectors, log_q, rows: of the items in the bank, oldest first.
        drift: how stale the bank is: mean distance between this step's vectors and those of
            the same items in the bank; NaN without such items.
    Raises ValueError: a parameter is outside its domain.

    Reference: J. Wang et al., Cross-Batch Negative Sampling, SIGIR 2021, Eqs. 3, 4, 5 and 9.
    """

    def __init__(
        self,
        size: Annotated[int, Option("vectors in the bank", 0, metavar="N", name="bank")] = 8192,
        temperature: Temperature = TEMPERATURE,
        warmup: int = 0,
        log_sum_weight: LogSumWeight = 1.0,
    ) -> None:
        self.size, self.temperature = size, temperature
        self.log_sum_weight = log_sum_weight
        self.warmup = strict_integer("warmup", warmup, 0)
        check_options(self)
        self.vectors: Vectors = np.empty((0, 0), np.float32)
        self.log_q: Vectors = np.empty(0)
        self.rows: Rows = np.empty(0, np.int64)
        self.drift = np.nan
        self._step = 0

    def __call__(self, users: Vectors, items: Vectors, batch: Batch) -> Result:
        n, m = len(users), len(items)
        if not len(self.rows):
            self.vectors = items[:0]
        used = slice(None) if self._step >= self.warmup else slice(0)
        candidates = np.concatenate([items, self.vectors[used]])
        log_q = np.concatenate([batch.log_q, self.log_q[used]])
        rows = np.concatenate([batch.item_rows, self.rows[used]])
        loss, (d_users, d_candidates) = blocked_in_batch_softmax(
            users,
            candidates,
            cross_batch(log_q, rows, n),
            temperature=self.temperature,
            weights=batch.weights,
            log_sum_weight=self.log_sum_weight,
        )
        self._store(items[:n], batch.log_q[:n], batch.item_rows[:n])
        return loss, (d_users, d_candidates[:m])

    def _store(self, vectors: Vectors, log_q: Vectors, rows: Rows) -> None:
        _, now, then = np.intersect1d(rows, self.rows, return_indices=True)
        moved = np.linalg.norm(vectors[now] - self.vectors[then], axis=1)
        self.drift = float(moved.mean()) if len(moved) else np.nan
        last = slice(-self.size, None) if self.size else slice(0)
        self.vectors = np.concatenate([self.vectors, vectors])[last]
        self.log_q = np.concatenate([self.log_q, log_q])[last]
        self.rows = np.concatenate([self.rows, rows])[last]
        self._step += 1
