"""Claim 17: what becomes of a model that gets incremental updates only. Nothing is trained here."""

from dataclasses import replace

from claim import Claim, Comparison, beats
from full_or_incremental import CLAIM as KINDS
from living import TOLD

_ON = tuple(f"attained@50 on day, {day}" for day in TOLD)
_ONLY, _USERS = "incremental only, all ids", "incremental only, user ids"


def _falls(arm: str) -> Comparison:
    return Comparison((arm, _ON[0]), (arm, _ON[-1]))


CLAIM = Claim(
    says="A model that gets incremental updates only decays from day to day, and falls behind "
    "one that gets full updates.",
    arms={
        name: replace(arm, same_as=("full_or_incremental", name))
        for name, arm in KINDS.arms.items()
    },
    compare=(_falls(_ONLY), _falls(_USERS), *beats("full", _ONLY, _USERS, figure=_ON[-1])),
    also=(
        *(c for on in _ON[:-1] for c in beats("full", _ONLY, _USERS, figure=on)),
        _falls("full"),
        _falls("neither"),
    ),
    tasks=("living",),
    columns=_ON,
)
