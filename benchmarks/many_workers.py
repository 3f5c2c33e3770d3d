"""A catalogue through two processes into Milvus Lite: throughput and memory.

    python benchmarks/many_workers.py             # a million items, about ten minutes
    python benchmarks/many_workers.py encode      # one part: encode or publish
    python benchmarks/many_workers.py --quick     # tiny sizes: only shows that it runs

encode   20 Parquet files of raw items (id, category, four words, price) through the item
         tower (id 64, two fields of 16, a number -> 128 -> 64) by two workers of one thread,
         against the same files in one process; the workers' memory at the peak
publish  the vectors from their files to Milvus Lite, and the graph built there
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from bounds import Bounds
from timing import table

import minitower as mt
from minitower.data.parquet import write_parquet
from minitower.scale.distributed import encode_items
from minitower.scale.milvus_versions import draft, finish, serve
from minitower.scale.vector_files import VectorFiles

DIM, HIDDEN, CATEGORIES, FILES = 64, 128, 1000, 20
MEMORY = 0.9
"""GB that a worker may take: 0.27 of them are the model's, which is sent to it as well."""


def prepare(place: Path, items: int) -> None:
    """The catalogue in files, and a model of it, untrained: it costs what it costs trained."""
    rng, ids = np.random.default_rng(0), np.arange(items)
    words = rng.integers(0, CATEGORIES, (items, 4)).astype(str)
    columns = {
        "item_id": ids,
        "category": rng.integers(0, CATEGORIES, items),
        "words": np.array([" ".join(row) for row in words.tolist()], object),
        "price": rng.gamma(2.0, 10.0, items),
    }
    (place / "items").mkdir()
    for i, rows in enumerate(np.array_split(ids, FILES)):
        part = {name: column[rows] for name, column in columns.items()}
        write_parquet(place / "items" / f"{i:02d}.parquet", part)
    fields = [
        mt.Id("item_id", dim=DIM),
        mt.Categorical("category"),
        mt.MultiValued("words"),
        mt.Continuous("price", "log1p"),
    ]
    data = mt.Dataset.from_columns(
        mt.Schema(user=[mt.Id("user_id")], item=fields),
        {"user_id": ids % 100, "item_id": ids},
        None,
        columns,
        split=mt.RandomSplit(valid=0, test=0),
    )
    model = mt.TwoTower(data.schema, dim=DIM, hidden=(HIDDEN,), seed=0)
    mt.save_model(place / "model", model)


def encoding(place: Path, items: int, rounds: int, bounds: Bounds) -> str:
    """Two processes and one, in turn."""
    from dask.distributed import Client, LocalCluster

    measures = ("seconds", "CPU", "GB")
    measured: dict[int, dict[str, list[float]]] = {w: {m: [] for m in measures} for w in (1, 2)}
    for _ in range(rounds):
        for workers, kept in measured.items():
            options: dict[str, Any] = {"n_workers": workers, "threads_per_worker": 1}
            with (
                LocalCluster(dashboard_address=":0", processes=True, **options) as cluster,
                Client(cluster) as client,
            ):
                start, before = time.perf_counter(), sum(client.run(time.process_time).values())
                encode_items(place / "items", place / "model", place / "vectors", client=client)
                kept["seconds"].append(time.perf_counter() - start)
                kept["CPU"].append(sum(client.run(time.process_time).values()) - before)
                kept["GB"].append(max(client.run(peak_memory).values()))
    rows: list[list[object]] = []
    for workers, kept in measured.items():
        wall, cpu, peak = *(float(np.median(kept[m])) for m in ("seconds", "CPU")), max(kept["GB"])
        rows.append([workers, wall, f"{items / wall:,.0f}", cpu, f"{items / cpu:,.0f}", peak])
        bounds.at_most(MEMORY, peak, f"GB of a worker, one of {workers}")
    # Seconds depend on who else uses the cores; what sharing the work costs, does so less.
    one, two = measured.values()
    over = {m: float(np.median(np.divide(two[m], one[m]))) for m in ("seconds", "CPU")}
    bounds.at_most(1.5, over["CPU"], "CPU seconds of two workers over those of one")
    head = ["workers", "seconds", "a second", "CPU seconds", "a CPU second", "GB of a worker"]
    said = f"Two take {over['seconds']:.2f} of the time of one, {over['CPU']:.2f} of its CPU time"
    return f"Encoding {items:,} items in {FILES} files\n{table(head, rows)}\n{said}"


def publishing(place: Path, items: int, bounds: Bounds) -> str:
    """From the files to a collection that answers: what publish_files does, step by step."""
    files = VectorFiles(place / "vectors")
    both = lambda: (time.perf_counter(), time.process_time())
    before, clocks = peak_memory(), [both()]
    for _ in files.batches():
        pass
    clocks.append(both())
    index = draft(str(place / "milvus.db"), "items", dim=files.dim, string_ids=files.string_ids)
    files.upsert_to(index)
    clocks.append(both())
    finish(index, ef_construction=40)  # how good the graph is does not matter here
    serve(index, "items")
    clocks.append(both())
    peak = peak_memory()
    ids, vectors = next(files.batches())
    found, cosines = index.search(vectors[:20], k=10)
    assert len(index) == items
    assert (found[:, 0] == ids[:20]).mean() > 0.9
    assert np.abs(cosines[:, 0] - 1).max() < 1e-3
    index.close()
    parts = [("files read", 0), ("read and upserted", 1), ("graph built and served", 2)]
    took = np.diff(clocks, axis=0)
    rows: list[list[object]] = [[n, *took[i], f"{items / took[i, 0]:,.0f}"] for n, i in parts]
    bounds.at_most(4.0, peak, "GB at the peak of the process that publishes")
    said = f"{peak:.2f} GB at the peak, Milvus Lite included; {before:.2f} before"
    head = ["", "seconds", "CPU seconds", "a second"]
    return f"Publishing {items:,} vectors to Milvus Lite\n{table(head, rows)}\n{said}"


def peak_memory() -> float:
    """GB that this process has had at most (Linux; what it was started from does not count)."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=["encode", "publish"])
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    bounds = Bounds(binding=not args.quick)
    items, rounds = (2000, 1) if args.quick else (1_000_000, 3)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        apart = multiprocessing.get_context("spawn").Process(target=prepare, args=(place, items))
        apart.start()  # its memory is not that of what is measured
        apart.join()
        if args.part == "publish":
            rounds = 1  # its vectors come from somewhere
        said = encoding(place, items, rounds, bounds)
        if args.part != "publish":
            print(said, flush=True)
        if args.part != "encode":
            print(publishing(place, items, bounds))
    bounds.close()


if __name__ == "__main__":
    main()
