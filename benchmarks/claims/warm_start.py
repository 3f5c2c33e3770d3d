"""Claim 16: a night goes on from yesterday's model.

The new model that reads all days once, in a night's batches, was added after the others had been
run, to find out whether several epochs are what a new model of all days is better by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from claim import Arm, Claim, Setting, beats, every
from living import Living, Served, Service, of_model
from updating import FULL, SETTINGS, full

from minitower.evaluation.encode import encode


def _scratch(days: int | None, *epochs: float, once: bool = False) -> Arm:
    """A new model each night, trained as the base is, on so many last days; None: on all.

    Args:
        days: see above.
        epochs: to choose from.
        once: one epoch, in batches of a night.
    """

    def serve(living: Living, setting: Setting) -> Service:
        def service(day: int) -> Iterator[Served]:
            first = 0 if days is None else max(0, day - days)
            night = living.scratch(living.data(slice(first, day)), setting, once=once)
            items = encode(night.model.item, night.data.items)
            yield Served(living.end(day), of_model(night.model, night.data), items)

        return service

    if once:
        return Arm(serve, SETTINGS, seeds=5)
    return Arm(serve, every(temperature=(0.1, 0.15), epochs=epochs, rate=(0.05,)))


CLAIM = Claim(
    says="One epoch over the day on top of yesterday's model is better than a new model, be it of "
    "the day or of all days.",
    arms={
        "warm start": replace(full(), same_as=FULL),
        "from scratch, the last day": _scratch(1, 4, 16),
        "from scratch, the last week": _scratch(7, 4, 16),
        "from scratch, all days": _scratch(None, 2, 4),
        "from scratch, all days once": _scratch(None, once=True),
    },
    compare=beats("warm start", "from scratch, the last day", "from scratch, all days"),
    also=(
        *beats("warm start", "from scratch, the last week", "from scratch, all days once"),
        *beats("warm start", "from scratch, all days", figure="new users"),
        *beats("from scratch, all days", "from scratch, the last week"),
    ),
    tasks=("living",),
    columns=("attained@50", "new users", "recall@50 of clicks"),
)
