"""Does sampling keep up with training, and is the alias table worth having?

    python benchmarks/sampling.py              # a minute
    python benchmarks/sampling.py --quick      # tiny sizes: only shows that it runs

Each source of negatives is drawn from for a batch of 1,024 pairs, against the training step on
what it drew: 100,000 users and items, the towers of ``train_step.py``. The alias table is built
and drawn from beside ``Generator.choice(p=...)``, which sums p again at every call.
"""

from __future__ import annotations

import argparse

import numpy as np
from bounds import Bounds
from timing import Rounds, interleave, milliseconds, ratio, table
from train_step import CATEGORY_DIM, DIM, HIDDEN, clicks  # sets the threads, before NumPy

import minitower as mt
from minitower.data.table import Ragged
from minitower.formulas.sampling import AliasTable, power_law
from minitower.training.negatives import Negatives


def sources(data: mt.Dataset, batch: int, k: int) -> dict[str, tuple[mt.Objective, Negatives]]:
    """What draws, and an objective that learns from it."""
    rng = np.random.default_rng(0)
    lists = Ragged.from_counts(
        np.full(len(data.users), 50), rng.integers(len(data.items), size=50 * len(data.users))
    )
    hard = mt.HardNegatives(lists, k)
    return {
        "uniform, shared": (
            mt.InBatchSoftmax(correction="mixed"),
            mt.shared_negatives(data, batch),
        ),
        "uniform": (mt.Pointwise(), mt.uniform_negatives(data, k, reject_known=False)),
        "uniform, known rejected": (mt.Pointwise(), mt.uniform_negatives(data, k)),
        "clicks^0.75, known rejected": (mt.Listwise(), mt.popular_negatives(data, k)),
        "hard": (mt.Pairwise(), hard),
        "half easy, half hard": (
            mt.Listwise(),
            mt.MixedNegatives([mt.uniform_negatives(data, k), hard], shares=(0.5, 0.5)),
        ),
    }


def against_training(entities: int, batch: int, k: int, rounds: int, bounds: Bounds) -> str:
    """Time to draw over time to train on what was drawn."""
    data = clicks(np.random.default_rng(0), entities, 20 * batch)
    rows = []
    for name, (objective, negatives) in sources(data, batch, k).items():
        seconds, drawn = _draw_and_step(data, objective, negatives, batch, rounds)
        share = ratio(seconds, "draw", "step")
        bounds.at_most(0.1, share, f"drawing {name} over the training step")
        rows.append([name, drawn, *(milliseconds(seconds, c) for c in seconds), f"{share:.1%}"])
    head = ["negatives", "drawn", "draw ms", "step ms", "share"]
    towers = f"{entities:,} users and items, id {DIM} and category {CATEGORY_DIM}, {HIDDEN} hidden"
    return f"Batch {batch:,}, {towers}\n{table(head, rows)}"


def _draw_and_step(
    data: mt.Dataset, objective: mt.Objective, negatives: Negatives, batch: int, rounds: int
) -> tuple[Rounds, int]:
    """Seconds of both, and how many negatives a batch gets."""
    model = mt.TwoTower(data.schema, dim=DIM, hidden=(HIDDEN,), seed=0)
    trainer = mt.Trainer(model, data, objective=objective, negatives=negatives, batch_size=batch)
    rng = np.random.default_rng(0)
    positions = rng.choice(len(data.train), batch, replace=False)
    pairs = data.train.take(positions)
    one = trainer.batches.make_batch(pairs, rng, positions)
    contenders = {
        "draw": lambda: negatives.draw(pairs, positions, rng),
        "step": lambda: trainer.step(one),
    }
    return interleave(contenders, rounds), len(one.item_rows) - batch


def against_choice(catalogue: int, draws: int, rounds: int, bounds: Bounds) -> str:
    """The alias table beside what NumPy has."""
    p = power_law(np.random.default_rng(0).zipf(1.3, catalogue).clip(max=10**6), 0.75)
    built, rng = AliasTable(p), np.random.default_rng(0)
    seconds = interleave(
        {
            "build": lambda: AliasTable(p),
            "alias": lambda: built.draw(rng, draws),
            "choice": lambda: rng.choice(catalogue, draws, p=p),
        },
        rounds,
    )
    faster = ratio(seconds, "choice", "alias")
    pays = ratio(seconds, "build", "choice")
    bounds.at_least(5, faster, "Generator.choice over the alias table")
    rows: list[list[object]] = [[name, milliseconds(seconds, name)] for name in seconds]
    return (
        f"{draws:,} of {catalogue:,} items\n{table(['', 'ms'], rows)}\n"
        f"choice takes {faster:.0f} times as long; building the table costs {pays:.1f} such calls"
    )


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    quick = parser.parse_args().quick
    bounds, rounds = Bounds(binding=not quick), 2 if quick else 11
    print(against_training(300 if quick else 100_000, 32 if quick else 1024, 5, rounds, bounds))
    print()
    print(against_choice(1_000 if quick else 1_000_000, 100 if quick else 8192, rounds, bounds))
    bounds.close()


if __name__ == "__main__":
    main()
