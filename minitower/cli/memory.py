"""How many vectors one training step may hold: a bound on what --negatives and --bank ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minitower.cli import options
from minitower.cli.choices import NEGATIVES_OF
from minitower.data import DataError, Dataset
from minitower.towers.two_tower import TwoTower

if TYPE_CHECKING:
    from minitower.cli.job import Job

_MOST = 1 << 25
"""Numbers, 128 MB: what the item tower computes for the negatives, or what the bank remembers.
With gradients and copies a step takes up to five times as much."""


def check_step(job: Job, model: TwoTower, data: Dataset) -> None:
    """Refuse a training step whose negatives or whose bank would take too much memory.

    Raises:
        DataError: names the flag, and the number of vectors that this model takes.
    """
    tower = model.item_tower
    width = tower.dim + sum(inputs for _, inputs, _ in tower.layers)  # numbers for each item
    positives = len(data.train) + len(data.valid) + len(data.test)  # a refit trains on all
    pairs = min(job.batch_size, positives)
    said = job.negatives or NEGATIVES_OF[job.objective]
    parts = [] if said is None else options.parse_negatives(said)
    drawn = sum(k if kind == "shared" else k * pairs for kind, k in parts)
    banked = job.bank if job.objective == "cross-batch" else 0
    for flag, size, each in (("--negatives", drawn, width), ("--bank", banked, tower.dim)):
        if size * each > _MOST:
            raise DataError(
                f"{flag}: {size:,} vectors in one step are too many; this model takes at most "
                f"{_MOST // each:,}: lower {flag}, --batch-size or --dim"
            )
