"""``minitower update --full``: the nightly job, one epoch over the clicks since the last one."""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minitower.cli.click_logs import read_ids, read_rows
from minitower.cli.job import checked
from minitower.cli.progress import ItemsBar, TrainingBar, say
from minitower.cli.update_start import READ_AT_ONCE, Start, tell
from minitower.data import Continuous, DataError, Dataset, SideEncoder, TimeSplit, next_day, retire
from minitower.data.columns import Columns
from minitower.data.errors import show
from minitower.data.ragged import Array
from minitower.data.table import Table
from minitower.store.catalogue import Superseded
from minitower.store.snapshot import Store, publish_model
from minitower.updating.streams import EventBatch
from minitower.updating.updates import FullUpdate, TooFewClicks, full_update, yesterday

Log = dict[str, Array]


def by_night(args: argparse.Namespace) -> None:
    """Train on the clicks since the full version and publish the next; prints its number.

    Without clicks, users and items still come and go, and nothing is trained.
    """
    while True:
        try:
            return _night(args, Start.open(args, by_day=False))
        except Superseded:
            say("there is a new full version: beginning again from that one")


def _night(args: argparse.Namespace, start: Start, *, read: bool = True) -> None:
    """One night; without reading the logs, only the lists of users and items count."""
    told, base = vars(args), start.base
    split = checked(TimeSplit, told["validate"], 0) if "validate" in told else None
    if "at_least" in told and split is None:
        raise DataError("--at-least needs clicks to measure on: say --validate")
    name = start.notes.get("item_name") if "items" in told else None
    schema = base.model.schema
    users = read_rows(told.get("users"), schema.user.fields, base.users)
    items = read_rows(told.get("items"), schema.item.fields, base.items, name)
    gone = read_ids(told["retire"], base.items) if "retire" in told else []
    batches = list(start.stream.batches(READ_AT_ONCE, cursor=start.cursor)) if read else []
    cursor = batches[-1].cursor if batches else start.cursor
    start.tell_read(cursor)
    log = _log(start, batches, users, items)
    clicks = len(log[start.stream.fields.user_id])
    listed = users is not None or items is not None
    day = yesterday(base)
    if clicks or listed:
        named = {"timestamp": start.stream.fields.timestamp, "item_name": name}
        day = next_day(day, log, users, items, positive="all", split=split, **named)
    rest = _without(day, gone, told.get("retire"))
    notes = start.new_notes(cursor, log[start.stream.fields.timestamp])
    optimizer, metrics, counts = start.optimizer, None, None
    if clicks:
        try:
            update = _trained(args, start, day)
        except TooFewClicks as error:
            say(f"{args.stream}: {error}; the next update reads it again")
            return _night(args, start, read=False)
        model, optimizer, metrics = update.model, update.optimizer, update.report.after
        notes["update"] = update.report.to_dict()
    else:
        records = cursor.counts.since(start.cursor.counts).read
        what = f"nothing to learn from in {records:,} records" if records else "no clicks"
        since = f"{args.stream}: {what} since version {start.version.number}"
        if not listed and rest is day:
            say(f"{since}: nothing to publish")
            return
        say(f"{since}: nothing is trained")
        model = base.model.grown(day.schema, seed=start.job.seed)
        optimizer = optimizer.grown(model.parameters)
        counts = _counts_in(start, rest.items)
    say(_who_came(base, rest))
    with ItemsBar() as progress:
        published = publish_model(
            model,
            rest,
            args.store,
            parent=start.version.number,
            optimizer=optimizer,
            notes=notes,
            metrics=metrics,
            item_counts=counts,
            on_progress=progress,
        )
    tell(published)


def _log(
    start: Start, batches: list[EventBatch], users: Columns | None, items: Columns | None
) -> Log:
    """The columns of the positives among the clicks."""
    fields, base = start.stream.fields, start.base
    parts = [fields.from_rows([])]  # of the right types, if there are no others
    parts += [start.positives(batch.events) for batch in batches]
    start.positives.demand()
    start.positives.tell()
    log = {
        fields.user_id: np.concatenate([events.users for events in parts]),
        fields.item_id: np.concatenate([events.items for events in parts]),
        fields.timestamp: np.concatenate([events.timestamps for events in parts]),
    }
    gone = [] if base.retired is None else [base.retired.table]
    log = _of_known_numbers(log, base.model.schema.user, fields.user_id, users, [base.users])
    known = [base.items, *gone]
    return _of_known_numbers(log, base.model.schema.item, fields.item_id, items, known)


def _of_known_numbers(
    log: Log, side: SideEncoder, key: str, listed: Columns | None, known: list[Table]
) -> Log:
    """Without the clicks of whom no table says the numbers that the model cannot do without."""
    needs = [f.name for f in side.fields if isinstance(f, Continuous) and not f.impute]
    if not needs:
        return log
    ids = set[Any]() if listed is None else set(listed[key].tolist())
    kept = np.fromiter(map(ids.__contains__, log[key].tolist()), bool, len(log[key]))
    for table in known:
        kept |= table.rows_of(log[key]) >= 0
    if not kept.all():
        say(
            f"left out: {np.count_nonzero(~kept):,} clicks of {side.side}s whose "
            f"{' and '.join(needs)} no table says, such as {show(log[key][~kept][0])}"
        )
    return {name: column[kept] for name, column in log.items()}


def _without(day: Dataset, gone: list[int | str], path: Path | None) -> Dataset:
    """The day after which the items of --retire are gone; they are trained on a last time."""
    before = [] if day.retired is None else day.retired.table.ids.tolist()
    known = {*day.items.ids.tolist(), *before}
    unknown = [id_ for id_ in gone if id_ not in known]
    if unknown:
        say(f"{path}: {len(unknown)} ids are of no item, such as {unknown[0]!r}")
    try:
        return retire(day, gone)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def _who_came(base: Store, rest: Dataset) -> str:
    """How many users and items are new, gone, or back."""
    before, now = set(base.items.ids.tolist()), set(rest.items.ids.tolist())
    away = set() if base.retired is None else set(base.retired.table.ids.tolist())
    back = (now - before) & away
    told = f"{len(rest.users) - len(base.users):,} users and {len(now - before - back):,} items"
    return f"{told} are new, {len(before - now):,} items retired, {len(back):,} back"


def _trained(args: argparse.Namespace, start: Start, day: Dataset) -> FullUpdate:
    job = start.job
    with TrainingBar("full update", job.metric) as bar:
        update = checked(
            full_update,
            start.base.model,
            day,
            partial(job.trainer, on_progress=bar),
            optimizer=start.optimizer,
            metric=job.metric,
            at_least=vars(args).get("at_least"),
            seed=job.seed,
        )
    report = update.report
    say(
        f"{report.pairs:,} clicks, {sum(report.rows_added.values()):,} new rows; "
        f"users moved by {report.users.mean:.3f}, items by {report.items.mean:.3f}"
        + "".join(f"; {n} {report.before[n]:.4f} -> {v:.4f}" for n, v in report.after.items())
    )
    return update


def _counts_in(start: Start, items: Table) -> Array:
    """The popularity that items had; 0 of those that are new."""
    rows = start.base.items.rows_of(items.ids)
    return np.where(rows >= 0, start.item_counts[rows], 0)
