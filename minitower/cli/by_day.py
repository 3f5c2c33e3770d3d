"""``minitower update --incremental``: follow the clicks by day, from the full version served."""

import argparse
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from threading import Event, Thread, current_thread, main_thread
from time import monotonic

from minitower.cli.choices import NEGATIVES_OF, OBJECTIVES, OPTIMIZERS
from minitower.cli.click_logs import positives
from minitower.cli.job import checked
from minitower.cli.progress import say
from minitower.cli.update_start import READ_AT_ONCE, Start, tell
from minitower.data import DataError
from minitower.data.streams import Follow
from minitower.retrieval.catalogue import Catalogue
from minitower.retrieval.incremental import StaleBranch, publish_incremental
from minitower.training.incremental_update import IncrementalUpdate, frequency_of
from minitower.training.update_report import Increment
from minitower.training.updates import yesterday


def by_day(args: argparse.Namespace) -> None:
    """Publish what moves, until the stream ends; prints the numbers of the versions.

    Following, Ctrl-C and SIGTERM end it: what has been read is published first.
    """
    stop = Event()
    with _set_by_signals(stop) if "follow" in args else nullcontext():
        while True:
            try:
                return _branch(args, Start.open(args), stop)
            except StaleBranch:
                say("there is a new full version: branching off that one")


def _branch(args: argparse.Namespace, start: Start, stop: Event) -> None:
    """Follow the stream from the full version that is served.

    Raises:
        StaleBranch: another full version is served now.
    """
    told, job, base, version = vars(args), start.job, start.base, start.version
    if NEGATIVES_OF[job.objective] is not None:
        raise DataError(f"--incremental has no negatives, which --objective {job.objective} needs")
    counts = base.item_counts
    update = checked(
        IncrementalUpdate,
        base.model,
        yesterday(base),
        optimizer=start.optimizer or checked(OPTIMIZERS[job.optimizer], job.learning_rate),
        objective=checked(OBJECTIVES[job.objective], job),
        item_ids=told.get("item_ids", False),
        frequency=None if counts is None else frequency_of(counts, job.batch_size),
        batch_size=job.batch_size,
    )
    every = told.get("every", 1200.0)
    follow = Follow(every=every, stop=stop) if "follow" in told and not stop.is_set() else None
    cursor, read, kept, said, published, at = start.cursor, 0, 0, "", 0, monotonic()

    def publish_rows() -> None:
        nonlocal said, published, at
        increment = update.finished().increment()
        if said != (said := _told(increment)):
            start.tell_positives(kept, read)
            say(said)
        if increment.report.pairs > published:
            notes = {"update": increment.report.to_dict() | _unknown(increment)}
            tell(
                publish_incremental(args.store, increment.rows, parent=version.number, notes=notes)
            )
        published, at = increment.report.pairs, monotonic()

    for batch in start.stream.batches(READ_AT_ONCE, cursor=cursor, follow=follow):
        if Catalogue.read(args.store).full() != version:
            raise StaleBranch(f"{args.store}: version {version.number} is not served any more")
        cursor, clicks = batch.cursor, positives(batch.events, start.rule)
        read, kept = read + len(batch), kept + len(clicks)
        update.feed(clicks)
        if follow is not None and monotonic() >= at + every:
            publish_rows()
    start.tell_unfinished(cursor)
    publish_rows()


def _unknown(increment: Increment) -> dict[str, int]:
    return {name: getattr(increment, name) for name in ("unknown_users", "unknown_items")}


def _told(increment: Increment) -> str:
    """What a person should know of it."""
    report, told = increment.report, f"{increment.report.pairs:,} clicks"
    if report.pairs:
        told += f"; users moved by {report.users.mean:.3f}, items by {report.items.mean:.3f}"
    if increment.unknown_users:
        told += f"; {increment.unknown_users:,} of users who are new, who do not move"
    if increment.unknown_items:
        told += f"; left out: {increment.unknown_items:,} on items that are new"
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
