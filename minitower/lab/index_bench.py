"""Every installed backend on the same vectors: time to build, memory, time of a query, recall.

Each backend is built in a process of its own, and opened and searched in a second one. So
the memory is that of the open index, and no library meets the threads of another.

Chapter 20.
"""

import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.files import new_file
from minitower.formulas.arrays import Array
from minitower.formulas.threads import MAX_THREADS, use_threads
from minitower.scale.milvus import MilvusIndex, silence_loggers
from minitower.scale.milvus_versions import efforts, publish_to_milvus
from minitower.search.approximate import ENGINES, ApproximateIndex
from minitower.search.by_id import checked_items, unit_queries
from minitower.search.index import ExactIndex
from minitower.search.tuning import found_share, kth_best, query_sample
from minitower.store.local_index import LocalIndex

BACKENDS = {
    "exact": "numpy",
    **{name: engine.module for name, engine in ENGINES.items()},
    "milvus-lite": "pymilvus",
}
"""The module that each backend needs."""

_SINGLE = 200  # queries asked one by one
_ENOUGH = 0.9995  # recall above which nothing is left to gain


@dataclass(frozen=True)
class Point:
    """A backend at one effort.

    Attributes:
        effort: `ef`, `nprobe` or leaves.
        recall: of the exact top k.
        milliseconds: median time of a query that comes alone.
        per_second: queries per second in one batch.
        chosen: True for the effort that the build chose for the target.
    """

    effort: int
    recall: float
    milliseconds: float
    per_second: float
    chosen: bool


@dataclass(frozen=True)
class BackendReport:
    """The costs of a backend, and its recall.

    Attributes:
        backend: one of `BACKENDS`.
        seconds: to build, measure and write.
        memory: bytes by which the process grows that opens it.
        disk: bytes of the files.
        points: one for each effort, up to the first that finds everything. Efforts at which
            exact search answers some queries are left out.
    """

    backend: str
    seconds: float
    memory: int
    disk: int
    points: tuple[Point, ...]


def installed() -> dict[str, bool]:
    """Whether the library of each backend is installed."""
    return {name: find_spec(module) is not None for name, module in BACKENDS.items()}


def measure_backends(
    backends: Sequence[str], ids: Array, vectors: Array, queries: Array, k: int, target: float
) -> Iterator[BackendReport]:
    """Measure backends, one after the other.

    Args:
        backends: names of `BACKENDS` that are installed.
        ids, vectors: of the items.
        queries: user vectors.
        k: the list length.
        target: the requested recall.

    Raises:
        DataError: as :meth:`LocalIndex.build`; or the folder for temporary files is full.
        OSError: a backend cannot be written, or took its process with it.
    """
    ids, vectors = checked_items(ids, vectors)
    sample = query_sample(queries, vectors, k, target, seed=0)
    queries, k = unit_queries(sample, vectors.shape[1]), min(k, len(ids))
    best = kth_best(vectors, queries, k)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as place:
        with new_file(Path(place) / "task.npz") as file:
            np.savez(file, ids=ids, vectors=vectors, queries=queries, best=best)
        for backend in backends:
            try:
                with ProcessPoolExecutor(1, mp_context=context) as alone:
                    seconds, disk = alone.submit(_build, backend, place, k, target).result()
                with ProcessPoolExecutor(1, mp_context=context) as alone:
                    memory, points = alone.submit(_search, backend, place, k).result()
            except BrokenProcessPool as error:
                raise OSError(f"{backend}: {error}") from None
            shutil.rmtree(Path(place) / f"{backend}.db", ignore_errors=True)
            yield BackendReport(backend, seconds, memory, disk, points)


def _build(backend: str, place: str, k: int, target: float) -> tuple[float, int]:
    with np.load(Path(place) / "task.npz") as task:
        ids, vectors, queries = task["ids"], task["vectors"], task["queries"]
    folder = Path(place) / f"{backend}.db"
    options: Any = {"queries": queries, "k": k, "target_recall": target}
    if backend == "hnsw":
        options["threads"] = os.cpu_count()  # as the others do
    start = time.perf_counter()
    if backend == "milvus-lite":
        silence_loggers()
        publish_to_milvus(str(folder), ids, vectors, **options).close()
    else:
        LocalIndex.build(backend, ids, vectors, **options).save(folder)
    seconds = time.perf_counter() - start
    return seconds, sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def _search(backend: str, place: str, k: int) -> tuple[int, tuple[Point, ...]]:
    index: MilvusIndex | LocalIndex
    engine: MilvusIndex | ApproximateIndex | ExactIndex
    ladder: Sequence[int]
    with np.load(Path(place) / "task.npz") as task:
        queries, best = task["queries"], task["best"]
    before, folder = _resident(), Path(place) / f"{backend}.db"
    use_threads(min(os.cpu_count() or 1, MAX_THREADS))  # of exact search, as the others do
    if backend == "milvus-lite":
        silence_loggers()
        engine = index = MilvusIndex.open(str(folder))
        ladder = efforts(k, len(index))
    else:
        index = LocalIndex.open(folder)
        engine = index.index
        ladder = (0,) if isinstance(engine, ExactIndex) else engine.engine.effort_ladder(k)
    index.search(queries[:1], k)
    memory = _resident() - before
    chosen = 0 if index.tuning is None else index.tuning.effort
    points: list[Point] = []
    for effort in ladder:
        if not isinstance(engine, ExactIndex):
            engine.effort = effort
        exactly = getattr(engine, "exact_answers", 0)
        start = time.perf_counter()
        recall = found_share(index.search(queries, k)[1], best)
        batch_seconds = time.perf_counter() - start
        times = []
        for query in queries[:_SINGLE]:
            start = time.perf_counter()
            index.search(query[None], k)
            times.append(time.perf_counter() - start)
        if effort < chosen and getattr(engine, "exact_answers", 0) > exactly:
            continue
        one = 1e3 * statistics.median(times)
        points.append(Point(effort, recall, one, len(queries) / batch_seconds, effort == chosen))
        if recall >= _ENOUGH and effort >= chosen:
            break
    if isinstance(index, MilvusIndex):
        index.close()
    return memory, tuple(points)


def _resident() -> int:
    """Bytes of this process in memory."""
    status = Path("/proc/self/status")
    if not status.exists():
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return 1024 * int(lines["VmRSS"].split()[0])
