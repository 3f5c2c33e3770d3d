"""ItemKNN and EASE against loops and least squares, and the laws that they obey."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minitower.data import DataError, Dataset, GivenSplit, Id, Schema
from minitower.data.table import Ragged
from minitower.evaluation import baselines
from minitower.evaluation.baselines import ItemToItem, ease, item_knn


def dataset(pairs, users=4, items=5):
    """Training clicks (user, item) of a fixed number of users and items, and one click of test."""
    pairs = [*pairs, (0, 0)]
    parts = ["train"] * (len(pairs) - 1) + ["test"]
    log = {"user_id": [u for u, _ in pairs], "item_id": [i for _, i in pairs], "part": parts}
    tables = {"user_id": np.arange(users)}, {"item_id": np.arange(items)}
    schema = Schema(user=[Id("user_id")], item=[Id("item_id")])
    return Dataset.from_columns(schema, log, *tables, split=GivenSplit("part"))


clicks = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=25)
shrinkages = st.sampled_from([0.0, 0.5, 10.0])
neighbor_counts = st.integers(1, 5)
penalties = st.sampled_from([0.1, 1.0, 30.0])
any_order = st.permutations(range(5))


def dense(model):
    weights = model.weights
    return weights if isinstance(weights, np.ndarray) else weights.toarray()


def matrix(pairs):
    r = np.zeros((4, 5))
    for user, item in pairs:
        r[user, item] = 1
    return r


def renamed(pairs, order):
    return [(user, order[item]) for user, item in pairs]


@given(clicks, neighbor_counts, shrinkages)
def test_item_knn__equals_naive(pairs, neighbors, shrinkage):
    model = item_knn(dataset(pairs), neighbors=neighbors, shrinkage=shrinkage)
    who = [{u for u, j in pairs if j == i} for i in range(5)]
    expected = np.zeros((5, 5))
    for i in range(5):
        weights = {
            j: len(who[i] & who[j]) / (math.sqrt(len(who[i]) * len(who[j])) + shrinkage)
            for j in range(5)
            if j != i and who[i] & who[j]
        }
        for j in sorted(weights, key=lambda j: (-weights[j], j))[:neighbors]:
            expected[j, i] = weights[j]
    assert dense(model) == pytest.approx(expected, abs=1e-12)


@given(clicks, penalties)
def test_ease__equals_least_squares(pairs, l2):
    r, weights = matrix(pairs), dense(ease(dataset(pairs), l2=l2))
    for i in range(5):  # column i: ridge regression of item i on all other items
        others = np.delete(np.arange(5), i)
        tall = np.vstack([r[:, others], math.sqrt(l2) * np.eye(4)])
        solution = np.linalg.lstsq(tall, np.append(r[:, i], np.zeros(4)), rcond=None)[0]
        assert weights[others, i] == pytest.approx(solution, abs=1e-9)


@pytest.mark.parametrize("fit", [item_knn, ease])
@given(pairs=clicks)
def test_baselines__diagonal_is_zero(fit, pairs):
    assert not np.diag(dense(fit(dataset(pairs)))).any()


@given(clicks, any_order, penalties)
def test_ease__permutation_of_items(pairs, order, l2):
    here, there = (dense(ease(dataset(p), l2=l2)) for p in (pairs, renamed(pairs, order)))
    assert there[np.ix_(order, order)] == pytest.approx(here, abs=1e-9)


@given(clicks, any_order, neighbor_counts, shrinkages)
def test_item_knn__permutation_of_items(pairs, order, neighbors, shrinkage):
    all_weights = dense(item_knn(dataset(pairs), neighbors=5, shrinkage=shrinkage))
    for column in all_weights.T:  # without ties: those go to the lowest row
        column = column[column > 0]
        assume(len(set(np.round(column, 9))) == len(column))
    options = {"neighbors": neighbors, "shrinkage": shrinkage}
    here, there = (dense(item_knn(dataset(p), **options)) for p in (pairs, renamed(pairs, order)))
    assert there[np.ix_(order, order)] == pytest.approx(here, abs=1e-9)


@pytest.mark.parametrize("fit", [item_knn, ease])
@given(pairs=clicks)
def test_baselines__duplicate_clicks(fit, pairs):
    """A pair that occurs twice is one pair to W; the popularity counts clicks."""
    assert np.array_equal(dense(fit(dataset(pairs))), dense(fit(dataset([*pairs, *pairs[:3]]))))


@given(clicks, penalties, shrinkages)
def test_baselines__duplicate_users(pairs, l2, shrinkage):
    """Every user twice: the same W at twice the penalty, and at twice the shrinkage."""
    twice = dataset([*pairs, *((user + 4, item) for user, item in pairs)], users=8)
    here, there = ease(dataset(pairs), l2=l2), ease(twice, l2=2 * l2)
    assert dense(there) == pytest.approx(dense(here), abs=1e-9)
    here = item_knn(dataset(pairs), shrinkage=shrinkage)
    there = item_knn(twice, shrinkage=2 * shrinkage)
    assert dense(there) == pytest.approx(dense(here), abs=1e-12)


@given(clicks)
def test_ease__infinite_l2(pairs):
    """l2 W approaches the counts of co-occurrence."""
    r, l2 = matrix(pairs), 1e7
    expected = r.T @ r
    np.fill_diagonal(expected, 0)
    assert l2 * dense(ease(dataset(pairs), l2=l2)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("fit", [item_knn, ease])
@given(pairs=clicks, earlier=clicks)
def test_baselines__learn_from_the_clicks_of_earlier_days(fit, pairs, earlier):
    """What users saw before, and how popular the items were."""
    data, before = dataset(pairs), dataset(earlier)
    day = replace(data, history=before.seen("valid"), counts_before=before.item_counts)
    model, whole = fit(day, popularity=1.0), fit(dataset([*earlier, *pairs]), popularity=1.0)
    assert dense(model) == pytest.approx(dense(whole))
    assert model.popularity == pytest.approx(whole.popularity)


@pytest.mark.parametrize("fit", [item_knn, ease])
@given(pairs=clicks, history=st.lists(st.integers(0, 4), max_size=6))
def test_scores__are_the_popularity_and_a_sum_over_the_history(fit, pairs, history):
    data = dataset(pairs)
    model = fit(data, popularity=0.5)
    share = data.item_counts / data.item_counts.max()
    expected = 0.5 * share + sum((dense(model)[j] for j in set(history)), np.zeros(5))
    scores = model.scores(Ragged.from_counts([0, len(history)], history))
    assert scores[0] == pytest.approx(0.5 * share)
    assert scores[1] == pytest.approx(expected, abs=1e-12)


def test_scores__leave_the_histories_alone():
    histories = Ragged.from_counts([4], [3, 1, 3, 0])
    item_knn(dataset([(0, 0), (0, 1)])).scores(histories)
    assert histories.values.tolist() == [3, 1, 3, 0]


@given(clicks, st.integers(1, 7), st.lists(st.lists(st.integers(0, 4), max_size=5), max_size=4))
def test_search__equals_sorting(pairs, k, histories):
    """Best first, ties by row, without what is excluded, padded with -1."""
    model = item_knn(dataset(pairs), shrinkage=0, popularity=0)
    sets = Ragged.from_counts([len(h) for h in histories], [i for h in histories for i in h])
    rows, scores = model.search(sets, k, sets)
    assert rows.shape == scores.shape == (len(histories), k)
    for history, row, score, all_scores in zip(histories, rows, scores, model.scores(sets)):
        left = sorted(set(range(5)) - set(history), key=lambda i: (-all_scores[i], i))[:k]
        assert row.tolist() == left + [-1] * (k - len(left))
        assert score.tolist() == [*all_scores[left]] + [-np.inf] * (k - len(left))


def test_search__blocks_of_histories_do_not_matter(monkeypatch):
    data = dataset([(0, 0), (0, 1), (1, 1), (2, 3), (2, 1)])
    histories = Ragged.from_counts([1, 2, 0, 1], [0, 1, 3, 1])
    rows, scores = ease(data).search(histories, 3)
    monkeypatch.setattr(baselines, "_SCORES", 1)
    assert np.array_equal(ease(data).search(histories, 3)[0], rows)
    assert ease(data).search(histories, 3)[1] == pytest.approx(scores)


def test_item_knn__blocks_of_items_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    data = dataset(list(zip(rng.integers(0, 30, 200), rng.integers(0, 40, 200))), 30, 40)
    whole = dense(item_knn(data, neighbors=3))
    monkeypatch.setattr(baselines, "_BLOCK", 7)
    assert np.array_equal(dense(item_knn(data, neighbors=3)), whole)


def test_ease__refuses_a_large_catalogue(monkeypatch):
    with pytest.raises(DataError, match=r"40,981 x 40,981 items, some 40 GB"):
        ease(dataset([(0, 0)], items=40_981))
    monkeypatch.setattr(baselines, "MAX_EASE_ITEMS", 5)
    ease(dataset([(0, 0)]))


@pytest.mark.parametrize(
    ("fit", "bad", "message"),
    [
        (item_knn, {"neighbors": 0}, "neighbors must be an integer of at least 1"),
        (item_knn, {"neighbors": 2.5}, "neighbors must be an integer"),
        (item_knn, {"shrinkage": -1}, "shrinkage must be from 0"),
        (item_knn, {"popularity": -1}, "popularity must be from 0"),
        (ease, {"l2": 0}, "l2 must be positive"),
        (ease, {"l2": math.inf}, "l2 must be positive and finite"),
        (ease, {"popularity": math.nan}, "popularity must be one finite number"),
    ],
)
def test_baselines__refuse_what_is_out_of_its_domain(fit, bad, message):
    with pytest.raises(ValueError, match=message):
        fit(dataset([(0, 0)]), **bad)


def test_ease__refuses_a_penalty_that_vanishes():
    with pytest.raises(DataError, match="EASE: l2 = 1e-300 is too small"):
        ease(dataset([(0, 0), (0, 1)]), l2=1e-300)


def test_scores__refuse_unknown_items():
    model = ItemToItem(np.zeros((2, 2)), np.zeros(2))
    with pytest.raises(ValueError, match=r"histories must be within 0\.\.1, got 0 to 2"):
        model.scores(Ragged.from_counts([2], [0, 2]))
