"""Recall of an approximate index against exact search, and the search effort for a target.

A build measures its own recall on a sample of queries. It raises the effort until the
recall reaches the target.

Chapter 20.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minitower.data.errors import DataError
from minitower.formulas.arguments import strict_integer
from minitower.formulas.arrays import Array, Scores, Vectors
from minitower.search.index import ExactIndex, checked_k

SAMPLE = 1000  # queries that a recall is measured with
_ROUNDING = 1e-6  # of a score in float32


@dataclass(frozen=True)
class TuningResult:
    """What a build measured on its own index.

    Attributes:
        recall: the share of the exact top k that the index found, in [0, 1]. An item that
            ties with the k-th best counts as found. Scores in float32 tie within 1e-6.
        target: the requested recall.
        effort: the search effort that was chosen (`ef`, `nprobe`, leaves): of the efforts
            that the engine lists, the smallest that reached the target, or the largest.
        k: the list length of the measurement.
        queries: the number of queries in the sample.
    """

    recall: float
    target: float
    effort: int
    k: int
    queries: int


def query_sample(
    queries: Vectors | None, items: Vectors, k: int, target: float, seed: int
) -> Vectors:
    """At most a thousand random queries, after all checks of a measurement.

    Without queries, items stand in. Items are nearer to their neighbors than users are.

    Shapes: (n,d),(m,d)->(<=1000,d)

    Raises:
        DataError: k < 1, the target is not in (0, 1], or `queries` is empty.
    """
    checked_k(k)
    if not 0 < target <= 1:
        raise DataError(f"target_recall must be in (0, 1], got {target}")
    pool = items if queries is None else np.asarray(queries)
    if not len(pool):
        raise DataError("queries is empty: there is nothing to measure the recall with")
    chosen = np.random.default_rng(strict_integer("seed", seed, 0)).permutation(len(pool))[:SAMPLE]
    return pool[np.sort(chosen)]


def tune(
    scores_at: Callable[[int], Scores],
    efforts: Sequence[int],
    best: Array,
    k: int,
    target: float,
) -> TuningResult:
    """The smallest effort that reaches a recall.

    Args:
        scores_at: effort -> scores (n,k) that the index finds for the sample.
        efforts: ascending.
        best: (n,1) the k-th best score of each query, from :func:`kth_best`.
        k: the list length.
        target: the requested recall, in (0, 1].

    Warns:
        UserWarning: the largest effort misses the target.
    """
    for effort in efforts:
        recall = found_share(scores_at(effort), best)
        result = TuningResult(recall, target, effort, k, len(best))
        if recall >= target:
            return result
    warnings.warn(
        f"the index finds {result.recall:.1%} of the exact top {k} at its largest effort; "
        f"the target is {target:.1%}",
        stacklevel=3,
    )
    return result


def kth_best(items: Vectors, queries: Vectors, k: int) -> Array:
    """The k-th best score of each query, exactly. Shapes: (m,d),(n,d)->(n,1)"""
    return ExactIndex(items).search(queries, k)[1][:, -1:]


def found_share(scores: Scores, best: Array) -> float:
    """The share of the exact top k that was found. Shapes: (n,k),(n,1)->()

    >>> found_share(np.array([[0.9, 0.8], [0.7, 0.1]]), best=np.array([[0.8], [0.5]]))
    0.75
    """
    rounding = _ROUNDING if scores.dtype == np.float32 else 0.0
    return float((scores >= best - rounding).mean())
