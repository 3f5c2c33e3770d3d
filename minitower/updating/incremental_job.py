"""The incremental update of a store from click logs: read once, or follow until stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Signal
from time import monotonic

from minitower.store.full_version import Store
from minitower.updating.click_source import CHUNK, polling
from minitower.updating.events import Event, OnEvent, ReadReport, ignore
from minitower.updating.incremental_session import IncrementalSession
from minitower.updating.options import IncrementalOptions
from minitower.updating.update_base import retrying
from minitower.updating.update_report import Increment

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
    """

    versions: tuple[int, ...]
    read: ReadReport
    increment: Increment | None


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
        on_event: called with each :class:`~minitower.updating.events.Event`.
        on_publish: called with each version, as opened.

    Raises:
        DataError: the store, the logs or an option cannot be used.
        TrainingError: a loss, gradient or parameter is not finite.
    """
    options, stop, versions = options or IncrementalOptions(), stop or Signal(), list[int]()

    def published(version: Store) -> None:
        assert version.version is not None
        versions.append(version.version.number)
        if on_publish is not None:
            on_publish(version)

    def attempt() -> tuple[ReadReport, Increment | None]:
        session = IncrementalSession.open(store, logs, options, on_event=on_event)
        return _run(session, options, stop, on_event, published)

    read, increment = retrying(attempt, on_event)
    return IncrementalResult(tuple(versions), read, increment)


def _run(
    session: IncrementalSession,
    options: IncrementalOptions,
    stop: Signal,
    emit: OnEvent,
    on_publish: Callable[[Store], object],
) -> tuple[ReadReport, Increment | None]:
    """Learn and publish until the logs end or the update is stopped.

    Raises:
        VersionConflict: another full version is served now.
    """
    source = session.base.source
    assert source is not None
    poll = None
    if options.follow and not stop.is_set():
        poll = polling(min(options.every, _LONGEST_PAUSE), stop)

    def publish() -> None:
        version = session.publish()
        if version is not None:
            on_publish(version)

    due, cursor = monotonic(), source.start
    caught_up = poll is None  # before that, the served version may have learned more clicks
    for batch in session.batches(poll):
        cursor = batch.cursor
        caught_up |= len(batch) < CHUNK and not stop.is_set()
        session.learn(batch)
        if poll is not None and caught_up and monotonic() >= due:
            publish()
            due = monotonic() + options.every
    read = source.report(cursor)
    session.base.emit_read(read, options, emit)
    if poll is None:
        session.base.positives.require_values()
    if caught_up:
        publish()
    else:
        emit(Event("result", "stopped before all logs were read: nothing is published"))
    return read, session.published
