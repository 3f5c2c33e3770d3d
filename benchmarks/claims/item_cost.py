"""Claim 21: item vectors are computed beforehand, for computing them at the request is too dear.

One recall of 50 items: the user's vector, then the exact index over stored vectors, or first all
items through the tower. They take turns; what is told is the ratio of the medians.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from claim import Claim, Comparison, Figures, every
from living import K, Living, Service
from updating import full

import minitower as mt
from minitower.data.table import Table
from minitower.evaluation.encode import encode
from minitower.search.index import ExactIndex

SIZES = (2_000, 20_000, 100_000)
_ROUNDS = 5


def costs(living: Living, service: Service) -> Figures:
    """How many recalls from stored vectors one costs that encodes the catalogue first.

    What a model has learned does not matter to it, so this one has learned nothing.
    """
    data = living.data(slice(living.week))
    model, figures = living.model(data), {}
    for size in SIZES:
        rows = np.arange(size) % len(data.items)  # the same things several times over
        items = Table(np.arange(size), data.items.take(rows))
        figures[f"recalls, {size:,} items"] = _ratio(model, data.users, items)
        figures[f"recalls, stored {size:,}"] = 1.0
    return figures


def _ratio(model: mt.TwoTower, users: Table, items: Table) -> float:
    def index() -> ExactIndex:
        return ExactIndex(encode(model.item, items))

    kept = index()

    def seconds(where: Callable[[], ExactIndex], user: int) -> float:
        start = time.perf_counter()
        where().search(encode(model.user, users, np.array([user])), K)
        return time.perf_counter() - start

    seconds(lambda: kept, 0)
    stored, computed = [], []
    for user in range(_ROUNDS):
        stored += [seconds(lambda: kept, user) for _ in range(5)]
        computed.append(seconds(index, user))
    return statistics.median(computed) / statistics.median(stored)


_FIGURES = tuple(f"recalls, {size:,} items" for size in SIZES)
_ARM = "computed at the request"

CLAIM = Claim(
    says="Item vectors computed at the request cost many times a recall from stored ones, the "
    "more the larger the catalogue.",
    arms={_ARM: replace(full(), trials=every(temperature=(0.1,), rate=(0.05,)))},
    compare=(
        Comparison((_ARM, _FIGURES[0]), (_ARM, f"recalls, stored {SIZES[0]:,}")),
        Comparison((_ARM, _FIGURES[-1]), (_ARM, _FIGURES[0])),
    ),
    tasks=("living",),
    measure=costs,
    columns=_FIGURES,
)
