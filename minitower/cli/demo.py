"""The whole path in one command: data, two towers, an index, recalls, a report."""

import argparse
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minitower.cli.commands import fit, tell
from minitower.cli.job import Job, read_job, read_toml
from minitower.cli.progress import say
from minitower.cli.sources import Source, open_folder, simulated
from minitower.data import DataError, Dataset
from minitower.report import (
    Example,
    IndexPoint,
    ItemMap,
    Recalled,
    Story,
    System,
    as_text,
    can_draw,
    write_page,
)
from minitower.retrieval import (
    Evaluator,
    ExactIndex,
    HnswIndex,
    Index,
    PopularityScorer,
    Recommender,
    Report,
    encode,
)
from minitower.towers.two_tower import TwoTower
from minitower.training.trainer import History

Array = NDArray[Any]

SIMULATED: dict[str, Any] = {"temperature": 0.1, "epochs": 5}
"""Options that suit the simulated data; flags win over them."""

_K = (10, 50, 100)
_INDEX_K = 10  # items asked of an index when it is measured
_TIMED = 500  # queries that are timed, one at a time
_MAPPED = 2000  # items on the map


def demo(args: argparse.Namespace) -> None:
    """Train, index, recall, report; prints the table, an example and the path of the page."""
    if not args.no_report and not can_draw():
        raise DataError(
            'the plots of the report need matplotlib: pip install "minitower[cli]", '
            "or leave the report out with --no-report"
        )
    if not args.no_report and not args.report.parent.is_dir():
        raise DataError(f"{args.report}: there is no folder {args.report.parent} to write it to")
    tables = [] if args.job is None else [(str(args.job), read_toml(args.job))]
    if args.data is None:
        job = read_job(vars(args), *tables, ("demo", SIMULATED))
        source = simulated(job)
    else:
        job = read_job(vars(args), *tables)
        source = open_folder(args.data, job)
    tell(source)
    story = run(source, job)
    print(as_text(story))
    if not args.no_report:
        print(f"\n{write_page(story, args.report)}")


def run(source: Source, job: Job) -> Story:
    """Train, index and measure; everything that is then told."""
    data = source.data
    evaluator = Evaluator(data, "test", _K)
    model, history = fit(job, data, "this model")
    if job.objective != "in-batch":
        raise DataError("demo shows what logQ does, in-batch; use train for other objectives")
    other = replace(job, correction="none" if job.correction != "none" else "yi", strength=1.0)
    other_name = "without logQ" if other.correction == "none" else "with logQ"
    other_model, other_history = fit(other, data, other_name)
    say("measuring")
    reports = [evaluator(scorer) for scorer in (model, other_model, PopularityScorer())]
    k = _K[len(_K) // 2]
    queries = _queries(model, data, evaluator, job)
    index = HnswIndex.build(
        encode(model.item, data.items),
        similarity=model.similarity,
        queries=queries,
        k=min(_INDEX_K, max(1, len(data.items) // 8)),
        seed=job.seed,
    )
    found = [report[f"recall@{k}"] for report in (reports[0], evaluator(model, index))]
    exactly = index.exact_answers
    exact, *hnsw = _measured(index, queries, found)
    systems = [
        _system("this model", reports[0], k, history, job),
        _system(other_name, reports[1], k, other_history, job),
        _system("most popular", reports[2], k),
    ]
    epochs, seconds = len(history.epochs), sum(epoch.seconds for epoch in history.epochs)
    facts = {
        "users": f"{len(data.users):,}",
        "items": f"{len(data.items):,}",
        "positives to learn from": f"{len(data.train):,}",
        "to find": f"{reports[0].positives:,}",
        f"for {epochs} epochs of training": f"{seconds:.1f} s",
    }
    return Story(
        data=source.name,
        facts=facts,
        k=_K,
        systems=systems,
        slice_items={part.name: part.items for part in reports[0].slices},
        validation_metric=job.metric,
        exact=exact,
        hnsw=hnsw,
        example=_example(source, model, index),
        map=_map(source, index.vectors, job.seed),
        notes=_notes(source, job, reports[0], index, exactly, history),
    )


def _system(
    name: str, report: Report, k: int, history: History | None = None, job: Job | None = None
) -> System:
    epochs = [] if history is None else history.epochs
    return System(
        name,
        report.metrics,
        {part.name: _or_nan(part.recall[k]) for part in report.slices},
        losses=[epoch.loss for epoch in epochs],
        validation=[epoch.metrics[job.metric] for epoch in epochs if job and epoch.metrics],
    )


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _queries(model: TwoTower, data: Dataset, evaluator: Evaluator, job: Job) -> Array:
    """Vectors of some users of the test, to measure indexes with."""
    users = np.random.default_rng(job.seed).permutation(evaluator.users)[:_TIMED]
    return encode(model.user, data.users, users)


def _measured(index: HnswIndex, queries: Array, found: list[float]) -> list[IndexPoint]:
    """The exact index, then HNSW at several ef, one of them as it was built.

    Args:
        index: the HNSW index.
        queries: user vectors.
        found: recall on the test split through the exact index and through HNSW as built.
    """
    exact, k, chosen = ExactIndex(index.vectors), index.measured.k, index.ef
    ladder = sorted({chosen, *(k * 2**i for i in range(4))})
    times = _milliseconds(exact, index, ladder, queries, k)
    points = [IndexPoint("exact", 1.0, times[0], found[0])]
    kth_best = exact.search(queries, k)[1][:, -1:]
    for ef, milliseconds in zip(ladder, times[1:], strict=True):
        index.ef = ef
        recall = float((index.search(queries, k)[1] >= kth_best).mean())
        own = found[1] if ef == chosen else None
        points.append(IndexPoint(f"ef={ef}", recall, milliseconds, own, ef == chosen))
    index.ef = chosen
    return points


def _milliseconds(
    exact: Index, hnsw: HnswIndex, ladder: Sequence[int], queries: Array, k: int
) -> list[float]:
    """Median times of a query that comes alone: exact, and HNSW at every ef.

    All of them take turns, query by query, so that a busy machine wrongs none of them.
    """
    seconds: list[list[float]] = [[] for _ in range(1 + len(ladder))]
    for query in queries:
        for turn, ef in enumerate((None, *ladder)):
            if ef is not None:
                hnsw.ef = ef
            start = time.perf_counter()
            (exact if ef is None else hnsw).search(query[None], k)
            seconds[turn].append(time.perf_counter() - start)
    return [1000 * float(np.median(times)) for times in seconds]


def _example(source: Source, model: TwoTower, index: Index) -> Example:
    """A recall for the first user with some history of whom it finds something.

    "Some" is five items before the test and three in it; where nobody is like that, anybody
    with a positive in the test will do.
    """
    data = source.data
    seen, wanted = data.seen("test"), data.test.by_user(len(data.users))
    store = Recommender(model, data.items, data.users, seen, index, data.item_names)
    users = np.flatnonzero((seen.counts >= 5) & (wanted.counts >= 3))[:200]
    if not len(users):
        users = np.flatnonzero(wanted.counts > 0)[:1]
    for user in users.tolist():
        ids, scores = store.recall(data.users.ids[user], k=10)
        rows = data.items.rows_of(ids)
        hits = np.isin(rows, wanted.row(user))
        if hits.any():
            break
    names, abouts = store.names(ids), map(source.about_item, rows.tolist())
    return Example(
        user=str(data.users.ids[user]),
        about=source.about_user(user),
        history=[source.item_name(row) for row in _latest(data, user, 6)],
        recalled=[
            Recalled(*item)
            for item in zip(names, abouts, scores.tolist(), hits.tolist(), strict=True)
        ],
    )


def _latest(data: Dataset, user: int, n: int) -> list[int]:
    """The last items a user met before the test, latest first."""
    parts = [part.take(part.users == user) for part in (data.train, data.valid)]
    items = np.concatenate([part.items for part in parts])
    if parts[0].timestamps is not None and parts[1].timestamps is not None:
        items = items[np.argsort(np.concatenate([p.timestamps for p in parts]), kind="stable")]
    return list(dict.fromkeys(items[::-1].tolist()))[:n]


def _map(source: Source, vectors: Array, seed: int) -> ItemMap:
    """Item vectors in the plane in which the means of the groups lie furthest apart."""
    what, group_of = source.groups()
    names, counts = np.unique(group_of[group_of != ""], return_counts=True)
    names = names[np.argsort(-counts, kind="stable")][:6]
    groups = np.full(len(vectors), -1)
    for g, name in enumerate(names):
        groups[group_of == name] = g
    centred = vectors - vectors.mean(axis=0)
    spread = centred
    if len(names) > 2:
        size = np.bincount(groups[groups >= 0])[:, None]
        spread = np.stack([centred[groups == g].mean(axis=0) for g in range(len(names))])
        spread = spread * np.sqrt(size)
    plane = np.linalg.svd(spread, full_matrices=False)[2][:2]
    drawn = np.random.default_rng(seed).permutation(len(vectors))[:_MAPPED]
    points = np.zeros((len(drawn), 2))
    points[:, : len(plane)] = centred[drawn] @ plane.T  # one dimension only gives a line
    caption = "Item vectors in the plane in which "
    caption += f"they differ most by {what}." if len(names) > 2 else "they differ most."
    return ItemMap(
        [(float(x), float(y)) for x, y in points],
        groups[drawn].tolist(),
        [str(name) for name in names],
        caption,
    )


def _notes(
    source: Source, job: Job, report: Report, index: HnswIndex, exactly: int, history: History
) -> list[str]:
    measured = index.measured
    kept = (
        f"Epoch {history.best_epoch} was kept, the best on validation."
        if history.epochs[-1].metrics
        else "There was no validation; the last epoch was kept."
    )
    return [
        *(f"{remark[0].upper()}{remark[1:]}." for remark in source.remarks),
        f"All {len(source.data.items):,} items are ranked for every user, those the user met "
        "before the test left out.",
        f"Means are over the {report.users:,} users with something to find; "
        f"{report.users_without_positives:,} have nothing and are not counted.",
        kept,
        f"HNSW chose ef = {measured.ef} to find {measured.target:.0%} of the exact top "
        f"{measured.k}. Times are medians of queries sent one by one.",
        "The example is the first user, in order of the table, with at least five items before "
        "the test and three in it, of whom something is found; or, without one, the last tried.",
        f"For {exactly:,} of the {report.users:,} users the HNSW index answered exactly: what they "
        "met comes on top of what is asked for, and beyond an eighth of the items the graph has "
        "no advantage.",
        f"minitower {version('minitower')}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, seed {job.seed}.",
    ]
