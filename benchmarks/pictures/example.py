"""The world and the models of chapter 4. Most pictures are drawn from them."""

from __future__ import annotations

from functools import cache

import minitower as mt
from minitower.lab.funnel import Simulation, simulate

TEMPERATURE = 0.1
K = 20


@cache
def world() -> Simulation:
    """300 people, 400 things to do, 20 days of clicks."""
    return simulate(users=300, items=400, days=20, seed=1)


@cache
def data() -> mt.Dataset:
    """Its clicks, split by time."""
    return mt.Dataset.from_columns(world().schema, item_name="name", **world().columns)


@cache
def trained(logq_weight: float) -> mt.TwoTower:
    """The model of chapter 4, trained with a weight of log q: 1 is the lecture's loss."""
    model = mt.TwoTower(data().schema, dim=16, hidden=(32,), seed=0)
    objective = mt.InBatchSoftmax(temperature=TEMPERATURE, logq_weight=logq_weight)
    trainer = mt.Trainer(
        model, data(), objective=objective, optimizer=mt.Adagrad(0.05), batch_size=256
    )
    trainer.fit(epochs=8, metric=f"recall@{K}", patience=4)
    return model


@cache
def report(logq_weight: float | None) -> mt.Report:
    """Recall on the test split; None is the list of the most clicked items, for everybody."""
    scorer = mt.PopularityScorer() if logq_weight is None else trained(logq_weight)
    return mt.evaluate(scorer, data(), split="test", k=(K,))
