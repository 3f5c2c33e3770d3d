"""How many files of the package does a reader enter to follow one call? A profiler counts them.

    python benchmarks/trips.py [--list]

A trip is one call, such as one training step. A file counts once as soon as one of its functions
runs. Importing a file does not count: each trip is made once before, without the profiler.
"""

import argparse
import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import numpy as np

import minitower as mt
from minitower.cli import main as command

PACKAGE = Path(mt.__file__).parent
GUIDES = {
    "one training step": 15,
    "Recommender.open": 12,
    "Recommender.recall": 12,
    "update --incremental, one click": 30,
    "train FOLDER": 40,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print the names of the files")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        trips = measure(Path(folder))
    print(f"{'trip':32} {'files':>5} {'guide':>5}")
    for name, files in trips.items():
        print(f"{name:32} {len(files):5} {GUIDES[name]:5}")
        if args.list:
            print("    " + "\n    ".join(files))
    return 0


def measure(work: Path) -> dict[str, list[str]]:
    """The files that each trip enters, by the name of the trip."""
    data, logs, store = work / "data", work / "logs", work / "store"
    write_data(data)
    train = "train", data, "--epochs", "1", "--out"
    run(*train, work / "warm")
    trips = {"train FOLDER": entered(lambda: run(*train, store))}
    mt.Recommender.open(store)
    trips["Recommender.open"] = entered(lambda: mt.Recommender.open(store))
    recommender = mt.Recommender.open(store)
    trips["Recommender.recall"] = entered(lambda: recommender.recall("1", k=10))
    logs.mkdir()
    click = {"user_id": "1", "item_id": "2", "timestamp": 1_600_000_000}
    (logs / "day.jsonl").write_text(json.dumps(click) + "\n")
    update = "update", "--incremental", "--positive", "all"
    run(*update, work / "warm", logs)
    trips["update --incremental, one click"] = entered(lambda: run(*update, store, logs))
    trips["one training step"] = one_step()
    return {name: trips[name] for name in GUIDES}


def one_step() -> list[str]:
    """One batch is drawn and learned."""
    rng = np.random.default_rng(0)
    schema = mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")])
    clicks = {"user_id": rng.integers(0, 50, 64), "item_id": rng.integers(0, 30, 64)}
    data = mt.Dataset.from_columns(
        schema, interactions=clicks, split=mt.RandomSplit(valid=0, test=0)
    )
    model = mt.TwoTower(data.schema, dim=8, hidden=(8,), seed=0)
    trainer = mt.Trainer(model, data, batch_size=32, optimizer=mt.Adagrad(0.05))
    batches = trainer.batches.epoch(np.random.default_rng(0))
    return entered(lambda: trainer.step(next(batches)))


def entered(call: Callable[[], object]) -> list[str]:
    """The files of the package whose functions run during the call."""
    found: set[str] = set()

    def profile(frame: FrameType, event: str, _: object) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(str(PACKAGE)) and frame.f_code.co_name != "<module>":
            found.add(str(Path(name).relative_to(PACKAGE)))

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return sorted(found)


def run(*arguments: object) -> None:
    """One command, in this process, without its output."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if command(list(map(str, arguments))):
            raise SystemExit(f"minitower {' '.join(map(str, arguments))} failed")


def write_data(folder: Path) -> None:
    """Atomic files of 40 users, 30 items, and 1,000 interactions."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    head = "user_id:token\titem_id:token\ttimestamp:float"
    lines = [f"{rng.integers(1, 41)}\t{rng.integers(1, 31)}\t{t}" for t in range(1_000)]
    (folder / "data.inter").write_text("\n".join([head, *lines]) + "\n")
    lines = [f"{u}\t{u % 3}" for u in range(1, 41)]
    (folder / "data.user").write_text("\n".join(["user_id:token\tgroup:token", *lines]) + "\n")
    lines = [f"{i}\t{i % 5}" for i in range(1, 31)]
    (folder / "data.item").write_text("\n".join(["item_id:token\ttopic:token", *lines]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
