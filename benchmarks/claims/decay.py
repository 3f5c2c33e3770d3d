"""Claim 17: what becomes of a model that gets incremental updates only. Nothing is trained here.

Those who know everything were added after the others had been run: what lies between them is
what the world's own motion costs, in a day and since the base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from claim import Arm, Claim, Comparison, Setting, beats
from full_or_incremental import CLAIM as KINDS
from living import TOLD, Living, Served, Service

_ON = tuple(f"attained@50 on day, {day}" for day in TOLD)
_FIRST = "all known of the base"
_YESTERDAY, _TODAY = "all known of yesterday", "all known of today"
_ONLY, _USERS = "incremental only, all ids", "incremental only, user ids"


def _falls(arm: str) -> Comparison:
    return Comparison((arm, _ON[0]), (arm, _ON[-1]))


def _omniscient(of: Callable[[Living, int], int]) -> Arm:
    """The world's own vectors, of the day that is served or of an earlier one."""

    def serve(living: Living, setting: Setting) -> Service:
        def service(day: int) -> Iterator[Served]:
            truth = living.simulation.truth(of(living, day))
            users = living.simulation.truth(day).user_vectors.copy()
            known = truth.joined  # who has joined since is known as of today
            users[known] = truth.user_vectors[known]
            yield Served(living.end(day), lambda rows: users[rows], truth.item_vectors)

        return service

    return Arm(serve, ({},), seeds=5)


CLAIM = Claim(
    says="A model that gets incremental updates only decays from day to day, and falls behind "
    "one that gets full updates.",
    arms={
        **{
            name: replace(arm, same_as=("full_or_incremental", name))
            for name, arm in KINDS.arms.items()
            if name != "full, ids only"
        },
        _FIRST: _omniscient(lambda living, day: living.week - 1),
        _YESTERDAY: _omniscient(lambda living, day: day - 1),
        _TODAY: _omniscient(lambda living, day: day),
    },
    compare=(_falls(_ONLY), _falls(_USERS), *beats("full", _ONLY, _USERS, figure=_ON[-1])),
    also=(
        *(c for on in _ON[:-1] for c in beats("full", _ONLY, _USERS, figure=on)),
        _falls("full"),
        _falls("neither"),
        *(c for on in _ON for c in beats(_TODAY, _FIRST, figure=on)),
        *beats(_TODAY, _YESTERDAY, figure=_ON[-1]),
    ),
    tasks=("living",),
    columns=_ON,
)
