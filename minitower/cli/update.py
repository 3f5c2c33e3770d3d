"""``minitower update``: the nightly job, and the one that follows the clicks by day."""

import argparse
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from minitower.cli import options
from minitower.cli.choices import NEGATIVES_OF, OBJECTIVES, OPTIMIZERS
from minitower.cli.click_logs import cursor_in, fields_of, read_ids, read_rows
from minitower.cli.job import OPTIONS, TRAINING, Job, add_flags, checked, read_job
from minitower.cli.progress import ItemsBar, TrainingBar, say
from minitower.data import DataError, TimeSplit, next_day, retire
from minitower.data.streams import ClickStream, Cursor, EventFields, Events, Follow
from minitower.retrieval.catalogue import Catalogue, Version
from minitower.retrieval.incremental import StaleBranch, publish_incremental
from minitower.retrieval.snapshot import Store, load_optimizer, publish, read_full
from minitower.towers.optimizers import Optimizer
from minitower.training.incremental_update import IncrementalUpdate, frequency_of
from minitower.training.updates import full_update, yesterday

_SIZE = 1 << 16  # clicks read at a time
_BY_NIGHT = ("users", "items", "retire", "validate", "at_least")
_BY_DAY = ("every", "follow", "item_ids")
_IN_BATCH = ("objective", "temperature", "correction", "strength", "bank")
_STEPS = ("optimizer", "learning_rate", "batch_size", "seed")


def add_command(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``update`` to the program."""
    a = add(
        "update",
        help="go on training a store's model on new clicks, and publish it",
        description="Read the clicks of a folder of logs that came after those of the store's "
        "full version: .jsonl, .csv, .parquet or .tfrecord, with the id columns of the schema "
        "and 'timestamp' (seconds). With --full, train the full version for one epoch on them "
        "and publish the next one. With --incremental, move id embeddings only, in the order of "
        "time, and publish the rows that moved on top of the full version, which the next full "
        "one does not build on. Prints the number of each version.",
    )
    a.add_argument("store", type=Path, metavar="STORE", help="folder of the store")
    a.add_argument("stream", type=Path, metavar="STREAM", help="folder of click logs")
    kind = a.add_mutually_exclusive_group(required=True)
    kind.add_argument(
        "--full", dest="run", action="store_const", const=_full, help="the nightly job"
    )
    kind.add_argument("--incremental", dest="run", action="store_const", const=_incremental,
                      help="by day")  # fmt: skip
    a.add_argument("--window", type=float, default=0.0, metavar="SECONDS",
                   help="how much out of order clicks may come (default: 0)")  # fmt: skip
    a.add_argument("--aside", type=Path, metavar="FILE",
                   help="where to set malformed and late clicks aside, a file for each kind of "
                   "job; without it they are an error")  # fmt: skip
    a.add_argument("--tolerance", type=float, default=0.01, metavar="SHARE",
                   help="share of the records that may be set aside (default: 0.01)")  # fmt: skip
    a.add_argument("--grace", type=int, default=100, metavar="N",
                   help="how many may be before the share counts (default: 100)")  # fmt: skip
    a.add_argument("--reset-optimizer", action="store_true",
                   help="begin with an optimizer without memory")  # fmt: skip
    none = argparse.SUPPRESS  # an absent flag leaves no trace
    night = a.add_argument_group("with --full")
    for side in ("users", "items"):
        night.add_argument(f"--{side}", type=Path, metavar="FILE", default=none,
                           help=f"{side} that are new or have changed, all columns: .jsonl or "
                           ".parquet")  # fmt: skip
    night.add_argument("--retire", type=Path, metavar="FILE", default=none,
                       help="items that are gone after this day, an id a line")  # fmt: skip
    night.add_argument("--validate", type=float, metavar="SHARE", default=none,
                       help="share of the clicks, the last, to validate on and not to train on "
                       "(default: 0)")  # fmt: skip
    night.add_argument("--at-least", type=float, metavar="VALUE", default=none,
                       help="refuse a model whose --metric on validation is below")  # fmt: skip
    day = a.add_argument_group("with --incremental")
    day.add_argument("--every", type=_seconds, metavar="TIME", default=none,
                     help="publish so often while following, such as 90s or 2h "
                     "(default: 20m)")  # fmt: skip
    day.add_argument("--follow", action="store_true", default=none,
                     help="wait for more clicks; stop by Ctrl-C")  # fmt: skip
    day.add_argument("--item-ids", action="store_true", default=none,
                     help="let the items' ids move, too")  # fmt: skip
    add_flags(a, TRAINING)


def _full(args: argparse.Namespace) -> None:
    _refuse(args, _BY_DAY, "--incremental")
    told = vars(args)
    base, version, said = _base(args.store)
    notes = said["notes"]
    job = _job(args, version, notes)
    fields = fields_of(base)
    stream = _stream(args, fields)
    batches = list(stream.batches(_SIZE, cursor=cursor_in(notes, fields)))
    if batches:
        _tell_unfinished(stream, batches[-1].cursor)
    if not sum(map(len, batches)):
        say(f"{args.stream}: no clicks since version {version.number}: nothing is trained or "
            "published, and what else was told waits for a night with clicks")  # fmt: skip
        return
    events = Events(*(np.concatenate([getattr(b.events, n) for b in batches])
                      for n in ("users", "items", "timestamps")))  # fmt: skip
    log = dict(zip(fields.names, (events.users, events.items, events.timestamps)))
    schema = base.model.schema.schema
    split = checked(TimeSplit, told["validate"], 0) if told.get("validate") else None
    name = notes.get("item_name") if "items" in told else None
    tables = (
        read_rows(told.get("users"), schema.user),
        read_rows(told.get("items"), schema.item, name),
    )
    day = next_day(yesterday(base), log, *tables, split=split, item_name=name)
    gone = read_ids(told["retire"], day.items) if "retire" in told else []
    unknown = [id_ for id_, row in zip(gone, day.items.rows_of(gone)) if row < 0]
    if unknown:
        say(f"{told['retire']}: {len(unknown)} ids are of no item, such as {unknown[0]!r}")
    if not len(retire(day, gone).items):
        raise DataError(f"{told['retire']}: retires every item")
    with TrainingBar("full update", job.metric) as bar:
        update = checked(
            full_update,
            base.model,
            day,
            partial(job.trainer, on_progress=bar),
            optimizer=_optimizer(args, job, said),
            metric=job.metric,
            at_least=told.get("at_least"),
            seed=job.seed,
        )
    report = update.report
    added = sum(report.rows_added.values())
    say(
        f"{report.pairs:,} clicks, {added:,} new rows; users moved by {report.users.mean:.3f}, "
        f"items by {report.items.mean:.3f}"
        + "".join(f"; {n} {report.before[n]:.4f} -> {v:.4f}" for n, v in report.after.items())
    )
    day = retire(day, gone)
    cursor = batches[-1].cursor.to_state()
    new = {"cursor": cursor, "update": report.to_dict(), "training": job.how_to_train()}
    with ItemsBar() as progress:
        published = publish(
            update.model,
            day,
            args.store,
            parent=version.number,
            optimizer=update.optimizer,
            notes=notes | new,
            metrics=report.after,
            on_progress=progress,
        )
    _tell(published)


def _incremental(args: argparse.Namespace) -> None:
    by_night = {*_BY_NIGHT, *TRAINING} - {*_IN_BATCH, *_STEPS}
    _refuse(args, sorted(by_night), "--full")
    while True:
        try:
            if not _branch(args):
                return
        except StaleBranch:  # it was published between our look and our publishing
            pass
        say("there is a new full version: branching off that one")


def _branch(args: argparse.Namespace) -> bool:
    """Follow the stream from the full version that is served; whether there is a new one.

    Raises:
        StaleBranch: there is a new one, too.
    """
    told = vars(args)
    every, follows = told.get("every", 1200.0), told.get("follow", False)
    base, version, said = _base(args.store)
    job = _job(args, version, said["notes"])
    if NEGATIVES_OF[job.objective] is not None:
        raise DataError(f"--incremental has no negatives, which --objective {job.objective} needs")
    counts = base.item_counts
    update = checked(
        IncrementalUpdate,
        base.model,
        yesterday(base),
        optimizer=_optimizer(args, job, said)
        or checked(OPTIMIZERS[job.optimizer], job.learning_rate),
        objective=checked(OBJECTIVES[job.objective], job),
        item_ids=told.get("item_ids", False),
        frequency=None if counts is None else frequency_of(counts, job.batch_size),
        batch_size=job.batch_size,
    )
    published, pairs = monotonic(), 0
    fields = fields_of(base)

    def publish_rows() -> None:
        nonlocal published, pairs
        increment = update.increment()
        if increment.report.pairs > pairs:
            unknown = {
                "unknown_users": increment.unknown_users,
                "unknown_items": increment.unknown_items,
            }
            notes = {"update": increment.report.to_dict() | unknown}
            if any(unknown.values()):
                say(
                    f"{increment.unknown_items:,} clicks are on items that version "
                    f"{version.number} does not know, {increment.unknown_users:,} of such users"
                )
            _tell(
                publish_incremental(args.store, increment.rows, parent=version.number, notes=notes)
            )
        published, pairs = monotonic(), increment.report.pairs

    follow = Follow(every=every) if follows else None
    cursor = cursor_in(said["notes"], fields) or Cursor(fields.from_rows([]))
    stream = _stream(args, fields)
    for batch in stream.batches(_SIZE, cursor=cursor, follow=follow):
        cursor = batch.cursor
        if Catalogue.read(args.store).full() != version:
            return True
        update.feed(batch.events)
        if follows and monotonic() >= published + every:
            publish_rows()
    _tell_unfinished(stream, cursor)
    update.finish()
    publish_rows()
    return False


def _job(args: argparse.Namespace, version: Version, notes: dict[str, Any]) -> Job:
    """What was typed, and below that how the full version was trained; says what it took."""
    before = notes.get("training", {})
    taken = {n: v for n, v in before.items() if n not in vars(args) and v != OPTIONS[n].default}
    if taken:
        said = ", ".join(f"{name} {value}" for name, value in taken.items())
        say(f"as version {version.number} was trained: {said}")
    rule = notes.get("reading", {}).get("positive")
    if rule not in (None, "all"):
        say(f"every record of the stream is a positive: '{rule}' is not asked of it")
    return read_job(vars(args), (f"{args.store}: notes", before))


def _tell_unfinished(stream: ClickStream, cursor: Cursor) -> None:
    for name, size in stream.unfinished(cursor).items():
        say(f"{name}: the {size} bytes at its end are no whole record yet, and wait")


def _refuse(args: argparse.Namespace, names: Iterable[str], kind: str) -> None:
    """Flags that would do nothing."""
    for name in names:
        if name in vars(args):
            raise DataError(f"--{name.replace('_', '-')} belongs to {kind}")


def _base(folder: Path) -> tuple[Store, Version, dict[str, Any]]:
    """The full version to go on from, and what its manifest says of it."""
    catalogue = Catalogue.read(folder)
    version = catalogue.full()
    return read_full(catalogue, version), version, catalogue.open(version).content


def _optimizer(args: argparse.Namespace, job: Job, said: dict[str, Any]) -> Optimizer | None:
    """That of the full version, with its state, unless there is none or it is to begin anew."""
    if "optimizer" not in said:
        say("the store has no optimizer's state: it begins anew")
    if args.reset_optimizer or "optimizer" not in said:
        return None
    optimizer = checked(OPTIMIZERS[job.optimizer], job.learning_rate)
    load_optimizer(args.store, optimizer)
    return optimizer


def _stream(args: argparse.Namespace, fields: EventFields) -> ClickStream:
    return checked(
        ClickStream,
        folder=args.stream,
        fields=fields,
        window=args.window,
        aside=args.aside,
        tolerance=args.tolerance,
        grace=args.grace,
    )


def _seconds(text: str) -> float:
    """A time such as 90s, 20m or 2h.

    >>> _seconds("20m")
    1200.0
    """
    unit = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    try:
        seconds = options.number(text[:-1]) * (unit or 0)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 20m or 2h, got {text!r}")
    return seconds


def _tell(store: Store) -> None:
    assert store.version is not None
    print(store.version.number, flush=True)
