"""The update by day: clicks in the order in which they come, and only id embeddings move.

After the lecture (section 4): every few tens of minutes the rows that moved are published on
top of the full model; the next full update does not know of them. Dense layers stay frozen,
because an hour's clicks, in order, are a biased sample of what the model is for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from copy import copy, deepcopy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from minitower.data import DataError, Dataset
from minitower.evaluation.encode import check_same_schema, encode
from minitower.formulas.arguments import floats, strict_integer
from minitower.formulas.frequency import StreamingFrequency
from minitower.formulas.sampling import from_expected_count
from minitower.store.incremental import Rows
from minitower.towers.gradients import Gradient, RowGradient, add_gradients, first_not_finite
from minitower.towers.optimizers import Adagrad, Optimizer
from minitower.towers.tower import Array
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batch, check_batch_size
from minitower.training.objectives import InBatchSoftmax, Objective
from minitower.training.trainer import TrainingError
from minitower.updating.streams import Events
from minitower.updating.update_report import (
    Drift,
    Increment,
    Judge,
    Side,
    UpdateReport,
    id_rows,
    some,
)


class IncrementalUpdate:
    """A branch of the full model that follows a stream of clicks.

    Of the full model nothing is changed; the branch shares all but the tables that move.
    In the branch all else stays bit for bit: other parameters, other state of the optimizer,
    rows that no click touched. And row 0: whoever the full model does not know is read as
    row 0 until the next full update, all of them alike. One of them clicking says little of
    the others, so such a click moves no user; its item is a negative of the users beside it
    as any other.

    What it becomes is a function of the arguments and the sequence of clicks, however that
    is cut in pieces: interrupted, it is fed again from where the full model ended.

    Args:
        model: the full model, which must be of this schema.
        data: its tables of users and items, and perhaps a validation part.
        optimizer: that of the full model, to go on with its state; an Adagrad by default.
        objective: of what is in a batch, without further negatives; by default an
            :class:`InBatchSoftmax`.
        item_ids: let the embeddings of item ids move, too.
        frequency: of the items, by row of the table, from which log q comes, as it stood
            before each batch; by default one that starts with the clicks of `data.train`.
        batch_size: clicks a step, >= 2: the negatives of a click are the others of its step.
        metric, at_least: as in :func:`~minitower.updating.train_full_update.full_update`.

    Raises:
        ValueError: there is no id embedding to move, the model was fitted to other data, or
            an argument is outside its domain.
    """

    def __init__(
        self,
        model: TwoTower,
        data: Dataset,
        *,
        optimizer: Optimizer | None = None,
        objective: Objective | None = None,
        item_ids: bool = False,
        frequency: StreamingFrequency | None = None,
        batch_size: int = 256,
        metric: str = "recall@20",
        at_least: float | None = None,
    ) -> None:
        check_batch_size(batch_size, drawn=False)
        check_same_schema(model.schema, data.schema)
        self.full, self.data, self.batch_size = model, data, batch_size
        sides: tuple[Side, ...] = ("user", "item") if item_ids else ("user",)
        movable = {_id_table(model, side) for side in sides}
        for name in movable - model.parameters.keys():
            raise ValueError(f"there is nothing to move: the model has no '{name}'")
        self.model, self.optimizer = _branched(model, optimizer or Adagrad(), movable)
        self.objective = InBatchSoftmax() if objective is None else deepcopy(objective)
        if frequency is None:
            frequency = frequency_of(data.item_counts, batch_size)
        self.frequency = deepcopy(frequency)
        self._judge = Judge(data, metric, at_least)
        self._before = self._judge(model)
        self._touched = {
            name: np.zeros(len(table), bool)
            for name, table in model.parameters.items()
            if name in movable
        }
        self._users, self._items = np.empty(0, np.int64), np.empty(0, np.int64)
        self._latest, self._pairs, self._loss = -np.inf, 0, 0.0
        self._unknown_users = self._unknown_items = 0

    def feed(self, events: Events) -> None:
        """Learn from clicks that come after all that were fed before.

        Raises:
            DataError: they are not in time order, or ids are of another type.
            TrainingError: a loss or gradient is not finite; the branch is good for nothing
                from then on.
        """
        clicks = [np.asarray(part) for part in (events.users, events.items, events.timestamps)]
        if len({part.shape for part in clicks}) > 1 or clicks[0].ndim != 1:
            raise DataError("events: users, items and timestamps must be vectors of one length")
        times = np.append(self._latest, floats("timestamps", events.timestamps))
        if (np.diff(times) < 0).any():
            raise DataError(f"event {int((np.diff(times) < 0).argmax())} is older than the last")
        self._latest = times[-1]
        users, items = self.data.users.rows_of(events.users), self.data.items.rows_of(events.items)
        own = id_rows(self.full, "user", self.data.users)[users]
        self._unknown_users += int(np.count_nonzero((users < 0) | (own == 0)))
        self._unknown_items += int(np.count_nonzero(items < 0))
        users = np.concatenate([self._users, users[items >= 0]])
        items = np.concatenate([self._items, items[items >= 0]])
        whole = len(items) - len(items) % self.batch_size
        for start in range(0, whole, self.batch_size):
            batch = slice(start, start + self.batch_size)
            self._step(users[batch], items[batch])
        self._users, self._items = users[whole:], items[whole:]

    def finish(self) -> None:
        """Learn from the clicks that wait: no more will come.

        One click alone has no negative, so it goes on waiting and has moved nothing.
        """
        if len(self._items) > 1:
            self._step(self._users, self._items)
            self._users, self._items = self._users[:0], self._items[:0]

    def finished(self) -> IncrementalUpdate:
        """A branch off this one that has learned from the clicks that wait, too.

        To publish from, where no click is to wait until others fill its step, unless it is
        the only one that waits (:meth:`finish`); this one goes on in steps of one size.
        """
        other = copy(self)
        other.model, other.optimizer = _branched(self.model, self.optimizer, self._touched)
        other.objective, other.frequency = deepcopy(self.objective), deepcopy(self.frequency)
        other._touched = {name: rows.copy() for name, rows in self._touched.items()}
        other.finish()
        return other

    def increment(self) -> Increment:
        """What to publish now.

        Raises:
            UpdateRefused: the metric is below the bound.
        """
        after = self._judge(self.model)
        self._judge.demand(self._before, after)
        rows = {}
        for name, touched in self._touched.items():
            at = np.flatnonzero(touched)
            values = self.model.parameters[name][at]
            moved = (values != self.full.parameters[name][at]).any(axis=1)
            if moved.any():
                rows[name] = at[moved], values[moved]
        report = UpdateReport(
            self._pairs,
            self._loss / max(self._pairs, 1),
            rows_added={},
            rows_moved={name: len(at) for name, (at, _) in rows.items()},
            users=self._drift("user", rows),
            items=self._drift("item", rows),
            before=self._before,
            after=after,
        )
        unknown = self._unknown_users, self._unknown_items
        return Increment(rows, report, *unknown, waiting=len(self._items))

    @np.errstate(over="ignore", invalid="ignore")  # found below, and named
    def _step(self, users: Array, items: Array) -> None:
        batch = self._batch(users, items)
        user_vectors, back_users = self.model.user(batch.users)
        item_vectors, back_items = self.model.item(batch.items)
        loss, (d_users, d_items) = self.objective(user_vectors, item_vectors, batch)
        gradients = back_users(d_users)
        if len(self._touched) > 1:
            gradients = add_gradients(gradients, back_items(d_items))
        own = {name: _but_row_0(gradients[name]) for name in self._touched}
        self.optimizer.update(self.model.parameters, dict(own))
        moved = ((name, self.model.parameters[name][own[name].rows]) for name in own)
        bad = first_not_finite(moved) if np.isfinite(loss) else "the loss"
        if bad is not None:
            raise TrainingError(f"after {self._pairs} clicks: {bad} is not finite")
        for name, gradient in own.items():
            self._touched[name][gradient.rows] = True
        self._pairs += len(users)
        self._loss += loss * len(users)

    def _batch(self, users: Array, items: Array) -> Batch:
        side = self.data.schema.user
        features = self.data.users.take(np.maximum(users, 0))
        features = side.mask(features, dict.fromkeys(features, users < 0))
        log_q = from_expected_count(self.frequency.log_frequency(items), self.batch_size)
        self.frequency.update(items)
        return Batch(features, self.data.items.take(items), users, items, log_q)

    def _drift(self, side: Side, rows: Rows) -> Drift:
        table = self.data.users if side == "user" else self.data.items
        at, _ = rows.get(_id_table(self.full, side), (np.empty(0, np.int64), None))
        moved = some(np.flatnonzero(np.isin(id_rows(self.full, side, table), at)))
        towers = getattr(self.full, side), getattr(self.model, side)
        return Drift.between(*(encode(tower, table, moved) for tower in towers))


def incremental_update(
    model: TwoTower, data: Dataset, stream: Iterable[Events], **options: Any
) -> Iterator[Increment]:
    """Follow a stream of clicks; after each piece of it, what to publish.

    Args:
        model, data, options: as of :class:`IncrementalUpdate`.
        stream: clicks in time order, such as the ``events`` of the batches of a
            :class:`~minitower.updating.streams.ClickStream`; a piece is what comes between two
            publications. If the stream ends and more than one click still waits, there is
            one more increment.

    Raises:
        As :class:`IncrementalUpdate`, its `feed` and its `increment`.
    """
    update = IncrementalUpdate(model, data, **options)
    increment = None
    for events in stream:
        update.feed(events)
        increment = update.increment()
        yield increment
    if increment is not None and increment.waiting > 1:
        update.finish()
        yield update.increment()


def frequency_of(counts: ArrayLike, batch_size: int, *, alpha: float = 0.01) -> StreamingFrequency:
    """An estimate that starts where counts of clicks leave off.

    Args:
        counts: (m,) clicks of every item, >= 0; 0 counts as 1.
        batch_size: clicks a step, by which shares become gaps.
        alpha: weight of the newest gap.

    Raises:
        ValueError: the batch size is not positive.
    """
    strict_integer("batch_size", batch_size, 1)
    clicks = np.maximum(np.asarray(counts, np.float64), 1)
    frequency = StreamingFrequency(len(clicks), alpha=alpha)
    frequency.state["gap"][0] = clicks.sum() / (batch_size * clicks)
    return frequency


def _branched(
    model: TwoTower, optimizer: Optimizer, movable: Collection[str]
) -> tuple[TwoTower, Optimizer]:
    """A model and its optimizer that share all but the tables that move, and their state."""
    branch, state = copy(model), copy(optimizer)
    branch.parameters = {
        name: table.copy() if name in movable else table for name, table in model.parameters.items()
    }
    state.state = {
        key: kept.copy() if key.rpartition("/")[0] in movable else kept
        for key, kept in optimizer.state.items()
    }
    return branch, state


def _but_row_0(gradient: Gradient) -> RowGradient:
    assert isinstance(gradient, RowGradient)
    own = gradient.rows > 0
    return RowGradient(gradient.rows[own], gradient.values[own])


def _id_table(model: TwoTower, side: Side) -> str:
    """The name of the embedding of one side's ids."""
    name = getattr(model.schema.schema, f"{side}_id").name
    return f"{side}.{name}.embedding"
