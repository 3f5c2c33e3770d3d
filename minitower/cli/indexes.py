"""``minitower publish`` and ``minitower index-bench``: item vectors in other databases."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from minitower.cli.options import argument, integer, number, path
from minitower.cli.progress import row, say
from minitower.evaluation.encode import encode_sample
from minitower.lab.frontier import check_plot, write_frontier
from minitower.lab.index_bench import BACKENDS, installed, measure_backends
from minitower.lab.plots import can_draw
from minitower.scale.milvus_connection import silence_loggers
from minitower.scale.milvus_versions import prune as prune_milvus
from minitower.scale.targets import KINDS, Target, vectors_of
from minitower.store.catalogue import prune
from minitower.store.recommender import Recommender

_TOKEN = "MILVUS_TOKEN"


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``publish`` and ``index-bench`` to the program."""
    a = add(
        "publish",
        help="publish a store's item vectors to Faiss, ScaNN or Milvus",
        description="Index the item vectors of the version that a store serves, and measure the "
        "recall with its users. Then serve the index in place of the one before, which stays "
        "until it is pruned. A folder (exact:PATH, hnsw:PATH, faiss:PATH, scann:PATH) is a store "
        "of versions, see minitower store. Milvus is the path of a Milvus Lite (milvus:PATH.db) "
        f"or the URI of a cluster (milvus:http://HOST:PORT) with its token in ${_TOKEN}. "
        "Prints the number of the version, or the name of the collection.",
    )
    a.add_argument("store", type=argument(path), metavar="STORE", help="folder of the store")
    a.add_argument("--to", required=True, metavar="TARGET",
                   help=f"{':PATH, '.join(KINDS)}:URI")  # fmt: skip
    a.add_argument("--kind", metavar="KIND", help="for faiss: hnsw (default), flat or ivfpq")
    a.add_argument("--name", default="items", help="the alias in Milvus (default: items)")
    a.add_argument("-k", type=argument(integer(1)), default=100,
                   help="list length to measure the recall at (default: 100)")  # fmt: skip
    a.add_argument("--target-recall", type=argument(number), default=0.95, metavar="SHARE",
                   help="of the exact top k (default: 0.95)")  # fmt: skip
    a.add_argument("--keep", type=argument(integer(1)), metavar="N",
                   help="afterwards, remove all but the newest N (default: keep all)")  # fmt: skip
    a.set_defaults(run=publish)

    a = add(
        "index-bench",
        help="compare exact search, hnswlib, Faiss, ScaNN and Milvus on a store's vectors",
        description="Build every installed index of a store's item vectors, and search it with "
        "the vectors of its users at rising efforts. Prints a line for each effort: index; "
        "seconds to build; MB in memory; MB on disk; effort; recall of the exact top k; "
        "milliseconds per query; queries per second in batches; * for the chosen effort.",
    )
    a.add_argument("store", type=argument(path), metavar="STORE", help="folder of the store")
    a.add_argument("--only", nargs="+", choices=BACKENDS, metavar="INDEX",
                   help=f"some of {', '.join(BACKENDS)}")  # fmt: skip
    a.add_argument("-k", type=argument(integer(1)), default=100, help="list length (default: 100)")
    a.add_argument("--target-recall", type=argument(number), default=0.95, metavar="SHARE",
                   help="of the exact top k (default: 0.95)")  # fmt: skip
    a.add_argument("--plot", type=argument(path), default=Path("index-bench.svg"), metavar="FILE",
                   help="recall against time (default: index-bench.svg)")  # fmt: skip
    a.set_defaults(run=bench)


def publish(args: argparse.Namespace) -> None:
    """Publish vectors; prints what their version is called."""
    target = Target.read(args.to, args.kind)
    if target.scheme == "milvus":
        silence_loggers()
    store = Recommender.open(args.store).store
    ids, vectors = vectors_of(store)
    token = os.environ.get(_TOKEN, "")
    index, version = target.publish(
        ids,
        vectors,
        name=args.name,
        token=token,
        queries=encode_sample(store.model.user, store.users),
        k=args.k,
        target_recall=args.target_recall,
        version=store.version and store.version.number,
    )
    quality = "exact search"
    if t := index.tuning:
        quality = f"finds {t.recall:.1%} of the exact top {t.k} at effort {t.effort}"
    say(f"{len(ids):,} items: {quality}")
    if args.keep is not None and target.scheme == "milvus":
        prune_milvus(target.place, args.name, keep=args.keep, token=token)
    elif args.keep is not None:
        prune(target.place, args.keep)
    row(version)


def bench(args: argparse.Namespace) -> None:
    """Compare backends; prints a table and draws a plot."""
    if can_draw():
        check_plot(args.plot)
    there = installed()
    chosen = args.only or list(BACKENDS)
    for backend in chosen:
        if not there[backend]:
            extra = "milvus" if backend == "milvus-lite" else BACKENDS[backend]
            package = extra if backend == "hnsw" else f'"minitower[{extra}]"'
            say(f"{backend}: not installed: pip install {package}")
    store = Recommender.open(args.store).store
    ids, vectors = vectors_of(store)
    queries, k = encode_sample(store.model.user, store.users), min(args.k, len(ids))
    lines: dict[str, list[tuple[float, float, bool]]] = {}
    ready = [backend for backend in chosen if there[backend]]
    for t in measure_backends(ready, ids, vectors, queries, k, args.target_recall):
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
    write_frontier(args.plot, lines, k, args.target_recall)
    say(f"plot: {args.plot}")
