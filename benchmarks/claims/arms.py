"""The arms that several claims share."""

from __future__ import annotations

from typing import Any

from claim import SCALES, TEMPERATURES, Arm, Setting, every
from tasks import Task

import minitower as mt
from minitower.training.negatives import Negatives
from minitower.training.sampled_negatives import popular_negatives, uniform_negatives


def in_batch(correction: str, logq_weight: float = 1.0, batch_size: int | None = None) -> Arm:
    """In-batch softmax; the task's own batch size unless one is given."""

    def trainer(task: Task, model: mt.TwoTower, setting: Setting) -> dict[str, Any]:
        return {
            "objective": mt.InBatchSoftmax(setting["temperature"], correction, logq_weight),
            "batch_size": batch_size or task.batch_size,
        }

    return Arm(trainer, TEMPERATURES)


def with_negatives(objective: str, negatives: Any, epochs: float = 1.0) -> Arm:
    """One of the lecture's three ways, on the negatives that a function of (task, model) draws."""

    def trainer(task: Task, model: mt.TwoTower, setting: Setting) -> dict[str, Any]:
        return {
            "objective": _OBJECTIVES[objective](**setting),
            "batch_size": task.batch_size,
            "negatives": negatives(task, model),
        }

    return Arm(trainer, _TRIALS[objective], epochs)


def uniform(k: int) -> Any:
    """k draws a pair, every item alike, what the user has clicked left out."""

    def negatives(task: Task, model: mt.TwoTower) -> Negatives:
        return uniform_negatives(task.data, k)

    return negatives


def popular(k: int, power: float = 0.75) -> Any:
    """k draws a pair in proportion to clicks^power."""

    def negatives(task: Task, model: mt.TwoTower) -> Negatives:
        return popular_negatives(task.data, k, power=power)

    return negatives


_OBJECTIVES: dict[str, Any] = {
    "pointwise": lambda scale, bias: mt.Pointwise(temperature=1 / scale, bias=bias),
    "hinge": lambda margin: mt.Pairwise("hinge", margin=margin),
    "pairwise": lambda scale: mt.Pairwise("logistic", temperature=1 / scale),
    "listwise": mt.Listwise,
    "calibrated listwise": lambda temperature: mt.Listwise(temperature, "calibrated"),
}
_TRIALS = {
    # A cosine near +-1 should be certain enough at some scale; the bias is where even odds lie.
    "pointwise": every(scale=(6.0, 12.0), bias=(0.0, -4.0)),
    "hinge": every(margin=(0.1, 0.2, 0.4, 0.8)),
    "pairwise": SCALES,
    "listwise": TEMPERATURES,
    "calibrated listwise": TEMPERATURES,
}
