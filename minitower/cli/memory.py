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
"""Numbers, 128 MB: what the item tower computes for shared negatives, or what the bank
remembers. With gradients and copies a step takes up to five times as much."""

_MOST_OF_PAIRS = 1 << 27
"""The same for the negatives of each pair, which grow with --batch-size."""

_FEW = 100
"""So many negatives a pair may have, even of a smaller catalogue."""


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
    of_pair = [(kind, k) for kind, k in parts if kind != "shared"]
    for kind, k in of_pair:
        if k > max(len(data.items), _FEW):
            raise DataError(
                f"--negatives {kind}:{k}: {k:,} negatives for each pair are more than the "
                f"{len(data.items):,} items"
            )
    shared = sum(k for kind, k in parts if kind == "shared")
    banked = job.bank if job.objective == "cross-batch" else 0
    for flag, size, each, most in (
        ("--negatives", sum(k for _, k in of_pair) * pairs, width, _MOST_OF_PAIRS),
        ("--negatives", shared, width, _MOST),
        ("--bank", banked, tower.dim, _MOST),
    ):
        if size * each > most:
            raise DataError(
                f"{flag}: {size:,} vectors in one step are too many; this model takes at most "
                f"{most // each:,}: lower {flag}, --batch-size or --dim"
            )
