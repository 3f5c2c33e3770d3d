"""Claim 3: how much of log q to subtract."""

from dataclasses import replace

from arms import in_batch
from claim import Claim, beats

CLAIM = Claim(
    says="The whole log q has to be subtracted (strength 1), not a quarter of it (which draws as "
    "clicks^0.75 would), nor nothing.",
    arms={
        "strength 0": replace(in_batch("none"), same_as=("batch_correction", "none")),
        "strength 0.25": in_batch("yi", 0.25),
        "strength 1": replace(in_batch("yi"), same_as=("batch_correction", "yi")),
    },
    compare=beats("strength 1", "strength 0.25", "strength 0"),
    also=beats("strength 0.25", "strength 0"),
    tasks=("funnel", "ml-1m-split"),
)
