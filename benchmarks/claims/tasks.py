"""The data sets on which claims are measured, and what is measured there.

    funnel        the simulated recommender: a world, its month of clicks and a model's seed all
                  come from one seed. A model is asked for 50 items a user has not met; what counts
                  is the expected number of clicks on them, on the last day, over the most that any
                  50 would get ("attained"). Nothing of it is sampled, and nothing of it is biased
                  by what the funnel chose to show.
    ml-1m-split   recall@20 on a published split; a tenth of its train is the validation part
    gowalla-split recall@20 on a published split; 5,000 users of its validation part choose
    yelp          recall@20; ids, a city, several categories; four clicks an item

Where there are ids alone, Adagrad's rate is 0.2 instead of 0.05: it was chosen on ml-1m-split's
validation, with Yi's correction, so that four epochs go further than eight did.

"tail" and "head" are the least and the most clicked items that hold a fifth of what there is to
find. On the funnel the tail includes what nobody has clicked yet, and is also told in two parts:
"new" is that, and "rare" the same fifth of what was clicked.

What a recommender that goes on from day to day serves is judged in `living.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from living import Living, open_living

import minitower as mt
from minitower.evaluation.encode import encode
from minitower.evaluation.evaluator import Evaluator
from minitower.lab.funnel import Simulation, simulate
from minitower.lab.funnel_world import Truth
from minitower.search.index import ExactIndex

if TYPE_CHECKING:
    from claim import Arm, Setting

K = 50


@dataclass(frozen=True)
class Task:
    """A data set, and how a model of it is trained and judged.

    Attributes:
        data: with a validation part.
        valid: of a model, the figure by which settings are chosen.
        judge: of a model, every figure of the test.
        epochs: the most an arm trains; the best on validation is kept where ``patient``.
        batch_size: pairs a step.
        hidden: of the towers.
        world: of the funnel, whose log says what became of every item.
        valid_users: so many users validate; None: all.
        rate: of Adagrad, the same for every arm.
    """

    data: mt.Dataset
    valid: str
    judge: Callable[[mt.TwoTower], dict[str, float]]
    epochs: int
    batch_size: int
    hidden: tuple[int, ...] = ()
    patient: bool = True
    world: Simulation | None = None
    valid_users: int | None = None
    rate: float = 0.05

    def train(self, arm: Arm, setting: Setting, seed: int) -> tuple[mt.TwoTower, int, int]:
        """The model of an arm, the epochs it was given, and the one it kept."""
        model = self.model(seed)
        how = {"optimizer": mt.Adagrad(self.rate), "seed": seed}
        trainer = mt.Trainer(model, self.data, **how, **arm.trainer(self, model, setting))
        epochs = max(1, round(arm.epochs * self.epochs))
        history = trainer.fit(epochs, validate=self.patient, metric=self.valid)
        return model, epochs, history.best_epoch

    def validate(self, model: mt.TwoTower) -> float:
        """The figure by which settings are chosen."""
        rows = (
            None
            if self.valid_users is None
            else np.unique(self.data.valid.users)[: self.valid_users]
        )
        k = int(self.valid.partition("@")[2])
        return mt.evaluate(model, self.data, split="valid", k=(k,), users=rows)[self.valid]

    def model(self, seed: int) -> mt.TwoTower:
        """An untrained model."""
        return mt.TwoTower(self.data.schema, dim=32, hidden=self.hidden, seed=seed)


METRIC = {
    "funnel": "attained@50",
    "ml-1m-split": "recall@20",
    "gowalla-split": "recall@20",
    "yelp": "recall@20",
    "living": "attained@50",
}
"""The figure that decides, fixed before anything was run."""


def available(name: str) -> bool:
    """Whether the data is there."""
    return name in ("funnel", "living") or (_root() is not None and (_root() / name).is_dir())


@lru_cache(maxsize=2)
def open_task(name: str, seed: int, quick: bool) -> Task | Living:
    """The data of a task; the seed matters where the data is drawn."""
    if name == "funnel":
        return _funnel(seed, quick)
    if name == "living":
        return open_living(seed, quick)
    folder = _root() / name
    if name == "ml-1m-split":
        data = mt.Dataset.from_split_files(folder, valid=0.1)
        return _split(data, epochs=1 if quick else 4, batch_size=2048, rate=0.2)
    if name == "gowalla-split":
        return _split(
            mt.Dataset.from_split_files(folder),
            epochs=1 if quick else 8,
            batch_size=2048,
            patient=False,
            valid_users=5_000,
            rate=0.2,
        )
    if name == "yelp":
        data = mt.Dataset.from_atomic(
            folder, positive="all", split=mt.RandomSplit(valid=0.1, test=0.2)
        )
        return _split(data, epochs=1 if quick else 10, batch_size=1024, hidden=(64,))
    raise ValueError(f"there is no task {name!r}; there are {', '.join(METRIC)}")


def _root() -> Path | None:
    root = os.environ.get("MINITOWER_DATA")
    return Path(root) if root else None


def _funnel(seed: int, quick: bool) -> Task:
    """1,500 people, 2,000 things and a month; every world has other ones."""
    users, items, days = (150, 300, 6) if quick else (1_500, 2_000, 30)
    world = simulate(users, items, days=days, seed=seed)
    data = mt.Dataset.from_columns(
        world.schema, **world.columns, split=mt.TimeSplit(valid=0.1, test=0.1)
    )
    return Task(
        data=data,
        valid=f"recall@{K}",
        judge=against_truth(world, data),
        epochs=2 if quick else 8,
        batch_size=512,
        hidden=(64,),
        world=world,
    )


def against_truth(
    world: Simulation, data: mt.Dataset
) -> Callable[[mt.TwoTower | Truth], dict[str, float]]:
    """Expected clicks of what a model recalls, and how many of the truly best items it finds."""
    truth = world.truth(world.days - 1)
    users = np.unique(data.train.users)
    met = data.seen("test").take(users)
    best = truth.best(users, K, exclude=met)
    most = truth.expected_click(users[:, None], best).sum(axis=1)
    clicks = data.item_counts
    fifth = _fifths(clicks, np.bincount(best.ravel(), minlength=len(clicks)))
    clicked_fifth = _fifths(clicks, np.bincount(best[clicks[best] > 0], minlength=len(clicks)))
    rare = (clicks > 0) & (clicked_fifth == 0)

    def judge(model: mt.TwoTower | Truth) -> dict[str, float]:
        if isinstance(model, Truth):
            people, things = model.user_vectors, model.item_vectors
        else:
            people, things = encode(model.user, data.users), encode(model.item, data.items)
        recalled, _ = ExactIndex(things).search(people[users], K, met)
        got = truth.expected_click(users[:, None], recalled).sum(axis=1)
        m = len(data.items)
        own = np.arange(len(users))[:, None] * m
        found = np.isin(own + best, own + recalled)

        def share(where: np.ndarray) -> float:
            return float(found[where].mean()) if where.any() else np.nan

        return {
            "attained@50": float((got / most).mean()),
            "found@50": float(found.mean()),
            "tail": share(fifth[best] == 0),
            "head": share(fifth[best] == 4),
            "new": share(clicks[best] == 0),
            "rare": share(rare[best]),
            "recall@50 of clicks": clicked(model)["recall@50"],
        }

    clicked = Evaluator(data, "test", (K,))
    return judge


def _fifths(clicks: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """(m,) 0 to 4: items from the least to the most clicked, cut where fifths of the mass end."""
    order = np.argsort(clicks, kind="stable")
    fifth = np.empty(len(order), np.int64)
    fifth[order] = np.minimum(5 * mass[order].cumsum() / mass.sum(), 4).astype(np.int64)
    return fifth


def _or_nan(figure: float | None) -> float:
    """Where there is nothing to find, nothing was measured."""
    return np.nan if figure is None else figure


def _split(
    data: mt.Dataset,
    *,
    epochs: int,
    batch_size: int,
    hidden: tuple[int, ...] = (),
    patient: bool = True,
    **how: Any,
) -> Task:
    """A split with nothing but clicks to test on."""
    evaluator = Evaluator(data, "test", (20,), slices=5)

    def judge(model: mt.TwoTower) -> dict[str, float]:
        report = evaluator(model)
        return {
            "recall@20": report["recall@20"],
            "ndcg@20": report["ndcg@20"],
            "tail": _or_nan(report.slices[1].recall[20]),
            "head": _or_nan(report.slices[-1].recall[20]),
        }

    return Task(data, "recall@20", judge, epochs, batch_size, hidden, patient, **how)
