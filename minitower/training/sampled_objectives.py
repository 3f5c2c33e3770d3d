"""Objectives with sampled negatives of each pair. Chapter 6.

Pointwise   is this pair a click or a negative?
Pairwise    the clicked item above one negative
Listwise    the clicked item above k negatives at once

The weight of a click, if any, multiplies its terms: the reward of Yi et al., RecSys 2019, Eq. 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from minitower.data.options import Option, check_options
from minitower.formulas.arguments import BIASES, MARGINS, choice, number_within
from minitower.formulas.arrays import Integers, Vectors
from minitower.formulas.pairwise import triplet_hinge, triplet_logistic
from minitower.formulas.pointwise import pointwise_logistic, pointwise_squared
from minitower.formulas.similarity import inner_product
from minitower.formulas.softmax import listwise_softmax
from minitower.towers.layers import sum_by_row
from minitower.training.batches import Batch
from minitower.training.objectives import (
    TEMPERATURE,
    Gradients,
    LogSumWeight,
    Result,
    Temperature,
)

Margin = Annotated[float, Option("lead of a hinge", above=0, high=MARGINS[1], metavar="M")]
MARGIN = 0.1  # the default


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
        log_sum_weight: as of :class:`~minitower.training.objectives.InBatchSoftmax`.

    The formula: :func:`~minitower.formulas.softmax.listwise_softmax`.
    """

    temperature: Temperature = TEMPERATURE
    correction: Literal["none", "calibrated"] = "none"
    log_sum_weight: LogSumWeight = 1.0

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
            positive,
            lists,
            temperature=self.temperature,
            drop=~inside,
            weights=batch.weights,
            log_sum_weight=self.log_sum_weight,
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
