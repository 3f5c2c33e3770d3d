"""Claim 4: which negatives a trained model tells from clicks, and which it does not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from arms import in_batch, uniform, with_negatives
from claim import Claim, Comparison, Figures
from scipy.stats import mannwhitneyu
from tasks import Task

import minitower as mt
from minitower.data.table import Ragged
from minitower.evaluation.encode import encode
from minitower.formulas.sampling import AliasTable, power_law

KINDS = {
    "dropped": "dropped by pre-ranking",
    "ranked_low": "ranked low",
    "unclicked": "shown, not clicked",
}


def accuracies(task: Task, model: mt.TwoTower) -> Figures:
    """Balanced accuracy of clicks of the test against one negative each, of every kind.

    The threshold is the one that parts the validation's clicks from uniform negatives best. The
    area under the curve needs none.
    """
    data, rng = task.data, np.random.default_rng(0)
    users = encode(model.user, data.users)
    items = encode(model.item, data.items)

    def scores(of: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.einsum("nd,nd->n", users[of], items[rows])

    m = len(data.items)
    valid = scores(data.valid.users, data.valid.items)
    threshold = _best_threshold(valid, scores(data.valid.users, rng.integers(m, size=len(valid))))

    test = data.test
    positive = scores(test.users, test.items)
    kinds = {
        "uniform": rng.integers(m, size=len(test)),
        "clicks^0.75": AliasTable(power_law(data.item_counts, 0.75)).draw(rng, len(test))[0],
    }
    assert task.world is not None
    clicks = len(data.train) + len(data.valid) + len(test)
    last = np.arange(clicks - len(test), clicks)  # of the log, which is in time order
    for fate, name in KINDS.items():
        kinds[name] = _one_of_each(task.world.log.by_click(fate).take(last), rng)
    figures: Figures = {}
    for name, rows in kinds.items():
        there = rows >= 0
        negative = scores(test.users[there], rows[there])
        told = (positive > threshold).mean() / 2 + (negative <= threshold).mean() / 2
        figures[f"accuracy, {name}"] = float(told)
        wins = mannwhitneyu(positive, negative).statistic
        figures[f"area, {name}"] = float(wins / (len(positive) * len(negative)))
    return figures


def _best_threshold(positive: np.ndarray, negative: np.ndarray) -> float:
    values = np.concatenate([positive, negative])
    order = np.argsort(values)
    gain = np.where(order < len(positive), -1, 1).cumsum()  # at or below: taken for negatives
    return float(values[order[np.argmax(gain)]])


def _one_of_each(lists: Ragged, rng: np.random.Generator) -> np.ndarray:
    """A value of every row, -1 where there is none."""
    counts = lists.counts
    chosen = np.full(len(counts), -1)
    some = counts > 0
    chosen[some] = lists.values[lists.indptr[:-1][some] + rng.integers(counts[some])]
    return chosen


def _order(arm: str, what: str) -> tuple[Comparison, ...]:
    falling = ("uniform", "dropped by pre-ranking", "ranked low")
    return tuple(
        Comparison((arm, f"{what}, {easy}"), (arm, f"{what}, {hard}"))
        for easy, hard in pairwise(falling)
    )


CLAIM = Claim(
    says="A trained model tells clicks from easy negatives with ease, from what pre-ranking "
    "dropped less well, and least from the tail of the ranking.",
    arms={
        "in-batch": in_batch("yi"),
        "pointwise": with_negatives("pointwise", uniform(3)),
    },
    compare=_order("pointwise", "accuracy"),
    also=(*_order("pointwise", "area"), *_order("in-batch", "accuracy")),
    measure=accuracies,
)
