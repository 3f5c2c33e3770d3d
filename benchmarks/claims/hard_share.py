"""Claim 5: half easy, half hard.

The arm of nothing but what was ranked low was added after the others had been run, to find out
whether hard ones alone do well because what pre-ranking drops is not that hard.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from arms import with_negatives
from claim import Arm, Claim, beats
from tasks import Task

import minitower as mt
from minitower.training.hard_negatives import HardNegatives
from minitower.training.negatives import MixedNegatives, Negatives
from minitower.training.sampled_negatives import uniform_negatives

K = 5
SHARES = (0.01, 0.1, 0.5, 0.9, 1)


def hard(task: Task, fate: str) -> HardNegatives:
    """Of each click, what met this fate in the same request."""
    assert task.world is not None
    lists = task.world.log.by_click(fate)
    return HardNegatives(lists, K, per="pair")


def _share(share: float, fate: str = "dropped") -> Any:
    def negatives(task: Task, model: mt.TwoTower) -> Negatives:
        easy = uniform_negatives(task.data, K)
        if share == 1:
            return hard(task, fate)
        return MixedNegatives([easy, hard(task, fate)], shares=[1 - share, share])

    return negatives


def _arms() -> dict[str, Arm]:
    arms = {f"{share:.0%} hard": with_negatives("listwise", _share(share)) for share in SHARES}
    easy = replace(arms["1% hard"], same_as=("popular_negatives", "listwise, uniform"))
    return {"0% hard": easy, **arms}


CLAIM = Claim(
    says="Training on half easy and half hard negatives is better than on easy ones alone, and "
    "hard ones alone are worst.",
    arms={
        **_arms(),
        "50% ranked low": with_negatives("listwise", _share(0.5, "ranked_low")),
        "100% ranked low": with_negatives("listwise", _share(1, "ranked_low")),
    },
    compare=(
        *beats("50% hard", "0% hard", "100% hard"),
        *beats("0% hard", "100% hard"),
    ),
    also=(
        *beats("1% hard", "0% hard"),
        *beats("10% hard", "0% hard"),
        *beats("50% ranked low", "0% hard"),
        *beats("0% hard", "100% ranked low"),
    ),
)
