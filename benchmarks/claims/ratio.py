"""Claim 8: how many negatives for a positive, in pointwise training."""

from arms import uniform, with_negatives
from claim import Claim, beats

RATIOS = (1, 2, 3, 10)

CLAIM = Claim(
    says="In pointwise training two or three negatives for a positive are best.",
    arms={f"1:{k}": with_negatives("pointwise", uniform(k)) for k in RATIOS},
    compare=(*beats("1:2", "1:1", "1:10"), *beats("1:3", "1:1", "1:10")),
    tasks=("funnel", "ml-1m-split"),
)
