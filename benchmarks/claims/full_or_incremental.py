"""Claim 13: incremental updates alone are not enough.

Nights that move ids only were added after the others had been run, to find out how much of the
difference is that the branch leaves everything else frozen.
"""

from dataclasses import replace

from claim import Arm, Claim, beats
from living import Living, Served, Service, of_model
from updating import IdsOnly, full, incremental

from minitower.evaluation.encode import encode


def _nothing(living: Living, setting: dict[str, float]) -> Service:
    base = living.night(living.week, setting)
    items = encode(base.model.item, base.data.items)
    return lambda day: iter([Served(living.end(day), of_model(base.model, base.data), items)])


CLAIM = Claim(
    says="A full update each night is better than incremental updates alone, which learn from "
    "the same clicks sooner.",
    arms={
        "full": full(),
        "incremental only, user ids": incremental(only=True),
        "incremental only, all ids": incremental(only=True, item_ids=True),
        "full, ids only": replace(full(kind=IdsOnly), seeds=5),
        "neither": replace(Arm(_nothing), trials_of="full"),
    },
    compare=beats("full", "incremental only, user ids", "incremental only, all ids"),
    also=(
        *beats("full", "full, ids only", "neither"),
        *beats("full, ids only", "incremental only, all ids"),
        *beats("incremental only, user ids", "neither"),
        *beats("incremental only, all ids", "incremental only, user ids"),
        *beats("full", "incremental only, all ids", figure="new users"),
    ),
    tasks=("living",),
    columns=("attained@50", "new users", "recall@50 of clicks"),
)
