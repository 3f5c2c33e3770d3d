"""Claim 1: easy negatives should be drawn in proportion to clicks^0.75, not uniformly.

The corrected arms were added after the others had been run, to find out why they came out as they
did: with log q subtracted, it should not matter what negatives are drawn from.
"""

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
    }
    | {
        "corrected, uniform": with_negatives("calibrated listwise", uniform(5)),
        "corrected, clicks^0.75": with_negatives("calibrated listwise", popular(5)),
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
        *beats("corrected, clicks^0.75", "corrected, uniform", "listwise, clicks^0.75"),
    ),
)
