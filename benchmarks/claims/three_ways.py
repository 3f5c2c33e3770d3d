"""Claim 7: pointwise, pairwise, listwise and in-batch training for the same work.

Work is counted in vectors: a pair costs its user, its item and its k own negatives, and every
arm computes as many as in-batch training does in twice the task's epochs.
"""

from __future__ import annotations

from dataclasses import replace

from arms import in_batch, uniform, with_negatives
from claim import Arm, Claim, beats

_TIMES = 2


def _for_the_same_work(way: str, k: int) -> Arm:
    return with_negatives(way, uniform(k), epochs=_TIMES * 2 / (2 + k))


CLAIM = Claim(
    says="For the same work, in-batch training is better than listwise, that than pairwise, and "
    "pairwise than pointwise.",
    arms={
        "in-batch": replace(in_batch("yi"), epochs=_TIMES),
        "listwise, 1:3": _for_the_same_work("calibrated listwise", 3),
        "pairwise logistic, 1:1": _for_the_same_work("pairwise", 1),
        "pairwise hinge, 1:1": _for_the_same_work("hinge", 1),
        "pointwise, 1:3": _for_the_same_work("pointwise", 3),
    },
    compare=(
        *beats("in-batch", "listwise, 1:3"),
        *beats("listwise, 1:3", "pairwise logistic, 1:1"),
        *beats("pairwise logistic, 1:1", "pointwise, 1:3"),
    ),
    also=(
        *beats("in-batch", "pairwise logistic, 1:1", "pairwise hinge, 1:1", "pointwise, 1:3"),
        *beats("pairwise hinge, 1:1", "pointwise, 1:3"),
        *beats("listwise, 1:3", "pointwise, 1:3"),
    ),
    tasks=("funnel", "ml-1m-split"),
)
