"""Claim 14: a night shuffles its day."""

from dataclasses import replace

from claim import Claim, beats
from living import QUARTERS
from updating import FULL, full, in_windows

_AT = tuple(f"attained@50 at, {quarter}" for quarter in QUARTERS)

CLAIM = Claim(
    says="A full update that shuffles the day is better than one that reads it in order of time.",
    arms={
        "shuffled": replace(full(), same_as=FULL),
        "in order of time": full(in_windows(1)),
    },
    compare=beats("shuffled", "in order of time"),
    also=tuple(c for at in _AT for c in beats("shuffled", "in order of time", figure=at)),
    tasks=("living",),
    columns=("attained@50", *_AT, "recall@50 of clicks"),
)
