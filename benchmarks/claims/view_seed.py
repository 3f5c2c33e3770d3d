"""Claim 12: what is hidden is drawn for the batch, not for each item."""

from dataclasses import replace

from claim import Arm, Claim, beats
from views import TRIALS, with_views


def _correlated(**how: bool) -> Arm:
    return replace(with_views(TRIALS, augment="correlated", **how), tasks=("funnel",))


CLAIM = Claim(
    says="What a view hides is drawn once for the batch, as published, and not for each item.",
    arms={
        "complementary, batch": replace(
            with_views(augment="complementary"), same_as=("views", "complementary")
        ),
        "complementary, item": with_views(augment="complementary", per_item=True),
        "correlated, batch": replace(_correlated(), same_as=("views", "correlated")),
        "correlated, item": _correlated(per_item=True),
    },
    compare=(
        *beats("complementary, batch", "complementary, item", figure="tail"),
        *beats("correlated, batch", "correlated, item", figure="tail"),
    ),
    also=(
        *beats("complementary, batch", "complementary, item"),
        *beats("correlated, batch", "correlated, item"),
    ),
    tasks=("funnel", "yelp"),
)
