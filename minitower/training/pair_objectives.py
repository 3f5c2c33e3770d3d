"""The lecture's three ways to train, on negatives drawn for each pair.

Pointwise    is this pair a click or a negative?
Pairwise     the clicked item above one negative
Listwise     the clicked item above k negatives at once
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from minitower.formulas.arguments import (
    BIASES,
    choice,
    number_within,
    positive_margin,
    positive_scale,
    positive_temperature,
)
from minitower.formulas.arrays import Integers, Vectors
from minitower.formulas.pairwise import triplet_hinge, triplet_logistic
from minitower.formulas.pointwise import pointwise_logistic, pointwise_squared
from minitower.formulas.similarity import inner_product
from minitower.formulas.softmax import listwise_softmax
from minitower.towers.gradients import sum_by_row
from minitower.training.batches import Batch

Backward = Callable[[Vectors, Vectors], tuple[Vectors, Vectors]]


@dataclass(frozen=True)
class Pointwise:
    """Binary classification: clicked pairs are +1, pairs with a negative -1.

    The mean is over all pairs, so two or three negatives a click (the lecture's ratio)
    weigh twice or three times as much as it.

    Args:
        loss: "logistic" bends around scale * score + bias = 0; "squared" pulls cosines
            to +1 and -1.
        scale: 1e-12 to 1e6; with cosines well above 1, because at 1 no logistic loss falls below
            log(1 + 1/e) = 0.31.
        bias: of the logistic.

    The formulas: :mod:`minitower.formulas.pointwise`.
    """

    loss: Literal["logistic", "squared"] = "logistic"
    scale: float = 10.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        choice("loss", self.loss, ("logistic", "squared"))
        positive_scale(self.scale)
        number_within("bias", self.bias, BIASES)

    def __call__(
        self, users: Vectors, items: Vectors, batch: Batch
    ) -> tuple[float, tuple[Vectors, Vectors]]:
        positive, negative, _, backward = _scores(users, items, batch)
        scores = np.concatenate([positive, negative])
        labels = np.repeat([1, -1], [len(positive), len(negative)])
        if self.loss == "squared":
            loss, d_scores = pointwise_squared(scores, labels)
        else:
            loss, (d_scores, _, _) = pointwise_logistic(
                scores, labels, scale=self.scale, bias=self.bias
            )
        return loss, backward(d_scores[: len(positive)], d_scores[len(positive) :])


@dataclass(frozen=True)
class Pairwise:
    """Each clicked item above each of its negatives; the mean is over such pairs of items.

    Args:
        loss: "hinge" asks for a lead of ``margin``, "logistic" bends with ``scale``.
        margin: > 0, at most 1e6, of the hinge.
        scale: 1e-12 to 1e6, of the logistic.

    The formulas: :mod:`minitower.formulas.pairwise`.
    """

    loss: Literal["hinge", "logistic"] = "logistic"
    margin: float = 0.1
    scale: float = 10.0

    def __post_init__(self) -> None:
        choice("loss", self.loss, ("hinge", "logistic"))
        positive_margin(self.margin)
        positive_scale(self.scale)

    def __call__(
        self, users: Vectors, items: Vectors, batch: Batch
    ) -> tuple[float, tuple[Vectors, Vectors]]:
        positive, negative, owners, backward = _scores(users, items, batch)
        if not len(negative):
            return 0.0, backward(np.zeros_like(positive), negative)
        leader = positive[owners]
        if self.loss == "hinge":
            loss, (d_leader, d_negative) = triplet_hinge(leader, negative, margin=self.margin)
        else:
            loss, (d_leader, d_negative) = triplet_logistic(leader, negative, scale=self.scale)
        d_positive = np.bincount(owners, d_leader, len(positive)).astype(users.dtype)
        return loss, backward(d_positive, d_negative)


@dataclass(frozen=True)
class Listwise:
    """Each clicked item above all its negatives at once, by a softmax over them.

    Args:
        temperature: 1e-6 to 1e12.
        correction: "none" is the lecture's, and learns to tell a click from what was
            drawn; "calibrated" takes log(k q) off each of a pair's k negatives, so that
            they stand for the whole catalogue, and fits negatives from a distribution
            over it (not hard ones).

    The formula: :func:`~minitower.formulas.softmax.listwise_softmax`.
    """

    temperature: float = 0.07
    correction: Literal["none", "calibrated"] = "none"

    def __post_init__(self) -> None:
        choice("correction", self.correction, ("none", "calibrated"))
        positive_temperature(self.temperature)

    def __call__(
        self, users: Vectors, items: Vectors, batch: Batch
    ) -> tuple[float, tuple[Vectors, Vectors]]:
        positive, negative, owners, backward = _scores(users, items, batch)
        counts = np.bincount(owners, minlength=len(positive))
        if self.correction == "calibrated":
            taken_off = np.log(counts[owners]) + batch.negative_log_q
            negative = negative - (self.temperature * taken_off).astype(negative.dtype)
        # Lists of different lengths, side by side; what is beyond a list's end is dropped.
        inside = np.arange(counts.max()) < counts[:, None]
        lists = np.zeros(inside.shape, negative.dtype)
        lists[inside] = negative
        loss, (d_positive, d_lists) = listwise_softmax(
            positive, lists, temperature=self.temperature, drop=~inside
        )
        return loss, backward(d_positive, d_lists[inside])


def _scores(
    users: Vectors, items: Vectors, batch: Batch
) -> tuple[Vectors, Vectors, Integers, Backward]:
    """Scores of n clicked pairs and of e negatives, whose these are, and the way back.

    Shapes: (n,d),(n+e,d)->(n),(e),(e),((n),(e)->(n,d),(n+e,d))
    """
    if batch.owners is None:
        raise ValueError(
            "this objective needs negatives of its own for each pair, such as "
            "uniform_negatives; the batch has none or shares them"
        )
    n, owners = len(users), batch.owners
    positive, back_positive = inner_product(users, items[:n])
    negative, back_negative = inner_product(users[owners], items[n:])

    def backward(d_positive: Vectors, d_negative: Vectors) -> tuple[Vectors, Vectors]:
        d_users, d_clicked = back_positive(d_positive)
        d_owners, d_negatives = back_negative(d_negative)
        of_users = sum_by_row(owners, d_owners)
        d_users[of_users.rows] += of_users.values
        return d_users, np.concatenate([d_clicked, d_negatives])

    return positive, negative, owners, backward
