"""``evaluate``: measure a published model. Chapter 16."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from minitower.cli.terminal import row, say, write
from minitower.data import DataError
from minitower.data.feature_encoder import FeatureEncoders
from minitower.data.layouts import Reading
from minitower.data.option_values import read_options
from minitower.data.options import Option, declared
from minitower.data.source import Source, open_folder
from minitower.data.splits import PARTS
from minitower.data.table_parts import table_paths
from minitower.evaluation.chosen_baselines import MOST_POPULAR, baselines, verdict
from minitower.evaluation.evaluator import Evaluator, NothingToFind
from minitower.evaluation.report import Report
from minitower.formulas.arrays import Array
from minitower.store.folder import MANIFEST, POINTER
from minitower.store.full_version import Store
from minitower.store.model_files import load_model, load_notes
from minitower.store.provenance import Learned, is_listed
from minitower.store.recommender import read_version
from minitower.store.version_log import read_current
from minitower.updating.newer_data import newer_dataset

Model = Annotated[Path, Option("folder that train wrote", metavar="MODEL")]
_READING = declared(Reading)


def evaluate(
    model: Model,
    data: Annotated[Path, Option("folder of data", metavar="DATA")],
    *,
    part: Annotated[Literal["train", "valid", "test"], Option("part of the split")] = "test",
    k: Annotated[Sequence[int], Option("lengths of the recalled list", 1)] = (
        10,
        50,
        100,
    ),
    json_: Annotated[bool, Option("print JSON instead of a table", name="json")] = False,
    learned: Annotated[
        bool,
        Option("measure also on positives that the version has learned from, and count them"),
    ] = False,
    popular_only: Annotated[
        bool, Option("leave out ItemKNN and EASE, which take long for many items")
    ] = False,
    typed: Annotated[Mapping[str, Any], {"the data": _READING}],
) -> None:
    """Rank all items for every user of one part of the data.

    Print recall and other metrics beside those of 'most popular', ItemKNN and EASE. The current
    version is measured. The data is read as it was for training, unless flags say otherwise.
    Positives that the version may have learned from are refused. Newer data is measured as the
    store serves it: among all its items, with what it knows of each user. Where newer data repeats
    learned positives, they count as seen and are left out.
    """
    if (model / POINTER).exists():
        store = read_current(model, read_version)
        two_tower, notes = store.model, (store.full or store).notes
        assert store.version is not None
        say(f"measuring version {store.version.number}, which is served ({store.version.kind})")
    else:
        store, two_tower, notes = None, load_model(model), load_notes(model)
    known = {n: value for n, value in notes.get("reading", {}).items() if n in _READING}
    if "override" in known:
        known["override"] = _of_tables_here(known["override"], data, typed, two_tower.encoders)
    reading = read_options(_READING, typed, (str(model / MANIFEST), known)).make(Reading)
    source = open_folder(data, reading)
    say(*source.remarks)
    masks = None if store is None else _learned(store, source, reading.to_json() == known)
    counts = {name: int(mask.sum()) for name, mask in (masks or {}).items()}
    seen, positives = counts.get(part, 0), len(source.data.split(part))
    newer = masks is not None and store is not None and _is_newer(store, source, part, masks)
    if seen and not learned and not newer:
        raise DataError(
            f"{data}: the model may have learned from {seen:,} of the {positives:,} {part} "
            "positives: measure on newer ones; 'minitower store show' has the report from before "
            "the refit; --learned measures anyway"
        )
    left_out = 0
    if store is None or not newer or (seen and learned):
        measured = source.encoded_by(two_tower.encoders).data
    else:
        measured, left_out, seen = newer_dataset(store, source), seen, 0
        new = "all clicks are new:"
        if any(counts.values()):
            new = f"the model may have learned from {sum(counts.values()):,} positives, which count"
            new += f" as seen: {left_out:,} of the {positives:,} {part} positives are left out;"
        say(f"{new} catalogue, seen items and histories of the store count, too")
    try:
        evaluator = Evaluator(measured, part, k)
    except NothingToFind as error:
        raise DataError(f"{data}: {error}") from None
    report = evaluator(two_tower)
    chosen = [MOST_POPULAR] if popular_only else baselines(measured, part, say)
    others = {baseline.name: evaluator(baseline.scorer) for baseline in chosen}
    if json_:
        reports = {name: one.to_dict() for name, one in {"model": report, **others}.items()}
        row(json.dumps(reports | {"learned": seen, "left_out": left_out}))
        return
    say(
        f"{part}: {report.users:,} users with {report.positives:,} positives, "
        f"{report.users_without_positives:,} users without"
    )
    name = f"model, {seen} of {positives} learned" if seen else "model"
    write(f"{_table({name: report, **others})}\n")
    middle = report.k[len(report.k) // 2]
    say(verdict({"the model": report, **others}, "the model", f"recall@{middle}"))


def _of_tables_here(
    override: Mapping[str, Any], data: Path, typed: Mapping[str, Any], fitted: FeatureEncoders
) -> dict[str, Any]:
    """The version's overrides, without those of plain tables that are not at hand."""
    given = {name: Path(typed[name]) if name in typed else None for name in ("users", "items")}
    here = table_paths(data, **given) if data.exists() else {}
    if not here or given.keys() <= here.keys():
        return dict(override)
    sides = {field.name: "users" for field in fitted.user.fields}
    sides |= {field.name: "items" for field in fitted.item.fields}

    def is_here(name: str) -> bool:
        side = name.partition(".")[0]
        return (side if side in given else sides.get(name)) in here

    return {name: kind for name, kind in override.items() if is_here(name)}


def _is_newer(store: Store, source: Source, part: str, masks: Mapping[str, Array]) -> bool:
    """Whether the part holds clicks that are news to a version, of other data than its own.

    A version that held some clicks out lists them as seen: they are no news, but a test.
    """
    record = Learned.in_notes(store.notes)
    assert record is not None  # there are masks
    if not any(mask.any() for mask in masks.values()):
        return True
    own = not record.everything and source.files.items() <= record.files.items()
    listed = is_listed(source.data, part, store.users, store.items, store.seen)
    return not own and not (listed | masks[part]).all()


def _learned(store: Store, source: Source, same_reading: bool) -> dict[str, Array] | None:
    """Which positives of each part the current version may have learned from."""
    learned = Learned.in_notes(store.notes)
    if learned is None:
        say("the version does not record what it has learned from: this may be no test")
        return None
    same = same_reading and source.files.items() <= learned.files.items()
    tables = (store.users, store.items, store.seen)
    return {part: learned.has_seen(source.data, part, *tables, same=same) for part in PARTS}


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
