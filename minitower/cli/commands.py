"""What train, evaluate and recall do, once their arguments are read."""

import argparse
import json
from pathlib import Path
from typing import Any

from minitower.cli.job import Job, checked, read_job, read_toml
from minitower.cli.progress import ItemsBar, TrainingBar, row, say
from minitower.cli.sources import Source, open_folder
from minitower.data import Categorical, DataError, Dataset, MultiValued, SideEncoder
from minitower.retrieval import (
    Evaluator,
    PopularityScorer,
    Recommender,
    Report,
    load_model,
    load_notes,
    publish,
)
from minitower.retrieval.catalogue import Catalogue
from minitower.retrieval.folder import MANIFEST, POINTER, refuse_foreign
from minitower.retrieval.hnsw import HnswIndex
from minitower.towers.optimizers import Optimizer
from minitower.towers.two_tower import TwoTower
from minitower.training.trainer import History

_PLACES = ("data", "out")  # keys of a job file besides the options, relative to it


def train(args: argparse.Namespace) -> None:
    """Read, train, index and publish; prints the folder."""
    tables: list[tuple[str, dict[str, Any]]] = []
    places: dict[str, Path] = {}
    if args.job is not None:
        table = read_toml(args.job)
        for name in _PLACES:
            if name in table:
                value = table.pop(name)
                if not isinstance(value, str):
                    raise DataError(f"{args.job}: {name}: expected text, got {value!r}")
                places[name] = args.job.parent / value
        tables.append((str(args.job), table))
    folder = args.data or places.get("data")
    if folder is None:
        raise DataError("train: name a folder of data, or a job file with the key 'data'")
    out = args.out or places.get("out") or Path("model")
    job = read_job(vars(args), *tables)
    refuse_foreign(out)  # before an hour of training rather than after it
    source = tell(open_folder(folder, job))
    model, history, optimizer = fit(job, source.data, "training")
    notes = {
        "reading": job.how_to_read() | {"positive": source.rule or "all"},
        "training": job.how_to_train(),
        "item_name": source.raw.item_name,
        "best_epoch": history.best_epoch,
    }
    metrics = history.epochs[history.best_epoch - 1].metrics
    with ItemsBar() as bar:
        store = publish(
            model,
            source.data,
            out,
            notes=notes,
            metrics=metrics,
            optimizer=optimizer,
            on_progress=bar,
        )
    if isinstance(store.index, HnswIndex):
        measured = store.index.measured
        say(
            f"index: HNSW finds {measured.recall:.1%} of the exact top {measured.k} "
            f"with ef = {measured.ef}"
        )
    print(out)


def evaluate(args: argparse.Namespace) -> None:
    """Measure a model of a folder on data; prints a table, or JSON."""
    model = load_model(args.model)
    if (args.model / POINTER).exists():
        store = Catalogue.read(args.model)
        if store.version().kind != "full":
            say(
                f"measuring version {store.full().number}, the full one below version "
                f"{store.version().number}, which is served"
            )
    reading = load_notes(args.model).get("reading", {})
    job = read_job(vars(args), (str(args.model / MANIFEST), reading))
    data = tell(open_folder(args.data, job).encoded_by(model.schema)).data
    evaluator = Evaluator(data, args.part, args.k)
    reports = {"model": evaluator(model), "most popular": evaluator(PopularityScorer())}
    if args.json:
        print(json.dumps({name: report.to_dict() for name, report in reports.items()}))
        return
    first = reports["model"]
    say(
        f"{args.part}: {first.users:,} users with {first.positives:,} positives, "
        f"{first.users_without_positives:,} users without"
    )
    print(_table(reports))


def recall(args: argparse.Namespace) -> None:
    """Recall for one user; prints id, score and name, best first."""
    store = Recommender.open(args.model)
    user = store.users.parse_id(args.user)
    profile = _profile(args.profile, store.model.schema.user)
    if store.users.rows_of([user])[0] < 0:
        told = "from the profile alone" if profile else "for somebody of whom nothing is known"
        say(f"there is no user {args.user!r}: recalling {told}")
    ids, scores = store.recall(user, profile, args.k, exclude_seen=not args.include_seen)
    for item, score, name in zip(ids.tolist(), scores.tolist(), store.names(ids), strict=True):
        row(item, f"{score:.6f}", name)


def fit(job: Job, data: Dataset, what: str) -> tuple[TwoTower, History, Optimizer]:
    """Train the model of a job on a data set, with progress on stderr."""
    model = job.model(data)
    with TrainingBar(what, job.metric) as bar:
        trainer = job.trainer(model, data, bar)
        history = checked(trainer.fit, job.epochs, metric=job.metric, patience=job.patience)
    return model, history, trainer.optimizer


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
