"""What a day costs: growing everything by 10 % of users and items, and the full update.

    python benchmarks/updates.py             # about three minutes
    python benchmarks/updates.py --quick     # tiny size: only shows that it runs

`next_day` and `train_full_update`, reports and all, against the day's training alone, on a model
that has grown already, plus one plain copy of each table that grew: embeddings, optimizer
state, encoded features, vocabularies, and what each user has met. They take turns. 200,000
users and 50,000 items, 10 % more of each by the day, 400,000 clicks a day; an id (64), a
categorical (16) and a multi-valued field (16) each -> 128 -> 64, cosine, in-batch softmax of
4,096 with logQ, Adagrad, float32. Then one increment of 20,000 clicks, and what it publishes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

THREADS = "2"
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, THREADS)  # read when NumPy is imported

import numpy as np  # noqa: E402
from bounds import Bounds  # noqa: E402
from timing import table  # noqa: E402

import minitower as mt  # noqa: E402
from minitower.data import next_day  # noqa: E402
from minitower.updating.incremental_update import IncrementalUpdate  # noqa: E402
from minitower.updating.streams import Events  # noqa: E402
from minitower.updating.train_full_update import train_full_update  # noqa: E402

DIM = 64


def entities(side: str, ids: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    words = rng.integers(0, 1000, (len(ids), 3)).astype(str)
    return {
        f"{side}_id": ids,
        f"{side}_group": rng.integers(0, 1000, len(ids)),
        f"{side}_words": np.array([" ".join(row) for row in words]),
    }


def clicks(users: int, items: int, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """n clicks, the newest tenth of users and items among them."""
    return {
        "user_id": rng.integers(0, users, n),
        "item_id": np.where(
            rng.random(n) < 0.9,
            np.minimum(rng.zipf(1.3, n) - 1, items - 1),
            rng.integers(0, items, n),
        ),
        "timestamp": np.arange(float(n)),
    }


def copies(data: mt.Dataset, model: mt.TwoTower, optimizer: mt.Optimizer) -> Callable[[], None]:
    """One copy of all that grows with users, items and clicks."""
    seen = data.seen("all")
    arrays = [
        *(array for array in model.parameters.values() if len(array) > 1000),
        *(array for array in optimizer.state.values() if len(array) > 1000),
        *data.users.to_arrays().values(),
        *data.items.to_arrays().values(),
        *data.schema.to_state()[1].values(),
        *(seen.indptr, seen.values),
    ]
    return lambda: [array.copy() for array in arrays] and None


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny size, to see that it runs")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    bounds = Bounds(binding=not options.quick)
    users, items, n, batch, rounds = 200_000, 50_000, 400_000, 4096, options.rounds
    if options.quick:
        users, items, n, batch, rounds = 300, 100, 600, 64, 1

    rng = np.random.default_rng(0)
    schema = mt.Schema(
        *(
            [mt.Id(f"{s}_id"), mt.Categorical(f"{s}_group"), mt.MultiValued(f"{s}_words")]
            for s in ("user", "item")
        )
    )
    listed = [entities(s, np.arange(size), rng) for s, size in (("user", users), ("item", items))]
    log = clicks(users, items, n, rng)
    data = mt.Dataset.from_columns(schema, log, *listed, split=mt.RandomSplit(0, 0))
    trainer = lambda model, data: mt.Trainer(model, data, batch_size=batch)
    model = mt.TwoTower(data.schema, dim=DIM, hidden=(128,))
    first = trainer(model, data)
    first.fit(1)

    grown_users, grown_items = users + users // 10, items + items // 10
    new_log = clicks(grown_users, grown_items, n, rng)
    new = [
        entities("user", np.arange(users, grown_users), rng),
        entities("item", np.arange(items, grown_items), rng),
    ]
    day = next_day(data, new_log, *new)
    parts: dict[str, list[float]] = {
        name: [] for name in ("append", "update", "training", "copies")
    }
    copy = copies(day, model.extended(day.schema), first.optimizer)
    for _ in range(rounds):
        parts["append"].append(seconds(lambda: next_day(data, new_log, *new)))
        update = lambda: train_full_update(model, day, trainer, optimizer=first.optimizer)
        parts["update"].append(seconds(update))
        grown = model.extended(day.schema)
        run = trainer(grown, day)
        run.optimizer = first.optimizer.extended(grown.parameters)
        parts["training"].append(seconds(lambda run=run: run.fit(1, validate=False)))
        parts["copies"].append(seconds(copy))
    ratio = statistics.median((a + u) / (t + c) for a, u, t, c in zip(*parts.values()))
    bounds.at_most(1.1, ratio, "a day over its training and one copy")
    print("A day with 10 % new users and items, seconds")
    medians = [statistics.median(part) for part in parts.values()]
    print(table([*parts, "(append + update) / (training + copies)"], [[*medians, ratio]]))

    n = 50 * batch // 10 if not options.quick else 100
    hour = clicks(grown_users, grown_items, n, rng)
    events = Events(hour["user_id"], hour["item_id"], hour["timestamp"])
    branch = seconds(lambda: IncrementalUpdate(model.extended(day.schema), day))
    increment = IncrementalUpdate(model.extended(day.schema), day, batch_size=min(256, batch))
    learned = seconds(lambda: increment.feed(events))
    taken = seconds(increment.increment)
    rows = sum(values.nbytes for _, values in increment.increment().rows.values())
    print(f"\nAn increment of {n:,} clicks, seconds")
    head = ["branch off", "learn", "what to publish", "MB"]
    print(table(head, [[branch, learned, taken, rows / 1e6]]))
    bounds.close()


if __name__ == "__main__":
    main()
