"""What training minimises: vectors of a batch in, loss and gradients out.

The batch as its own source of negatives stands here; the lecture's three ways to train on
negatives that were drawn are in :mod:`minitower.training.pair_objectives`, a memory of earlier
batches is :mod:`minitower.training.cross_batch`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from minitower.formulas.arguments import choice, positive_temperature
from minitower.formulas.arrays import Vectors
from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.formulas.logq import Correction, calibrated, mixed, uncorrected, yi
from minitower.training.batches import Batch


class Objective(Protocol):
    """Any callable of this form trains a model."""

    def __call__(
        self, users: Vectors, items: Vectors, batch: Batch
    ) -> tuple[float, tuple[Vectors, Vectors]]:
        """Shapes: (n,d),(m,d)->(),((n,d),(m,d)) with m >= n, pair i in row i of both."""


@dataclass(frozen=True)
class InBatchSoftmax:
    """Each user against all items of the batch: the default, and the lecture's.

    Extra negatives are candidates of all users, whomever they were drawn for.

    Args:
        temperature: 1e-6 to 1e12; about 0.05 to 0.2 with cosines, 1 with inner products.
        correction: "yi" takes strength * log q off every candidate; "calibrated"
            is exact about the positive and masks its repetitions; "mixed" takes
            log q off the negatives only, as published for mixed negative sampling;
            "none" takes nothing off, and over-suppresses popular items.
        strength: beta in [0, 1], for "yi".
        mask_hits: leave other copies of a row's own item out of its negatives. For
            "none" a choice; "calibrated" always does; with "yi" it would be wrong,
            because there the repetitions are what log q counts.

    Raises:
        ValueError: a parameter is outside its domain, or a strength or a mask is
            asked for where it does not belong.

    The formulas: :func:`~minitower.formulas.softmax.in_batch_softmax`,
    :mod:`minitower.formulas.logq`.
    """

    temperature: float = 0.07
    correction: Literal["yi", "calibrated", "mixed", "none"] = "yi"
    strength: float = 1.0
    mask_hits: bool = False

    def __post_init__(self) -> None:
        positive_temperature(self.temperature)
        choice("correction", self.correction, ("yi", "calibrated", "mixed", "none"))
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength must be in [0, 1], got {self.strength}")
        if self.correction != "yi" and self.strength != 1:
            raise ValueError(f"strength belongs to yi; correction is {self.correction!r}")
        if self.mask_hits and self.correction in ("yi", "mixed"):
            raise ValueError(f"{self.correction} counts the repetitions that mask_hits leaves out")

    def __call__(
        self, users: Vectors, items: Vectors, batch: Batch
    ) -> tuple[float, tuple[Vectors, Vectors]]:
        return blocked_in_batch_softmax(
            users, items, self._correction(batch), temperature=self.temperature
        )

    def _correction(self, batch: Batch) -> Correction:
        n = len(batch)
        if self.correction == "yi":
            return yi(batch.log_q, logq_weight=self.strength, n=n)
        if self.correction == "calibrated":
            return calibrated(batch.log_q, batch.item_rows, n=n)
        if self.correction == "mixed":
            return mixed(batch.log_q, n)
        return uncorrected(batch.item_rows, mask_hits=self.mask_hits, n=n)
