"""Opening a store, and one recall from it, against what they cannot do without.

    python benchmarks/store.py             # both, about ten minutes, most of it building
    python benchmarks/store.py recall      # one part: open or recall
    python benchmarks/store.py --quick     # tiny sizes: only shows that it runs

open    of a million items, against hashing the files it reads and hnswlib's own load
recall  from 100,000 items, against hnswlib's own query and the products of the user tower
        (id 64, one categorical 16 -> 128 -> 64, cosine, k = 100, 32 links, ef = 200)
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from pathlib import Path

import hnswlib
import numpy as np
from bounds import Bounds
from timing import interleave, milliseconds, ratio, table

import minitower as mt
from minitower.store.version_log import VersionLog

DIM, CATEGORY_DIM, HIDDEN, CATEGORIES, K, EF = 64, 16, 128, 1000, 100, 200


def publish(folder: Path, items: int, users: int) -> mt.Dataset:
    """A store of an untrained model; opening and searching it cost what they cost trained."""
    rng = np.random.default_rng(0)
    user_ids, item_ids = np.arange(users), np.arange(items)
    data = mt.Dataset.from_columns(
        mt.Schema(
            user=[mt.Id("user_id", dim=DIM), mt.Categorical("user_group", dim=CATEGORY_DIM)],
            item=[mt.Id("item_id", dim=DIM), mt.Categorical("item_group", dim=CATEGORY_DIM)],
        ),
        interactions={
            "user_id": np.concatenate([rng.integers(0, users, items), user_ids]),
            "item_id": np.concatenate([item_ids, rng.integers(0, items, users)]),
        },
        users={"user_id": user_ids, "user_group": rng.integers(0, CATEGORIES, users)},
        items={"item_id": item_ids, "item_group": rng.integers(0, CATEGORIES, items)},
        split=mt.RandomSplit(valid=0, test=0),
    )
    model = mt.TwoTower(data.schema, dim=DIM, hidden=(HIDDEN,), seed=0)
    index = mt.ApproximateIndex.build(
        "hnsw",
        mt.encode(model.item, data.items),
        similarity="cosine",
        queries=mt.encode(model.user, data.users, np.arange(10)),
        target_recall=0.01,  # how good the graph is does not matter here
        ef_construction=40,
        threads=2,
    )
    index.effort = min(EF, items)
    mt.publish_model(model, data, folder, index=index)
    return data


def opening(folder: Path, items: int, rounds: int, bounds: Bounds) -> str:
    """Opening against hashing what is read and loading the graph."""
    log = VersionLog.read(folder)
    saved = log.open(log.version())
    paths = [saved.folder / name for name in saved.files]
    graph = saved.folder / "index.hnsw"

    def hashing() -> None:
        for path in paths:
            with path.open("rb") as file:
                hashlib.file_digest(file, "sha256")

    def loading() -> None:
        hnswlib.Index(space="ip", dim=DIM).load_index(str(graph), max_elements=items)

    def floor() -> None:
        hashing()
        loading()

    contenders = {
        "open": lambda: mt.Recommender.open(folder),
        "hash and load": floor,
        "hash": hashing,
        "load": loading,
    }
    seconds = interleave(contenders, rounds, warmup=1, settle=0)
    over = ratio(seconds, "open", "hash and load")
    bounds.at_most(1.3, over, f"opening {items:,} items over hashing and hnswlib's load")
    size = sum(path.stat().st_size for path in paths) / 1e6
    head = ["items", "MB", *(f"{name}, ms" for name in contenders), "open over hash and load"]
    row = [items, size, *(milliseconds(seconds, name) for name in contenders), over]
    return "Opening a store\n" + table(head, [row])


def recalling(folder: Path, data: mt.Dataset, calls: int, bounds: Bounds) -> str:
    """Single recalls of users in turn, each beside the bare work for the same user."""
    recommender = mt.Recommender.open(folder)
    index = recommender.store.index
    assert isinstance(index, mt.ApproximateIndex)
    graph = hnswlib.Index(space="ip", dim=DIM)
    log = VersionLog.read(folder)
    path = log.path(log.version().number) / "index.hnsw"
    graph.load_index(str(path), max_elements=len(data.items))
    graph.set_ef(index.effort)
    parameters = {name: np.array(p) for name, p in recommender.store.model.parameters.items()}
    groups = data.users.columns["user_group"]

    def tower(user: int) -> np.ndarray:
        own = parameters["user.user_id.embedding"][user + 1]
        x = np.concatenate([own, parameters["user.user_group.embedding"][groups[user]]])[None]
        x = x @ parameters["user.mlp.0.weight"] + parameters["user.mlp.0.bias"]
        x = np.maximum(x, 0) @ parameters["user.mlp.1.weight"] + parameters["user.mlp.1.bias"]
        return x / np.linalg.norm(x)

    contenders = {
        "query and product": lambda user: graph.knn_query(tower(user), k=K),
        "recall": lambda user: recommender.recall(user, k=K, exclude_seen=False),
        "recall without what was met": lambda user: recommender.recall(user, k=K),
    }
    users = np.random.default_rng(1).permutation(len(data.users)).tolist()
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for call in range(calls):
        for name, run in contenders.items():
            start = time.perf_counter()
            run(users[call % len(users)])
            took[name].append(1e3 * (time.perf_counter() - start))
    bare = took["query and product"]
    rows: list[list[object]] = []
    for name, times in took.items():
        over = statistics.median(a / b for a, b in zip(times, bare, strict=True))
        rows.append([name, *np.percentile(times, [50, 99]).tolist(), over])
    over = statistics.median(a / b for a, b in zip(took["recall"], bare, strict=True))
    bounds.at_most(1.5, over, "a recall over hnswlib's query and the tower's product")
    return f"One recall from {len(data.items):,} items\n" + table(
        ["", "p50, ms", "p99, ms", "over query and product"], rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=["open", "recall"])
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    bounds = Bounds(binding=not args.quick)
    with tempfile.TemporaryDirectory() as place:
        if args.part in (None, "open"):
            items = 500 if args.quick else 1_000_000
            publish(Path(place) / "open", items, max(items // 10, 20))
            print(opening(Path(place) / "open", items, 2 if args.quick else 9, bounds))
        if args.part in (None, "recall"):
            items = 500 if args.quick else 100_000
            data = publish(Path(place) / "recall", items, items)
            calls = 20 if args.quick else 3000
            print(recalling(Path(place) / "recall", data, calls, bounds))
    bounds.close()


if __name__ == "__main__":
    main()
