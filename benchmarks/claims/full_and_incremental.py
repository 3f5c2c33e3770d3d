"""Claim 15: both updates together, by the hour of the day."""

from dataclasses import replace

from claim import Claim, beats
from living import QUARTERS
from updating import FULL, full, incremental

_AT = tuple(f"attained@50 at, {quarter}" for quarter in QUARTERS)

CLAIM = Claim(
    says="Full updates with an incremental branch by day are better than full updates alone, and "
    "most so late in the day.",
    arms={
        "full": replace(full(), same_as=FULL),
        "full and incremental": incremental(),
        "full and incremental, all ids": incremental(item_ids=True),
    },
    compare=(
        *beats("full and incremental", "full", figure=_AT[-1]),
        *beats("full and incremental", "full"),
    ),
    also=(
        *(c for at in _AT[:-1] for c in beats("full and incremental", "full", figure=at)),
        *beats("full and incremental", "full", figure="recall@50 of clicks"),
        *beats("full and incremental, all ids", "full", "full and incremental"),
        *beats("full and incremental, all ids", "full", figure="recall@50 of clicks"),
    ),
    tasks=("living",),
    against="full",
    columns=("attained@50", *_AT, "recall@50 of clicks"),
)
