"""Ways to keep a model up to date, which the claims on updates share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from claim import Arm, Setting, every
from living import MINUTE, Living, Served, Service, of_model, with_rate

import minitower as mt
from minitower.evaluation.encode import encode
from minitower.towers.layers import Gradients
from minitower.training.batches import Batch, Batches
from minitower.updating.incremental_update import IncrementalUpdate

Make = Callable[[mt.Dataset, int], Batches]

FULL = ("full_or_incremental", "full")
SETTINGS = every(temperature=(0.1, 0.15), rate=(0.05, 0.1))
BRANCH = every(branch_rate=(0.01, 0.03, 0.1, 0.3))


class InWindows(Batches):
    """An epoch in order of time, but for the clicks of a window, which are shuffled."""

    seconds: float

    def epoch(self, rng: np.random.Generator) -> Iterator[Batch]:
        """All batches of one epoch."""
        times = self.data.train.timestamps
        assert times is not None
        order = np.lexsort((rng.random(len(times)), times // self.seconds))
        for start in range(0, len(order), self.size):
            positions = order[start : start + self.size]
            yield self.make_batch(self.data.train.take(positions), rng, positions)


def in_windows(seconds: float) -> Make:
    """Batches of a night that shuffles within windows of so many seconds only."""

    def batches(data: mt.Dataset, size: int) -> Batches:
        made = InWindows(data, size)
        made.seconds = seconds
        return made

    return batches


class IdsOnly(mt.Adagrad):
    """Adagrad for embeddings of ids, which leaves all else as it is."""

    def update(self, parameters: dict[str, Any], gradients: Gradients) -> None:
        """Move the rows of ids in place."""
        ids = {n: g for n, g in gradients.items() if n.endswith("_id.embedding")}
        super().update(parameters, ids)


def full(batches: Make | None = None, kind: type[mt.Adagrad] = mt.Adagrad) -> Arm:
    """A full update each night; by day its model serves alone."""

    def serve(living: Living, setting: Setting) -> Service:
        def service(day: int) -> Iterator[Served]:
            night = living.night(day, setting, batches, kind)
            items = encode(night.model.item, night.data.items)
            yield Served(living.end(day), of_model(night.model, night.data), items)

        return service

    return Arm(serve, SETTINGS)


def incremental(seconds: float = 20 * MINUTE, *, only: bool = False, **options: Any) -> Arm:
    """A branch that learns from the clicks of each window as soon as it is over.

    Args:
        seconds: of a window.
        only: the branch of the base goes on for good, and there are no nights; else the
            night's full model is branched off each day.
        options: of :class:`IncrementalUpdate`.
    """

    def serve(living: Living, setting: Setting) -> Service:
        going: dict[int, IncrementalUpdate] = {}  # by the day that it learns from next

        def service(day: int) -> Iterator[Served]:
            begun = living.week if only else day
            first, update = going.popitem() if only and going else (begun, None)
            if update is None:
                night = living.night(begun, setting)
                update = IncrementalUpdate(
                    night.model,
                    night.data,
                    optimizer=with_rate(night.optimizer, setting["branch_rate"]),
                    objective=mt.InBatchSoftmax(setting["temperature"]),
                    batch_size=living.batch_size,
                    **options,
                )
            for before in range(first, day):
                for _, clicks in living.pieces(before, seconds):
                    update.feed(clicks)
            items = encode(update.model.item, update.data.items)
            for end, clicks in living.pieces(day, seconds):
                yield Served(end, of_model(update.model, update.data), items)
                update.feed(clicks)
                if options.get("item_ids"):
                    items = encode(update.model.item, update.data.items)
            going[day + 1] = update

        return service

    return replace(Arm(serve, BRANCH), upon=FULL)
