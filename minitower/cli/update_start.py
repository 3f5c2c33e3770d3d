"""What both jobs of ``minitower update`` start from: a version, how it was trained, the logs."""

import argparse
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minitower.cli.choices import NEGATIVES_OF
from minitower.cli.click_logs import Positives, fields_of, numeric_rule
from minitower.cli.job import OPTIONS, Job, checked, flag, read_job
from minitower.cli.progress import row, say
from minitower.data import DataError
from minitower.data.ragged import Array
from minitower.store.catalogue import Catalogue, Version, served
from minitower.store.provenance import Learned
from minitower.store.snapshot import Store, load_optimizer, read_full
from minitower.towers.optimizers import Optimizer
from minitower.training.recipe import OPTIMIZERS, missing
from minitower.updating.streams import ClickStream, Cursor

READ_AT_ONCE = 1 << 16  # clicks
_OF_ONE_VERSION = ("update", "report", "best_epoch")  # notes that the next version does not keep


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
        learned: what it has learned from; None: it does not say.
    """

    base: Store
    version: Version
    notes: dict[str, Any]
    job: Job
    optimizer: Optimizer
    positives: Positives
    stream: ClickStream
    cursor: Cursor
    learned: Learned | None

    @staticmethod
    def open(args: argparse.Namespace, *, by_day: bool) -> "Start":
        """Open all of it, and say on stderr what was taken from the version's notes."""
        return served(args.store, lambda catalogue, _: _opened(args, catalogue, by_day))

    @property
    def item_counts(self) -> Array:
        """The popularity of the version's items."""
        assert self.base.item_counts is not None  # a full version has them
        return self.base.item_counts

    def new_notes(self, cursor: Cursor, times: Array) -> dict[str, Any]:
        """The notes of the version that comes of it: the next update goes on as this one.

        Args:
            cursor: behind all that was read.
            times: of the clicks that were learned.
        """
        kept = {name: value for name, value in self.notes.items() if name not in _OF_ONE_VERSION}
        reading = {**self.notes.get("reading", {}), "positive": self.job.positive}
        new = {"reading": reading, "training": self.job.how_to_train()}
        if self.learned is not None:
            new["learned"] = self.learned.after_night(times).to_json()
        return kept | new | {"cursor": cursor.to_state()}

    def tell_read(self, cursor: Cursor) -> None:
        """Say what was read and not learned from, and what was not read."""
        counts, aside = cursor.counts.since(self.cursor.counts), self.stream.dead_letter_file
        if counts.learned:
            say(
                f"{counts.learned:,} clicks no later than {cursor.after:.15g}, up to which "
                f"version {self.version.number} was trained: not learned again"
            )
        for name, before in cursor.recognized.items():
            say(f"{name}: the same log as {before}: not learned again")
        if counts.malformed or (counts.late and aside is not None):
            say(
                f"of {counts.read:,} records {counts.malformed:,} are malformed and "
                f"{counts.late:,} late: see {aside}"
            )
        elif counts.late:
            say(f"{counts.late:,} clicks came too late: the next full update learns from them")
        if len(cursor.buffered):
            say(f"{len(cursor.buffered):,} clicks are buffered until later ones arrive")
        for name, number in cursor.broken.items():
            say(f"{name}: set aside from record {number} on: see {aside}")


def tell(store: Store) -> None:
    """Print the number of a version that was published."""
    assert store.version is not None
    row(store.version.number)


def _opened(args: argparse.Namespace, catalogue: Catalogue, by_day: bool) -> Start:
    if args.aside is not None and _is_within(args.aside, args.store):
        raise DataError(f"--aside: {args.aside} is within the store; name a file outside of it")
    version = catalogue.full()
    base, content = read_full(catalogue, version), catalogue.open(version).content
    notes = dict(base.notes)
    learned = Learned.in_notes(notes)
    job = _job(args, version, notes, by_day)
    rule = numeric_rule(job.positive)
    timestamp = notes.get("reading", {}).get("timestamp", "timestamp")
    stream = checked(
        ClickStream,
        folder=args.stream,
        fields=fields_of(base, rule, timestamp),
        # A night shuffles what it reads: no click is late.
        allowed_lateness=vars(args).get("window", 0.0) if by_day else math.inf,
        late="count" if args.aside is None else "refuse",
        dead_letter_file=args.aside,
        max_error_rate=args.tolerance,
        min_errors=args.grace,
        max_clock_skew=args.ahead,
    )
    cursor = _cursor(args, stream, version, notes, learned)
    optimizer = _optimizer(args, job, version, content)
    positives = Positives(rule, job.positive)
    return Start(base, version, notes, job, optimizer, positives, stream, cursor, learned)


def _is_within(path: Path, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _job(args: argparse.Namespace, version: Version, notes: Mapping[str, Any], by_day: bool) -> Job:
    """What was typed and, below that, how the version was trained.

    Raises:
        DataError: neither says it; names the flags to give.
    """
    read_job(vars(args))  # a value that was typed wrongly, before one that is missing
    before = dict(notes.get("training", {}))
    if "objective" in before and "learned" not in notes:  # release 0.1 left defaults out
        before.setdefault("negatives", NEGATIVES_OF.get(str(before["objective"])) or "none")
    if "positive" in notes.get("reading", {}):
        before["positive"] = notes["reading"]["positive"]
    given = before | {name: value for name, value in vars(args).items() if name in OPTIONS}
    lacking = [] if "positive" in given else ["positive"]
    lacking += missing(given, by_day=by_day)
    if lacking:
        flags = ", ".join(flag(name) for name in lacking)
        raise DataError(
            f"{args.store}: version {version.number} does not say how it was trained; give {flags}"
        )
    usual = {name: option.default for name, option in OPTIONS.items()}
    usual |= {"negatives": "none", "positive": "all"}
    taken = [n for n in OPTIONS if n in before and n not in vars(args) and before[n] != usual[n]]
    if taken:
        said = ", ".join(f"{name} {before[name]}" for name in taken)
        say(f"as version {version.number} was trained: {said}")
    return read_job(vars(args), (f"{args.store}: notes", before))


def _cursor(
    args: argparse.Namespace,
    stream: ClickStream,
    version: Version,
    notes: Mapping[str, Any],
    learned: Learned | None,
) -> Cursor:
    """Where the clicks begin that the version has not learned from.

    Raises:
        DataError: the version does not say it, or it does and --after says it, too.
    """
    after = vars(args).get("after")
    if after is not None and ("cursor" in notes or (learned and learned.says_where)):
        raise DataError(
            f"--after: version {version.number} says itself up to where it has learned from clicks"
        )
    if "cursor" in notes:
        return Cursor.from_state(notes["cursor"], stream.fields)
    if learned is not None and learned.logs:
        return Cursor.begin(stream.fields, known=learned.logs)
    if learned is not None and learned.until is not None:
        return Cursor.begin(stream.fields, after=learned.until)
    if after is None:
        raise DataError(
            f"{args.store}: version {version.number} does not say up to where it has learned from "
            f"clicks; give --after TIME, or --after start to learn from all of {args.stream}"
        )
    return Cursor.begin(stream.fields, after=after)


def _optimizer(
    args: argparse.Namespace, job: Job, version: Version, content: Mapping[str, Any]
) -> Optimizer:
    optimizer: Optimizer = checked(OPTIMIZERS[job.optimizer], job.learning_rate)
    stated = content.get("optimizer")
    if args.reset_optimizer:
        if stated is not None and stated["kind"] == type(optimizer).__name__:
            optimizer.configure(stated.get("settings", {}))
        return optimizer
    if stated is None:
        raise DataError(
            f"{args.store}: version {version.number} has no state of its optimizer; "
            "--reset-optimizer begins with an empty one"
        )
    try:
        load_optimizer(args.store, optimizer, version.number)
    except DataError as error:
        raise DataError(f"{error}; --reset-optimizer begins anew") from None
    return optimizer
