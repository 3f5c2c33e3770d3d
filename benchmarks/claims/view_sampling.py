"""Claim 11: the items of the contrastive batch are drawn uniformly."""

from dataclasses import replace

from claim import Claim, beats
from views import with_views

CLAIM = Claim(
    says="The items whose views are compared must be drawn uniformly, not by their clicks.",
    arms={
        "uniform": replace(with_views(augment="complementary"), same_as=("views", "complementary")),
        "by clicks": with_views(augment="complementary", sampling="clicks"),
    },
    compare=beats("uniform", "by clicks", figure="tail"),
    also=(*beats("uniform", "by clicks"), *beats("uniform", "by clicks", figure="head")),
    tasks=("funnel", "yelp"),
)
