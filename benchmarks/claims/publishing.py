"""Claim 18: how often the branch is published."""

from dataclasses import replace

from claim import Claim, beats
from living import HOUR, MINUTE
from updating import FULL, full, incremental

_BOTH = ("full_and_incremental", "full and incremental")


CLAIM = Claim(
    says="User ids published every 20 minutes are better than those published every few hours.",
    arms={
        "never": replace(full(), same_as=FULL),
        "every 6 h": replace(incremental(6 * HOUR), trials_of="every 20 min"),
        "every 3 h": replace(incremental(3 * HOUR), trials_of="every 20 min"),
        "every 1 h": replace(incremental(1 * HOUR), trials_of="every 20 min"),
        "every 20 min": replace(incremental(20 * MINUTE), same_as=_BOTH),
    },
    compare=beats("every 20 min", "every 3 h", "every 6 h"),
    also=(*beats("every 20 min", "every 1 h"), *beats("every 6 h", "never")),
    tasks=("living",),
    against="never",
    columns=("attained@50", "recall@50 of clicks"),
)
