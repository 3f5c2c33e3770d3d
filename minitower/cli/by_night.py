"""``minitower update --full``: the nightly job, one epoch over the clicks since the last one."""

import argparse
from functools import partial
from typing import Any

import numpy as np

from minitower.cli.click_logs import positives, read_ids, read_rows
from minitower.cli.job import checked
from minitower.cli.progress import ItemsBar, TrainingBar, say
from minitower.cli.update_start import READ_AT_ONCE, Start, tell
from minitower.data import Continuous, DataError, Dataset, SideEncoder, TimeSplit, next_day, retire
from minitower.data.columns import Columns
from minitower.data.errors import show
from minitower.data.ragged import Array
from minitower.data.streams import Batch
from minitower.data.table import Table
from minitower.retrieval.snapshot import Store, publish
from minitower.towers.optimizers import Optimizer
from minitower.training.updates import FullUpdate, full_update, yesterday

Log = dict[str, Array]


def by_night(args: argparse.Namespace) -> None:
    """Train on the clicks since the full version and publish the next; prints its number.

    Without clicks, users and items still come and go, and nothing is trained.
    """
    told, start = vars(args), Start.open(args)
    base, job = start.base, start.job
    batches = list(start.stream.batches(READ_AT_ONCE, cursor=start.cursor))
    cursor = batches[-1].cursor if batches else start.cursor
    start.tell_unfinished(cursor)
    name = start.notes.get("item_name") if "items" in told else None
    schema = base.model.schema
    users = read_rows(told.get("users"), schema.user.fields)
    items = read_rows(told.get("items"), schema.item.fields, name)
    log = _log(start, batches, users, items)
    clicks = len(log[start.stream.fields.user_id])
    listed = users is not None or items is not None
    day = yesterday(base)
    if clicks or listed:
        split = checked(TimeSplit, told["validate"], 0) if told.get("validate") else None
        day = next_day(day, log, users, items, split=split, item_name=name)
    rest = _without_retired(args, day)
    notes, metrics, counts = start.new_notes(cursor), None, None
    if clicks:
        update = _trained(args, start, day)
        model, metrics = update.model, update.report.after
        optimizer: Optimizer | None = update.optimizer
        notes["update"] = update.report.to_dict()
    else:
        since = f"{args.stream}: no clicks since version {start.version.number}"
        if not listed and len(rest.items) == len(day.items):
            say(f"{since}: nothing to publish")
            return
        say(f"{since}: nothing is trained")
        model = base.model.grown(day.schema, seed=job.seed)
        optimizer = start.optimizer and start.optimizer.grown(model.parameters)
        counts = _counts_in(base, rest.items)
    with ItemsBar() as progress:
        published = publish(
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


def _log(start: Start, batches: list[Batch], users: Columns | None, items: Columns | None) -> Log:
    """The columns of the positives among the clicks.

    Raises:
        DataError: no click says whether it is one.
    """
    read, rule = [batch.events for batch in batches], start.rule
    clicks = [positives(events, rule) for events in read]
    if rule is not None and any(map(len, read)):
        values = np.concatenate([np.asarray(events.values) for events in read])
        if np.isnan(values).all():
            raise DataError(
                f"{start.stream.folder}: no click has a '{rule.column}', by which positives are "
                f"told ({start.job.positive}); if every click is one, say --positive all"
            )
        start.tell_positives(sum(map(len, clicks)), len(values))
    user_id, item_id, time = start.stream.fields.names[:3]
    parts = [start.stream.fields.from_rows([]), *clicks]  # of the right types, if there are none
    log = {
        user_id: np.concatenate([events.users for events in parts]),
        item_id: np.concatenate([events.items for events in parts]),
        time: np.concatenate([events.timestamps for events in parts]),
    }
    base = start.base
    gone = [] if base.retired is None else [base.retired.table]
    log = _of_known_numbers(log, base.model.schema.user, user_id, users, [base.users])
    return _of_known_numbers(log, base.model.schema.item, item_id, items, [base.items, *gone])


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


def _without_retired(args: argparse.Namespace, day: Dataset) -> Dataset:
    """The day after which the items of --retire are gone; they are trained on a last time."""
    if "retire" not in args:
        return day
    gone = read_ids(args.retire, day.items)
    unknown = [id_ for id_, row in zip(gone, day.items.rows_of(gone)) if row < 0]
    if unknown:
        say(f"{args.retire}: {len(unknown)} ids are of no item, such as {unknown[0]!r}")
    try:
        return retire(day, gone)
    except DataError as error:
        raise DataError(f"{args.retire}: {error}") from None


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


def _counts_in(base: Store, items: Table) -> Array:
    """The popularity that items had; 0 of those that are new."""
    rows = base.items.rows_of(items.ids)
    assert base.item_counts is not None  # a full version has them
    return np.where(rows >= 0, base.item_counts[rows], 0)
