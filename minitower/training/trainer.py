"""The training loop: epochs of shuffled batches, validation, and the best epoch kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np

from minitower.data import Dataset
from minitower.data.options import Option, Seed
from minitower.evaluation.metrics import read_metric
from minitower.formulas.arguments import strict_integer
from minitower.towers.optimizers import Adagrad, Optimizer
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batch, Batches, BatchSize, PositiveExponent
from minitower.training.gradient_step import gradient_step
from minitower.training.negatives import Negatives, on
from minitower.training.objectives import InBatchSoftmax, Objective
from minitower.training.self_supervised import ContrastiveLoss, SelfSupervised
from minitower.training.validation import BestEpoch, ValidationGate

Metric = Annotated[
    str, Option("metric of the best epoch, on validation", parse=read_metric, metavar="NAME@K")
]


@dataclass(frozen=True)
class Progress:
    """The state of training, passed to ``on_progress`` after every step.

    Attributes:
        epoch, epochs: the running epoch, counted from 1, and the number of epochs.
        step, steps: the same of the steps within the epoch.
        loss: mean over the epoch so far.
        metrics: of the validation, after the last step of an epoch; else empty.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Epoch:
    """One finished epoch.

    Attributes:
        epoch: counted from 1.
        loss: mean per pair of the objective alone.
        metrics: those of the validation; empty without one.
        seconds: duration of the training, without the validation.
        self_supervised: mean per step of the self-supervised loss times alpha, or 0.
    """

    epoch: int
    loss: float
    metrics: dict[str, float]
    seconds: float
    self_supervised: float = 0.0


@dataclass(frozen=True)
class History:
    """All finished epochs, and the number of the epoch whose parameters the model has."""

    epochs: list[Epoch]
    best_epoch: int


class Trainer:
    """Trains a model on the training positives of a data set, in place.

    Args:
        model: its parameters change.
        data: positives to train on and to validate with.
        objective: the loss to minimize; :class:`InBatchSoftmax` by default.
        optimizer: :class:`Adagrad` by default.
        batch_size, positive_exponent: see :class:`~minitower.training.batches.Batches`.
        negatives: sampled beside the positives (:mod:`minitower.training.negatives`).
        self_supervised: the loss to add to each step
            (:mod:`minitower.training.self_supervised`). None: nothing.
        seed: of the shuffling and of the default-row replacement. The same seed gives the same
            parameters, bit for bit, on one thread of the same kind of CPU.
        on_progress: called with a :class:`Progress`.

    Attributes:
        best_epoch: number of epochs that made the parameters; 0 before :meth:`fit`.
    Raises ValueError: there is nothing to train on, or an argument is outside its domain.
    """

    def __init__(
        self,
        model: TwoTower,
        data: Dataset,
        *,
        objective: Objective | None = None,
        optimizer: Optimizer | None = None,
        batch_size: BatchSize = 1024,
        negatives: Negatives | None = None,
        positive_exponent: PositiveExponent = 1.0,
        self_supervised: SelfSupervised | None = None,
        seed: Seed = 0,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        self.model, self.data = model, data
        self.objective: Objective = InBatchSoftmax() if objective is None else objective
        self._untouched = deepcopy(self.objective)  # it may remember what it has seen
        self.optimizer: Optimizer = Adagrad() if optimizer is None else optimizer
        last = None if model.history is None else model.history.last
        self.batches = Batches(data, batch_size, negatives, positive_exponent, last)
        self.positive_exponent = positive_exponent
        self.seed = strict_integer("seed", seed, 0)
        self.rng = np.random.default_rng(self.seed)
        self.self_supervised, self.best_epoch = self_supervised, 0
        self._stepped = False  # whether this trainer has made a step
        self.contrast: ContrastiveLoss | None = None
        if self_supervised is not None:
            # Made at alpha 0, too: it refuses views that the data cannot have.
            contrast = ContrastiveLoss(self_supervised, data, seed)
            self.contrast = contrast if self_supervised.alpha > 0 else None
        self.on_progress = on_progress or (lambda progress: None)

    def fit(
        self,
        epochs: Annotated[
            int, Option("passes over the training positives", 1, default=10, metavar="N")
        ],
        *,
        validate: bool | None = None,
        metric: Metric = "recall@20",
        patience: Annotated[
            int | None, Option("stop after this many epochs without a better one", 1, metavar="N")
        ] = None,
    ) -> History:
        """Train, and set the model and the optimizer back to the best epoch.

        Args:
            epochs: passes over the training positives, >= 1.
            validate: evaluate on ``data.valid`` after every epoch. None: do so if the part holds
                an item that is new to its user. Without validation the last epoch is kept.
            metric: decides which epoch is best, such as "recall@20" or "ndcg@10".
            patience: stop after this many epochs without a better one.

        Returns:
            One entry per epoch.

        Raises:
            TrainingError: a loss, gradient or parameter is not finite.
            ValueError: epochs < 1, or validation is required without data.
        """
        strict_integer("epochs", epochs, 1)
        if patience is not None:
            strict_integer("patience", patience, 1)
        gate = None if validate is False else ValidationGate(self.data, metric)
        measures = gate is not None and gate.measures
        if validate and not measures:
            raise ValueError(
                "there is nothing to validate on: the valid split is empty, or all repeats"
            )
        if patience is not None and not measures:
            raise ValueError("patience needs a validation split")
        done: list[Epoch] = []
        best = BestEpoch()
        for epoch in range(1, epochs + 1):
            started = time.perf_counter()
            loss, added = self._epoch(epoch, epochs)
            seconds = time.perf_counter() - started
            metrics = {} if gate is None else gate.metrics(self.model)
            if metrics:
                best.offer(epoch, metrics[metric], self.model, self.optimizer)
            done.append(Epoch(epoch, loss, metrics, seconds, added))
            steps = len(self.batches)
            self.on_progress(Progress(epoch, epochs, steps, steps, loss, metrics))
            if patience is not None and epoch - best.epoch >= patience:
                break
        if best.epoch:
            best.restore(self.model, self.optimizer)
        kept = best.epoch or len(done)
        self.best_epoch += kept
        return History(done, kept)

    def refit(self, *, on_progress: Callable[[Progress], object] | None = None) -> Trainer:
        """Train once more, on all interactions, for as many epochs as :meth:`fit` kept.

        A new model of the same configuration and seed is trained on ``data.everything()``: the
        published model learns from the validation and test parts as well. This trainer, its model
        and its data do not change. A learning rate schedule is stretched, so that each epoch
        keeps its rates.

        Args:
            on_progress: of the new trainer; None: this trainer's.

        Returns:
            The trainer of the new model, fitted: publish this one.

        Raises:
            ValueError: nothing has been fitted; the model did not start with random
                parameters; or the data or a source of negatives cannot be made again.
            TrainingError: as :meth:`fit`.
        """
        if not self.best_epoch:
            raise ValueError("refit trains for as many epochs as fit kept: call fit first")
        data = self.data.everything()
        model, source = self.model.fresh(data.schema), self.batches.negatives
        again = Trainer(
            model,
            data,
            objective=deepcopy(self._untouched),
            optimizer=self.optimizer.fresh(),
            batch_size=self.batches.size,
            negatives=None if source is None else on(source, model, data),
            positive_exponent=self.positive_exponent,
            self_supervised=self.self_supervised,
            seed=self.seed,
            on_progress=on_progress or self.on_progress,
        )
        rate, stretch = self.optimizer.rate, len(self.batches) / len(again.batches)
        if callable(rate):
            again.optimizer.rate = lambda step: rate(int(step * stretch))
        again.fit(self.best_epoch, validate=False)
        return again

    def step(self, batch: Batch) -> float:
        """Train on one batch; returns the objective's loss before the step."""
        loss, _ = gradient_step(
            self.model,
            self.optimizer,
            self.objective,
            batch,
            contrast=self.contrast,
            when=f"step {self.optimizer.step + 1}",
            first=not self._stepped,
        )
        self._stepped = True
        return loss

    def _epoch(self, epoch: int, epochs: int) -> tuple[float, float]:
        """The objective's mean over pairs, and the self-supervised loss's mean over steps."""
        total, added, seen, steps = 0.0, 0.0, 0, len(self.batches)
        for step, batch in enumerate(self.batches.epoch(self.rng), start=1):
            total += self.step(batch) * len(batch)
            added += 0.0 if self.contrast is None else self.contrast.loss
            seen += len(batch)
            if step < steps:  # the last step is reported together with its validation
                self.on_progress(Progress(epoch, epochs, step, steps, total / seen))
        return total / seen, added / steps
