"""Seconds and memory of a spectral start.

    python benchmarks/spectral_start.py            # half a minute
    python benchmarks/spectral_start.py --quick    # tiny sizes: only shows that it runs
    MINITOWER_DATA=folder python benchmarks/spectral_start.py --recall     # before any training

A million clicks on 50,000 items of Zipf's popularity by 100,000 users: at most 5 seconds on one
core, and the whole process, data and model included, at most 1 GB. The second row has as many
clicks by ten times as many users on twenty times as many items, most of them with one click: its
memory goes by the ids with clicks. Each row is a process of its own.

``--recall`` measures the start on the validation parts of chapter 25, by rounds of its iteration.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # read when NumPy is imported

import numpy as np  # noqa: E402
from bounds import Bounds  # noqa: E402
from comparison.splits import METRICS, is_there, open_split  # noqa: E402
from timing import table  # noqa: E402

import minitower as mt  # noqa: E402
from minitower.training import spectral_start  # noqa: E402

SIZES = {"dense": (100_000, 50_000, 1_000_000), "sparse": (1_000_000, 1_000_000, 1_000_000)}
QUICK = {"dense": (300, 200, 3_000), "sparse": (3_000, 3_000, 3_000)}
DIM = 64
HEADER = ["users", "items", "clicks", "CPU s", "wall s", "MB before", "MB at the peak"]


def clicks(users: int, items: int, n: int) -> mt.Dataset:
    """Clicks with Zipf's popularity of items, and an even draw of users."""
    rng = np.random.default_rng(0)
    weights = 1 / np.arange(1.0, items + 1)
    log = {
        "user": rng.integers(users, size=n),
        "item": rng.choice(items, n, p=weights / weights.sum())
        if users < n
        else rng.integers(items, size=n),
    }
    schema = mt.Schema(user=[mt.Id("user")], item=[mt.Id("item")])
    return mt.Dataset.from_columns(schema, log, positive="all", split=mt.RandomSplit(0, 0))


def megabytes() -> float:
    """The most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def measure(users: int, items: int, n: int) -> list[float]:
    """The figures of one start, in this process."""
    data = clicks(users, items, n)
    model = mt.TwoTower(data.schema, dim=DIM, hidden=())
    before, cpu, wall = megabytes(), time.process_time(), time.perf_counter()
    mt.spectral_start(model, data)
    seconds = time.process_time() - cpu, time.perf_counter() - wall
    return [*seconds, before, megabytes()]


def recalled(splits: tuple[str, ...]) -> str:
    """Recall and NDCG of models that are started and not trained, by rounds of the iteration."""
    rows = []
    for name in filter(is_there, splits):
        split = open_split(name, "valid", sample=True)
        for rounds in (1, 2, 4, 8):
            spectral_start.ROUNDS = rounds
            model = mt.TwoTower(split.data.schema, dim=DIM, hidden=())
            mt.spectral_start(model, split.data)
            report = split.judge(model)
            rows.append([name, rounds, *(f"{report[metric]:.4f}" for metric in METRICS)])
    return table(["split", "rounds", *METRICS], rows)


def main(arguments: list[str] | None = None) -> None:
    """Measure each size in a process of its own, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--recall", action="store_true", help="what a start recalls, untrained")
    parser.add_argument("--one", choices=SIZES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    sizes = QUICK if options.quick else SIZES
    if options.one:
        print(*measure(*sizes[options.one]))
        return
    if options.recall:
        print(recalled(("tiny",) if options.quick else ("gowalla-split", "ml-1m-split")))
        return
    bounds, rows = Bounds(binding=not options.quick), []
    for name, size in sizes.items():
        command = [sys.executable, __file__, "--one", name, *["--quick"][: options.quick]]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        cpu, wall, before, peak = map(float, run.stdout.split())
        rows.append([*(f"{x:,}" for x in size), cpu, wall, f"{before:.0f}", f"{peak:.0f}"])
        if name == "dense":
            bounds.at_most(5, cpu, "seconds of a start of a million clicks")
            bounds.at_most(1000, peak, "MB at the peak of a start of a million clicks")
    print(f"Spectral start, {DIM} dimensions, one thread\n{table(HEADER, rows)}")
    bounds.close()


if __name__ == "__main__":
    main()
