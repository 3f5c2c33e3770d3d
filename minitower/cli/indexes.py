"""``publish`` and ``index-bench``: item vectors in other databases. Chapter 20."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from minitower.cli.arguments import StorePath
from minitower.cli.terminal import row, say
from minitower.data.options import Option
from minitower.evaluation.encode import encode_sample
from minitower.lab.frontier import check_plot, write_frontier
from minitower.lab.index_bench import BACKENDS, installed, measure_backends
from minitower.lab.plots import can_draw
from minitower.scale.milvus import silence_loggers
from minitower.scale.milvus_versions import prune as prune_milvus
from minitower.scale.targets import KINDS, Target, vectors_of
from minitower.store.recommender import Recommender
from minitower.store.transaction import prune

TargetRecall = Annotated[float, Option("recall of the exact top k to reach", metavar="SHARE")]


def publish(
    store: StorePath,
    *,
    to: Annotated[str, Option(f"{':PATH, '.join(KINDS)}:URI", metavar="TARGET", parse=str)],
    kind: Annotated[str | None, Option("for faiss: hnsw (default), flat or ivfpq")] = None,
    name: Annotated[str, Option("the alias in Milvus")] = "items",
    k: Annotated[int, Option("list length to measure the recall at", 1)] = 100,
    target_recall: TargetRecall = 0.95,
    keep: Annotated[
        int | None,
        Option("afterwards, remove all but the newest N (default: keep all)", 1, metavar="N"),
    ] = None,
) -> None:
    """Index the item vectors of the current version of a store.

    Measure the recall with its users, and serve the index. The index before stays until it is
    pruned. A folder (exact:PATH, hnsw:PATH, faiss:PATH, scann:PATH) is a store of versions, see
    minitower store. Milvus is the path of a Milvus Lite (milvus:PATH.db) or the URI of a cluster
    (milvus:http://HOST:PORT), whose token stands in $MILVUS_TOKEN. Prints the number of the
    version, or the name of the collection.
    """
    target = Target.read(to, kind)
    if target.scheme == "milvus":
        silence_loggers()
    opened = Recommender.open(store).store
    ids, vectors = vectors_of(opened)
    token = os.environ.get("MILVUS_TOKEN", "")
    index, version = target.publish(
        ids,
        vectors,
        name=name,
        token=token,
        queries=encode_sample(opened.model.user, opened.users),
        k=k,
        target_recall=target_recall,
        version=opened.version and opened.version.number,
    )
    quality = "exact search"
    if t := index.tuning:
        quality = f"finds {t.recall:.1%} of the exact top {t.k} at effort {t.effort}"
    say(f"{len(ids):,} items: {quality}")
    if keep is not None and target.scheme == "milvus":
        prune_milvus(target.place, name, keep=keep, token=token)
    elif keep is not None:
        prune(target.place, keep)
    row(version)


def index_bench(
    store: StorePath,
    *,
    only: Annotated[
        Sequence[str], Option("some of the indexes", choices=tuple(BACKENDS), metavar="INDEX")
    ] = tuple(BACKENDS),
    k: Annotated[int, Option("list length", 1)] = 100,
    target_recall: TargetRecall = 0.95,
    plot: Annotated[Path, Option("plot of recall against time")] = Path("index-bench.svg"),
) -> None:
    """Build every installed index of a store's item vectors, and search it at rising effort.

    The queries are the vectors of its users. Prints a line for each: index; seconds to build; MB
    in memory; MB on disk; effort; recall of the exact top k; milliseconds per query; queries per
    second in batches; a star at the effort that the build chose.
    """
    if can_draw():
        check_plot(plot)
    there = installed()
    for backend in only:
        if not there[backend]:
            extra = "milvus" if backend == "milvus-lite" else BACKENDS[backend]
            package = extra if backend == "hnsw" else f'"minitower[{extra}]"'
            say(f"{backend}: not installed: pip install {package}")
    opened = Recommender.open(store).store
    ids, vectors = vectors_of(opened)
    queries, k = encode_sample(opened.model.user, opened.users), min(k, len(ids))
    lines: dict[str, list[tuple[float, float, bool]]] = {}
    ready = [backend for backend in only if there[backend]]
    for t in measure_backends(ready, ids, vectors, queries, k, target_recall):
        if not lines:
            row("index", "build s", "memory MB", "disk MB", "effort", f"recall@{k}", "ms",
                "queries/s", "chosen")  # fmt: skip
        lines[t.backend] = [(p.milliseconds, p.recall, p.chosen) for p in t.points]
        for p in t.points:
            row(t.backend, f"{t.seconds:.1f}", f"{t.memory / 1e6:.1f}", f"{t.disk / 1e6:.1f}",
                p.effort, f"{p.recall:.4f}", f"{p.milliseconds:.3f}", f"{p.per_second:.0f}",
                "*" if p.chosen else "")  # fmt: skip
    if not can_draw():
        say('no plot without matplotlib: pip install "minitower[cli]"')
        return
    write_frontier(plot, lines, k, target_recall)
    say(f"plot: {plot}")
