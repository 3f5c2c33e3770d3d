"""Objectives, negatives and optimizers by the names that options have for them; their memory.

Chapters 6 and 7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minitower.data import DataError, Dataset
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

MAX_NUMBERS = 1 << 25
"""Numbers, 128 MB: what the item tower computes for shared negatives, or what a bank holds.
With gradients and copies a step takes up to five times as much."""

MAX_NUMBERS_OF_PAIRS = 1 << 27
"""The same for the negatives of each pair, which grow with --batch-size."""

_ALWAYS_ALLOWED = 100  # negatives of a pair, even if the catalogue is smaller


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


def check_memory(
    negatives: str | None, objective: Objective, batch_size: int, model: TwoTower, data: Dataset
) -> None:
    """Refuse a training step whose negatives or whose bank would take too much memory.

    Args:
        negatives: as the option writes them; None: no option can.
        objective, batch_size, model, data: of the step.
    Raises:
        DataError: names the flag, and the number of vectors that this model takes.
    """
    tower = model.item_tower
    width = tower.dim + sum(inputs for _, inputs, _ in tower.layers)  # numbers for each item
    positives = len(data.train) + len(data.valid) + len(data.test)  # a refit trains on all
    pairs = min(batch_size, positives)
    parts = parse_negatives(negatives)
    per_pair = [(kind, k) for kind, k in parts if kind != "shared"]
    for kind, k in per_pair:
        if k > max(len(data.items), _ALWAYS_ALLOWED):
            raise DataError(
                f"--negatives {kind}:{k}: {k:,} negatives for each pair are more than the "
                f"{len(data.items):,} items"
            )
    shared = sum(k for kind, k in parts if kind == "shared")
    bank = objective.size if isinstance(objective, CrossBatchSoftmax) else 0
    for flag, size, each, maximum in (
        ("--negatives", sum(k for _, k in per_pair) * pairs, width, MAX_NUMBERS_OF_PAIRS),
        ("--negatives", shared, width, MAX_NUMBERS),
        ("--bank", bank, tower.dim, MAX_NUMBERS),
    ):
        if size * each > maximum:
            raise DataError(
                f"{flag}: {size:,} vectors in one step are too many; this model takes at most "
                f"{maximum // each:,}: lower {flag}, --batch-size or --dim"
            )
