"""The baselines of a table: their settings come from validation, and from nowhere else."""

import dataclasses

import numpy as np
import pytest

from minitower.data import Dataset, Id, Interactions, RandomSplit, Schema
from minitower.evaluation import baselines as closed_form
from minitower.evaluation import chosen_baselines
from minitower.evaluation.baselines import ease, item_knn
from minitower.evaluation.chosen_baselines import baselines, verdict
from minitower.evaluation.evaluator import evaluate


@pytest.fixture(scope="module")
def data():
    """Two groups of users who click two halves of the items."""
    rng = np.random.default_rng(0)
    users = rng.integers(0, 60, 900)
    items = rng.integers(0, 20, 900) + 20 * (users % 2)
    schema = Schema(user=[Id("user_id")], item=[Id("item_id")])
    split = RandomSplit(valid=0.2, test=0.2)
    return Dataset.from_columns(schema, {"user_id": users, "item_id": items}, split=split)


def same(one, other):
    dense = lambda model: (
        model.weights if model.weights is other.weights else model.weights @ np.eye(40)
    )
    return np.array_equal(dense(one), other.weights @ np.eye(40)) and np.array_equal(
        one.popularity, other.popularity
    )


def test_baselines__the_best_on_validation_of_a_grid(data):
    said = []
    popular, knn, linear = baselines(data, say=said.append)
    assert [one.name for one in (popular, knn, linear)] == ["most popular", "ItemKNN", "EASE"]
    assert said == [f"{one.name}: {one.settings}" for one in (knn, linear)]
    for chosen, fit, name, values in (
        (knn, item_knn, "shrinkage", (3, 30, 300)),
        (linear, ease, "l2", (30, 100, 300, 1000)),
    ):
        grid = {
            (value, popularity): evaluate(
                fit(data, **{name: value}, popularity=popularity), data, split="valid", k=(20,)
            )["ndcg@20"]
            for value in values
            for popularity in (0.01, 0.1, 1.0)
        }
        value, popularity = max(grid, key=grid.get)
        assert chosen.settings == (
            f"{name} {value:g}, popularity {popularity:g}, chosen on validation"
        )
        assert same(chosen.scorer, fit(data, **{name: value}, popularity=popularity))


def test_baselines__never_read_the_test_part(data):
    empty = Interactions(np.empty(0, np.int64), np.empty(0, np.int64))
    blind = dataclasses.replace(data, test=empty)
    for one, other in zip(baselines(data)[1:], baselines(blind)[1:]):
        assert one.settings == other.settings
        assert same(one.scorer, other.scorer)


def test_baselines__defaults_where_nothing_can_choose(data, monkeypatch):
    empty = Interactions(np.empty(0, np.int64), np.empty(0, np.int64))
    cases = [baselines(data, "valid"), baselines(dataclasses.replace(data, valid=empty))]
    monkeypatch.setattr(chosen_baselines, "MOST_TO_CHOOSE", 39)
    cases.append(baselines(data))
    for _, knn, linear in cases:
        assert knn.settings == linear.settings == "default settings"
        assert same(knn.scorer, item_knn(data))
        assert same(linear.scorer, ease(data))


def test_baselines__say_why_ease_is_left_out(data, monkeypatch):
    monkeypatch.setattr(closed_form, "MAX_EASE_ITEMS", 39)
    said = []
    assert [one.name for one in baselines(data, say=said.append)] == ["most popular", "ItemKNN"]
    assert said[-1].startswith("EASE is left out: EASE needs dense matrices of 40 x 40 items")


def test_baselines__both_beat_most_popular_where_taste_matters(data):
    popular, *others = [evaluate(one.scorer, data, k=(10,))["recall@10"] for one in baselines(data)]
    assert min(others) > 1.5 * popular


@pytest.mark.parametrize(
    "ours, word", [(0.1, "above the model"), (0.3, "below the model"), (0.2, "equal to the model")]
)
def test_verdict__names_the_best_baseline(ours, word):
    reports = {"the model": {"m": ours}, "most popular": {"m": 0.05}, "EASE": {"m": 0.2}}
    said = verdict(reports, "the model", "m")
    assert said == f"the best baseline, EASE, is {word}: m 0.2000 against {ours:.4f}"
