"""What self-supervision costs: a step of training, and the mutual information of a catalogue.

    python benchmarks/self_supervised.py             # everything, about five minutes
    python benchmarks/self_supervised.py step        # one part: step or relations
    python benchmarks/self_supervised.py --quick     # tiny sizes: only shows that it runs

A joint step against a plain one, the item tower forward and back twice more, and one
contrastive loss, which take turns in every round. 100,000 users and items; items with an id
(64), two categorical fields (16), a multi-valued one (16) and a number -> 128 -> 64, cosine,
in-batch softmax with logQ, Adagrad; as many views as pairs, float32, two threads.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import time

THREADS = "2"
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)  # read when NumPy is imported

import numpy as np  # noqa: E402
from bounds import Bounds  # noqa: E402
from timing import interleave, milliseconds, table  # noqa: E402

import minitower as mt  # noqa: E402
from minitower.formulas.blocked import blocked_in_batch_softmax  # noqa: E402
from minitower.formulas.logq import uncorrected  # noqa: E402
from minitower.formulas.mutual_information import mutual_information  # noqa: E402

DIM, CATEGORIES = 64, 1000
AUGMENTS = ("mask", "complementary", "correlated", "dropout", "correlated+dropout")


def clicks(rng: np.random.Generator, entities: int, n: int) -> mt.Dataset:
    """n clicks of a long tail, and one more of every user and item."""
    everyone = np.arange(entities)
    popular = np.minimum(rng.zipf(1.3, n) - 1, entities - 1)
    group = rng.integers(0, CATEGORIES, entities)
    words = rng.integers(0, CATEGORIES, (entities, 4)).astype(str)
    return mt.Dataset.from_columns(
        mt.Schema(
            user=[mt.Id("user_id", dim=DIM), mt.Categorical("user_group")],
            item=[
                mt.Id("item_id", dim=DIM),
                mt.Categorical("group"),
                mt.Categorical("theme"),
                mt.MultiValued("words"),
                mt.Continuous("price", transform="standardise"),
            ],
        ),
        interactions={
            "user_id": np.concatenate([everyone, rng.integers(0, entities, n)]),
            "item_id": np.concatenate([everyone, popular]),
        },
        users={"user_id": everyone, "user_group": group},
        items={
            "item_id": everyone,
            "group": group,
            "theme": group // 50,
            "words": [" ".join(row) for row in words],
            "price": group + rng.random(entities),
        },
        split=mt.RandomSplit(valid=0, test=0),
    )


def trainer_of(data: mt.Dataset, n: int, views: mt.SelfSupervised | None = None) -> mt.Trainer:
    model = mt.TwoTower(data.schema, dim=DIM, hidden=(128,))
    return mt.Trainer(model, data, batch_size=n, self_supervised=views)


def step(batches: list[int], rounds: int, entities: int, bounds: Bounds) -> str:
    """A joint step over the sum of its parts, each measured alone."""
    data = clicks(np.random.default_rng(0), entities, 20 * max(batches))
    rows: list[list[object]] = []
    for n in batches:
        hows = {a: mt.SelfSupervised(augment=a, batch_size=n) for a in AUGMENTS}  # type: ignore[arg-type]
        trainers = {"plain": trainer_of(data, n)}
        trainers |= {augment: trainer_of(data, n, how) for augment, how in hows.items()}
        rng = np.random.default_rng(0)
        model = trainers["plain"].model
        # Views are of other items in every step. What they are compared with is, too: rows that
        # a step has just used are in the cache, and cost less.
        batches_ = itertools.cycle(list(trainers["plain"].batches.epoch(rng))[:-1])
        draws = itertools.cycle(
            [data.items.take(rng.choice(entities, n, replace=False)) for _ in range(20)]
        )
        vectors, _ = model.item(next(draws))

        def passes(model=model, draws=draws):
            for _ in range(2):
                vectors, backward = model.item(next(draws))
                backward(vectors)

        plain = uncorrected(np.arange(n))

        def loss(vectors=vectors, plain=plain):
            blocked_in_batch_softmax(vectors, vectors, plain, temperature=0.1)

        steps = {name: lambda t=t, b=batches_: t.step(next(b)) for name, t in trainers.items()}
        seconds = interleave(steps | {"two passes": passes, "loss": loss}, rounds)
        parts = [seconds["plain"], seconds["two passes"], seconds["loss"]]
        for augment in AUGMENTS:
            by_round = zip(seconds[augment], *parts, strict=True)
            found = statistics.median(joint / sum(others) for joint, *others in by_round)
            bounds.at_most(1.1, found, f"joint step of {n}, {augment}, over its parts")
            times = [milliseconds(seconds, name) for name in (augment, "plain")]
            rows.append([n, augment, *times, found])
    head = ["batch", "views", "joint ms", "plain ms", "joint / (plain + two passes + loss)"]
    return "A step of training with views\n" + table(head, rows)


def relations(sizes: list[tuple[int, int, float]], bounds: Bounds) -> str:
    """Two sets, two categorical fields and one of ten buckets: the mutual information of all."""
    rows: list[list[object]] = []
    for n, categories, promised in sizes:
        rng = np.random.default_rng(0)
        indptr = np.concatenate([[0], np.cumsum(rng.integers(1, 6, n))])
        fields = [
            (indptr, np.minimum(rng.zipf(1.3, indptr[-1]), categories)),
            (indptr, rng.integers(0, categories, indptr[-1])),
            rng.integers(0, categories, n),
            rng.integers(0, 50, n),
            rng.integers(0, 10, n),
        ]
        start = time.perf_counter()
        mutual_information(fields)
        passed = time.perf_counter() - start
        bounds.at_most(promised, passed, f"seconds for {n:,} items with {categories:,} categories")
        rows.append([f"{n:,}", f"{categories:,}", passed])
    return "Mutual information of five fields\n" + table(["items", "categories", "seconds"], rows)


def main(arguments: list[str] | None = None) -> None:
    """Run the parts asked for and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("part", nargs="?", choices=["step", "relations"])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args(arguments)
    bounds = Bounds(binding=not options.quick)
    batches, entities, rounds = [1024, 4096], 100_000, options.rounds
    sizes = [(14_000, 500, 1.0), (1_000_000, 500, 60.0), (1_000_000, 100_000, 60.0)]
    if options.quick:
        batches, entities, rounds, sizes = [64], 500, 2, [(300, 20, 1.0)]
    parts = {
        "step": lambda: step(batches, rounds, entities, bounds),
        "relations": lambda: relations(sizes, bounds),
    }
    for name in [options.part] if options.part else parts:
        print(parts[name](), end="\n\n", flush=True)
    bounds.close()


if __name__ == "__main__":
    main()
