"""Targets: models, objectives, optimizers, negatives, and the loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from target import Target, options_of, trained, valid_data, valid_model
from world import log

import minitower as mt
from minitower.formulas.sampling import Uniform
from minitower.updating.streams import Events


def targets() -> dict[str, Target]:
    """Models, objectives, optimizers, negatives, and the loop."""

    def model(**arguments: Any) -> object:
        return mt.Trainer(
            mt.TwoTower(valid_data().schema, **arguments), valid_data(), batch_size=64
        ).fit(1)

    def trained_with(
        name: str, make: Callable[..., object], negatives: int = 0
    ) -> Callable[..., object]:
        def call(**arguments: Any) -> object:
            trainer = {name: make(**arguments)}
            if negatives:
                trainer["negatives"] = mt.uniform_negatives(valid_data(), negatives)
            return trained(trainer)

        return call

    def negatives(make: Callable[..., Any]) -> Callable[..., object]:
        def call(**arguments: Any) -> object:
            return trained({"objective": mt.Pairwise(), "negatives": make(**arguments)})

        return call

    def incremental(**arguments: Any) -> object:
        data = valid_data()
        update = mt.IncrementalUpdate(
            valid_model(data), data, batch_size=arguments.pop("batch_size")
        )
        arrays = {name: _vector(value) for name, value in arguments.items()}
        update.feed(Events(**arrays))
        return update.increment()

    def next_day() -> mt.Dataset:
        return mt.next_day(valid_data(), log(3, 20), split=mt.TimeSplit(0.2, 0.0))

    clicks = log(3, 20)
    found = {
        "TwoTower": Target(
            model,
            lambda: {
                "dim": 4,
                "hidden": (4,),
                "similarity": "cosine",
                "residual": False,
                "history": None,
                "seed": 0,
                "dtype": "float32",
            },
            weight=2,
        ),
        "UserHistory": Target(mt.UserHistory, lambda: options_of(mt.UserHistory), weight=0.5),
        "TwoTower of": Target(mt.TwoTower, lambda: {"schema": None}, weight=0.2),
        "Trainer": Target(
            lambda **trainer: trained(trainer),
            lambda: {
                "batch_size": 64,
                "positive_exponent": 1.0,
                "seed": 0,
                "objective": None,
                "optimizer": None,
                "negatives": None,
            },
            weight=2,
        ),
        "Trainer.fit": Target(
            lambda **fit: trained(None, **fit),
            lambda: {
                "epochs": 1,
                "validate": True,
                "metric": "recall@5",
                "patience": 1,
                "validate_every": 2,
                "validation_users": 9,
                "history": None,
            },
            weight=2,
        ),
        "EpochSchedule": Target(
            lambda **a: trained(None, schedule=mt.EpochSchedule(**a)),
            lambda: {"decay": "cosine", "epochs": 2, "warmup": 0.5, "final": 0.1},
            weight=0.5,
        ),
        "Regularization": Target(
            trained_with("regularization", mt.Regularization),
            lambda: {"weight_decay": 0.1, "user_dropout": 0.25, "seed": 0},
        ),
        "SelfSupervised": Target(
            trained_with("self_supervised", mt.SelfSupervised),
            lambda: options_of(mt.SelfSupervised) | {"augment": "mask", "batch_size": 16},
            weight=2,
        ),
        "pairwise_mutual_information": Target(
            lambda by: mt.pairwise_mutual_information(valid_data(), by),
            lambda: {"by": "items"},
            weight=0.3,
        ),
        "train_full_update": Target(
            lambda **options: mt.train_full_update(valid_model(), next_day(), **options),
            lambda: {"metric": "recall@5", "seed": 0, "at_least": 0.0},
            places=("refused",),  # below the bound, which is a verdict
        ),
        "IncrementalUpdate": Target(
            incremental,
            lambda: {
                "users": clicks["user_id"],
                "items": clicks["item_id"],
                "timestamps": np.array(clicks["timestamp"], float),
                "batch_size": 64,
            },
            data=("users", "items", "timestamps"),
            columns=("users", "items"),
            places=("event", "id"),
        ),
        "warmup": Target(
            lambda **a: trained({"optimizer": mt.SGD(mt.warmup(**a))}),
            lambda: {"rate": 0.1, "steps": 3},
            weight=0.5,
        ),
        "cosine_decay": Target(
            lambda **a: trained({"optimizer": mt.SGD(mt.cosine_decay(**a))}),
            lambda: {"rate": 0.1, "steps": 3, "floor": 0.0},
            weight=0.5,
        ),
        "uniform_negatives": Target(
            negatives(lambda k: mt.uniform_negatives(valid_data(), k)), lambda: {"k": 2}, weight=0.5
        ),
        "popular_negatives": Target(
            negatives(lambda k, power: mt.popular_negatives(valid_data(), k, power=power)),
            lambda: {"k": 2, "power": 0.75},
            weight=0.5,
        ),
        "MinedNegatives": Target(
            negatives(lambda **a: mt.MinedNegatives(valid_model(), valid_data(), **a)),
            lambda: {"k": 2, "first": 1, "last": 5, "every": 2},
        ),
        "SharedNegatives": Target(
            lambda size: trained({"negatives": mt.SharedNegatives(Uniform(30), size)}),
            lambda: {"size": 4},
            weight=0.5,
        ),
        "shared_negatives": Target(
            lambda size: trained({"negatives": mt.shared_negatives(valid_data(), size)}),
            lambda: {"size": 4},
            weight=0.5,
        ),
        "MixedNegatives": Target(
            negatives(
                lambda shares: mt.MixedNegatives(
                    [mt.uniform_negatives(valid_data(), 2)] * 2, shares
                )
            ),
            lambda: {"shares": (0.5, 0.5)},
            weight=0.5,
        ),
    }
    for name in ("SGD", "Adagrad", "RowWiseAdagrad", "Adam", "RowWiseAdam"):
        kind = getattr(mt, name)
        valid = lambda kind=kind: {"rate": 0.05} | options_of(kind)
        found[name] = Target(
            trained_with("optimizer", kind), valid, places=("learning rate",), weight=0.6
        )
    negatives_of = {"InBatchSoftmax": 0, "CrossBatchSoftmax": 0, "Pointwise": 2, "Pairwise": 1}
    for name, k in (negatives_of | {"Listwise": 3}).items():
        kind = getattr(mt, name)
        own = {"size": 64} if kind is mt.CrossBatchSoftmax else {}
        valid = lambda kind=kind, own=own: own | options_of(kind)
        found[name] = Target(trained_with("objective", kind, k), valid)
    return found


def _vector(values: Any) -> np.ndarray:
    """An array, as events have them, of whatever it was."""
    try:
        listed = list(values)
    except Exception:
        return np.zeros(1)
    return values if isinstance(values, np.ndarray) else np.fromiter(listed, object, len(listed))
