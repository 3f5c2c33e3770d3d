"""The words of a job's options, and what they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from minitower.data import Dataset
from minitower.formulas.sampling import Uniform
from minitower.towers.two_tower import TwoTower
from minitower.training.negatives import (
    MinedNegatives,
    Negatives,
    SharedNegatives,
    popular_negatives,
    uniform_negatives,
)
from minitower.training.objectives import (
    CrossBatchSoftmax,
    InBatchSoftmax,
    Listwise,
    Objective,
    Pairwise,
    Pointwise,
)

if TYPE_CHECKING:
    from minitower.cli.job import Job

OBJECTIVES: dict[str, Callable[[Job], Objective]] = {
    "in-batch": lambda job: InBatchSoftmax(
        job.temperature,
        job.correction,  # type: ignore[arg-type]
        job.strength,
    ),
    "cross-batch": lambda job: CrossBatchSoftmax(job.bank, job.temperature),
    "pointwise": lambda job: Pointwise("logistic", scale=1 / job.temperature),
    "pointwise-squared": lambda job: Pointwise("squared"),
    "pairwise": lambda job: Pairwise("logistic", scale=1 / job.temperature),
    "pairwise-hinge": lambda job: Pairwise("hinge", margin=job.margin),
    "listwise": lambda job: Listwise(job.temperature),
}
NEGATIVES: dict[str, Callable[[TwoTower, Dataset, int], Negatives]] = {
    "uniform": lambda model, data, k: uniform_negatives(data, k),
    "popular": lambda model, data, k: popular_negatives(data, k),
    "mined": MinedNegatives,
    "shared": lambda model, data, k: SharedNegatives(Uniform(len(data.items)), k),
}
NEGATIVES_OF = {
    "in-batch": None,
    "cross-batch": None,
    "pointwise": "uniform:2",
    "pointwise-squared": "uniform:2",
    "pairwise": "uniform:1",
    "pairwise-hinge": "uniform:1",
    "listwise": "uniform:10",
}
