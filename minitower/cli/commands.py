"""What train, evaluate and recall do, once their arguments are read."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from minitower.cli.job import READING, Job, checked, read_job, read_toml
from minitower.cli.job_file import PLACES
from minitower.cli.progress import ItemsBar, TrainingBar, row, say
from minitower.cli.sources import Source, open_folder
from minitower.cli.terminal import write
from minitower.data import Categorical, DataError, Dataset, MultiValued, SideEncoder
from minitower.evaluation.evaluator import Evaluator, NothingToFind, PopularityScorer, Report
from minitower.search.approximate import ApproximateIndex
from minitower.store.catalogue import served
from minitower.store.folder import MANIFEST, POINTER, refuse_foreign
from minitower.store.incremental import read_version
from minitower.store.index_files import check_engine
from minitower.store.provenance import Learned
from minitower.store.recommender import Recommender
from minitower.store.snapshot import Store, load_model, load_notes, publish_model
from minitower.training.trainer import History, Trainer
from minitower.updating.publishing import record


def train(args: argparse.Namespace) -> None:
    """Read, train, index and publish; prints the folder."""
    tables: list[tuple[str, dict[str, Any]]] = []
    places: dict[str, Path] = {}
    index = args.index
    if args.job is not None:
        table = read_toml(args.job)
        in_job = table.pop("index", None)
        index = in_job if index is None else index
        places = {name: args.job.parent / table.pop(name) for name in PLACES if name in table}
        tables.append((str(args.job), table))
    folder = args.data or places.get("data")
    if folder is None:
        raise DataError("train: name a folder of data, or a job file with the key 'data'")
    out = args.out or places.get("out") or Path("model")
    job = read_job(vars(args), *tables)
    refuse_foreign(out)  # before an hour of training rather than after it
    check_engine("hnsw" if index is None else index)
    source = tell(open_folder(folder, job))
    trainer, history = fit(job, source.data, "training")
    report = _report(trainer)
    if job.refit and (len(source.data.valid) or len(source.data.test)):
        with TrainingBar("training on everything", job.metric) as bar:
            trainer = checked(trainer.refit, on_progress=bar)
    notes = record(trainer, report=report, files=source.files)
    notes["reading"] = job.how_to_read() | notes["reading"]
    notes["training"]["metric"] = job.metric
    with ItemsBar() as items_bar:
        store = publish_model(
            trainer.model,
            trainer.data,
            out,
            index=index,
            notes=notes,
            metrics=history.epochs[history.best_epoch - 1].metrics,
            optimizer=trainer.optimizer,
            on_progress=items_bar,
        )
    if isinstance(store.index, ApproximateIndex):
        tuning = store.index.tuning
        say(
            f"index: {store.index.name} finds {tuning.recall:.1%} of the exact top "
            f"{tuning.k} at effort {tuning.effort}"
        )
    row(out)


def _report(trainer: Trainer) -> Report | None:
    """What the model finds of the test part, said beside "most popular"; None without a test."""
    try:
        evaluator = Evaluator(trainer.data, "test")
    except NothingToFind:
        return None
    report, popular = evaluator(trainer.model), evaluator(PopularityScorer())
    k = next(iter(report.k[1:]), report.k[0])
    recalls = [r[f"recall@{k}"] for r in (report, popular)]
    say(f"test: recall@{k} {recalls[0]:.4f}, most popular {recalls[1]:.4f}")
    return report


def evaluate(args: argparse.Namespace) -> None:
    """Measure the version of a store that is served on data; prints a table, or JSON."""
    if (args.model / POINTER).exists():
        store = served(args.model, read_version)
        model, notes = store.model, (store.full or store).notes
        assert store.version is not None
        say(f"measuring version {store.version.number}, which is served ({store.version.kind})")
    else:
        store, model, notes = None, load_model(args.model), load_notes(args.model)
    reading = notes.get("reading", {})
    known = {name: value for name, value in reading.items() if name in READING}
    job = read_job(vars(args), (str(args.model / MANIFEST), known))
    source = tell(open_folder(args.data, job).encoded_by(model.schema))
    try:
        evaluator = Evaluator(source.data, args.part, args.k)
    except NothingToFind as error:
        raise DataError(f"{args.data}: {error}") from None
    learned = 0 if store is None else _learned(store, source, args.part, job.how_to_read() == known)
    positives = len(source.data.split(args.part))
    if learned and not args.learned:
        raise DataError(
            f"{args.data}: the model may have learned from {learned:,} of the {positives:,} "
            f"{args.part} positives: measure on newer ones; 'minitower store show' has the report "
            "from before the refit; --learned measures anyway"
        )
    name = f"model, {learned} of {positives} learned" if learned else "model"
    reports = {name: evaluator(model), "most popular": evaluator(PopularityScorer())}
    first = reports[name]
    if args.json:
        found = {"model": first, "most popular": reports["most popular"]}
        row(json.dumps({n: r.to_dict() for n, r in found.items()} | {"learned": learned}))
        return
    say(
        f"{args.part}: {first.users:,} users with {first.positives:,} positives, "
        f"{first.users_without_positives:,} users without"
    )
    write(f"{_table(reports)}\n")


def _learned(store: Store, source: Source, part: str, same_reading: bool) -> int:
    """How many positives of a part the version served may have learned from."""
    learned = Learned.in_notes(store.notes)
    if learned is None:
        say("the version does not say what it has learned from: this may be no test")
        return 0
    same = same_reading and source.files.items() <= learned.files.items()
    seen = learned.has_seen(source.data, part, store.users, store.items, store.seen, same=same)
    return int(np.count_nonzero(seen))


def recall(args: argparse.Namespace) -> None:
    """Recall for one user; prints id, score and name, best first."""
    store = Recommender.open(args.model)
    try:
        user = store.users.parse_id(args.user)
    except DataError as error:
        raise DataError(f"USER_ID: {error}") from None
    profile = _profile(args.profile, store.model.schema.user)
    if store.users.rows_of([user])[0] < 0:
        told = "from the profile alone" if profile else "for somebody of whom nothing is known"
        say(f"there is no user {args.user!r}: recalling {told}")
    ids, scores = store.recall(user, profile, args.k, exclude_seen=not args.include_seen)
    for item, score, name in zip(ids.tolist(), scores.tolist(), store.names(ids), strict=True):
        row(item, f"{score:.6f}", name)


def fit(job: Job, data: Dataset, what: str) -> tuple[Trainer, History]:
    """Train the model of a job on a data set, with progress on stderr."""
    model = job.model(data)
    with TrainingBar(what, job.metric) as bar:
        trainer = job.trainer(model, data, bar)
        history = checked(trainer.fit, job.epochs, metric=job.metric, patience=job.patience)
    return trainer, history


def tell(source: Source) -> Source:
    """Say on stderr what was decided in reading."""
    for remark in source.remarks:
        say(remark)
    return source


def _profile(pairs: list[str], encoder: SideEncoder) -> dict[str, Any]:
    """KEY=VALUE texts, as values of the type that training saw."""
    fields = {field.name: field for field in encoder.fields}
    profile: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise DataError(f"--profile: expected KEY=VALUE, got {pair!r}")
        field = fields.get(name)
        if isinstance(field, MultiValued):
            cut = None if field.separator == " " else field.separator
            profile[name] = _as_seen(name, value.split(cut), encoder)
        elif isinstance(field, Categorical):
            profile[name] = _as_seen(name, [value], encoder)[0]
        else:
            profile[name] = value
    return profile


def _as_seen(name: str, values: list[str], encoder: SideEncoder) -> list[Any]:
    """Integers where training saw integers; a word about values that it never saw.

    A column of truth values is one of 1 and 0.
    """
    seen = encoder.vocabulary(name).values
    whole = seen.dtype.kind == "i"
    if whole and set(seen.tolist()) <= {0, 1}:
        values = [{"true": "1", "false": "0"}.get(v.lower(), v) for v in values]
    typed = [int(v) if whole and v.removeprefix("-").isdecimal() else v for v in values]
    for value in set(typed) - set(seen.tolist()) - {""}:
        say(f"profile: training has not seen {name}={value}")
    return typed


def _table(reports: dict[str, Report]) -> str:
    """Measure, and its value for every system, between tabs."""
    lines = ["\t".join(["", *reports])]
    first = next(iter(reports.values()))
    for name in first.metrics:
        lines.append("\t".join([name, *(f"{r.metrics[name]:.6f}" for r in reports.values())]))
    for slices in zip(*(r.slices for r in reports.values()), strict=True):
        for k in first.k:
            values = [s.recall[k] for s in slices]
            told = ["" if v is None else f"{v:.6f}" for v in values]
            lines.append("\t".join([f"recall@{k} of {slices[0].name}", *told]))
    return "\n".join(lines)
