"""What a list for every user costs, beside the bare product and selection of NumPy.

    python benchmarks/lists.py           # 30,000 users, 10,000 items: about a minute
    python benchmarks/lists.py --quick   # tiny sizes: only shows that it runs

The store holds an untrained model of 64 dimensions with one hidden layer, and 30 seen items a user.
A process of its own writes the lists to each kind of file, k = 10. It says its wall time without
the start of Python, its processor time with it, and its peak memory. The floor is a loop over
blocks of 1,000 users: product, argpartition, sort of the k best. The floor excludes nothing and
writes nothing. Memory is measured for all users and for a third of them: it must not grow.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from bounds import Bounds
from timing import table

import minitower as mt

DIM, SEEN, K, BLOCK = 64, 30, 10, 1000
ENDINGS = (".csv", ".jsonl", *([".parquet"] if find_spec("pyarrow") else []))


def publish(folder: Path, users: int, items: int) -> None:
    """A store of an untrained model; its lists cost what they cost trained."""
    rng = np.random.default_rng(0)
    seen = users * SEEN
    data = mt.Dataset.from_columns(
        mt.Schema(user=[mt.Id("user_id", dim=DIM)], item=[mt.Id("item_id", dim=DIM)]),
        interactions={
            "user_id": rng.integers(0, users, seen),
            "item_id": rng.integers(0, items, seen),
        },
        users={"user_id": np.arange(users)},
        items={"item_id": np.arange(items)},
        split=mt.RandomSplit(valid=0, test=0),
    )
    model = mt.TwoTower(data.schema, dim=DIM, hidden=(128,), seed=0)
    mt.publish_model(model, data, folder, index="exact")


def floor(folder: Path) -> float:
    """Seconds of the bare work: product, argpartition and sort of the k best."""
    store = mt.Recommender.open(folder).store
    queries, items = mt.encode(store.model.user, store.users), store.index.vectors
    start = time.perf_counter()
    for first in range(0, len(queries), BLOCK):
        scores = queries[first : first + BLOCK] @ items.T
        best = np.argpartition(-scores, K - 1, axis=1)[:, :K]
        best_scores = np.take_along_axis(scores, best, axis=1)
        np.take_along_axis(best, np.argsort(-best_scores, axis=1), axis=1)
    return time.perf_counter() - start


def write(folder: Path, ending: str, users: int) -> dict[str, float]:
    """The lists of the first users in a process of its own: rows, seconds, bytes at the peak."""
    command = [sys.executable, __file__, "--work", str(folder), ending, str(users)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def work(folder: str, ending: str, users: int) -> None:
    """What the process of :func:`write` does."""
    from minitower.scale.list_files import write_lists
    from minitower.store.lists import list_blocks

    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        store = mt.Recommender.open(folder).store
        blocks = list_blocks(store, store.users.ids[:users], K)
        rows = write_lists(Path(place) / f"lists{ending}", blocks)
        seconds = time.perf_counter() - start
    cpu = time.process_time()
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": cpu, "peak": peak()}))


def peak() -> int:
    """Bytes of this process at its peak; what its parent had before does not count."""
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = dict(line.split(":", 1) for line in status.read_text("ascii").splitlines())
    return 1024 * int(lines["VmHWM"].split()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work[0], args.work[1], int(args.work[2]))
        return
    users, items = (300, 200) if args.quick else (30_000, 10_000)
    bounds = Bounds(binding=not args.quick)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "store"
        publish(folder, users, items)
        rows: list[list[object]] = []
        for ending in ENDINGS:
            bare = floor(folder)
            some, found = write(folder, ending, users // 3), write(folder, ending, users)
            grown = (found["peak"] - some["peak"]) / 1e6
            rows.append([ending, int(found["rows"]), found["seconds"], found["cpu"], bare,
                         found["seconds"] / bare, found["peak"] / 1e6, grown])  # fmt: skip
            bounds.at_most(3, found["cpu"], f"processor seconds to write {ending}")
            bounds.at_most(1, found["seconds"] / bare, f"writing {ending} over the floor")
            bounds.at_most(20, grown, f"MB that {ending} grows with three times the users")
    print(f"Lists of {K} of {items:,} items for {users:,} users")
    head = ["file", "rows", "seconds", "of CPU", "floor, s", "over floor", "peak, MB", "grown, MB"]
    print(table(head, rows))
    bounds.close()


if __name__ == "__main__":
    main()
