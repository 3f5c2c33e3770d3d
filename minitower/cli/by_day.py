"""``minitower update --incremental``: follow the clicks by day, from the full version served."""

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread, current_thread, main_thread
from time import monotonic
from typing import Any

import numpy as np

from minitower.cli.choices import NEGATIVES_OF, OBJECTIVES
from minitower.cli.job import checked
from minitower.cli.progress import say
from minitower.cli.update_start import READ_AT_ONCE, Start, tell
from minitower.data import DataError
from minitower.store.catalogue import Catalogue, Superseded
from minitower.store.incremental import Rows, publish_incremental, read_rows
from minitower.updating.incremental_update import IncrementalUpdate, frequency_of
from minitower.updating.streams import PollOptions
from minitower.updating.update_report import Increment
from minitower.updating.updates import yesterday

_LOOK = 30.0  # seconds in which clicks are learned, and a new full version is noticed


def by_day(args: argparse.Namespace) -> None:
    """Publish what moves, until the stream ends; prints the numbers of the versions.

    Following, Ctrl-C and SIGTERM end it: what has been read is published first.
    """
    stop = Event()
    with _set_by_signals(stop) if "follow" in args else nullcontext():
        while True:
            try:
                return _branch(args, Start.open(args, by_day=True), stop)
            except Superseded:
                say("there is a new full version: branching off that one")


def _branch(args: argparse.Namespace, start: Start, stop: Event) -> None:
    """Follow the stream from the full version that is served.

    Raises:
        Superseded: another full version is served now.
    """
    told, job, version = vars(args), start.job, start.version
    if NEGATIVES_OF[job.objective] is not None:
        raise DataError(f"--incremental has no negatives, which --objective {job.objective} needs")
    update = checked(
        IncrementalUpdate,
        start.base.model,
        yesterday(start.base),
        optimizer=start.optimizer,
        objective=checked(OBJECTIVES[job.objective], job),
        item_ids=told.get("item_ids", False),
        frequency=checked(frequency_of, start.item_counts, job.batch_size),
        batch_size=job.batch_size,
    )
    every = told.get("every", 1200.0)
    follow = None
    if "follow" in told and not stop.is_set():  # or read what is there, and no more
        follow = PollOptions(emit_every=min(every, _LOOK), stop=stop)
    cursor, due, told_last = start.cursor, monotonic(), ""
    caught_up = follow is None  # until then, what is served may know more
    learned: tuple[float, float] | None = None  # times of the first and the last click

    def publish_rows() -> None:
        nonlocal due, told_last
        increment = update.finished().increment()
        due, now = monotonic() + every, _told(increment)
        if now != told_last:
            start.positives.tell()
            say(now)
            told_last = now
        if increment.rows and not _is_served(args.store, increment.rows):
            unknown = {n: getattr(increment, n) for n in ("unknown_users", "unknown_items")}
            notes: dict[str, Any] = {"update": increment.report.to_dict() | unknown}
            if start.learned is not None:
                notes["learned"] = replace(start.learned, by_day=learned).to_json()
            tell(
                publish_incremental(
                    args.store,
                    increment.rows,
                    parent=version.number,
                    notes=notes,
                    full=start.base,
                )
            )

    for batch in start.stream.batches(READ_AT_ONCE, cursor=cursor, poll=follow):
        Catalogue.read(args.store).check_full(version.number)
        cursor = batch.cursor
        caught_up |= len(batch) < READ_AT_ONCE and not stop.is_set()
        update.feed(start.positives(batch.events))
        if len(batch):
            times = batch.events.timestamps
            learned = (learned or (float(times[0]),))[0], float(times[-1])
        if follow is not None and caught_up and monotonic() >= due:
            publish_rows()
    start.tell_read(cursor)
    if follow is None:
        start.positives.demand()
    if caught_up:
        publish_rows()
    else:
        say("stopped before all that is there was read: nothing is published")


def _is_served(store: Path, rows: Rows) -> bool:
    """Whether the version that is served is moved by just these rows."""
    catalogue = Catalogue.read(store)
    version = catalogue.version()
    if version.kind != "incremental":
        return False
    served = read_rows(catalogue.open(version))
    return rows.keys() == served.keys() and all(
        np.array_equal(ours, theirs)
        for name, pair in rows.items()
        for ours, theirs in zip(pair, served[name])
    )


def _told(increment: Increment) -> str:
    """What a person should know of it."""
    report, told = increment.report, f"{increment.report.pairs:,} clicks"
    if report.pairs:
        told += f"; users moved by {report.users.mean:.3f}, items by {report.items.mean:.3f}"
    if increment.unknown_users:
        told += f"; {increment.unknown_users:,} of users who are new, who do not move"
    if increment.unknown_items:
        told += f"; left out: {increment.unknown_items:,} on items that are not there, new or gone"
    return told


@contextmanager
def _set_by_signals(stop: Event) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM within the block sets an event; the second is as always."""
    if current_thread() is not main_thread():  # nobody else may handle them
        yield
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def back_to_usual() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)

    def handle(*_: object) -> None:
        back_to_usual()
        Thread(target=stop.set).start()  # set here, it could wait for the thread it interrupts

    for number in usual:
        signal.signal(number, handle)
    try:
        yield
    finally:
        back_to_usual()
