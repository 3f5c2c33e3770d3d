"""Claim 2: in-batch negatives need the correction of their popularity, and it restores the full
softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from arms import in_batch
from claim import TEMPERATURES, Arm, Claim, Comparison, Setting, beats
from tasks import Task

import minitower as mt
from minitower.data import Interactions
from minitower.formulas.sampling import Uniform
from minitower.training.batches import Batch
from minitower.training.negatives import NegativeSample, SharedNegatives

_BLOCK = 128  # users whose scores of the whole catalogue are kept at a time


class WholeCatalogue:
    """Every item as a candidate of every pair: what sampling replaces."""

    def __init__(self, data: mt.Dataset) -> None:
        self.rows = np.arange(len(data.items))

    def draw(self, pairs: Interactions, positions: Any, rng: np.random.Generator) -> NegativeSample:
        """All items, in order."""
        return NegativeSample(self.rows, np.zeros(len(self.rows)), None, has_hard=True)


class FullSoftmax:
    """The exact softmax over the catalogue, which the batch's extra candidates are.

    Of cosines: as none exceeds 1, exponentials need no other maximum taken off.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, users: Any, items: Any, batch: Batch) -> tuple[float, tuple[Any, Any]]:
        """Loss, and gradients of users and items."""
        n, catalogue, clicked = len(users), items[len(users) :], batch.item_rows[: len(users)]
        scale = users.dtype.type(1 / self.temperature)
        own = np.einsum("nd,nd->n", users, catalogue[clicked]) * scale
        loss, d_users, d_items = 0.0, np.empty_like(users), np.zeros_like(items)
        np.subtract.at(d_items, n + clicked, users * (scale / n))
        for start in range(0, n, _BLOCK):
            rows = slice(start, start + _BLOCK)
            exponentials = np.exp((users[rows] * scale) @ catalogue.T - scale)
            total = exponentials.sum(axis=1)
            loss += float((np.log(total) + scale - own[rows]).sum()) / n
            share = (scale / (n * total))[:, None]
            d_users[rows] = share * (exponentials @ catalogue)
            d_items[n:] += exponentials.T @ (users[rows] * share)
        d_users -= catalogue[clicked] * (scale / n)
        return loss, (d_users, d_items)


def _full(batch_size: int | None = None, **where: Any) -> Arm:
    def trainer(task: Task, model: mt.TwoTower, setting: Setting) -> dict[str, Any]:
        return {
            "objective": FullSoftmax(setting["temperature"]),
            "negatives": WholeCatalogue(task.data),
            "batch_size": batch_size or task.batch_size,
        }

    return Arm(trainer, TEMPERATURES, **where)


def _mixed(task: Task, model: mt.TwoTower, setting: Setting) -> dict[str, Any]:
    """A batch and as many uniform draws beside it."""
    return {
        "objective": mt.InBatchSoftmax(setting["temperature"], "mixed"),
        "negatives": SharedNegatives(Uniform(len(task.data.items)), task.batch_size),
        "batch_size": task.batch_size,
    }


def _funnel_sizes() -> dict[str, Arm]:
    arms = {}
    for size in (256, 2048):
        for correction in ("none", "yi", "calibrated"):
            arm = in_batch(correction, batch_size=size)
            arms[f"{correction}, batch {size}"] = Arm(arm.trainer, tasks=("funnel",))
        arms[f"full softmax, batch {size}"] = _full(size, tasks=("funnel",))
    return arms


def _share(arm: str, size: str = "", full: str = "full softmax") -> Comparison:
    return Comparison((f"{arm}{size}", ""), (f"none{size}", ""), top=f"{full}{size}")


def _beside_yi(figure: str) -> list[Comparison]:
    """The calibrated form less Yi's, at the two batch sizes where both took one temperature."""
    sizes = (f", batch {size}" for size in (256, 2048))
    return [c for b in sizes for c in beats(f"calibrated{b}", f"yi{b}", figure=figure)]


CLAIM = Claim(
    says="Without the correction by log q, in-batch negatives suppress popular items too much; "
    "with it, training comes close to the softmax over all items.",
    arms={
        "none": in_batch("none"),
        "yi": in_batch("yi"),
        "calibrated": in_batch("calibrated"),
        "mixed": Arm(_mixed, tasks=("funnel", "ml-1m-split")),
        "full softmax": _full(tasks=("funnel", "ml-1m-split")),
        "full softmax, once": _full(tasks=("gowalla-split",), seeds=1, trials_of="calibrated"),
        **_funnel_sizes(),
    },
    compare=beats("yi", "none"),
    also=(
        *beats("yi", "none", figure="head"),
        *beats("yi", "none", figure="tail"),
        *beats("calibrated", "none", "yi"),
        *beats("mixed", "none", "yi"),
        *beats("full softmax", "yi", "calibrated", "mixed"),
        *(_share(arm) for arm in ("yi", "calibrated", "mixed")),
        *(_share(arm, full="full softmax, once") for arm in ("yi", "calibrated")),
        *(_share(arm, f", batch {b}") for b in (256, 2048) for arm in ("yi", "calibrated")),
        *(c for b in (256, 2048) for c in beats(f"yi, batch {b}", f"none, batch {b}")),
        *(c for figure in ("", "tail", "head") for c in _beside_yi(figure)),
    ),
    tasks=("funnel", "ml-1m-split", "gowalla-split"),
)
