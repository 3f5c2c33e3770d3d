"""The full update of a store: one epoch over the clicks since the full version, then publish.

Chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data import (
    Continuous,
    DataError,
    Dataset,
    FeatureEncoder,
    TimeSplit,
    next_day,
    retire,
)
from minitower.data.columns import Columns
from minitower.data.errors import show
from minitower.data.options import checked
from minitower.data.table import Table
from minitower.formulas.arrays import Array
from minitower.store.forgotten import Forgotten, held_text, versions_with_forgotten
from minitower.store.full_version import Store, publish_model
from minitower.store.version_log import VersionLog
from minitower.training.batches import TooFewClicks
from minitower.training.gradient_step import training_at
from minitower.training.history import Progress
from minitower.updating.base import UpdateBase, base_dataset, retrying
from minitower.updating.entity_lists import EntityLists
from minitower.updating.forgetting import forget
from minitower.updating.options import FullUpdateOptions
from minitower.updating.report import OnEvent, ReadReport, UpdateReport, ignore
from minitower.updating.streams import EventBatch, Events
from minitower.updating.train_full_update import FullUpdate, train_full_update

Clicks = dict[str, Array]


@dataclass(frozen=True, eq=False)
class FullUpdateResult:
    """What a full update did.

    Attributes:
        published: the new version, as opened; None: there was nothing to publish.
        read: what was read from the logs.
        report: what training changed; None: nothing was trained, for lack of clicks.
        new_users, new_items: ids that the version before did not have.
        retired_items, reactivated_items: items that were removed, and that came back.
        forgotten_users: users that the version before had, and the new one has not.
        forgotten_clicks: clicks of forgotten users, which were left out.
        still_held_by: numbers of the versions that hold forgotten users until they are pruned.
    """

    published: Store | None
    read: ReadReport
    report: UpdateReport | None = None
    new_users: int = 0
    new_items: int = 0
    retired_items: int = 0
    reactivated_items: int = 0
    forgotten_users: int = 0
    forgotten_clicks: int = 0
    still_held_by: tuple[int, ...] = ()


def full_update(
    store: str | Path,
    logs: str | Path,
    options: FullUpdateOptions | None = None,
    *,
    on_event: OnEvent = ignore,
    on_progress: Callable[[Progress], object] | None = None,
    on_encoded: Callable[[int, int], object] | None = None,
) -> FullUpdateResult:
    """Train the store's full version on the clicks since then, and publish the next version.

    Users and items of the lists are added, items retired, and users forgotten, even without
    clicks; then nothing is trained. What another process publishes meanwhile is not undone: the
    update starts again from the version that is served then.

    Args:
        store: folder of the store.
        logs: folder of click logs.
        options: by default all defaults.
        on_event: called with each :class:`~minitower.updating.report.Event`.
        on_progress: called with the trainer's progress.
        on_encoded: called with the numbers of items encoded so far, and of all items.

    Raises:
        DataError: the store, the logs, a list or an option cannot be used.
        UpdateRefused: the model is below `at_least`; the store is as before.
        TrainingError: a loss, gradient or parameter is not finite.
    """
    options, logs = options or FullUpdateOptions(), Path(logs)

    def attempt() -> FullUpdateResult:
        base = UpdateBase.open(store, logs, options, on_event)
        base, lists, dropped = forget(base, EntityLists.read(options, base.full))
        batches = list(base.batches())
        base.read_until(batches[-1].cursor if batches else base.start)
        try:
            result = update(base, lists, batches)
        except TooFewClicks as error:
            base.emit("result", f"{logs}: {error}; the next update reads it again")
            result = update(base, lists, [])
        return replace(result, forgotten_users=dropped, still_held_by=_still_held(base, store))

    def update(base: UpdateBase, lists: EntityLists, batches: list[EventBatch]) -> FullUpdateResult:
        cursor = batches[-1].cursor if batches else base.start
        read = ReadReport.between(base.start, cursor)
        clicks, left_out = _clicks_to_learn(base, batches, lists)
        times = clicks[base.fields.timestamp]
        day = _next_day(base, clicks, lists, options.validate)
        after = _retired(base, day, lists)
        notes = base.next_notes(cursor, times)
        metrics, counts, report = None, None, None
        if len(times):
            with training_at(f"store version {base.version.number}"):
                trained = _trained(base, day, options.at_least, on_progress)
            model, optimizer, report = trained.model, trained.optimizer, trained.report
            metrics, notes["update"] = report.after, report.to_dict()
        else:
            what = f"nothing to learn from in {read.records:,} records"
            what = what if read.records else "no clicks"
            since = f"{logs}: {what} since version {base.version.number}"
            forgets = base.forgotten != Forgotten.in_notes(base.full.notes)
            if not (lists.adds or forgets) and after is day:
                base.emit("result", f"{since}: nothing to publish")
                return FullUpdateResult(None, read, forgotten_clicks=left_out)
            base.emit("result", f"{since}: nothing is trained")
            model = base.full.model.extended(day.schema, seed=base.plan.recipe.seed)
            optimizer = base.optimizer.extended(model.parameters)
            counts = _counts_before(base.full, after.items)
        changes = _changes(base.full, after)
        text = "{:,} new users, {:,} new items, {:,} items retired, {:,} reactivated"
        base.emit("result", text.format(*changes))
        published = publish_model(
            model,
            after,
            store,
            parent=base.version.number,
            optimizer=optimizer,
            notes=notes,
            metrics=metrics,
            item_counts=counts,
            on_progress=on_encoded,
        )
        return FullUpdateResult(published, read, report, *changes, forgotten_clicks=left_out)

    return retrying(attempt, on_event)


def _clicks_to_learn(
    base: UpdateBase, batches: list[EventBatch], lists: EntityLists
) -> tuple[Clicks, int]:
    """The columns of the positives, without those whose required numbers are unknown.

    Clicks of forgotten users are left out, too; their number is returned.

    A model may need a number, such as an age, that no table and no list gives for a new user
    or item. Clicks of such users and on such items are ignored, and reported.

    Raises:
        DataError: the column that the rule of positives needs is missing from all clicks.
    """
    fields, full = base.fields, base.full
    none = fields.from_rows([])  # columns of the right types, even without clicks
    remembered = [base.remembered(batch.events) for batch in batches]
    if left_out := sum(map(len, batches)) - sum(map(len, remembered)):
        base.emit("forgotten", f"{left_out:,} clicks of forgotten users left out")
    events = Events.concatenate(none, *map(base.positives, remembered))
    base.positives.require_values()
    if base.positives.rule is not None and batches:
        base.emit("positives", str(base.positives))
    clicks = dict(zip(fields.names[:3], (events.users, events.items, events.timestamps)))
    if fields.weight is not None and events.weights is not None:
        clicks[fields.weight] = events.weights
    retired = [] if full.retired is None else [full.retired]
    user, item = full.model.encoders.user, full.model.encoders.item
    clicks = _with_numbers(base, user, clicks, fields.user_id, lists.users, [full.users])
    clicks = _with_numbers(base, item, clicks, fields.item_id, lists.items, [full.items, *retired])
    return clicks, left_out


def _with_numbers(
    base: UpdateBase,
    side: FeatureEncoder,
    clicks: Clicks,
    key: str,
    listed: Columns | None,
    known: list[Table],
) -> Clicks:
    """The clicks whose user (or item) has all numbers that its side of the model needs."""
    needs = [f.name for f in side.fields if isinstance(f, Continuous) and not f.impute]
    if not needs:
        return clicks
    ids = set[Any]() if listed is None else set(listed[key].tolist())
    kept = np.fromiter(map(ids.__contains__, clicks[key].tolist()), bool, len(clicks[key]))
    for table in known:
        kept |= table.rows_of(clicks[key]) >= 0
    if not kept.all():
        text = f"{np.count_nonzero(~kept):,} clicks of {side.side}s ignored: their "
        text += f"{' and '.join(needs)} is unknown; list them, such as "
        base.emit("ignored", text + show(clicks[key][~kept][0]))
    return {name: column[kept] for name, column in clicks.items()}


def _next_day(
    base: UpdateBase, clicks: Clicks, lists: EntityLists, validate: float | None
) -> Dataset:
    """The data set to train on; the full version's own where clicks and lists add nothing."""
    day, timestamp = base_dataset(base.full), base.fields.timestamp
    if not len(clicks[timestamp]) and not lists.adds:
        return day
    return next_day(
        day,
        clicks,
        lists.users,
        lists.items,
        positive="all",
        timestamp=timestamp,
        split=None if validate is None else checked(TimeSplit, validate, 0),
        item_name=lists.item_name,
    )


def _retired(base: UpdateBase, day: Dataset, lists: EntityLists) -> Dataset:
    """The data set to publish: the day without the retired items, which it is trained on."""
    before = [] if day.retired is None else day.retired.ids.tolist()
    known = {*day.items.ids.tolist(), *before}
    unknown = [id_ for id_ in lists.retired if id_ not in known]
    if unknown:
        what = f"{len(unknown)} ids belong to no item, such as {unknown[0]!r}"
        base.emit("ignored", f"{lists.retired_from}: {what}")
    try:
        return retire(day, lists.retired)
    except DataError as error:
        raise DataError(f"{lists.retired_from}: {error}") from None


def _trained(
    base: UpdateBase,
    day: Dataset,
    at_least: float | None,
    on_progress: Callable[[Progress], object] | None,
) -> FullUpdate:
    recipe = base.plan.recipe
    update = checked(
        train_full_update,
        base.full.model,
        day,
        lambda model, data: recipe.trainer(model, data, on_progress),
        optimizer=base.optimizer,
        metric=base.plan.options["metric"],
        at_least=at_least,
        seed=recipe.seed,
    )
    report = update.report
    text = f"{report.pairs:,} clicks learned, {sum(report.rows_added.values()):,} new rows"
    text += f"; users moved by {report.users.mean:.3f}, items by {report.items.mean:.3f}"
    for name, value in report.after.items():
        text += f"; {name} {report.before[name]:.4f} -> {value:.4f}"
    base.emit("trained", text)
    return update


def _changes(full: Store, after: Dataset) -> tuple[int, int, int, int]:
    """Numbers of new users, new items, retired items and reactivated items."""
    before, now = set(full.items.ids.tolist()), set(after.items.ids.tolist())
    retired = set() if full.retired is None else set(full.retired.ids.tolist())
    reactivated = (now - before) & retired
    new_items = len(now - before - reactivated)
    return len(after.users) - len(full.users), new_items, len(before - now), len(reactivated)


def _still_held(base: UpdateBase, store: str | Path) -> tuple[int, ...]:
    """Numbers of the versions that hold forgotten users, reported as an event."""
    if not base.forgotten.hashes:
        return ()
    held = versions_with_forgotten(VersionLog.read(store))
    if held:
        base.emit("forgotten", held_text(held))
    return tuple(held)


def _counts_before(full: Store, items: Table) -> Array:
    """The popularity that items had before; 0 of new items."""
    assert full.item_counts is not None  # a full version has them
    rows = full.items.rows_of(items.ids)
    return np.where(rows >= 0, full.item_counts[rows], 0)
