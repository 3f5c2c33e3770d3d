"""The options of a training step, by the names that the command line has for them.

A published version carries them, so that an update trains as the version was trained.
"""

from __future__ import annotations

from typing import Any

from minitower.towers.optimizers import SGD, Adagrad, Adam, Optimizer, RowWiseAdagrad, RowWiseAdam
from minitower.training.cross_batch import CrossBatchSoftmax
from minitower.training.negatives import Negatives, Portable
from minitower.training.objectives import InBatchSoftmax, Objective
from minitower.training.pair_objectives import Listwise, Pairwise, Pointwise
from minitower.training.self_supervised import SelfSupervised
from minitower.training.trainer import Trainer

Options = dict[str, Any]

OPTIMIZERS: dict[str, type[Any]] = {
    "adagrad": Adagrad,
    "rowwise-adagrad": RowWiseAdagrad,
    "adam": Adam,
    "rowwise-adam": RowWiseAdam,
    "sgd": SGD,
}

_SHARED = ("positive_power", "self_supervised", "optimizer", "learning_rate", "batch_size")
_OF = {
    "in-batch": ("temperature", "correction", "strength"),
    "cross-batch": ("temperature", "bank"),
    "pointwise": ("temperature",),
    "pointwise-squared": (),
    "pairwise": ("temperature",),
    "pairwise-hinge": ("margin",),
    "listwise": ("temperature",),
}
_OF_VIEWS = ("alpha", "self_temperature", "self_batch_size", "self_sampling", "dropped_values")


def recipe(trainer: Trainer) -> Options:
    """The options of a trainer, as JSON.

    What no option can say (a custom objective, a learning rate that is a schedule, lists of
    hard negatives) is left out; :func:`missing` then names it.

    >>> import minitower as mt
    >>> ids = mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")])
    >>> log = {"user_id": [1, 2], "item_id": [7, 8]}
    >>> data = mt.Dataset.from_columns(ids, log, split=mt.RandomSplit(0, 0))
    >>> made = recipe(mt.Trainer(mt.TwoTower(data.schema, dim=2), data, batch_size=2))
    >>> made["objective"], made["temperature"], made["learning_rate"], made["negatives"]
    ('in-batch', 0.07, 0.05, 'none')
    """
    options = {
        "negatives": _negatives(trainer.batches.negatives),
        "positive_power": trainer.positive_power,
        "batch_size": trainer.batches.size,
        "seed": trainer.seed,
        **_objective(trainer.objective),
        **_views(trainer.self_supervised),
        **_optimizer(trainer.optimizer),
    }
    return {name: value for name, value in options.items() if value is not None}


def missing(options: Options, *, by_day: bool) -> list[str]:
    """Options that a training step needs and that these do not give, by name.

    Args:
        options: by name.
        by_day: of an incremental update, which has no negatives beside the batch's.
    """
    shared = ("optimizer", "learning_rate", "batch_size") if by_day else ("negatives", *_SHARED)
    needed = ["objective", *_OF.get(options.get("objective", ""), ()), *shared]
    if not by_day and options.get("self_supervised", "none") != "none":
        needed += _OF_VIEWS
    return [name for name in needed if name not in options]


def _objective(objective: Objective) -> Options:
    if isinstance(objective, InBatchSoftmax) and not objective.mask_hits:
        correction, strength = objective.correction, objective.strength
        temperature = objective.temperature
        return _named("in-batch", temperature=temperature, correction=correction, strength=strength)
    if isinstance(objective, CrossBatchSoftmax) and not objective.warmup:
        return _named("cross-batch", temperature=objective.temperature, bank=objective.size)
    if isinstance(objective, Pointwise) and objective.loss == "squared":
        return _named("pointwise-squared")
    if isinstance(objective, Pointwise) and not objective.bias:
        return _named("pointwise", temperature=_inverse(objective.scale))
    if isinstance(objective, Pairwise) and objective.loss == "hinge":
        return _named("pairwise-hinge", margin=objective.margin)
    if isinstance(objective, Pairwise):
        return _named("pairwise", temperature=_inverse(objective.scale))
    if isinstance(objective, Listwise) and objective.correction == "none":
        return _named("listwise", temperature=objective.temperature)
    return {}


def _named(name: str, **options: Any) -> Options:
    return {"objective": name, **options}


def _inverse(scale: float) -> float:
    """The temperature of which a scale is the inverse, as a person would have written it."""
    short = round(1 / scale, 12)
    return short if short and 1 / short == scale else 1 / scale


def _negatives(negatives: Negatives | None) -> str | None:
    if negatives is None:
        return "none"
    return negatives.option if isinstance(negatives, Portable) else None


def _views(views: SelfSupervised | None) -> Options:
    if views is None:
        return {"self_supervised": "none"}
    if (views.rounding, views.relations, views.both_directions) != ("floor", "items", False):
        return {}
    return {
        "self_supervised": views.augment,
        "alpha": views.alpha,
        "self_temperature": views.temperature,
        "self_batch_size": views.batch_size,
        "self_sampling": views.sampling,
        "hidden_fields": views.hidden,
        "dropped_values": views.dropout,
        "mask_per_item": views.per_item,
    }


def _optimizer(optimizer: Optimizer) -> Options:
    names = {kind: name for name, kind in OPTIMIZERS.items()}
    rate = None if callable(optimizer.rate) else float(optimizer.rate)
    return {"optimizer": names.get(type(optimizer)), "learning_rate": rate}
