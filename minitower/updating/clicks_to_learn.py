"""The clicks that a full update trains on, as columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from minitower.data import Continuous, FeatureEncoder
from minitower.data.columns import Columns
from minitower.data.errors import show
from minitower.data.table import Table
from minitower.formulas.arrays import Array
from minitower.updating.entity_lists import EntityLists
from minitower.updating.events import Event, OnEvent
from minitower.updating.streams import EventBatch
from minitower.updating.update_base import UpdateBase

Log = dict[str, Array]


def clicks_to_learn(
    base: UpdateBase, batches: list[EventBatch], lists: EntityLists, emit: OnEvent
) -> Log:
    """The positives among the clicks, without those whose required numbers are unknown.

    A model may need a number, such as an age, that no table and no list gives for a new user
    or item. Clicks of such users and on such items are ignored, and reported.

    Raises:
        DataError: the column that the rule of positives needs is missing from all clicks.
    """
    log, full, fields = _positives(base, batches, emit), base.full, base.fields
    retired = [] if full.retired is None else [full.retired]
    user, item = full.model.schema.user, full.model.schema.item
    log = _with_numbers_of(user, log, fields.user_id, lists.users, [full.users], emit)
    return _with_numbers_of(item, log, fields.item_id, lists.items, [full.items, *retired], emit)


def _positives(base: UpdateBase, batches: list[EventBatch], emit: OnEvent) -> Log:
    """The columns of the positives among the clicks."""
    fields, positives = base.fields, base.positives
    parts = [fields.from_rows([])]  # columns of the right types, even without clicks
    parts += [positives(batch.events) for batch in batches]
    positives.require_values()
    if positives.rule is not None and batches:
        emit(Event("positives", str(positives)))
    return {
        fields.user_id: np.concatenate([events.users for events in parts]),
        fields.item_id: np.concatenate([events.items for events in parts]),
        fields.timestamp: np.concatenate([events.timestamps for events in parts]),
    }


def _with_numbers_of(
    side: FeatureEncoder,
    log: Log,
    key: str,
    listed: Columns | None,
    known: list[Table],
    emit: OnEvent,
) -> Log:
    needs = [f.name for f in side.fields if isinstance(f, Continuous) and not f.impute]
    if not needs:
        return log
    ids = set[Any]() if listed is None else set(listed[key].tolist())
    kept = np.fromiter(map(ids.__contains__, log[key].tolist()), bool, len(log[key]))
    for table in known:
        kept |= table.rows_of(log[key]) >= 0
    if not kept.all():
        text = f"{np.count_nonzero(~kept):,} clicks of {side.side}s ignored: their "
        text += f"{' and '.join(needs)} is unknown; list them, such as {show(log[key][~kept][0])}"
        emit(Event("ignored", text))
    return {name: column[kept] for name, column in log.items()}
