"""The experiment of ``minitower demo``: one model and two others beside it, measured alike.

Chapters 0 and 16.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from minitower.data import DataError, Dataset, parse_split
from minitower.data.columns import read_columns
from minitower.data.errors import Place
from minitower.data.layouts import Reading
from minitower.data.log import RawData
from minitower.data.option_values import Options
from minitower.data.source import Source, describe_split
from minitower.evaluation.chosen_baselines import baselines
from minitower.evaluation.encode import encode
from minitower.evaluation.evaluator import Evaluator, NothingToFind
from minitower.formulas.arrays import Array
from minitower.lab import summary
from minitower.lab.funnel import simulate
from minitower.lab.funnel_vocabulary import THEMES
from minitower.lab.run_report import IndexPoint, RunReport
from minitower.search.approximate import ApproximateIndex
from minitower.search.index import ExactIndex, Index
from minitower.towers.two_tower import TwoTower
from minitower.training.history import History, Progress
from minitower.training.recipe import fit_by_options

Bar = Callable[[str], AbstractContextManager[Callable[[Progress], object]]]
"""What shows the training of a model of this name."""

SIMULATED = {
    "start": "spectral",
    "mask_known": True,
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
_KNOWN = (
    "ItemKNN and EASE count training clicks, and score from all that a user did before the test. "
    "They cannot recall an item without training clicks."
)
_TIMED = 500  # queries that are timed, one at a time


def simulated(how: Reading) -> Source:
    """The simulated world of :mod:`minitower.lab.funnel` as a source of data.

    Raises:
        DataError: an option that only files have.
    """
    for name in ("positive", "valid", "override", "columns", "users", "items"):
        if getattr(how, name) is not None:
            raise DataError(f"--{name} is for real files: name a folder with --data")
    world = simulate(seed=how.seed)
    split = None if how.split is None else parse_split(how.split, how.seed)
    tables: dict[str, Any] = {
        name: read_columns(table, Place(name)) for name, table in world.columns.items()
    }
    raw = RawData(world.schema, **tables, item_name="name", split=split)
    data = Dataset.from_raw(raw, positive="all")
    theme = {c: theme for theme, categories in THEMES.items() for c in categories}
    themes = np.array([theme[category.split()[0]] for category in world.items["category"].tolist()])
    return Source(
        "a simulated month in twenty cities",
        raw,
        data,
        (describe_split(data),),
        item_groups=("theme, which is no feature of the model", themes),
    )


def run(source: Source, job: Options, bar: Bar, say: Callable[[str], object]) -> RunReport:
    """Train, index and measure.

    Args:
        source: the data.
        job: options of reading, model and training.
        bar: shows the progress of a training.
        say: gets a remark.
    """
    data, seed = source.data, job["seed"]
    try:
        evaluator = Evaluator(data, "test", _K)
    except NothingToFind as error:
        raise NothingToFind(f"{source.name}: {error}") from None

    def trained_as(name: str, options: Options) -> tuple[str, TwoTower, History]:
        with bar(name) as on_progress:
            trainer, history = fit_by_options(options, data, on_progress)
        return name, trainer.model, history

    trained = [trained_as("this model", job)]
    _, model, history = trained[0]
    correction = "yi" if job["correction"] == "none" else "none"
    name = "without logQ" if correction == "none" else "with logQ"
    trained.append(trained_as(name, job.but(correction=correction, logq_weight=1.0)))
    third, views_note = _other_views(job, data)
    if third is not None:
        views = third["self_supervised"] != "none"
        trained.append(trained_as("self-supervised" if views else "without views", third))
    say("measuring")
    reports = [evaluator(one) for _, one, _ in trained]
    popular, *others = baselines(data, "test", say)
    closed_form = {one.name: evaluator(one.scorer) for one in (*others, popular)}
    k = _K[len(_K) // 2]
    queries = _queries(model, data, evaluator, seed)
    index = ApproximateIndex.build(
        "hnsw",
        encode(model.item, data.items),
        similarity=model.similarity,
        queries=queries,
        k=min(_INDEX_K, max(1, len(data.items) // 8)),
        seed=seed,
    )
    found = [report[f"recall@{k}"] for report in (reports[0], evaluator(model, index))]
    exactly = index.exact_answers
    exact, *hnsw = _measured(index, queries, found)
    systems = [
        summary.system(name, report, k, its_history, job["metric"])
        for (name, _, its_history), report in zip(trained, reports, strict=True)
    ]
    if third is not None:
        views_note = summary.views_note([(job, systems[0]), (third, systems[2])], k)
    systems += [summary.system(name, report, k) for name, report in closed_form.items()]
    epochs, seconds = len(history.epochs), sum(epoch.seconds for epoch in history.epochs)
    facts = {
        "users": f"{len(data.users):,}",
        "items": f"{len(data.items):,}",
        "positives to learn from": f"{len(data.train):,}",
        "to find": f"{reports[0].positives:,}",
        f"for {epochs} epochs of training": f"{seconds:.1f} s",
    }
    return RunReport(
        data=source.name,
        facts=facts,
        k=_K,
        systems=systems,
        slice_items={part.name: part.items for part in reports[0].slices},
        validation_metric=job["metric"],
        exact=exact,
        hnsw=hnsw,
        example=summary.example(source, model, index),
        map=summary.item_map(source, index.vectors, seed),
        notes=[
            *summary.notes(source, seed, reports[0], index, exactly, history),
            views_note,
            *(f"{one.name}: {one.settings}." for one in others),
            _KNOWN,
        ],
    )


def _other_views(job: Options, data: Dataset) -> tuple[Options | None, str]:
    """The same job with self-supervision, or without where it has it; or why neither trains."""
    if job["self_supervised"] != "none":
        return job.but(self_supervised="none"), ""
    if len(data.schema.item.inputs) < 2:
        return (
            None,
            "Views of an item need two fields; the items have one, so no model is self-supervised.",
        )
    return job.but(self_supervised=VIEWS), ""


def _queries(model: TwoTower, data: Dataset, evaluator: Evaluator, seed: int) -> Array:
    """Vectors of some users of the test, to measure indexes with."""
    users = np.random.default_rng(seed).permutation(evaluator.users)[:_TIMED]
    return encode(model.user, model.users(data, "test"), users)


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

    All of them take turns, query by query, so that a busy machine slows all alike.
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
