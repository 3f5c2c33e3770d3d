"""Claim 1: easy negatives should be drawn in proportion to clicks^0.75, not uniformly."""

from arms import popular, uniform, with_negatives
from claim import Claim, beats

CLAIM = Claim(
    says="Negatives drawn in proportion to clicks^0.75 train better than uniform ones.",
    arms={
        f"{way}, {name}": with_negatives(way, negatives)
        for way in ("pairwise", "listwise")
        for name, negatives in (
            ("uniform", uniform(5)),
            ("clicks^0.75", popular(5)),
            ("clicks^1", popular(5, power=1.0)),
        )
    },
    compare=(
        *beats("pairwise, clicks^0.75", "pairwise, uniform"),
        *beats("listwise, clicks^0.75", "listwise, uniform"),
    ),
    also=(
        *beats("pairwise, clicks^0.75", "pairwise, clicks^1"),
        *beats("listwise, clicks^0.75", "listwise, clicks^1"),
        *beats("listwise, clicks^0.75", "listwise, uniform", figure="head"),
        *beats("listwise, clicks^0.75", "listwise, uniform", figure="tail"),
    ),
)
