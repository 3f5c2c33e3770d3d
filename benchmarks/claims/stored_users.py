"""Claim 20: user vectors are computed when they are asked for.

A user's profile does not change in this world, so what a stored vector lacks is what the branch
has learned since the night, and everybody who has joined since.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from claim import Arm, Claim, Setting, beats
from living import Living, Served, Service
from updating import FULL, full, incremental

from minitower.evaluation.encode import encode

_BOTH = ("full_and_incremental", "full and incremental")


def _stored(living: Living, setting: Setting) -> Service:
    """Every vector of the night, and for who has joined since that of nobody in particular."""

    def service(day: int) -> Iterator[Served]:
        night = living.night(day, setting)
        side, users = night.data.schema.user, night.data.users
        vectors = encode(night.model.user, users)
        features = users.take(np.arange(1))
        nobody, _ = night.model.user(side.mask(features, dict.fromkeys(features, np.ones(1, bool))))
        vectors[living.world.user_joined >= day] = nobody
        items = encode(night.model.item, night.data.items)
        yield Served(living.end(day), lambda rows: vectors[rows], items)

    return service


CLAIM = Claim(
    says="User vectors computed at the request, from what the branch knows by then, are better "
    "than those stored at night.",
    arms={
        "stored at night": replace(Arm(_stored), trials_of="computed by the full model"),
        "computed by the full model": replace(full(), same_as=FULL),
        "computed from the branch's rows": replace(incremental(), same_as=_BOTH),
    },
    compare=beats("computed from the branch's rows", "stored at night"),
    also=(
        *beats("computed by the full model", "stored at night"),
        *beats("computed from the branch's rows", "computed by the full model"),
        *beats("computed from the branch's rows", "stored at night", figure="new users"),
    ),
    tasks=("living",),
    against="stored at night",
    columns=("attained@50", "new users", "recall@50 of clicks"),
)
