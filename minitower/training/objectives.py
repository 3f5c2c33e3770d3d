"""Objectives: the losses that training minimizes, on the vectors of a batch.

InBatchSoftmax      each user against all items of the batch
CrossBatchSoftmax   and against the items of earlier batches
Pointwise           is this pair a click or a negative? (this and the next two: sampled negatives)
Pairwise            the clicked item above one negative
Listwise            the clicked item above k negatives at once

The weight of a click, if any, multiplies its terms: the reward of Yi et al., RecSys 2019, Eq. 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np

from minitower.data.options import Option, check_options
from minitower.formulas.arguments import (
    BIASES,
    MARGINS,
    TEMPERATURES,
    choice,
    number_within,
    strict_integer,
)
from minitower.formulas.arrays import Integers, Rows, Vectors
from minitower.formulas.blocked import blocked_in_batch_softmax
from minitower.formulas.logq import calibrated, cross_batch, mixed, uncorrected, yi
from minitower.formulas.pairwise import triplet_hinge, triplet_logistic
from minitower.formulas.pointwise import pointwise_logistic, pointwise_squared
from minitower.formulas.similarity import inner_product
from minitower.formulas.softmax import listwise_softmax
from minitower.towers.layers import sum_by_row
from minitower.training.batches import Batch

Gradients = tuple[Vectors, Vectors]  # with respect to the vectors of users and items
Result = tuple[float, Gradients]  # a loss and its gradients

Temperature = Annotated[
    float,
    Option("a softmax or logistic loss divides scores by this", *TEMPERATURES, metavar="TAU"),
]
Margin = Annotated[float, Option("lead of a hinge", above=0, high=MARGINS[1], metavar="M")]
TEMPERATURE, MARGIN = 0.07, 0.1  # defaults


class Objective(Protocol):
    """Any callable of this form trains a model."""

    def __call__(self, users: Vectors, items: Vectors, batch: Batch) -> Result:
        """Shapes: (n,d),(m,d)->(),((n,d),(m,d)) with m >= n, pair i in row i of both."""


@dataclass(frozen=True)
class InBatchSoftmax:
    """Softmax over the items of the batch, and extra negatives: the default, and the lecture's.

    Args:
        temperature: 1e-6 to 1e12; about 0.05 to 0.2 with cosines, 1 with inner products.
        correction: a form of :mod:`minitower.formulas.logq`; "none" is ``uncorrected``.
        logq_weight: weight of log q in [0, 1], for "yi".
        mask_hits: drop other copies of a row's own item from its negatives, for "none".
            "calibrated" always does; in "yi" and "mixed" log q counts these copies.
    Raises ValueError: a parameter is outside its domain, or not for this correction.
    """

    temperature: Temperature = TEMPERATURE
    correction: Annotated[
        Literal["yi", "calibrated", "mixed", "none"], Option("logQ correction of in-batch")
    ] = "yi"
    logq_weight: Annotated[float, Option("weight of log q in yi", 0, 1, metavar="BETA")] = 1.0
    mask_hits: bool = False

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
        return blocked_in_batch_softmax(
            users, items, correction, temperature=self.temperature, weights=batch.weights
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
    ) -> None:
        self.size, self.temperature = size, temperature
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
        correction, weights = cross_batch(log_q, rows, n), batch.weights
        loss, (d_users, d_candidates) = blocked_in_batch_softmax(
            users, candidates, correction, temperature=self.temperature, weights=weights
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


@dataclass(frozen=True)
class Pointwise:
    """Binary classification: clicked pairs are +1, pairs with a negative -1.

    The mean is over all pairs: with two negatives a click, they weigh twice as much as the click.

    Args:
        loss: "logistic" or "squared" of :mod:`minitower.formulas.pointwise`.
        temperature: of the logistic, 1e-6 to 1e12: its scale is 1 / temperature. With cosines
            take it well below 1.
        bias: of the logistic, -1e6 to 1e6.
    """

    loss: Literal["logistic", "squared"] = "logistic"
    temperature: Temperature = TEMPERATURE
    bias: float = 0.0

    def __post_init__(self) -> None:
        choice("loss", self.loss, ("logistic", "squared"))
        check_options(self)
        number_within("bias", self.bias, BIASES)

    def __call__(self, users: Vectors, items: Vectors, batch: Batch) -> Result:
        positive, negative, pair_index, backward = _scores(users, items, batch)
        scores = np.concatenate([positive, negative])
        labels = np.repeat([1, -1], [len(positive), len(negative)])
        weights = batch.weights
        if weights is not None:
            weights = np.concatenate([weights, weights[pair_index]])
        if self.loss == "squared":
            loss, d_scores = pointwise_squared(scores, labels, weights=weights)
        else:
            loss, (d_scores, _, _) = pointwise_logistic(
                scores, labels, scale=1 / self.temperature, bias=self.bias, weights=weights
            )
        return loss, backward(d_scores[: len(positive)], d_scores[len(positive) :])


@dataclass(frozen=True)
class Pairwise:
    """Each clicked item above each of its negatives; the mean is over such pairs of items.

    Args:
        loss: "hinge" or "logistic" of :mod:`minitower.formulas.pairwise`.
        margin: of the hinge, in (0, 1e6].
        temperature: of the logistic, 1e-6 to 1e12: its scale is 1 / temperature.
    """

    loss: Literal["hinge", "logistic"] = "logistic"
    margin: Margin = MARGIN
    temperature: Temperature = TEMPERATURE

    def __post_init__(self) -> None:
        choice("loss", self.loss, ("hinge", "logistic"))
        check_options(self)

    def __call__(self, users: Vectors, items: Vectors, batch: Batch) -> Result:
        positive, negative, pair_index, backward = _scores(users, items, batch)
        if not len(negative):
            return 0.0, backward(np.zeros_like(positive), negative)
        repeated = positive[pair_index]
        weights = None if batch.weights is None else batch.weights[pair_index]
        if self.loss == "hinge":
            loss, (d_repeated, d_negative) = triplet_hinge(
                repeated, negative, margin=self.margin, weights=weights
            )
        else:
            loss, (d_repeated, d_negative) = triplet_logistic(
                repeated, negative, scale=1 / self.temperature, weights=weights
            )
        d_positive = np.bincount(pair_index, d_repeated, len(positive)).astype(users.dtype)
        return loss, backward(d_positive, d_negative)


@dataclass(frozen=True)
class Listwise:
    """Each clicked item above all its negatives at once, by a softmax over them.

    Args:
        temperature: 1e-6 to 1e12.
        correction: "none" is the lecture's: it separates a click from its negatives.
            "calibrated" subtracts log(k q) from each of a pair's k negatives, so that they
            stand for the catalogue. It does not fit hard negatives.

    The formula: :func:`~minitower.formulas.softmax.listwise_softmax`.
    """

    temperature: Temperature = TEMPERATURE
    correction: Literal["none", "calibrated"] = "none"

    def __post_init__(self) -> None:
        check_options(self)
        choice("correction", self.correction, ("none", "calibrated"))

    def __call__(self, users: Vectors, items: Vectors, batch: Batch) -> Result:
        positive, negative, pair_index, backward = _scores(users, items, batch)
        counts = np.bincount(pair_index, minlength=len(positive))
        if self.correction == "calibrated":
            log_kq = np.log(counts[pair_index]) + batch.negative_log_q
            negative = negative - (self.temperature * log_kq).astype(negative.dtype)
        # Lists of different lengths stand side by side; the softmax drops cells beyond their ends.
        inside = np.arange(counts.max()) < counts[:, None]
        lists = np.zeros(inside.shape, negative.dtype)
        lists[inside] = negative
        loss, (d_positive, d_lists) = listwise_softmax(
            positive, lists, temperature=self.temperature, drop=~inside, weights=batch.weights
        )
        return loss, backward(d_positive, d_lists[inside])


def _scores(
    users: Vectors, items: Vectors, batch: Batch
) -> tuple[Vectors, Vectors, Integers, Callable[[Vectors, Vectors], Gradients]]:
    """Scores of n clicked pairs and of their e negatives, and the function back to the vectors.

    Shapes: (n,d),(n+e,d)->(n),(e),(e),((n),(e)->(n,d),(n+e,d))
    """
    if batch.pair_index is None:
        raise ValueError(
            "this objective needs negatives of its own for each pair, such as "
            "uniform_negatives; the batch has none or shares them"
        )
    n, pair_index = len(users), batch.pair_index
    positive, back_positive = inner_product(users, items[:n])
    negative, back_negative = inner_product(users[pair_index], items[n:])

    def backward(d_positive: Vectors, d_negative: Vectors) -> Gradients:
        d_users, d_clicked = back_positive(d_positive)
        d_repeated, d_negatives = back_negative(d_negative)
        of_users = sum_by_row(pair_index, d_repeated)
        d_users[of_users.rows] += of_users.values
        return d_users, np.concatenate([d_clicked, d_negatives])

    return positive, negative, pair_index, backward
