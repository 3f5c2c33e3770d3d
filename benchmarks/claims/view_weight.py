"""Claim 10: how much self-supervision."""

from claim import Claim, beats, every
from views import with_views

TEMPERATURES = every(self_temperature=(0.07, 0.15, 0.3, 0.6))


def _weighted(alpha: float):
    return with_views(TEMPERATURES, augment="complementary", alpha=alpha)


CLAIM = Claim(
    says="A small weight of the self-supervised loss (alpha 0.1) is enough.",
    arms={f"alpha {alpha:g}": _weighted(alpha) for alpha in (0.1, 0.3, 1, 3)},
    compare=(
        *beats("alpha 0.1", "alpha 1", figure="tail"),
        *beats("alpha 0.1", "alpha 3", figure="tail"),
    ),
    also=(
        *beats("alpha 1", "alpha 0.3", "alpha 3", figure="tail"),
        *beats("alpha 1", "alpha 0.1", "alpha 3"),
    ),
    tasks=("funnel", "yelp"),
)
