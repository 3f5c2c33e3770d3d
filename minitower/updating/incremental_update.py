"""The incremental update in memory: clicks in time order move the embeddings of ids. Chapter 13.

After the lecture (section 4): every few tens of minutes the rows that moved are published on
top of the full model, and the next full update ignores them. Dense layers stay frozen: an
hour's clicks, in order, are a biased sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy, deepcopy
from typing import Any

import numpy as np

from minitower.data import Dataset, Interactions
from minitower.evaluation.encode import check_same_schema, encode
from minitower.formulas.draw_probability import log_q_from_expected_count
from minitower.formulas.frequency import StreamingFrequency
from minitower.store.histories import GrowingHistories
from minitower.store.incremental import Rows
from minitower.towers.optimizers import Adagrad, Optimizer
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batch, check_batch_size
from minitower.training.objectives import InBatchSoftmax, Objective, check_bounded, reads_known
from minitower.training.regularization import Regularization
from minitower.updating.branch import Branch
from minitower.updating.report import Drift, Increment, Side, UpdateReport, evenly_spaced, id_rows
from minitower.updating.step_buffer import StepBuffer
from minitower.updating.streams import Events
from minitower.updating.validation_gate import ValidationGate


class IncrementalUpdate:
    """A branch of the full model that learns from a stream of clicks.

    Only id embeddings that were clicked move. All other parameters and optimizer state stay
    the same bits. So does row 0, the default embedding shared by all unknown ids: a click of
    an unknown user moves no user. Its item is a negative of the other users in its step.

    The result is a function of the arguments and the sequence of clicks, however the sequence
    is cut into pieces. An interrupted update starts again from the full model.

    Args:
        model: the full model, fitted to this schema; it stays as it is.
        data: its tables of users and items, and perhaps a validation part; clicks have weights
            where it has a column of weights.
        optimizer: the full model's, to go on with its state; a new Adagrad by default.
        objective: a loss without extra negatives; :class:`InBatchSoftmax` by default.
        regularization: weight decay and dropout; neither by default.
        item_ids: whether embeddings of item ids move, too.
        frequency: the estimate that log q comes from, by row of the item table, as of before
            each step; by default one that starts at the clicks of `data.train`.
        batch_size: clicks a step, >= 2: the negatives of a click are the others of its step.
        metric, at_least: as in ``train_full_update``.

    Attributes:
        branch: the model and the optimizer as they are now.
        histories: of a model that reads them; a step sees those before its clicks.

    Raises:
        ValueError: the model has no id embedding to move, or was fitted to other data; the
            objective does not fit its similarity; or an argument is outside its domain.
    """

    def __init__(
        self,
        model: TwoTower,
        data: Dataset,
        *,
        optimizer: Optimizer | None = None,
        objective: Objective | None = None,
        regularization: Regularization | None = None,
        item_ids: bool = False,
        frequency: StreamingFrequency | None = None,
        batch_size: int = 256,
        metric: str = "recall@20",
        at_least: float | None = None,
    ) -> None:
        check_batch_size(batch_size, with_negatives=False)
        check_same_schema(model.encoders, data.schema)
        self.data = data
        sides: tuple[Side, ...] = ("user", "item") if item_ids else ("user",)
        id_tables = {_id_table(model, side) for side in sides}
        for name in id_tables - model.parameters.keys():
            if model.history is None:
                raise ValueError(f"there is nothing to move: the model has no '{name}'")
            id_tables.remove(name)  # the histories grow all the same
        objective = InBatchSoftmax() if objective is None else objective
        check_bounded(objective, model.similarity)
        optimizer, regularization = optimizer or Adagrad(), regularization or Regularization()
        regularization.check(reads_histories=model.history is not None)
        self.branch = Branch.off(model, optimizer, objective, regularization, id_tables)
        if frequency is None:
            frequency = StreamingFrequency.from_counts(data.item_counts, batch_size)
        self.frequency = deepcopy(frequency)
        self._gate = ValidationGate(data, metric, at_least)
        self._before = self._gate.measure(model)
        self._buffer = StepBuffer(model, data, batch_size)
        # As in Batches. Held-out clicks stay negatives: the gate must not measure what was spared.
        self._known = data.seen("valid") if reads_known(objective) else None
        self.histories = GrowingHistories(model, data)

    @property
    def model(self) -> TwoTower:
        """The model of the branch."""
        return self.branch.model

    def feed(self, events: Events) -> None:
        """Learn from clicks that come after all clicks so far.

        Raises:
            DataError: the clicks are not in time order, ids are of another type, or weights are
                missing where `data` has a column of weights.
            TrainingError: a loss, gradient or parameter is not finite; the update is then of
                no further use.
        """
        for step in self._buffer.add(events):
            self.branch.step(self._batch(step))

    def finish(self) -> None:
        """Learn from the buffered clicks, as the stream has ended.

        A single click has no negative; it stays in the buffer and moves nothing.
        """
        step = self._buffer.rest()
        if step is not None:
            self.branch.step(self._batch(step))

    def finished(self) -> IncrementalUpdate:
        """A copy that has learned from the buffered clicks, too.

        Publish from the copy, so that no click waits until its step is full. This update goes
        on in steps of one size.
        """
        other = copy(self)
        other.branch, other.frequency = self.branch.copy(), deepcopy(self.frequency)
        other._buffer = copy(self._buffer)
        other.histories = self.histories.copy()
        other.finish()
        return other

    def increment(self) -> Increment:
        """What to publish now.

        Raises:
            UpdateRefused: the metric is below the required minimum.
        """
        branch, buffer = self.branch, self._buffer
        after = self._gate.measure(branch.model)
        self._gate.require(self._before, after)
        rows = branch.moved_rows()
        report = UpdateReport(
            branch.pairs,
            branch.total_loss / max(branch.pairs, 1),
            rows_added={},
            rows_moved={name: len(at) for name, (at, _) in rows.items()},
            users=self._drift("user", rows),
            items=self._drift("item", rows),
            before=self._before,
            after=after,
        )
        counts, waiting = (buffer.unknown_users, buffer.unknown_items, len(buffer)), buffer.waiting
        grown = self.histories.grown(waiting.users, waiting.items)
        return Increment(rows, report, *counts, grown)

    def _batch(self, step: Interactions) -> Batch:
        side, users, items = self.data.schema.user, step.users, step.items
        features = self.data.users.take(np.maximum(users, 0))
        self.histories.learn(features, users, items)
        features = side.mask(features, dict.fromkeys(features, users < 0))
        log_q = log_q_from_expected_count(self.frequency.log_frequency(items), self._buffer.size)
        self.frequency.update(items)
        things = self.data.items.take(items)
        known = None
        if self._known is not None:
            known = self._known.take(np.maximum(users, 0)).replace(users < 0, value=-1)
        return Batch(features, things, users, items, log_q, weights=step.weights, known=known)

    def _drift(self, side: Side, rows: Rows) -> Drift:
        full, table = self.branch.full, self.histories.users if side == "user" else self.data.items
        at, _ = rows.get(_id_table(full, side), (np.empty(0, np.int64), None))
        moved = evenly_spaced(np.flatnonzero(np.isin(id_rows(full, side, table), at)))
        towers = getattr(full, side), getattr(self.branch.model, side)
        return Drift.between(*(encode(tower, table, moved) for tower in towers))


def train_incremental_update(
    model: TwoTower, data: Dataset, stream: Iterable[Events], **options: Any
) -> Iterator[Increment]:
    """Learn from a stream of clicks; after each piece, what to publish.

    Args:
        model, data, options: as of :class:`IncrementalUpdate`.
        stream: clicks in time order, such as the ``events`` of the batches of a
            :class:`~minitower.updating.streams.ClickStream`; a piece holds the clicks between
            two publications. If the stream ends with two or more buffered clicks, one more
            increment follows.

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


def _id_table(model: TwoTower, side: Side) -> str:
    """The name of the embedding of one side's ids."""
    name = getattr(model.encoders.schema, f"{side}_id").name
    return f"{side}.{name}.embedding"
