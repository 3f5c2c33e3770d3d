"""``evaluate`` and ``recall``: measure a published model, and ask it."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from minitower.cli.arguments import add_command
from minitower.cli.terminal import row, say, write
from minitower.data import Categorical, DataError, FeatureEncoder, MultiValued
from minitower.data.layouts import Reading
from minitower.data.option_values import read_options
from minitower.data.options import Option, declared
from minitower.data.schema import HISTORY
from minitower.data.source import Source, open_folder
from minitower.evaluation.evaluator import Evaluator, NothingToFind, PopularityScorer
from minitower.evaluation.report import Report
from minitower.store.folder import MANIFEST, POINTER
from minitower.store.full_version import Store
from minitower.store.model_files import load_model, load_notes
from minitower.store.provenance import Learned
from minitower.store.recommender import Recommender, read_version
from minitower.store.version_log import read_current
from minitower.towers.two_tower import TwoTower

Model = Annotated[Path, Option("folder that train wrote", metavar="MODEL")]
_READING = declared(Reading)


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``evaluate`` and ``recall`` to the program."""
    a = add(
        "evaluate",
        description="Rank all items for every user of one part of the data. Print recall and "
        "other metrics beside those of 'most popular'. The current version is measured. The data "
        "is read as it was for training, unless flags say otherwise. Positives that the version "
        "may have learned from are refused.",
    )
    add_command(a, evaluate, {"the data": _READING})
    a = add(
        "recall",
        description="Print id, score and name of the items recalled for a user, best first. For "
        "a user that training did not know, give the known features: --profile gender=F age=25.",
    )
    add_command(a, recall)


def evaluate(
    model: Model,
    data: Annotated[Path, Option("folder of data", metavar="DATA")],
    *,
    part: Annotated[Literal["train", "valid", "test"], Option("part of the split")] = "test",
    k: Annotated[Sequence[int], Option("lengths of the recalled list", 1, metavar="K")] = (
        10,
        50,
        100,
    ),
    json_: Annotated[bool, Option("print JSON instead of a table", name="json")] = False,
    learned: Annotated[
        bool,
        Option("measure also on positives that the version has learned from, and count them"),
    ] = False,
    typed: Mapping[str, Any],
) -> None:
    """Measure the current version of a store on data; prints a table, or JSON."""
    if (model / POINTER).exists():
        store = read_current(model, read_version)
        two_tower, notes = store.model, (store.full or store).notes
        assert store.version is not None
        say(f"measuring version {store.version.number}, which is served ({store.version.kind})")
    else:
        store, two_tower, notes = None, load_model(model), load_notes(model)
    known = {n: value for n, value in notes.get("reading", {}).items() if n in _READING}
    reading = read_options(_READING, typed, (str(model / MANIFEST), known)).make(Reading)
    source = open_folder(data, reading).encoded_by(two_tower.schema)
    for remark in source.remarks:
        say(remark)
    try:
        evaluator = Evaluator(source.data, part, k)
    except NothingToFind as error:
        raise DataError(f"{data}: {error}") from None
    seen = 0 if store is None else _learned(store, source, part, reading.to_json() == known)
    positives = len(source.data.split(part))
    if seen and not learned:
        raise DataError(
            f"{data}: the model may have learned from {seen:,} of the {positives:,} {part} "
            "positives: measure on newer ones; 'minitower store show' has the report from before "
            "the refit; --learned measures anyway"
        )
    report, popular = evaluator(two_tower), evaluator(PopularityScorer())
    if json_:
        reports = {"model": report.to_dict(), "most popular": popular.to_dict()}
        row(json.dumps(reports | {"learned": seen}))
        return
    say(
        f"{part}: {report.users:,} users with {report.positives:,} positives, "
        f"{report.users_without_positives:,} users without"
    )
    name = f"model, {seen} of {positives} learned" if seen else "model"
    write(f"{_table({name: report, 'most popular': popular})}\n")


def _learned(store: Store, source: Source, part: str, same_reading: bool) -> int:
    """The number of positives of a part that the current version may have learned from."""
    learned = Learned.in_notes(store.notes)
    if learned is None:
        say("the version does not record what it has learned from: this may be no test")
        return 0
    same = same_reading and source.files.items() <= learned.files.items()
    seen = learned.has_seen(source.data, part, store.users, store.items, store.seen, same=same)
    return int(np.count_nonzero(seen))


def _table(reports: dict[str, Report]) -> str:
    """Each metric and its value for every system, between tabs."""
    lines = ["\t".join(["", *reports])]
    first = next(iter(reports.values()))
    for name in first.metrics:
        lines.append("\t".join([name, *(f"{r.metrics[name]:.6f}" for r in reports.values())]))
    for slices in zip(*(r.slices for r in reports.values()), strict=True):
        for k in first.k:
            values = ["" if s.recall[k] is None else f"{s.recall[k]:.6f}" for s in slices]
            lines.append("\t".join([f"recall@{k} of {slices[0].name}", *values]))
    return "\n".join(lines)


def recall(
    model: Model,
    user: Annotated[str, Option("known or not", metavar="USER_ID", parse=str)],
    *,
    profile: Annotated[
        Sequence[str],
        Option(
            "values of the user's features, instead of the stored ones; history=ID,ID,... adds "
            "clicks, oldest first",
            metavar="KEY=VALUE",
        ),
    ] = (),
    k: Annotated[int, Option("number of items", 1, metavar="K")] = 10,
    include_seen: Annotated[bool, Option("also recall items the user has seen")] = False,
) -> None:
    """Recall for one user; prints id, score and name, best first."""
    recommender = Recommender.open(model)
    store = recommender.store
    try:
        user_id = store.users.parse_id(user)
    except DataError as error:
        raise DataError(f"USER_ID: {error}") from None
    features = _profile(profile, store.model)
    if store.users.rows_of([user_id])[0] < 0:
        source = "from the profile alone" if features else "for a user about whom nothing is known"
        say(f"there is no user {user!r}: recalling {source}")
    ids, scores = recommender.recall(user_id, features, k, exclude_seen=not include_seen)
    for item, score, name in zip(
        ids.tolist(), scores.tolist(), recommender.names(ids), strict=True
    ):
        row(item, f"{score:.6f}", name)


def _profile(pairs: Sequence[str], model: TwoTower) -> dict[str, Any]:
    """KEY=VALUE strings as values of the type that training saw."""
    encoder, items = model.schema.user, model.schema.item
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
        elif name == HISTORY and model.history is not None:
            key = model.schema.schema.item_id.name
            profile[name] = _as_seen(key, [id_ for id_ in value.split(",") if id_], items)
        elif isinstance(field, Categorical):
            profile[name] = _as_seen(name, [value], encoder)[0]
        else:
            profile[name] = value
    return profile


def _as_seen(name: str, values: list[str], encoder: FeatureEncoder) -> list[Any]:
    """Integers where training saw integers; prints values that training never saw.

    A column of booleans is one of 1 and 0.
    """
    seen = encoder.vocabulary(name).values
    integers = seen.dtype.kind == "i"
    if integers and set(seen.tolist()) <= {0, 1}:
        values = [{"true": "1", "false": "0"}.get(v.lower(), v) for v in values]
    typed = [int(v) if integers and v.removeprefix("-").isdecimal() else v for v in values]
    for value in set(typed) - set(seen.tolist()) - {""}:
        say(f"profile: training has not seen {name}={value}")
    return typed
