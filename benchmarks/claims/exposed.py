"""Claim 6: what was shown and not clicked is no negative for retrieval."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from arms import uniform, with_negatives
from claim import Claim, beats
from tasks import Task

import minitower as mt
from minitower.training.hard_negatives import exposed_negatives
from minitower.training.negatives import MixedNegatives, Negatives
from minitower.training.sampled_negatives import uniform_negatives

K = 5


def _exposed(share: float) -> Any:
    def negatives(task: Task, model: mt.TwoTower) -> Negatives:
        assert task.world is not None
        with warnings.catch_warnings():  # that it should not be done is what is measured
            warnings.simplefilter("ignore")
            shown = exposed_negatives(task.world.log.by_click("unclicked"), K, per="pair")
        if share == 1:
            return shown
        return MixedNegatives([uniform_negatives(task.data, K), shown], shares=[1 - share, share])

    return negatives


CLAIM = Claim(
    says="Items that were shown and not clicked do harm as negatives of retrieval.",
    arms={
        "easy only": replace(
            with_negatives("listwise", uniform(K)),
            same_as=("popular_negatives", "listwise, uniform"),
        ),
        "10% shown": with_negatives("listwise", _exposed(0.1)),
        "50% shown": with_negatives("listwise", _exposed(0.5)),
        "shown only": with_negatives("listwise", _exposed(1)),
    },
    compare=beats("easy only", "50% shown", "shown only"),
    also=beats("easy only", "10% shown"),
)
