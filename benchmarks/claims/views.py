"""Claim 9: self-supervision helps the tail, and correlated views most.

The main loss of every arm with views has temperature 0.1, so what they are compared with has, too:
a colder softmax by itself finds more of the tail.
"""

from __future__ import annotations

from typing import Any

from arms import in_batch
from claim import Arm, Claim, Setting, beats, every
from tasks import Task

import minitower as mt

TRIALS = every(alpha=(0.3, 1.0), self_temperature=(0.1, 0.3))


def with_views(trials: tuple[dict[str, float], ...] = TRIALS, **how: Any) -> Arm:
    """In-batch softmax with the correction, and views of as many items as a step has pairs."""

    def trainer(task: Task, model: mt.TwoTower, setting: Setting) -> dict[str, Any]:
        chosen = {"alpha": setting.get("alpha", how.get("alpha"))}
        views = mt.SelfSupervised(
            **{**how, **chosen},
            temperature=setting["self_temperature"],
            batch_size=task.batch_size,
        )
        return {
            "objective": mt.InBatchSoftmax(0.1),
            "batch_size": task.batch_size,
            "self_supervised": views,
        }

    return Arm(trainer, trials)


CLAIM = Claim(
    says="Two views of an item that must find each other raise recall of the tail, and views that "
    "hide related fields together raise it most.",
    arms={
        "none": Arm(in_batch("yi").trainer, every(temperature=(0.1,))),
        "none, temperature chosen": Arm(in_batch("yi").trainer),
        "mask": with_views(augment="mask"),
        "dropout": with_views(augment="dropout"),
        "complementary": with_views(augment="complementary"),
        "complementary+dropout": with_views(augment="complementary+dropout"),
        # A business of yelp has a city and categories: too few fields for it.
        "correlated": Arm(with_views(augment="correlated").trainer, TRIALS, tasks=("funnel",)),
    },
    compare=(
        *beats("mask", "none", figure="tail"),
        *beats("complementary", "none", figure="tail"),
        *beats("correlated", "none", "mask", "complementary", figure="tail"),
    ),
    also=(
        *beats("dropout", "none", figure="tail"),
        *beats("complementary+dropout", "complementary", figure="tail"),
        *beats("mask", "none"),
        *beats("complementary", "none"),
        *beats("correlated", "none", "complementary"),
        *beats("complementary", "none", figure="head"),
    ),
    tasks=("funnel", "yelp"),
)
