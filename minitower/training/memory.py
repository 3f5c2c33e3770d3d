"""Bounds on the memory of a training step: its negatives and its bank. Chapters 6 and 7."""

from __future__ import annotations

from minitower.data import DataError, Dataset
from minitower.towers.two_tower import TwoTower
from minitower.training.named import parse_negatives
from minitower.training.objectives import CrossBatchSoftmax, Objective

MAX_NUMBERS = 1 << 25
"""Numbers, 128 MB: what the item tower computes for shared negatives, or what a bank holds.
With gradients and copies a step takes up to five times as much."""

MAX_NUMBERS_OF_PAIRS = 1 << 27
"""The same for the negatives of each pair, which grow with --batch-size."""

_ALWAYS_ALLOWED = 100  # negatives of a pair, even if the catalogue is smaller


def check_memory(
    negatives: str | None, objective: Objective, batch_size: int, model: TwoTower, data: Dataset
) -> None:
    """Refuse a training step whose negatives or whose bank would take too much memory.

    Args:
        negatives: as the option writes them; None: no option can.
        objective, batch_size, model, data: of the step.
    Raises:
        DataError: names the flag, and the number of vectors that this model takes.
    """
    tower = model.item_tower
    width = tower.dim + sum(inputs for _, inputs, _ in tower.layers)  # numbers for each item
    positives = len(data.train) + len(data.valid) + len(data.test)  # a refit trains on all
    pairs = min(batch_size, positives)
    parts = parse_negatives(negatives)
    per_pair = [(kind, k) for kind, k in parts if kind != "shared"]
    for kind, k in per_pair:
        if k > max(len(data.items), _ALWAYS_ALLOWED):
            raise DataError(
                f"--negatives {kind}:{k}: {k:,} negatives for each pair are more than the "
                f"{len(data.items):,} items"
            )
    shared = sum(k for kind, k in parts if kind == "shared")
    bank = objective.size if isinstance(objective, CrossBatchSoftmax) else 0
    for flag, size, each, maximum in (
        ("--negatives", sum(k for _, k in per_pair) * pairs, width, MAX_NUMBERS_OF_PAIRS),
        ("--negatives", shared, width, MAX_NUMBERS),
        ("--bank", bank, tower.dim, MAX_NUMBERS),
    ):
        if size * each > maximum:
            raise DataError(
                f"{flag}: {size:,} vectors in one step are too many; this model takes at most "
                f"{maximum // each:,}: lower {flag}, --batch-size or --dim"
            )
