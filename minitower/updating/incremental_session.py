"""Incremental updates of a store: learn clicks as they come, publish what moved. Chapter 13."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Signal
from time import monotonic
from typing import Any

from minitower.data.columns import read_columns
from minitower.data.errors import Place
from minitower.data.options import checked
from minitower.formulas.frequency import StreamingFrequency
from minitower.store.full_version import Store
from minitower.store.incremental import Moved, publish_incremental, read_moved, same_moved
from minitower.store.version_log import Version, VersionLog
from minitower.training.gradient_step import training_at
from minitower.updating.base import CHUNK, UpdateBase, base_dataset, retrying
from minitower.updating.incremental_update import IncrementalUpdate
from minitower.updating.options import IncrementalOptions
from minitower.updating.report import Increment, OnEvent, ReadReport, ignore
from minitower.updating.streams import EventBatch, PollOptions

_LONGEST_PAUSE = 30.0
"""Seconds until clicks are learned, and a new full version is noticed, while following."""


@dataclass(frozen=True, eq=False)
class IncrementalResult:
    """What an incremental update did.

    Attributes:
        versions: numbers of the published versions, oldest first.
        read: what was read from the logs since the last full version.
        increment: what has moved since then; None: following was stopped before all logs
            were read.
        forgotten_clicks: clicks of forgotten users, which were left out.
    """

    versions: tuple[int, ...]
    read: ReadReport
    increment: Increment | None
    forgotten_clicks: int = 0


def incremental_update(
    store: str | Path,
    logs: str | Path,
    options: IncrementalOptions | None = None,
    *,
    stop: Signal | None = None,
    on_event: OnEvent = ignore,
    on_publish: Callable[[Store], object] | None = None,
) -> IncrementalResult:
    """Learn the clicks since the full version in time order, and publish the rows that moved.

    Without `follow`, one version is published at the end of the logs. With it, versions are
    published when all logs have been read, then by the clock, and once more at the end. Where
    a new full version appears, the update starts again from that one.

    Args:
        store: folder of the store.
        logs: folder of click logs.
        options: by default all defaults.
        stop: set it from another thread to end following; what was learned is published.
        on_event: called with each :class:`~minitower.updating.report.Event`.
        on_publish: called with each version, as opened.

    Raises:
        DataError: the store, the logs or an option cannot be used.
        TrainingError: a loss, gradient or parameter is not finite.
    """
    options, stop, versions = options or IncrementalOptions(), stop or Signal(), list[int]()

    def attempt() -> IncrementalResult:
        session = IncrementalSession.open(store, logs, options, on_event=on_event)

        def publish() -> None:
            if (published := session.publish()) is None:
                return
            assert published.version is not None
            versions.append(published.version.number)
            if on_publish is not None:
                on_publish(published)

        read = _run(session, options, stop, publish)
        return IncrementalResult(tuple(versions), read, session.published, session.forgotten_clicks)

    return retrying(attempt, on_event)


def _run(
    session: IncrementalSession,
    options: IncrementalOptions,
    stop: Signal,
    publish: Callable[[], object],
) -> ReadReport:
    """Learn and publish until the logs end or the update is stopped.

    Raises:
        VersionConflict: another full version is served now.
    """
    base, poll = session.base, None
    if options.follow and not stop.is_set():
        poll = PollOptions(emit_every=min(options.every, _LONGEST_PAUSE), stop=stop)
    due, cursor = monotonic(), base.start
    caught_up = poll is None  # before that, the served version may have learned more clicks
    for batch in session.batches(poll):
        cursor = batch.cursor
        caught_up |= len(batch) < CHUNK and not stop.is_set()
        session.learn(batch)
        if poll is not None and caught_up and monotonic() >= due:
            publish()
            due = monotonic() + options.every
    read = base.read_until(cursor)
    if poll is None:
        base.positives.require_values()
    if caught_up:
        publish()
    else:
        base.emit("result", "stopped before all logs were read: nothing is published")
    return read


class IncrementalSession:
    """A branch of a store's full version that learns clicks and publishes what moved.

    Nothing of the session has to be kept: a session that is opened again learns the same
    clicks from the full version on, and ends with the same bits.

    Attributes:
        base: the full version, and how to train it further.
        update: the branch in memory.
        published: the increment of the last :meth:`publish`.
        forgotten_clicks: clicks of users that the store has forgotten, which were left out.
    """

    def __init__(self, store: str | Path, base: UpdateBase, *, item_ids: bool = False) -> None:
        self.store, self.base = Path(store), base
        recipe, counts = base.plan.recipe, base.full.item_counts
        assert counts is not None  # a full version has them
        self.update = checked(
            IncrementalUpdate,
            base.full.model,
            base_dataset(base.full),
            optimizer=base.optimizer,
            objective=recipe.objective,
            regularization=recipe.regularization,
            item_ids=item_ids,
            frequency=checked(StreamingFrequency.from_counts, counts, recipe.batch_size),
            batch_size=recipe.batch_size,
        )
        self.published: Increment | None = None
        self.forgotten_clicks = 0
        self._times: tuple[float, float] | None = None  # of the first and the last click
        self._latest: tuple[Version | None, Moved] = None, ({}, None)  # the last publication
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
            on_event: called with each :class:`~minitower.updating.report.Event`.

        Raises:
            DataError: the store or an option cannot be used.
        """
        options = options or IncrementalOptions()
        base = UpdateBase.open(store, logs, options, on_event)
        return cls(store, base, item_ids=options.item_ids)

    def batches(self, poll: PollOptions | None = None) -> Iterator[EventBatch]:
        """The clicks of the logs that the full version has not learned, in time order."""
        return self.base.batches(poll)

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
        if isinstance(clicks, EventBatch):
            events = clicks.events
        else:
            events = self.base.fields.events(read_columns(clicks, Place("clicks")))
        remembered = self.base.remembered(events)
        self.forgotten_clicks += len(events) - len(remembered)
        positives = self.base.positives(remembered)
        with training_at(f"store version {self.base.version.number}"):
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
        moved: Moved = increment.rows, increment.histories
        if not any(moved) or same_moved(moved, self._served()):
            return None
        unknown = {n: getattr(increment, n) for n in ("unknown_users", "unknown_items")}
        notes: dict[str, Any] = {"update": increment.report.to_dict() | unknown}
        if self.base.learned is not None:
            notes["learned"] = replace(self.base.learned, by_day=self._times).to_json()
        store = publish_incremental(
            self.store,
            increment.rows,
            parent=self.base.version.number,
            histories=increment.histories,
            notes=notes,
            full=self.base.full,
        )
        self._latest = store.version, moved
        return store

    def _served(self) -> Moved:
        """What the served version changes; files of this session are not read again."""
        log = VersionLog.read(self.store)
        version = log.version()
        if version == self._latest[0]:
            return self._latest[1]
        return read_moved(log.open(version)) if version.kind == "incremental" else ({}, None)

    def _report(self, increment: Increment) -> None:
        text = _summary(increment)
        if self.forgotten_clicks:
            text += f"; {self.forgotten_clicks:,} clicks of forgotten users left out"
        if text == self._reported:
            return
        if self.base.positives.rule is not None:
            self.base.emit("positives", str(self.base.positives))
        self.base.emit("trained", text)
        self._reported = text


def _summary(increment: Increment) -> str:
    report, parts = increment.report, [f"{increment.report.pairs:,} clicks learned"]
    if report.pairs:
        parts.append(f"users moved by {report.users.mean:.3f}, items by {report.items.mean:.3f}")
    if increment.unknown_users:
        parts.append(f"{increment.unknown_users:,} clicks of unknown users ignored")
    if increment.unknown_items:
        parts.append(f"{increment.unknown_items:,} clicks on unknown or retired items ignored")
    return "; ".join(parts)
