"""The evaluator against loops, and against figures that others have published."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import datasets

from minitower.data import DataError, Dataset, GivenSplit, Id, Schema
from minitower.evaluation import evaluator as evaluation
from minitower.evaluation.baselines import item_knn
from minitower.evaluation.encode import encode
from minitower.evaluation.evaluator import Evaluator, PopularityScorer, evaluate
from minitower.search import index
from minitower.search.approximate import ApproximateIndex
from minitower.search.index import ExactIndex
from minitower.towers.two_tower import TwoTower


class Grid:
    """Scores from small whole numbers: exact, and full of ties."""

    def __init__(self, seed):
        self.seed = seed

    def vectors(self, data):
        rng = np.random.default_rng(self.seed)
        sides = (len(data.users), 2), (len(data.items), 2)
        return tuple(rng.integers(-1, 2, side).astype(float) for side in sides)


def dataset(*rows):
    """Rows of (user, item, part); items 0 to 5 exist."""
    users, items, parts = zip(*rows)
    schema = Schema(user=[Id("user_id")], item=[Id("item_id")])
    log = {"user_id": users, "item_id": items, "part": parts}
    table = {"item_id": np.arange(6)}
    return Dataset.from_columns(schema, log, items=table, split=GivenSplit("part"))


SMALL = dataset(
    (0, 0, "train"), (0, 1, "train"), (1, 0, "train"), (1, 2, "train"), (2, 0, "train"),
    (2, 3, "valid"), (0, 4, "test"), (0, 2, "test"), (1, 1, "test"), (2, 3, "test"), (2, 1, "test"),
    (2, 1, "test"),
)  # fmt: skip


def naive(scorer, data, split, ks):
    """Sort everything in Python; count by hand."""
    users, items = scorer.vectors(data)
    before = {"train": [], "valid": [data.train], "test": [data.train, data.valid]}[split]
    met = {(u, i) for part in before for u, i in zip(part.users.tolist(), part.items.tolist())}
    part = data.split(split)
    wanted = set(zip(part.users.tolist(), part.items.tolist())) - met
    clicks = np.bincount(data.train.items, minlength=len(items)).tolist()
    judged = sorted({u for u, _ in wanted})
    metrics = {}
    for k in ks:
        lists = {
            u: sorted(
                (j for j in range(len(items)) if (u, j) not in met),
                key=lambda j: (-float(users[u] @ items[j]), j),
            )[:k]
            for u in judged
        }
        recalls, ndcgs = [], []
        for u, recalled in lists.items():
            hits = [(u, j) in wanted for j in recalled]
            total = sum(v == u for v, _ in wanted)
            recalls.append(sum(hits) / total)
            ideal = sum(1 / math.log2(r + 2) for r in range(min(k, total)))
            ndcgs.append(sum(h / math.log2(r + 2) for r, h in enumerate(hits)) / ideal)
        everything = [j for recalled in lists.values() for j in recalled]
        bits = [math.log2(sum(clicks) / max(clicks[j], 1)) for j in everything]
        metrics[f"recall@{k}"] = sum(recalls) / len(judged)
        metrics[f"ndcg@{k}"] = sum(ndcgs) / len(judged)
        metrics[f"coverage@{k}"] = len(set(everything)) / len(items)
        metrics[f"novelty@{k}"] = sum(bits) / len(bits)
    return metrics, len(judged), len(wanted)


def has_positives(data, split):
    try:
        Evaluator(data, split)
    except DataError:
        return False
    return True


@given(datasets(max_fields=0), st.sampled_from(["train", "valid", "test"]), st.integers(0, 99))
def test_evaluate__equals_naive(data, split, seed):
    assume(has_positives(data, split))
    report = evaluate(Grid(seed), data, split=split, k=(1, 3, 9))
    expected, users, positives = naive(Grid(seed), data, split, (1, 3, 9))
    assert {name: report[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert (report.users, report.positives) == (users, positives)
    assert report.users_without_positives == len(data.users) - users
    assert report.repeated == len({*zip(*pairs(data, split))}) - positives


def pairs(data, split):
    part = data.split(split)
    return part.users.tolist(), part.items.tolist()


@given(datasets(), st.integers(0, 99))
def test_evaluate__a_model_is_scored_by_its_vectors(data, seed):
    model = TwoTower(data.schema, dim=3, hidden=(4,), seed=seed)

    class Vectors:
        def vectors(self, data):
            return encode(model.user, data.users), encode(model.item, data.items)

    report = evaluate(model, data, split="train", k=(2,))
    assert report.metrics == pytest.approx(evaluate(Vectors(), data, split="train", k=(2,)).metrics)


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_evaluate__vectors_of_other_types_are_as_if_converted_first(dtype):
    """Grid's scores are exact in each; an index holds what the type became."""

    class Narrow(Grid):
        def vectors(self, data):
            return tuple((60 * side).astype(dtype) for side in super().vectors(data))

    own = ExactIndex(Narrow(3).vectors(SMALL)[1])
    assert (
        evaluate(Narrow(3), SMALL)
        == evaluate(Grid(3), SMALL)
        == evaluate(Narrow(3), SMALL, index=own)
    )


@pytest.mark.parametrize("users", [[0.5], [3], [-1], [True, False, True]])
def test_evaluator__refuses_users_that_are_no_rows(users):
    with pytest.raises(ValueError, match="users must be"):
        Evaluator(SMALL, users=users)


@given(st.integers(0, 99), st.integers(1, 5), st.integers(1, 20))
def test_evaluate__does_not_depend_on_blocks(seed, users, scores):
    whole = evaluate(Grid(seed), SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "_USERS", users)
        patch.setattr(index, "_BLOCK", scores)
        assert evaluate(Grid(seed), SMALL) == whole


def test_evaluate__what_was_met_before_is_neither_ranked_nor_missed():
    """User 2 met item 3 in valid; their test click on it cannot be found and is not asked for."""
    report = evaluate(PopularityScorer(), SMALL, k=(1, 6))
    assert (report.users, report.positives, report.repeated) == (3, 4, 1)
    # Clicks are 3, 1, 1, 0, 0, 0. User 0 is recalled 2 (hit), user 1 is 1 (hit), 2 is 1 (hit).
    assert report["recall@1"] == pytest.approx((1 / 2 + 1 + 1) / 3)
    assert report["recall@6"] == 1


@given(datasets(max_fields=0), st.integers(0, 99))
def test_evaluate__some_users(data, seed):
    """The mean over all users is the mean over any part of them and the rest, by their number."""
    rows = np.arange(len(data.users))
    parts = [
        evaluate(Grid(seed), data, split="train", k=(2,), users=part)
        for part in (rows[::2], rows[1::2])
        if np.isin(data.train.users, part).any()
    ]
    whole = evaluate(Grid(seed), data, split="train", k=(2,))
    for name in ("recall@2", "ndcg@2", "mrr@2"):
        mean = sum(part[name] * part.users for part in parts) / whole.users
        assert whole[name] == pytest.approx(mean)
    assert sum(part.users for part in parts) == whole.users


def test_evaluate__users_without_history():
    report = evaluate(PopularityScorer(), SMALL, k=(1,), users=np.array([1]))
    assert (report.users, report.users_without_positives, report["recall@1"]) == (1, 0, 1)
    with pytest.raises(DataError, match="the valid split has no new positives"):
        evaluate(PopularityScorer(), SMALL, split="valid", users=np.array([0, 1]))


def test_evaluate__recall_by_popularity_slice():
    report = evaluate(PopularityScorer(), SMALL, k=(1, 6), slices=1)
    new, clicked = report.slices
    assert (new.name, new.items, new.positives) == ("new", 3, 1)
    assert new.recall == {1: 0, 6: 1}  # item 4, for user 0, behind item 2
    assert (clicked.items, clicked.positives, clicked.recall[1]) == (3, 3, 1)
    by_items = evaluate(PopularityScorer(), SMALL, slices=(0.5,)).slices
    assert [part.items for part in by_items] == [3, 2, 1]
    assert by_items[2].recall[10] is None  # nobody's positive is item 0: not 0, not measured


def test_evaluate__is_written_down():
    report = evaluate(PopularityScorer(), SMALL, k=[20, 10, 10])
    assert report.k == (10, 20)
    again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert again["metrics"]["recall@20"] == report["recall@20"]
    lines = str(report).splitlines()
    assert lines[0].startswith("test: 3 users, 4 positives, exact index")
    assert lines[1].split() == ["@10", "@20"]
    assert lines[2].split() == ["recall", "1.0000", "1.0000"]


def test_evaluate__another_index_ranks():
    model = TwoTower(SMALL.schema, dim=4, hidden=())
    vectors = encode(model.item, SMALL.items)
    hnsw = ApproximateIndex.build("hnsw", vectors, similarity="cosine")
    report = evaluate(model, SMALL, index=hnsw)
    assert report.index == "hnsw"
    assert report.metrics == evaluate(model, SMALL).metrics  # so few items: it is exact
    for other in (vectors[:-1], vectors[::-1]):
        with pytest.raises(ValueError, match="other item vectors than the model makes"):
            evaluate(model, SMALL, index=ExactIndex(other))


def test_evaluate__refuses():
    with pytest.raises(DataError, match="the valid split has no new positives"):
        evaluate(PopularityScorer(), dataset((0, 0, "train"), (0, 1, "test")), split="valid")
    with pytest.raises(DataError, match="the valid split has no new positives"):
        Evaluator(dataset((0, 0, "train"), (0, 0, "valid")), "valid")
    with pytest.raises(DataError, match="k must be an integer of at least 1"):
        Evaluator(SMALL, k=(0, 10))
    with pytest.raises(DataError, match="k is empty"):
        Evaluator(SMALL, k=())
    with pytest.raises(DataError, match="split must be one of train, valid, test"):
        Evaluator(SMALL, "all")
    stranger = TwoTower(dataset((0, 5, "train"), (0, 1, "test")).schema, dim=2)
    with pytest.raises(DataError, match="were not fitted together"):
        evaluate(stranger, SMALL)


@pytest.mark.parametrize(
    "name, recall, ndcg", [("ml-1m-split", 0.1161, 0.1176), ("gowalla-split", 0.0416, 0.0317)]
)
def test_popularity__has_the_published_figures(real_data, name, recall, ndcg):
    """Most popular, full ranking, as on the BARS leaderboards."""
    report = evaluate(PopularityScorer(), Dataset.from_split_files(real_data(name)), k=(20,))
    assert report["recall@20"] == pytest.approx(recall, abs=5e-5)
    assert report["ndcg@20"] == pytest.approx(ndcg, abs=5e-5)


def test_evaluator__a_cutoff_beyond_the_catalogue_is_the_catalogue():
    """A hundred million ranks of six items would not fit into memory."""
    report = evaluate(Grid(0), SMALL, k=(6, 10**15))
    for name, value in report.metrics.items():
        assert value == report.metrics[name.partition("@")[0] + "@6"]
    assert all(part.recall[6] == part.recall[10**15] for part in report.slices)


class Histories:
    """Recalls the lowest rows, and remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def search(self, histories, k, exclude=None):
        self.asked += [histories.row(i).tolist() for i in range(len(histories))]
        assert exclude is histories
        return np.tile(np.arange(k), (len(histories), 1)), np.zeros((len(histories), k))


@pytest.mark.parametrize("split, asked", [("valid", [[0]]), ("test", [[0, 1], [0, 2], [0, 3]])])
def test_evaluator__a_history_is_what_came_before_the_split(split, asked):
    scorer = Histories()
    report = evaluate(scorer, SMALL, split=split, k=(6,))
    assert scorer.asked == asked
    assert report["recall@6"] == 1
    assert report.index == "exact"


@given(datasets())
def test_evaluator__ranks_by_the_scores_of_a_baseline(data):
    """As the full sort of its scores ranks, with what was seen left out."""
    try:
        evaluator = Evaluator(data, "test", (3,))
    except DataError:
        assume(False)
    model = item_knn(data, shrinkage=1.0)
    seen = data.seen("test")
    hits, wanted = {}, set(zip(data.test.users.tolist(), data.test.items.tolist()))
    wanted -= {(u, i) for u in range(len(seen)) for i in seen.row(u).tolist()}
    for u in {u for u, _ in wanted}:
        scores = model.scores(seen.take([u]))[0]
        new = [i for i in range(len(scores)) if i not in seen.row(u)]
        best = sorted(new, key=lambda i: (-scores[i], i))[:3]
        hits[u] = sum((u, i) in wanted for i in best) / sum(v == u for v, _ in wanted)
    assert evaluator(model)["recall@3"] == pytest.approx(np.mean([*hits.values()]))


def test_evaluator__a_scorer_by_histories_takes_no_index():
    with pytest.raises(ValueError, match="give it no index"):
        evaluate(item_knn(SMALL), SMALL, k=(1,), index=ExactIndex(np.ones((6, 1))))
