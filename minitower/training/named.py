"""Objectives, negatives and optimizers by the names that options have for them.

Chapters 6 and 7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minitower.data import Dataset
from minitower.data.options import Option
from minitower.towers.optimizers import SGD, Adagrad, Adam, RowWiseAdagrad, RowWiseAdam
from minitower.towers.two_tower import TwoTower
from minitower.training.hard_negatives import MinedNegatives
from minitower.training.negatives import Negatives
from minitower.training.objectives import (
    TEMPERATURE,
    CrossBatchSoftmax,
    InBatchSoftmax,
    Objective,
    Temperature,
)
from minitower.training.sampled_negatives import (
    popular_negatives,
    shared_negatives,
    uniform_negatives,
)
from minitower.training.sampled_objectives import MARGIN, Listwise, Margin, Pairwise, Pointwise


# An objective by name takes the options of its own loss, and no others.
def _pointwise_squared() -> Pointwise:
    return Pointwise("squared")


def _pairwise_logistic(temperature: Temperature = TEMPERATURE) -> Pairwise:
    return Pairwise("logistic", temperature=temperature)


def _pairwise_hinge(margin: Margin = MARGIN) -> Pairwise:
    return Pairwise("hinge", margin=margin)


OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "in-batch": InBatchSoftmax,
    "cross-batch": CrossBatchSoftmax,
    "pointwise": Pointwise,
    "pointwise-squared": _pointwise_squared,
    "pairwise": _pairwise_logistic,
    "pairwise-hinge": _pairwise_hinge,
    "listwise": Listwise,
}
DEFAULT_NEGATIVES = dict.fromkeys(OBJECTIVES, "none") | {
    "pointwise": "uniform:2",
    "pointwise-squared": "uniform:2",
    "pairwise": "uniform:1",
    "pairwise-hinge": "uniform:1",
    "listwise": "uniform:10",
}
"""The negatives of an objective unless ``--negatives`` says others."""
NEGATIVES: dict[str, Callable[[TwoTower, Dataset, int], Negatives]] = {
    "uniform": lambda model, data, k: uniform_negatives(data, k),
    "popular": lambda model, data, k: popular_negatives(data, k),
    "mined": MinedNegatives,
    "shared": lambda model, data, k: shared_negatives(data, k),
}
OPTIMIZERS: dict[str, type[Any]] = {
    "adagrad": Adagrad,
    "rowwise-adagrad": RowWiseAdagrad,
    "adam": Adam,
    "rowwise-adam": RowWiseAdam,
    "sgd": SGD,
}
_COUNT = Option("negatives", 0, type=int)


def parse_negatives(value: Any) -> list[tuple[str, int]]:
    """Kinds of negatives and the number of each.

    Raises:
        ValueError: the value is malformed; the message gives the expected form.

    >>> parse_negatives("uniform:5+mined:5")
    [('uniform', 5), ('mined', 5)]
    >>> parse_negatives("none")
    []
    """
    if value == "none":
        return []
    parts = [part.partition(":") for part in value.split("+")] if isinstance(value, str) else []
    try:
        if parts and all(kind in NEGATIVES for kind, _, _ in parts):
            return [(kind, _COUNT.read(k)) for kind, _, k in parts]
    except ValueError:
        pass
    raise ValueError(
        "expected none, uniform:K, popular:K, mined:K, shared:N, or several such as "
        "uniform:5+mined:5"
    )


def checked_negatives(value: Any) -> str:
    """The value of ``--negatives``, checked as :func:`parse_negatives` does."""
    parse_negatives(value)
    return str(value)
