"""Figures that others have published on the same splits: Recall@20 and NDCG@20 on the test.

All of them rank all items and leave out those of train, as minitower's evaluator does. The epoch,
and often the setting, was chosen on the test.
"""

from __future__ import annotations

from dataclasses import dataclass

BARS = "BARS leaderboard"
SIMPLEX = "README of SimpleX"
BSL = "logs of BSL's authors"


@dataclass(frozen=True)
class Figure:
    """What one model was reported to reach; None: not reported."""

    model: str
    recall: float
    ndcg: float | None
    source: str


PUBLISHED = {
    "gowalla-split": (
        Figure("matrix factorization, BPR", 0.1627, 0.1378, BARS),
        Figure("YoutubeDNN", 0.1754, 0.1473, BARS),
        Figure("matrix factorization, sampled softmax", 0.1759, 0.1395, BSL),
        Figure("EASE", 0.1765, None, BARS),
        Figure("LightGCN", 0.1830, 0.1554, BARS),
        Figure("UltraGCN", 0.1862, 0.1580, BARS),
        Figure("SimpleX", 0.1872, 0.1557, SIMPLEX),
        Figure("matrix factorization, BSL", 0.1882, 0.1584, BSL),
    ),
    "ml-1m-split": (
        Figure("LightGCN", 0.2576, 0.2427, SIMPLEX),
        Figure("UltraGCN", 0.2787, 0.2642, SIMPLEX),
        Figure("SimpleX", 0.2802, 0.2670, SIMPLEX),
        Figure("matrix factorization, sampled softmax", 0.2809, 0.2662, BSL),
        Figure("matrix factorization, BSL", 0.2804, 0.2681, BSL),
    ),
}
"""By split."""

PROMISED = {
    "gowalla-split": {"recall@20": 0.1882, "ndcg@20": 0.1584},
    "ml-1m-split": {"recall@20": 0.2809, "ndcg@20": 0.2681},
}
"""What minitower's mean over the seeds must reach: the best of one vector per user and item."""
