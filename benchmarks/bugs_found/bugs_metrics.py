"""Wrong metrics of public repositories, transcribed to a few lines each."""

from __future__ import annotations

from typing import Any

import numpy as np
from bug import found


def _dcg(r: Any) -> float:
    return float(np.sum(r / np.log2(np.arange(2, r.size + 2))))


@found(
    "xiangwang1223/neural_graph_collaborative_filtering",
    "NGCF/utility/metrics.py",
    "217852695b316b0b1dd426a02a7cd043b2353532",
    thread="issues/34",
    formula="ndcg",
    framework="numpy",
    says="The ideal list is the recommended list, sorted: one hit at rank 1 of ten positives is 1.",
    now="The report is open.",
)
def ngcf_ndcg(hits: Any, positives: Any, k: int) -> Any:
    values = []
    for r in np.asarray(hits, float)[positives > 0, :k]:  # the largest k that it reports
        dcg_max = _dcg(np.sort(r)[::-1])
        values.append(_dcg(r) / dcg_max if dcg_max else 0.0)
    return np.mean(values)


@found(
    "deepset-ai/haystack",
    "haystack/components/evaluators/document_map.py",
    "f321db31170d73dc070be11d8d90bfa293dc395c",
    thread="pull/12255",
    formula="mean_average_precision",
    framework="numpy",
    says="Precisions are summed over the hits and divided by the hits; what was missed is free.",
    now="Fixed by that pull request.",
)
def haystack_map(hits: Any, positives: Any, k: int) -> Any:
    values = []
    for retrieved in np.asarray(hits)[positives > 0, :k]:
        numerator, relevant = 0.0, 0
        for rank, hit in enumerate(retrieved):
            if hit:
                relevant += 1
                numerator += relevant / (rank + 1)
        values.append(numerator / relevant if relevant else 0.0)
    return np.mean(values)
