"""Every property that the docstrings of formulas/ranking.py promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.formulas import ranking
from minitower.formulas.ranking import ranked, recall, recall_by_slice

ACCURACY = [
    ranking.recall,
    ranking.recall_capped,
    ranking.precision,
    ranking.hit_rate,
    ranking.mrr,
    ranking.mean_average_precision,
    ranking.ndcg,
]


@st.composite
def scored(draw):
    """Scores (n,m) with many ties, which of them are excluded, and a k that may exceed m."""
    n, m = draw(st.integers(0, 4)), draw(st.integers(0, 5))
    grid = lambda element: np.array(
        draw(st.lists(st.lists(element, min_size=m, max_size=m), min_size=n, max_size=n))
    ).reshape(n, m)
    score = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 2.5, math.inf])
    return grid(score), grid(st.booleans()).astype(bool), draw(st.integers(1, 7))


@given(scored(), st.sampled_from([np.float32, np.float64]))
def test_ranked__equals_naive(case, dtype):
    """By score and then row, without the excluded, which not even the worst score lets in."""
    scores, excluded, k = case
    for row, out, items in zip(
        scores.tolist(), excluded, ranked(scores.astype(dtype), k, excluded)
    ):
        left = sorted((j for j in range(len(row)) if not out[j]), key=lambda j: (-row[j], j))
        assert items.tolist() == (left + [-1] * k)[:k]


def test_ranked__ties_go_by_row():
    assert ranked(np.zeros((1, 40)), 40).tolist() == [list(range(40))]
    assert ranked([[1, 2, 2, 1]], 3).tolist() == [[1, 2, 0]]


def test_ranked__excluded_are_never_ranked():
    excluded = np.array([[True, False], [True, True]])
    assert ranked([[9.0, -math.inf], [1.0, 2.0]], 2, excluded).tolist() == [[1, -1], [-1, -1]]


@pytest.mark.parametrize(
    "scores, k, excluded",
    [([[math.nan]], 1, None), ([1.0], 1, None), ([[1.0]], 0, None), ([[1.0]], 1, [True])],
)
def test_ranked__refuses(scores, k, excluded):
    with pytest.raises(ValueError, match=r"scores must be \(n,m\) without NaN|k must be"):
        ranked(scores, k, excluded)


@st.composite
def lists(draw, width=6):
    """Hits (n,K), positives (n) with at least one positive, and a k."""
    n, K = draw(st.integers(1, 6)), draw(st.integers(1, width))
    hits = np.array(draw(st.lists(st.lists(st.booleans(), min_size=K, max_size=K),
                                  min_size=n, max_size=n)))  # fmt: skip
    missed = np.array(draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)))
    positives = hits.sum(axis=1) + missed
    if not positives.any():
        positives[0] = 1
    return hits, positives, draw(st.integers(1, K))


def naive(metric, hits, positives, k):
    """The definitions, one user and one rank at a time."""
    values = []
    for row, total in zip(hits.tolist(), positives.tolist()):
        if not total:
            continue
        ranks = [r for r in range(1, k + 1) if row[r - 1]]
        best = min(k, total)
        values.append(
            {
                "recall": len(ranks) / total,
                "recall_capped": len(ranks) / best,
                "precision": len(ranks) / k,
                "hit_rate": 1.0 if ranks else 0.0,
                "mrr": 1 / ranks[0] if ranks else 0.0,
                "mean_average_precision": sum(
                    sum(s <= r for s in ranks) / r for r in ranks
                ) / best,
                "ndcg": sum(1 / math.log2(r + 1) for r in ranks)
                / sum(1 / math.log2(r + 1) for r in range(1, best + 1)),
            }[metric.__name__]
        )  # fmt: skip
    return sum(values) / len(values)


@pytest.mark.parametrize("metric", ACCURACY)
@given(case=lists())
def test_accuracy__equals_naive(metric, case):
    assert metric(*case) == pytest.approx(naive(metric, *case), abs=1e-12)


@pytest.mark.parametrize("metric", ACCURACY)
@given(case=lists())
def test_accuracy__users_without_positives_do_not_count(metric, case):
    hits, positives, k = case
    more_hits = np.vstack([hits, np.zeros((2, hits.shape[1]), dtype=bool)])
    assert metric(more_hits, np.append(positives, [0, 0]), k) == metric(hits, positives, k)


@pytest.mark.parametrize("metric", ACCURACY)
@given(n=st.integers(1, 4), k=st.integers(1, 8), extra=st.integers(0, 3))
def test_accuracy__perfect_is_one(metric, n, k, extra):
    """With k or more positives and a hit at every rank; recall itself asks for k exactly."""
    extra = 0 if metric is ranking.recall else extra
    assert metric(np.ones((n, k), dtype=bool), np.full(n, k + extra), k) == pytest.approx(1)


@pytest.mark.parametrize("metric", [ranking.recall, ranking.hit_rate, ranking.mrr])
@given(case=lists())
def test_accuracy__grows_with_k(metric, case):
    hits, positives, _ = case
    values = [metric(hits, positives, k) for k in range(1, hits.shape[1] + 1)]
    assert np.all(np.diff(values) >= 0)


@pytest.mark.parametrize("metric", [ranking.ndcg, ranking.mean_average_precision, ranking.mrr])
@given(rank=st.integers(1, 7))
def test_accuracy__earlier_is_better(metric, rank):
    early, late = np.zeros((2, 1, 8), dtype=bool)
    early[0, rank - 1] = late[0, rank] = True
    one = np.array([1])
    assert metric(early, one, 8) > metric(late, one, 8)


@given(lists())
def test_recall_capped__is_recall_when_k_is_enough(case):
    hits, positives, _ = case
    wide = np.hstack([hits, np.zeros((len(hits), 12), dtype=bool)])
    k = wide.shape[1]
    assert positives.max() <= k
    assert ranking.recall_capped(wide, positives, k) == recall(wide, positives, k)


@given(st.integers(1, 6), st.data())
def test_hit_rate__is_recall_of_a_single_positive(n, data):
    ranks = data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    hits = np.arange(5) == np.array(ranks)[:, None]
    assert ranking.hit_rate(hits, np.ones(n, int), 5) == recall(hits, np.ones(n, int), 5)


@pytest.mark.parametrize("metric", ACCURACY)
@pytest.mark.parametrize(
    "hits, positives, k, message",
    [
        ([[False]], [0], 1, "no user has a positive"),
        ([[True, False], [True, True]], [1, 1], 1, "user 1 has 2 hits but 1 positives"),
        ([[True]], [1], 2, "within 1..1"),
        ([[True]], [1], 0, "within 1..1"),
        ([[True]], [1, 1], 1, r"hits must be bool \(n,K\)"),
        ([[1]], [1], 1, "hits must be bool"),
    ],
)
def test_accuracy__refuses(metric, hits, positives, k, message):
    with pytest.raises(ValueError, match=message):
        metric(np.array(hits), np.array(positives), k)


@given(lists())
def test_recall_by_slice__one_slice_is_recall(case):
    hits, positives, k = case
    by_slice = recall_by_slice(hits, np.zeros(hits.shape, dtype=int), positives[:, None], k)
    assert by_slice == pytest.approx([recall(hits, positives, k)])


@given(lists(), st.data())
def test_recall_by_slice__equals_naive(case, data):
    hits, _, k = case
    n, K = hits.shape
    of_rank = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n * K, max_size=n * K)))
    of_rank = of_rank.reshape(n, K)
    inside = np.stack([(hits & (of_rank == s)).sum(axis=1) for s in range(3)], axis=1)
    missed = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n * 3, max_size=n * 3)))
    by_slice = inside + missed.reshape(n, 3)
    for s, value in enumerate(recall_by_slice(hits, of_rank, by_slice, k)):
        users = [i for i in range(n) if by_slice[i, s]]
        found = [sum(h and r == s for h, r in zip(hits[i, :k], of_rank[i, :k])) for i in users]
        if users:
            expected = np.mean([f / by_slice[i, s] for f, i in zip(found, users)])
            assert value == pytest.approx(expected)
        else:
            assert math.isnan(value)  # not measured is not zero


def test_recall_by_slice__hits_on_others_do_not_count():
    hits, of_rank = np.array([[True, True]]), np.array([[1, 2]])
    assert recall_by_slice(hits, of_rank, np.array([[1, 2, 1]]), 2).tolist() == [0, 0.5, 1]


def test_recall_by_slice__refuses():
    with pytest.raises(ValueError, match=r"must have one shape \(n,K\)"):
        recall_by_slice(np.array([[True]]), np.array([0]), np.array([[1]]), 1)
