"""A day of incremental updates on a store: learn clicks as they come, publish the moved rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data import DataError
from minitower.data.options import checked
from minitower.store.full_version import Store
from minitower.store.incremental import Rows, publish_incremental, read_rows
from minitower.store.version_log import Version, VersionLog
from minitower.updating.click_source import as_events
from minitower.updating.events import Event, OnEvent, ignore
from minitower.updating.incremental_update import IncrementalUpdate, frequency_of
from minitower.updating.options import IncrementalOptions
from minitower.updating.streams import EventBatch, PollOptions
from minitower.updating.update_base import UpdateBase, base_dataset
from minitower.updating.update_report import Increment


class IncrementalSession:
    """A branch of a store's full version that learns clicks and publishes what moved.

    Nothing of the session has to be kept: a session that is opened again learns the same
    clicks from the full version on, and ends with the same bits.

    Attributes:
        base: the full version, and how to train it further.
        update: the branch in memory.
        published: the increment of the last :meth:`publish`.
    """

    def __init__(
        self, store: str | Path, base: UpdateBase, options: IncrementalOptions, on_event: OnEvent
    ) -> None:
        self.store, self.base, self.options, self._emit = Path(store), base, options, on_event
        recipe = base.plan.recipe
        self.update = checked(
            IncrementalUpdate,
            base.full.model,
            base_dataset(base.full),
            optimizer=base.optimizer,
            objective=recipe.objective,
            item_ids=options.item_ids,
            frequency=checked(frequency_of, base.item_counts, recipe.batch_size),
            batch_size=recipe.batch_size,
        )
        self.published: Increment | None = None
        self._times: tuple[float, float] | None = None  # of the first and the last click
        self._latest: tuple[Version | None, Rows] = None, {}  # what this session published last
        self._reported = ""

    @classmethod
    def open(
        cls,
        store: str | Path,
        logs: str | Path | None = None,
        options: IncrementalOptions | None = None,
        *,
        on_event: OnEvent = ignore,
    ) -> IncrementalSession:
        """Branch off the full version that is served, or that the served version stands on.

        Args:
            store: folder of the store.
            logs: folder of click logs; None: the caller brings the clicks.
            options: by default all defaults.
            on_event: called with each :class:`~minitower.updating.events.Event`.

        Raises:
            DataError: the store or an option cannot be used.
        """
        options = options or IncrementalOptions()
        return cls(store, UpdateBase.open(store, logs, options, on_event), options, on_event)

    def batches(self, poll: PollOptions | None = None) -> Iterator[EventBatch]:
        """The clicks of the logs that the full version has not learned, in time order."""
        if self.base.source is None:
            raise DataError("the session was opened without logs; pass clicks to learn()")
        return self.base.source.batches(poll)

    def learn(self, clicks: EventBatch | Any) -> int:
        """Learn clicks that come after all clicks so far.

        Args:
            clicks: a batch of :meth:`batches`; or columns with the ids, the time, and the
                number that the rule of positives needs, if any.

        Returns:
            The number of positives among them.

        Raises:
            VersionConflict: another full version is served now; open a new session.
            DataError: the clicks are not in time order, or a value is malformed.
            TrainingError: a loss, gradient or parameter is not finite.
        """
        VersionLog.read(self.store).check_full(self.base.version.number)
        events = (
            clicks.events if isinstance(clicks, EventBatch) else as_events(clicks, self.base.fields)
        )
        positives = self.base.positives(events)
        self.update.feed(positives)
        if len(events):
            first = float(events.timestamps[0]) if self._times is None else self._times[0]
            self._times = first, float(events.timestamps[-1])
        return len(positives)

    def publish(self) -> Store | None:
        """Publish all rows that moved since the full version, on top of it.

        Buffered clicks are learned by a copy of the branch, so that steps keep their size.

        Returns:
            The new version, as opened; None if no row moved, or the served version has the
            same rows.

        Raises:
            VersionConflict: another full version is served now; open a new session.
            UpdateRefused: the metric is below the required value.
        """
        increment = self.update.finished().increment()
        self.published = increment
        self._report(increment)
        if not increment.rows or _same(increment.rows, self._served_rows()):
            return None
        unknown = {n: getattr(increment, n) for n in ("unknown_users", "unknown_items")}
        notes: dict[str, Any] = {"update": increment.report.to_dict() | unknown}
        if self.base.learned is not None:
            notes["learned"] = replace(self.base.learned, by_day=self._times).to_json()
        store = publish_incremental(
            self.store,
            increment.rows,
            parent=self.base.version.number,
            notes=notes,
            full=self.base.full,
        )
        self._latest = store.version, increment.rows
        return store

    def _served_rows(self) -> Rows:
        """The rows that the served version moves; files of this session are not read again."""
        catalogue = VersionLog.read(self.store)
        version = catalogue.version()
        if version == self._latest[0]:
            return self._latest[1]
        return read_rows(catalogue.open(version)) if version.kind == "incremental" else {}

    def _report(self, increment: Increment) -> None:
        text = _summary(increment)
        if text == self._reported:
            return
        if self.base.positives.rule is not None:
            self._emit(Event("positives", str(self.base.positives)))
        self._emit(Event("trained", text))
        self._reported = text


def _same(rows: Rows, others: Rows) -> bool:
    return rows.keys() == others.keys() and all(
        np.array_equal(ours, theirs)
        for name, pair in rows.items()
        for ours, theirs in zip(pair, others[name])
    )


def _summary(increment: Increment) -> str:
    report, parts = increment.report, [f"{increment.report.pairs:,} clicks learned"]
    if report.pairs:
        parts.append(f"users moved by {report.users.mean:.3f}, items by {report.items.mean:.3f}")
    if increment.unknown_users:
        parts.append(f"{increment.unknown_users:,} clicks of unknown users ignored")
    if increment.unknown_items:
        parts.append(f"{increment.unknown_items:,} clicks on unknown or retired items ignored")
    return "; ".join(parts)
