"""What both jobs of ``minitower update`` start from: a version, how it was trained, the logs."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minitower.cli.choices import OPTIMIZERS
from minitower.cli.click_logs import Positives, cursor_in, fields_of, numeric_rule
from minitower.cli.job import OPTIONS, Job, checked, read_job
from minitower.cli.progress import say
from minitower.data import DataError
from minitower.data.ragged import Array
from minitower.data.streams import ClickStream, Cursor
from minitower.retrieval.catalogue import Catalogue, Version, served
from minitower.retrieval.snapshot import Store, load_optimizer, read_full
from minitower.towers.optimizers import Optimizer

READ_AT_ONCE = 1 << 16  # clicks
_OPTIMIZER_OF = {type(make(0.1)).__name__: {"optimizer": name} for name, make in OPTIMIZERS.items()}


@dataclass(frozen=True, eq=False)
class Start:
    """Where an update begins.

    Attributes:
        base: the full version that is served, or that the one served stands on.
        version: which one it is.
        notes: its own.
        job: what was typed, and below that how the version was trained.
        optimizer: that of the version with its state, or one that begins anew.
        positives: picks them among clicks.
        stream: the logs.
        cursor: behind the clicks that the version has learned from.
    """

    base: Store
    version: Version
    notes: dict[str, Any]
    job: Job
    optimizer: Optimizer
    positives: Positives
    stream: ClickStream
    cursor: Cursor

    @staticmethod
    def open(args: argparse.Namespace) -> "Start":
        """Open all of it, and say on stderr what was taken from the version's notes."""
        return served(args.store, lambda catalogue, _: _opened(args, catalogue))

    @property
    def item_counts(self) -> Array:
        """The popularity of the version's items."""
        assert self.base.item_counts is not None  # a full version has them
        return self.base.item_counts

    def new_notes(self, cursor: Cursor) -> dict[str, Any]:
        """The notes of the version that comes of it: the next update goes on as this one."""
        reading = self.notes.get("reading", {})
        if self.job.positive is not None:
            reading = reading | {"positive": self.job.positive}
        kept = {name: value for name, value in self.notes.items() if name != "update"}
        new = {"reading": reading, "training": self.job.how_to_train()}
        return kept | new | {"cursor": cursor.to_state()}

    def tell_read(self, cursor: Cursor) -> None:
        """Say what was read and is no click, and what was not read."""
        counts = cursor.counts.since(self.cursor.counts)
        if counts.malformed or counts.late:
            say(
                f"of {counts.read:,} records {counts.malformed:,} are malformed and "
                f"{counts.late:,} late: see {self.stream.aside}"
            )
        if len(cursor.pending):
            say(f"{len(cursor.pending):,} clicks wait in the window")
        for name, size in self.stream.unfinished(cursor).items():
            say(f"{name}: the {size} bytes at its end wait: no whole record, or written meanwhile")


def tell(store: Store) -> None:
    """Print the number of a version that was published."""
    assert store.version is not None
    print(store.version.number, flush=True)


def _opened(args: argparse.Namespace, catalogue: Catalogue) -> Start:
    version = catalogue.full()
    base, content = read_full(catalogue, version), catalogue.open(version).content
    notes = content["notes"]
    job = _job(args, version, content)
    rule = numeric_rule(job.positive)
    stream = checked(
        ClickStream,
        folder=args.stream,
        fields=fields_of(base, rule),
        window=args.window,
        aside=args.aside,
        tolerance=args.tolerance,
        grace=args.grace,
        ahead=args.ahead,
    )
    cursor = cursor_in(notes, stream.fields)
    optimizer = _optimizer(args, job, version, content)
    positives = Positives(rule, job.positive)
    return Start(base, version, notes, job, optimizer, positives, stream, cursor)


def _job(args: argparse.Namespace, version: Version, content: Mapping[str, Any]) -> Job:
    notes = content["notes"]
    before = dict(notes.get("training", {}))
    if "training" not in notes:
        number = version.number
        say(f"version {number} does not say how it was trained: what is not typed is the default")
        if "optimizer" in content:
            before |= _OPTIMIZER_OF.get(content["optimizer"]["kind"], {})
    if "positive" in notes.get("reading", {}):
        before["positive"] = notes["reading"]["positive"]
    taken = {n: v for n, v in before.items() if n not in vars(args) and v != OPTIONS[n].default}
    if taken:
        said = ", ".join(f"{name} {value}" for name, value in taken.items())
        say(f"as version {version.number} was trained: {said}")
    return read_job(vars(args), (f"{args.store}: notes", before))


def _optimizer(
    args: argparse.Namespace, job: Job, version: Version, content: Mapping[str, Any]
) -> Optimizer:
    optimizer = checked(OPTIMIZERS[job.optimizer], job.learning_rate)
    if args.reset_optimizer:
        return optimizer
    if "optimizer" not in content:
        say("the store has no optimizer's state: it begins anew")
        return optimizer
    try:
        load_optimizer(args.store, optimizer, version.number)
    except DataError as error:
        raise DataError(f"{error}; --reset-optimizer begins anew") from None
    return optimizer
