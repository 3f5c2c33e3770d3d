"""The world of chapter 12, most of whose items have few clicks, and its model with views."""

from __future__ import annotations

from functools import cache

import minitower as mt
from minitower.lab.funnel import simulate

AUGMENT = "complementary"


@cache
def data() -> mt.Dataset:
    """300 people, 600 things to do, 12 days of clicks."""
    world = simulate(users=300, items=600, days=12, seed=1)
    return mt.Dataset.from_columns(world.schema, **world.columns, item_name="name")


@cache
def trained() -> mt.TwoTower:
    """The model of chapter 12, trained with two halves of the fields as views."""
    model = mt.TwoTower(data().schema, dim=16, hidden=(32,), seed=0)
    views = mt.SelfSupervised(augment=AUGMENT, alpha=1.0, batch_size=600)
    trainer = mt.Trainer(
        model, data(), objective=mt.InBatchSoftmax(0.1), batch_size=256, self_supervised=views
    )
    trainer.fit(epochs=4)
    return model
