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
from minitower.cli.job import OPTIONS, READING, Job, add_flags, checked, read_job
from minitower.cli.progress import TrainingBar, say
from minitower.data import DataError, TimeSplit, next_day, retire
from minitower.data.streams import ClickStream, EventFields, Events, Follow
from minitower.retrieval.catalogue import Catalogue, Version
from minitower.retrieval.incremental import publish_incremental
from minitower.retrieval.snapshot import Store, load_optimizer, publish, read_full
from minitower.towers.optimizers import Optimizer
from minitower.training.incremental_update import IncrementalUpdate, frequency_of
from minitower.training.updates import full_update, yesterday

_SIZE = 1 << 16  # clicks read at a time
_MODEL = ("dim", "hidden", "similarity", "residual")
_BY_NIGHT = ("users", "items", "retire", "validate", "at_least")
_BY_DAY = ("every", "follow", "item_ids")
_IN_BATCH = ("objective", "temperature", "correction", "strength", "bank")
_STEPS = ("optimizer", "learning_rate", "batch_size", "seed")
_TRAINING = [n for n in OPTIONS if n not in (*READING, *_MODEL, "epochs", "patience")] + ["seed"]


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
    add_flags(a, _TRAINING)


def _full(args: argparse.Namespace) -> None:
    _refuse(args, _BY_DAY, "--incremental")
    told, job = vars(args), read_job(vars(args))
    base, version, said = _base(args.store)
    notes = said["notes"]
    fields = fields_of(base)
    batches = list(_stream(args, fields).batches(_SIZE, cursor=cursor_in(notes, fields)))
    if not sum(map(len, batches)):
        raise DataError(f"{args.stream}: no clicks since version {version.number}")
    events = Events(*(np.concatenate([getattr(b.events, n) for b in batches])
                      for n in ("users", "items", "timestamps")))  # fmt: skip
    log = dict(zip(fields.names, (events.users, events.items, events.timestamps)))
    schema = base.model.schema.schema
    split = checked(TimeSplit, told["validate"], 0) if told.get("validate") else None
    tables = read_rows(told.get("users"), schema.user), read_rows(told.get("items"), schema.item)
    day = next_day(yesterday(base), log, *tables, split=split)
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
    if "retire" in told:
        day = retire(day, read_ids(told["retire"], day.items))
    published = publish(
        update.model,
        day,
        args.store,
        parent=version.number,
        optimizer=update.optimizer,
        notes=notes | {"cursor": batches[-1].cursor.to_state(), "update": report.to_dict()},
        metrics=report.after,
    )
    _tell(published)


def _incremental(args: argparse.Namespace) -> None:
    by_night = {*_BY_NIGHT, *_TRAINING} - {*_IN_BATCH, *_STEPS}
    _refuse(args, sorted(by_night), "--full")
    job = read_job(vars(args))
    if NEGATIVES_OF[job.objective] is not None:
        raise DataError(f"--incremental has no negatives, which --objective {job.objective} needs")
    while _branch(args, job):
        say("there is a new full version: branching off that one")


def _branch(args: argparse.Namespace, job: Job) -> bool:
    """Follow the stream from the full version that is served; whether there is a new one."""
    told = vars(args)
    every, follows = told.get("every", 1200.0), told.get("follow", False)
    base, version, said = _base(args.store)
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
            notes = {"update": increment.report.to_dict()}
            _tell(
                publish_incremental(args.store, increment.rows, parent=version.number, notes=notes)
            )
        published, pairs = monotonic(), increment.report.pairs

    follow = Follow(every=every) if follows else None
    cursor = cursor_in(said["notes"], fields)
    for batch in _stream(args, fields).batches(_SIZE, cursor=cursor, follow=follow):
        if Catalogue.read(args.store).full() != version:
            return True
        update.feed(batch.events)
        if follows and monotonic() >= published + every:
            publish_rows()
    update.finish()
    publish_rows()
    return False


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
        ClickStream, folder=args.stream, fields=fields, window=args.window, aside=args.aside
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
