"""What the jobs of chapter 13 must survive: kill -9, at any moment, again and again.

    python benchmarks/update_faults.py               # 500 kills, some five minutes
    python benchmarks/update_faults.py --quick       # a few

Two stores live through the same days. In one each night's `minitower update --full` runs
undisturbed. In the other, processes of `update --incremental`, `update --full` and `store
prune` are killed at random moments and started again. After every kill the store must open
on the version before or the new one, and at the end of each day both must serve a full
version of the same bits: parameters, optimizer, tables, item vectors, what was met.

Stops with an error at the first thing that is wrong.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # processes of one thread can be forked

import argparse
import contextlib
import hashlib
import multiprocessing
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import minitower as mt
from minitower.cli import main as command
from minitower.store.version_log import VersionLog
from minitower.updating.streams import write_events

USERS, ITEMS, CLICKS = 40, 60, 400
FULL = ("--full", "--batch-size", "64", "--validate", "0.1")
INCREMENTAL = ("--incremental", "--batch-size", "64", "--item-ids")


def clicks(day: int) -> dict[str, np.ndarray]:
    """The clicks of a day; one more user and one more item each day."""
    rng = np.random.default_rng(day)
    return {
        "user_id": rng.integers(0, USERS + day, CLICKS),
        "item_id": rng.integers(0, ITEMS + day, CLICKS),
        "timestamp": 86_400 * day + np.arange(CLICKS),
    }


def first_day(store: Path) -> None:
    """Version 1."""
    schema = mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")])
    data = mt.Dataset.from_columns(schema, clicks(0), split=mt.RandomSplit(0, 0))
    model = mt.TwoTower(data.schema, dim=8, hidden=(16,))
    trainer = mt.Trainer(model, data, batch_size=64)
    trainer.fit(1)
    mt.publish(trainer, store)


def run(*arguments: object) -> None:
    """A command of minitower, in silence."""
    with (
        Path(os.devnull).open("w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        if status := command([str(argument) for argument in arguments]):
            raise SystemExit(f"{arguments} ended with {status}")


def killed(seconds: float, *arguments: object) -> bool:
    """Run a command in a process that is killed after so long; whether it was done before."""
    worker = multiprocessing.get_context("fork").Process(target=run, args=arguments)
    worker.start()
    worker.join(seconds)
    done = worker.exitcode is not None
    worker.kill()
    worker.join()
    if done and worker.exitcode != 0:
        raise SystemExit(f"{arguments} failed")
    return done


def full(store: Path) -> int:
    """The number of the full version that is served or stood on."""
    return VersionLog.read(store).full().number


def bits(store: Path) -> str:
    """The SHA-256 of that version's arrays."""
    folder = VersionLog.read(store).path(full(store))
    arrays = sorted(path for path in folder.glob("*.npy") if not path.name.startswith("schema"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in arrays)).hexdigest()


def opens(store: Path, allowed: set[int]) -> None:
    """The store is on one of these versions, which answers."""
    service = mt.Recommender.open(store)
    assert service.version is not None
    if service.version.number not in allowed:
        raise SystemExit(f"version {service.version.number} is served, expected {allowed}")
    ids, scores = service.recall(0, k=5, exclude_seen=False)
    if len(ids) != 5 or not np.isfinite(scores).all():
        raise SystemExit(f"version {service.version.number} answers {ids}, {scores}")


def main(arguments: list[str] | None = None) -> None:
    """Kill, look, start again, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a few kills only")
    options = parser.parse_args(arguments)
    rounds, rng, kills = 6 if options.quick else 500, np.random.default_rng(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        calm, store, logs = (Path(folder) / name for name in ("calm", "store", "logs"))
        for place in (calm, store):
            first_day(place)
        logs.mkdir()
        day = 0
        while kills.total() < rounds:
            day += 1
            write_events(logs / f"{day:05d}.jsonl", clicks(day))
            start = time.monotonic()
            run("update", calm, logs, *FULL)
            nightly = time.monotonic() - start
            base = full(store)
            jobs = [("incremental", INCREMENTAL), ("incremental", INCREMENTAL), ("full", FULL)]
            while jobs:
                name, flags = jobs[0]
                before = VersionLog.read(store)
                done = killed(2 * nightly * rng.random(), "update", store, logs, *flags)
                kills[name] += not done
                opens(store, {before.current or 0, before.next})
                if done or name == "incremental" or full(store) > base:
                    jobs.pop(0)
            if bits(store) != bits(calm):
                raise SystemExit(f"day {day}: not the model of an undisturbed night")
            kills["prune"] += not killed(0.02 * rng.random(), "store", "prune", store, "--keep", 3)
            opens(store, {VersionLog.read(store).current or 0})
    told = ", ".join(f"{n} in {name}" for name, n in kills.items())
    print(f"{day} days, killed {kills.total()} times ({told}): the same bits as undisturbed")


if __name__ == "__main__":
    main()
