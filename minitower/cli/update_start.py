"""What both jobs of ``minitower update`` start from: a version, how it was trained, the logs."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minitower.cli.choices import OPTIMIZERS
from minitower.cli.click_logs import cursor_in, fields_of, numeric_rule
from minitower.cli.job import OPTIONS, Job, checked, read_job
from minitower.cli.progress import say
from minitower.data.splits import Rule
from minitower.data.streams import ClickStream, Cursor
from minitower.retrieval.catalogue import Catalogue, Version, served
from minitower.retrieval.snapshot import Store, load_optimizer, read_full
from minitower.towers.optimizers import Optimizer

READ_AT_ONCE = 1 << 16  # clicks


@dataclass(frozen=True, eq=False)
class Start:
    """Where an update begins.

    Attributes:
        base: the full version that is served, or that the one served stands on.
        version: which one it is.
        notes: its own.
        job: what was typed, and below that how the version was trained.
        optimizer: that of the version with its state, or None: begin anew.
        rule: by which clicks are told that are positives; None: all are.
        stream: the logs.
        cursor: behind the clicks that the version has learned from; None: before all.
    """

    base: Store
    version: Version
    notes: dict[str, Any]
    job: Job
    optimizer: Optimizer | None
    rule: Rule | None
    stream: ClickStream
    cursor: Cursor | None

    @staticmethod
    def open(args: argparse.Namespace) -> "Start":
        """Open all of it, and say on stderr what was taken from the version's notes."""
        base, version, content = served(args.store, _read)
        notes = content["notes"]
        job = _job(args, version, notes)
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
        optimizer = _optimizer(args, job, version, content)
        cursor = cursor_in(notes, stream.fields)
        return Start(base, version, notes, job, optimizer, rule, stream, cursor)

    def new_notes(self, cursor: Cursor | None) -> dict[str, Any]:
        """The notes of the version that comes of it: the next update goes on as this one."""
        reading = self.notes.get("reading", {})
        if self.job.positive is not None:
            reading = reading | {"positive": self.job.positive}
        kept = {name: value for name, value in self.notes.items() if name != "update"}
        new = {"reading": reading, "training": self.job.how_to_train()}
        return kept | new | ({} if cursor is None else {"cursor": cursor.to_state()})

    def tell_unfinished(self, cursor: Cursor | None) -> None:
        """Say what is at the end of logs and no whole record; it is not read."""
        for name, size in self.stream.unfinished(cursor).items():
            say(f"{name}: the {size} bytes at its end are no whole record yet, and wait")

    def tell_positives(self, positives: int, read: int) -> None:
        """Say how many clicks passed the rule, where there is one."""
        if self.rule is not None:
            say(f"{positives:,} of {read:,} clicks are positives: {self.job.positive}")


def tell(store: Store) -> None:
    """Print the number of a version that was published."""
    assert store.version is not None
    print(store.version.number, flush=True)


def _read(catalogue: Catalogue, _: Version) -> tuple[Store, Version, dict[str, Any]]:
    version = catalogue.full()
    return read_full(catalogue, version), version, catalogue.open(version).content


def _job(args: argparse.Namespace, version: Version, notes: Mapping[str, Any]) -> Job:
    before = dict(notes.get("training", {}))
    if "positive" in notes.get("reading", {}):
        before["positive"] = notes["reading"]["positive"]
    taken = {n: v for n, v in before.items() if n not in vars(args) and v != OPTIONS[n].default}
    if taken:
        said = ", ".join(f"{name} {value}" for name, value in taken.items())
        say(f"as version {version.number} was trained: {said}")
    return read_job(vars(args), (f"{args.store}: notes", before))


def _optimizer(
    args: argparse.Namespace, job: Job, version: Version, content: Mapping[str, Any]
) -> Optimizer | None:
    if "optimizer" not in content:
        say("the store has no optimizer's state: it begins anew")
    if args.reset_optimizer or "optimizer" not in content:
        return None
    optimizer = checked(OPTIMIZERS[job.optimizer], job.learning_rate)
    load_optimizer(args.store, optimizer, version.number)
    return optimizer
