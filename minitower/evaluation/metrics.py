"""Metrics of a ranking by name, such as "recall@20". Chapter 16."""

from typing import Any

from minitower.formulas import ranking
from minitower.formulas.arguments import INT64_MAX

ACCURACY = {
    "recall": ranking.recall,
    "ndcg": ranking.ndcg,
    "hit_rate": ranking.hit_rate,
    "mrr": ranking.mrr,
    "map": ranking.mean_average_precision,
    "precision": ranking.precision,
    "recall_capped": ranking.recall_capped,
}


def read_metric(metric: Any) -> str:
    """The name of a metric with its cutoff, checked.

    Raises:
        ValueError: the name is unknown, or the cutoff is no integer of at least 1.

    >>> read_metric("recall@20")
    'recall@20'
    """
    name, _, k = metric.partition("@") if isinstance(metric, str) else ("", "", "")
    cutoff = int(k) if k.isdecimal() and len(k) < 20 else 0
    if name not in ACCURACY or not 1 <= cutoff <= INT64_MAX or k != str(cutoff):
        raise ValueError(f"expected NAME@K, the name one of {', '.join(ACCURACY)}")
    return str(metric)
