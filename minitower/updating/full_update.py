"""The full update of a store: one epoch over the clicks since the full version, then publish."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from minitower.data import DataError, Dataset, TimeSplit, next_day, retire
from minitower.data.options import checked
from minitower.data.table import Table
from minitower.formulas.arrays import Array
from minitower.store.full_version import Store, publish_model
from minitower.training.batches import TooFewClicks
from minitower.training.trainer import Progress
from minitower.updating.clicks_to_learn import clicks_to_learn
from minitower.updating.entity_lists import EntityLists
from minitower.updating.events import Event, OnEvent, ReadReport, ignore
from minitower.updating.options import FullUpdateOptions
from minitower.updating.streams import Cursor, EventBatch
from minitower.updating.train_full_update import FullUpdate, train_full_update
from minitower.updating.update_base import UpdateBase, base_dataset, retrying
from minitower.updating.update_report import UpdateReport


@dataclass(frozen=True, eq=False)
class FullUpdateResult:
    """What a full update did.

    Attributes:
        published: the new version, as opened; None: there was nothing to publish.
        read: what was read from the logs.
        report: what training changed; None: nothing was trained, for lack of clicks.
        new_users, new_items: ids that the version before did not have.
        retired_items, reactivated_items: items that were removed, and that came back.
    """

    published: Store | None
    read: ReadReport
    report: UpdateReport | None = None
    new_users: int = 0
    new_items: int = 0
    retired_items: int = 0
    reactivated_items: int = 0


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

    Users and items of the lists are added, and items retired, even without clicks; then
    nothing is trained. What another process publishes meanwhile is not undone: the update
    starts again from the version that is served then.

    Args:
        store: folder of the store.
        logs: folder of click logs.
        options: by default all defaults.
        on_event: called with each :class:`~minitower.updating.events.Event`.
        on_progress: called with the trainer's progress.
        on_encoded: called with the numbers of items encoded so far, and of all items.

    Raises:
        DataError: the store, the logs, a list or an option cannot be used.
        UpdateRefused: the model is below `at_least`; the store is as before.
        TrainingError: a loss, gradient or parameter is not finite.
    """
    options = options or FullUpdateOptions()
    job = _Job(Path(store), Path(logs), options, on_event, on_progress, on_encoded)
    return retrying(job.run, on_event)


@dataclass(frozen=True)
class _Job:
    """The arguments of :func:`full_update`, shared by its steps."""

    store: Path
    logs: Path
    options: FullUpdateOptions
    emit: OnEvent
    on_progress: Callable[[Progress], object] | None
    on_encoded: Callable[[int, int], object] | None

    def run(self) -> FullUpdateResult:
        """One attempt.

        Raises:
            VersionConflict: another full version is served now.
        """
        base = UpdateBase.open(self.store, self.logs, self.options, self.emit)
        lists = EntityLists.read(self.options, base.full)
        assert base.source is not None
        batches = list(base.source.batches())
        cursor = batches[-1].cursor if batches else base.source.start
        base.emit_read(base.source.report(cursor), self.options, self.emit)
        try:
            return self._update(base, lists, batches, cursor)
        except TooFewClicks as error:
            self.emit(Event("result", f"{self.logs}: {error}; the next update reads it again"))
            return self._update(base, lists, [], base.source.start)

    def _update(
        self, base: UpdateBase, lists: EntityLists, batches: list[EventBatch], cursor: Cursor
    ) -> FullUpdateResult:
        assert base.source is not None
        read = base.source.report(cursor)
        log = clicks_to_learn(base, batches, lists, self.emit)
        times, day = log[base.fields.timestamp], base_dataset(base.full)
        if len(times) or lists.adds:
            share = self.options.validate
            split = None if share is None else checked(TimeSplit, share, 0)
            day = next_day(
                day,
                log,
                lists.users,
                lists.items,
                positive="all",
                timestamp=base.fields.timestamp,
                split=split,
                item_name=lists.item_name,
            )
        after = _retired(day, lists, self.emit)
        notes = base.next_notes(cursor, times)
        metrics, counts, report = None, None, None
        if len(times):
            update = self._trained(base, day)
            model, optimizer, report = update.model, update.optimizer, update.report
            metrics, notes["update"] = report.after, report.to_dict()
        else:
            what = "no clicks"
            if read.records:
                what = f"nothing to learn from in {read.records:,} records"
            since = f"{self.logs}: {what} since version {base.version.number}"
            if not lists.adds and after is day:
                self.emit(Event("result", f"{since}: nothing to publish"))
                return FullUpdateResult(None, read)
            self.emit(Event("result", f"{since}: nothing is trained"))
            model = base.full.model.extended(day.schema, seed=base.plan.recipe.seed)
            optimizer = base.optimizer.extended(model.parameters)
            counts = _counts_before(base, after.items)
        changes = _changes(base.full, after)
        text = "{:,} new users, {:,} new items, {:,} items retired, {:,} reactivated"
        self.emit(Event("result", text.format(*changes)))
        published = publish_model(
            model,
            after,
            self.store,
            parent=base.version.number,
            optimizer=optimizer,
            notes=notes,
            metrics=metrics,
            item_counts=counts,
            on_progress=self.on_encoded,
        )
        return FullUpdateResult(published, read, report, *changes)

    def _trained(self, base: UpdateBase, day: Dataset) -> FullUpdate:
        plan = base.plan
        update = checked(
            train_full_update,
            base.full.model,
            day,
            lambda model, data: plan.recipe.trainer(model, data, self.on_progress),
            optimizer=base.optimizer,
            metric=plan.options["metric"],
            at_least=self.options.at_least,
            seed=plan.recipe.seed,
        )
        report = update.report
        text = f"{report.pairs:,} clicks learned, {sum(report.rows_added.values()):,} new rows"
        text += f"; users moved by {report.users.mean:.3f}, items by {report.items.mean:.3f}"
        for name, value in report.after.items():
            text += f"; {name} {report.before[name]:.4f} -> {value:.4f}"
        self.emit(Event("trained", text))
        return update


def _retired(day: Dataset, lists: EntityLists, emit: OnEvent) -> Dataset:
    """The data set to publish: the day without the retired items, which it is trained on."""
    before = [] if day.retired is None else day.retired.ids.tolist()
    known = {*day.items.ids.tolist(), *before}
    unknown = [id_ for id_ in lists.retired if id_ not in known]
    if unknown:
        what = f"{len(unknown)} ids belong to no item, such as {unknown[0]!r}"
        emit(Event("ignored", f"{lists.retired_from}: {what}"))
    try:
        return retire(day, lists.retired)
    except DataError as error:
        raise DataError(f"{lists.retired_from}: {error}") from None


def _changes(full: Store, after: Dataset) -> tuple[int, int, int, int]:
    """Numbers of new users, new items, retired items and reactivated items."""
    before, now = set(full.items.ids.tolist()), set(after.items.ids.tolist())
    retired = set() if full.retired is None else set(full.retired.ids.tolist())
    reactivated = (now - before) & retired
    new_items = len(now - before - reactivated)
    return len(after.users) - len(full.users), new_items, len(before - now), len(reactivated)


def _counts_before(base: UpdateBase, items: Table) -> Array:
    """The popularity that items had before; 0 of new items."""
    rows = base.full.items.rows_of(items.ids)
    return np.where(rows >= 0, base.item_counts[rows], 0)
