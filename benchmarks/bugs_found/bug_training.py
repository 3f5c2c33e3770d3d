"""What a bug costs: a model trained with it, and one with the right form, at equal settings.

The right form is the formula of the checker. World, model, order and negatives come from one
seed, so that two runs of a seed differ in the loss alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

import minitower as mt
from minitower.conformance import FORMULAS
from minitower.conformance.calling import at_constants, bound
from minitower.conformance.formula import Formula
from minitower.conformance.frameworks import runner
from minitower.evaluation.encode import encode
from minitower.lab.funnel import Simulation, simulate
from minitower.search.index import ExactIndex
from minitower.training.batches import Batch
from minitower.training.gradient_step import TrainingError
from minitower.training.sampled_negatives import uniform_negatives

K = 50
RANKS = 20
"""Ranks that the metrics read."""

Figures = dict[str, float]
Compute = Callable[[list[Any]], tuple[Any, list[Any]]]
"""The inputs of a formula in order -> (loss, gradients in order)."""


@dataclass(frozen=True)
class Setting:
    """How the bugs of a formula are trained, with the fault and without.

    Attributes:
        constants: plain numbers among the formula's arguments.
        negatives: draws for each pair; 0: the items of the batch.
    """

    similarity: str
    constants: Mapping[str, float]
    negatives: int = 0


_SOFTMAX = Setting("cosine", {"temperature": 0.1})
_SETTINGS = {
    "triplet_logistic": Setting("inner_product", {"scale": 1.0}, 1),
    "triplet_logistic_many": Setting("inner_product", {"scale": 1.0}, 4),
    "triplet_hinge": Setting("inner_product", {"margin": 1.0}, 1),
    "triplet_hinge_many": Setting("inner_product", {"margin": 1.0}, 4),
    "binary_cross_entropy": Setting("inner_product", {}, 4),
}


def setting_of(formula: str) -> Setting:
    """How the bugs of a formula are trained."""
    return _SETTINGS.get(formula, _SOFTMAX)


class Loss:
    """A loss of a formula's arguments, as an objective of the trainer."""

    def __init__(self, formula: Formula, setting: Setting, compute: Compute) -> None:
        self.formula, self.setting, self.compute = formula, setting, compute

    def __call__(self, users: Any, items: Any, batch: Batch) -> Any:
        n, clicked = len(users), items[: len(users)]
        ids = batch.item_rows[:n]
        known: dict[str, Any] = {
            "users": users, "first": users, "items": clicked, "second": clicked,
            "log_q": batch.log_q[:n].astype(users.dtype), "item_ids": ids,
            "weights": np.ones(n, users.dtype), **self.setting.constants,
        }  # fmt: skip
        if self._of_vectors:
            loss, (d_users, d_items) = self._computed(known)
            return loss, (d_users, d_items)
        if self.setting.negatives:
            others = items[n:].reshape(n, self.setting.negatives, -1)
        else:
            others = np.broadcast_to(clicked, (n, *clicked.shape))
            known["drop"] = ids[:, None] == ids
        positive = np.einsum("nd,nd->n", users, clicked)
        negatives = np.einsum("nd,nkd->nk", users, others)
        known |= {"positive": positive, "negatives": negatives, "negative": negatives[:, 0]}
        known["logits"] = np.concatenate([positive, negatives.ravel()])
        known["labels"] = np.repeat([1, 0], [n, negatives.size]).astype(users.dtype)
        loss, gradients = self._computed(known)
        if len(gradients) == 1:  # of logits
            gradients = gradients[0][:n], gradients[0][n:]
        d_positive, d_negatives = gradients[0], gradients[1].reshape(negatives.shape)
        d_users = d_positive[:, None] * clicked + np.einsum("nk,nkd->nd", d_negatives, others)
        d_clicked = d_positive[:, None] * users
        if self.setting.negatives:
            d_others = d_negatives[:, :, None] * users[:, None]
            d_items = np.concatenate([d_clicked, d_others.reshape(-1, users.shape[1])])
        else:
            d_items = d_clicked + d_negatives.T @ users
        return loss, (d_users.astype(users.dtype), d_items.astype(items.dtype))

    @property
    def _of_vectors(self) -> bool:
        return {a.name for a in self.formula.arguments} & {"users", "first"} != set()

    def _computed(self, known: Mapping[str, Any]) -> Any:
        loss, gradients = self.compute([known[a.name] for a in self.formula.arguments])
        return float(loss), [np.asarray(g, np.float32) for g in gradients]


def right(formula: str) -> Loss:
    """The right form: the checker's own."""
    spec = FORMULAS[formula]
    return Loss(spec, setting_of(formula), lambda inputs: spec.compute(*inputs))


def wrong(bug: Any) -> Loss:
    """The transcription, differentiated by its framework."""
    spec = at_constants(FORMULAS[bug.formula], bug.given)
    run, call = runner(bug.framework), bound(bug.loss, spec, bug.given)

    def compute(inputs: list[Any]) -> Any:
        outputs = run(call, spec, inputs, "float32")
        return outputs[spec.result], [outputs[name] for name in spec.gradients]

    return Loss(spec, setting_of(bug.formula), compute)


@lru_cache(maxsize=1)
def world(seed: int, quick: bool) -> tuple[Simulation, mt.Dataset]:
    """People, items and a month of clicks; the last tenth of the clicks is the test."""
    users, items, days = (150, 300, 6) if quick else (1_500, 2_000, 30)
    simulation = simulate(users, items, days=days, seed=seed)
    data = mt.Dataset.from_columns(
        simulation.schema, **simulation.columns, split=mt.TimeSplit(valid=0.0, test=0.1)
    )
    return simulation, data


def train(loss: Loss, seed: int, quick: bool) -> tuple[mt.TwoTower, str]:
    """A model, and why its training stopped early, or ""."""
    _, data = world(seed, quick)
    setting = loss.setting
    model = mt.TwoTower(data.schema, dim=32, similarity=setting.similarity, seed=seed)
    negatives = None
    if setting.negatives:
        negatives = uniform_negatives(data, setting.negatives, reject_known=False)
    trainer = mt.Trainer(
        model, data, objective=loss, negatives=negatives, optimizer=mt.Adagrad(0.05),
        batch_size=256, seed=seed,
    )  # fmt: skip
    try:
        trainer.fit(1 if quick else 8)
    except TrainingError as error:
        return model, str(error).partition(";")[0]
    return model, ""


def judged(model: mt.TwoTower, seed: int, quick: bool) -> Figures:
    """Recall of later clicks, and of the items that the world's truth holds to be the best."""
    simulation, data = world(seed, quick)
    truth, users = simulation.truth(simulation.days - 1), np.unique(data.train.users)
    seen = data.seen("test").take(users)
    best = truth.best(users, K, exclude=seen)
    index = ExactIndex(encode(model.item, data.items))
    recalled, _ = index.search(encode(model.user, data.users)[users], K, seen)
    own = np.arange(len(users))[:, None] * len(data.items)
    clicks = mt.evaluate(model, data, split="test", k=(K,))[f"recall@{K}"]
    return {"clicks": float(clicks), "best": float(np.isin(own + best, own + recalled).mean())}


def reported(bug: Any, model: mt.TwoTower, seed: int, quick: bool) -> Figures:
    """What the right metric and the wrong one report of the same recommendations."""
    _, data = world(seed, quick)
    users, seen = np.unique(data.test.users), data.seen("valid")
    index = ExactIndex(encode(model.item, data.items))
    recalled, _ = index.search(encode(model.user, data.users)[users], RANKS, seen.take(users))
    m = len(data.items)
    clicked = np.unique(data.test.users * m + data.test.items)
    hits = np.isin(users[:, None] * m + recalled, clicked)
    positives = np.bincount(clicked // m, minlength=len(data.users))[users]
    value, _ = FORMULAS[bug.formula].compute(hits, positives, RANKS)
    return {"right": float(value), "wrong": float(bug.loss(hits, positives, RANKS))}
