"""What an index of ids adds to the library that searches for it.

    python benchmarks/vector_indexes.py           # about ten minutes, most of it building
    python benchmarks/vector_indexes.py hnsw      # one of them
    python benchmarks/vector_indexes.py --quick   # tiny sizes: only shows that it runs

A hundred thousand clustered vectors of 64 dimensions (twenty thousand for those that look at all
of them, and for Milvus Lite), a thousand queries at once (two hundred for Milvus Lite), k = 100.
The bare call is the library's own, on the same index with the same parameters. Its result is
rows and scores as the library returns them: integers, and in Milvus strings. The bound holds for
integer ids. Where rows become strings of 14 characters, the result is seven times as many bytes;
the table shows that cost beside the ratio.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from bounds import Bounds
from timing import interleave, milliseconds, ratio, table

from minitower.scale.milvus_versions import publish_to_milvus
from minitower.search.approximate import ENGINES
from minitower.search.index import ExactIndex
from minitower.store.local_index import BACKENDS, LocalIndex

DIM, K, CENTRES = 64, 100, 2000


def clustered(seed: int, n: int) -> np.ndarray:
    """Unit vectors around shared centres."""
    centres = np.random.default_rng(0).standard_normal((CENTRES, DIM))
    rng = np.random.default_rng(seed)
    points = centres[rng.integers(0, CENTRES, n)] + 0.5 * rng.standard_normal((n, DIM))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def bare(index: LocalIndex, queries: np.ndarray) -> Callable[[], object]:
    """The library's own call, as its own users write it."""
    if isinstance(index.index, ExactIndex):
        return lambda: index.index.search(queries, K)
    engine: Any = index.index.engine
    effort = index.index.effort
    if index.backend == "hnsw":
        engine._graph.set_ef(max(effort, K))
        return lambda: engine._graph.knn_query(queries, K)
    if index.backend.startswith("faiss"):
        parameters = engine._parameters(K, effort)
        return lambda: engine._index.search(queries, K, params=parameters)
    return lambda: engine._searcher.search_batched_parallel(
        queries, K, K * max(4, effort // 4), effort
    )


def local(
    backend: str, items: int, queries: np.ndarray, rounds: int, bounds: Bounds
) -> list[object]:
    """A row of the table: an index in this process."""
    vectors, strings = clustered(1, items), np.array([f"item-{i:09d}" for i in range(items)])
    options = {"ef_construction": 100} if backend.endswith("hnsw") else {}
    options |= {"threads": 2} if backend == "hnsw" else {}
    index = LocalIndex.build(
        backend, np.arange(items), vectors, queries=queries, k=K, target_recall=0.9, **options
    )
    named = LocalIndex(index.index, strings)
    contenders = {
        "library": bare(index, queries),
        "index": lambda: index.search(queries, K),
        "strings": lambda: named.search(queries, K),
    }
    seconds = interleave(contenders, rounds)
    if exactly := getattr(index.index, "exact_answers", 0):
        print(f"{backend}: exact search answered {exactly} queries")
    return row(backend, seconds, bounds)


def milvus(items: int, queries: np.ndarray, rounds: int, bounds: Bounds) -> list[object]:
    """A row of the table: Milvus Lite, which spends most of a search in Python."""
    with tempfile.TemporaryDirectory() as place:
        uri = str(Path(place) / "items.db")
        ids = [f"item-{i:09d}" for i in range(items)]
        index = publish_to_milvus(
            uri, ids, clustered(1, items), queries=queries, k=K, target_recall=0.9
        )
        parameters = {"metric_type": "COSINE", "params": {"ef": index.tuning.effort}}
        contenders = {
            "library": lambda: index.client.search(
                index.collection, data=queries, limit=K, anns_field="vector",
                search_params=parameters, output_fields=["id"],
            ),
            "index": lambda: index.search(queries, K),
        }  # fmt: skip
        seconds = interleave(contenders, rounds)
        index.close()
    return row("milvus-lite", seconds, bounds)


def row(backend: str, seconds: dict[str, list[float]], bounds: Bounds) -> list[object]:
    over = ratio(seconds, "index", "library")
    bounds.at_most(1.05, over, f"{backend}: a search by id over the library's own")
    strings = ratio(seconds, "strings", "library") if "strings" in seconds else over
    return [
        backend,
        milliseconds(seconds, "library"),
        milliseconds(seconds, "index"),
        over,
        strings,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="some of the backends")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    bounds = Bounds(binding=not args.quick)
    items, asked, rounds = (2000, 50, 2) if args.quick else (100_000, 1000, 15)
    queries = clustered(2, asked)
    rows: list[list[object]] = []
    for backend in BACKENDS:
        if args.only and backend not in args.only:
            continue
        if backend != "exact" and find_spec(ENGINES[backend].module) is None:
            print(f"{backend}: not installed")
            continue
        size = items // 5 if backend in ("exact", "faiss-flat") and not args.quick else items
        rows.append(local(backend, size, queries, rounds, bounds))
    if not args.only or "milvus-lite" in args.only:
        if find_spec("pymilvus") is None:
            print("milvus-lite: not installed")
        else:
            fewer = (items, asked) if args.quick else (items // 5, asked // 5)
            rows.append(milvus(fewer[0], queries[: fewer[1]], min(rounds, 7), bounds))
    print(table(["index", "library, ms", "by id, ms", "ratio", "ratio with strings"], rows))
    bounds.close()


if __name__ == "__main__":
    main()
