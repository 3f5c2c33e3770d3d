"""The whole path in one command: data, two towers, an index, recalls, a report."""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minitower.cli import telling
from minitower.cli.commands import fit, tell
from minitower.cli.job import Job, read_job, read_toml
from minitower.cli.progress import row, say
from minitower.cli.sources import Source, open_folder, simulated
from minitower.cli.terminal import write
from minitower.data import DataError, Dataset
from minitower.evaluation.encode import encode
from minitower.evaluation.evaluator import Evaluator, PopularityScorer
from minitower.lab.page import write_page
from minitower.lab.plots import can_draw
from minitower.lab.story import IndexPoint, Story
from minitower.lab.text import as_text
from minitower.search.approximate import ApproximateIndex
from minitower.search.engines import Hnsw
from minitower.search.index import ExactIndex, Index
from minitower.towers.two_tower import TwoTower
from minitower.training.trainer import History

Array = NDArray[Any]

SIMULATED: dict[str, Any] = {
    "temperature": 0.1,
    "epochs": 5,
    "alpha": 1.0,
    "self_temperature": 0.3,
}
"""Options that suit the simulated data, by its validation split; flags win over them."""

VIEWS = "mask"
"""The self-supervision beside this model, also by that validation split."""

_K = (10, 50, 100)
_INDEX_K = 10  # items asked of an index when it is measured
_TIMED = 500  # queries that are timed, one at a time


def demo(args: argparse.Namespace) -> None:
    """Train, index, recall, report; prints the table, an example and the path of the page."""
    if not args.no_report and not can_draw():
        raise DataError(
            'the plots of the report need matplotlib: pip install "minitower[cli]", '
            "or leave the report out with --no-report"
        )
    if not args.no_report and args.report.exists() and not args.report.is_file():
        raise DataError(f"{args.report}: is a folder or a device; name the file to write")
    if not args.no_report and not args.report.parent.is_dir():
        raise DataError(f"{args.report}: there is no folder {args.report.parent} to write it to")
    Hnsw.library()  # demo measures HNSW beside exact search: a missing library is said first
    tables = [] if args.job is None else [(str(args.job), read_toml(args.job))]
    if args.data is None:
        tables.append(("demo", SIMULATED))
    job = read_job(vars(args), *tables)
    if job.objective != "in-batch":
        raise DataError("demo shows what logQ does, in-batch; use train for other objectives")
    if job.self_supervised == "none":  # a model with views is trained all the same, and last
        replace(job, self_supervised=VIEWS).views()
    source = simulated(job) if args.data is None else open_folder(args.data, job)
    tell(source)
    story = run(source, job)
    write(f"{as_text(story)}\n")
    if not args.no_report:
        row()
        row(write_page(story, args.report))


def run(source: Source, job: Job) -> Story:
    """Train, index and measure; everything that is then told."""
    data = source.data
    evaluator = Evaluator(data, "test", _K)
    trainer, history = fit(job, data, "this model")
    model = trainer.model
    other = replace(job, correction="none" if job.correction != "none" else "yi", strength=1.0)
    other_name = "without logQ" if other.correction == "none" else "with logQ"
    trained = [("this model", model, history), (other_name, *_fit(other, data, other_name))]
    third, views_note = _other_views(job, data)
    if third is not None:
        name = "without views" if third.views() is None else "self-supervised"
        trained.append((name, *_fit(third, data, name)))
    say("measuring")
    reports = [evaluator(one) for _, one, _ in trained]
    reports.append(evaluator(PopularityScorer()))
    k = _K[len(_K) // 2]
    queries = _queries(model, data, evaluator, job)
    index = ApproximateIndex.build(
        "hnsw",
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
        telling.system(name, report, k, its_history, job)
        for (name, _, its_history), report in zip(trained, reports[:-1], strict=True)
    ]
    if third is not None:
        views_note = telling.views_note([(job, systems[0]), (third, systems[2])], k)
    systems.append(telling.system("most popular", reports[-1], k))
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
        example=telling.example(source, model, index),
        map=telling.item_map(source, index.vectors, job.seed),
        notes=[*telling.notes(source, job, reports[0], index, exactly, history), views_note],
    )


def _fit(job: Job, data: Dataset, what: str) -> tuple[TwoTower, History]:
    trainer, history = fit(job, data, what)
    return trainer.model, history


def _other_views(job: Job, data: Dataset) -> tuple[Job | None, str]:
    """The same job with self-supervision, or without where it has it; or why there is none."""
    if job.self_supervised != "none":
        return replace(job, self_supervised="none"), ""
    if len(data.schema.item.inputs) < 2:
        return None, "Views of an item need two fields of it: there is no self-supervised model."
    return replace(job, self_supervised=VIEWS), ""


def _queries(model: TwoTower, data: Dataset, evaluator: Evaluator, job: Job) -> Array:
    """Vectors of some users of the test, to measure indexes with."""
    users = np.random.default_rng(job.seed).permutation(evaluator.users)[:_TIMED]
    return encode(model.user, data.users, users)


def _measured(index: ApproximateIndex, queries: Array, found: list[float]) -> list[IndexPoint]:
    """The exact index, then HNSW at several ef, one of them as it was built.

    Args:
        index: the HNSW index.
        queries: user vectors.
        found: recall on the test split through the exact index and through HNSW as built.
    """
    exact, k, chosen = ExactIndex(index.vectors), index.tuning.k, index.effort
    ladder = sorted({chosen, *(k * 2**i for i in range(4))})
    times = _milliseconds(exact, index, ladder, queries, k)
    points = [IndexPoint("exact", 1.0, times[0], found[0])]
    kth_best = exact.search(queries, k)[1][:, -1:]
    for ef, milliseconds in zip(ladder, times[1:], strict=True):
        index.effort = ef
        recall = float((index.search(queries, k)[1] >= kth_best).mean())
        own = found[1] if ef == chosen else None
        points.append(IndexPoint(f"ef={ef}", recall, milliseconds, own, ef == chosen))
    index.effort = chosen
    return points


def _milliseconds(
    exact: Index, hnsw: ApproximateIndex, ladder: Sequence[int], queries: Array, k: int
) -> list[float]:
    """Median times of a query that comes alone: exact, and HNSW at every ef.

    All of them take turns, query by query, so that a busy machine wrongs none of them.
    """
    seconds: list[list[float]] = [[] for _ in range(1 + len(ladder))]
    for query in queries:
        for turn, ef in enumerate((None, *ladder)):
            if ef is not None:
                hnsw.effort = ef
            start = time.perf_counter()
            (exact if ef is None else hnsw).search(query[None], k)
            seconds[turn].append(time.perf_counter() - start)
    return [1000 * float(np.median(times)) for times in seconds]
