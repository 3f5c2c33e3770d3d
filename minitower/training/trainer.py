"""The training loop: epochs of shuffled batches, validation, and the best epoch. Chapter 4."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np

from minitower.data import Dataset
from minitower.data.options import Option, Seed
from minitower.evaluation.report import read_metric
from minitower.formulas.arguments import strict_integer
from minitower.formulas.threads import one_ahead
from minitower.towers.optimizers import Adagrad, Optimizer
from minitower.towers.schedules import Epochs, EpochSchedule
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batch, Batches, BatchSize, PositiveExponent
from minitower.training.gradient_step import StepResult, gradient_step, training_at
from minitower.training.history import Epoch, History, HistoryFile, Progress
from minitower.training.negatives import Negatives, SharedNegatives, rebuilt_for
from minitower.training.objectives import InBatchSoftmax, Objective, check_bounded, reads_known
from minitower.training.regularization import Regularization
from minitower.training.sampled_negatives import SampledNegatives
from minitower.training.self_supervised import ContrastiveLoss, SelfSupervised
from minitower.training.spectral_start import begin_again
from minitower.training.validation import BestEpoch, Validation

Metric = Annotated[
    str, Option("metric of the best epoch, on validation", parse=read_metric, metavar="NAME@K")
]


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
        regularization: weight decay and dropout; None: none of them.
        seed: of the shuffling and of the default-row replacement. The same seed gives the same
            parameters, bit for bit, with one thread of BLAS on the same kind of CPU. They do not
            depend on :func:`~minitower.formulas.threads.use_threads`.
        on_progress: called with a :class:`Progress`.

    Attributes:
        kept_epochs: epochs of training that are in the parameters: the sum of the best epochs
            of all calls of :meth:`fit`, and 0 before the first.
        schedule: of the learning rate, by the latest :meth:`fit`; None: constant.
    Raises ValueError: there is nothing to train on, the objective does not fit the similarity, or
        an argument is outside its domain.
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
        regularization: Regularization | None = None,
        seed: Seed = 0,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> None:
        self.model, self.data = model, data
        self.objective: Objective = InBatchSoftmax() if objective is None else objective
        check_bounded(self.objective, model.similarity)
        self._initial_objective = deepcopy(self.objective)  # a bank of vectors changes in training
        self.optimizer: Optimizer = Adagrad() if optimizer is None else optimizer
        how = model.history
        last, others = (None, False) if how is None else (how.last, how.clicks == "others")
        known = reads_known(self.objective)
        self.batches = Batches(data, batch_size, negatives, positive_exponent, last, others, known)
        self.positive_exponent = positive_exponent
        self.regularization = regularization or Regularization()
        self.regularization.check(reads_histories=model.history is not None)
        self.schedule: EpochSchedule | None = None
        self.seed = strict_integer("seed", seed, 0)
        self.rng = np.random.default_rng(self.seed)
        self.self_supervised, self.kept_epochs = self_supervised, 0
        self.contrastive_loss: ContrastiveLoss | None = None
        if self_supervised is not None:
            # Made at alpha 0, too: it refuses views that the data cannot have.
            loss = ContrastiveLoss(self_supervised, data, seed)
            self.contrastive_loss = loss if self_supervised.alpha > 0 else None
        self.on_progress = on_progress or (lambda progress: None)

    def fit(
        self,
        epochs: Epochs,
        *,
        schedule: EpochSchedule | None = None,
        validate: bool | None = None,
        metric: Metric = "recall@20",
        patience: Annotated[
            int | None, Option("stop after this many epochs without a better one", 1, metavar="N")
        ] = None,
        validate_every: Annotated[
            int, Option("epochs from one validation to the next", 1, metavar="N")
        ] = 1,
        validation_users: Annotated[
            int | None,
            Option("validate on a random sample of this many users", 1, metavar="N"),
        ] = None,
        history: str | Path | None = None,
    ) -> History:
        """Train, and set the model and the optimizer back to the best epoch.

        Nothing else is set back: the random generator and the bank of an objective go on from
        the last epoch.

        Args:
            epochs: passes over the training positives, >= 1.
            schedule: of the learning rate; None: the optimizer's rate as it is.
            validate: evaluate on ``data.valid``. None: do so if the part holds an item that is
                new to its user. Without validation the last epoch is the best.
            metric: decides which epoch is best, such as "recall@20" or "ndcg@10".
            patience: stop after this many epochs without a better one.
            validate_every: epochs from one validation to the next. The last epoch is always
                validated.
            validation_users: validate on a random sample of this many users, the same after
                each epoch; None: on all.
            history: append one line of JSON per epoch to this file; None: to no file.

        Returns:
            One entry per epoch.

        Raises:
            TrainingError: a loss, gradient or parameter is not finite.
            DataError: the history cannot be written.
            ValueError: epochs < 1, or validation is required without data.
        """
        strict_integer("epochs", epochs, 1)
        strict_integer("validate_every", validate_every, 1)
        for name, count in (("patience", patience), ("validation_users", validation_users)):
            if count is not None:
                strict_integer(name, count, 1)
        validation = None
        if validate is not False:
            validation = Validation(self.data, metric, users=validation_users, seed=self.seed)
        if validation is None or not validation.can_measure:
            _refuse_validation(validate, patience, validate_every, validation_users)
        self.schedule = schedule
        file, best = HistoryFile(history), BestEpoch()
        finished: list[Epoch] = []
        for number in range(1, epochs + 1):
            epoch, steps = self._epoch(number, epochs), len(self.batches)
            if validation is not None and (number % validate_every == 0 or number == epochs):
                epoch = replace(epoch, metrics=validation.metrics(self.model))
            if epoch.metrics:
                best.offer(number, epoch.metrics[metric], self.model, self.optimizer)
            finished.append(epoch)
            file.add(epoch)
            self.on_progress(Progress(number, epochs, steps, steps, epoch.loss, epoch.metrics))
            if patience is not None and epoch.metrics and number - best.epoch >= patience:
                break
        if best.epoch:
            best.restore(self.model, self.optimizer)
        best_epoch = best.epoch or len(finished)
        self.kept_epochs += best_epoch
        if schedule is not None:
            self.optimizer.rate_share = schedule(self.kept_epochs)
        return History(finished, best_epoch)

    def refit(self, *, on_progress: Callable[[Progress], object] | None = None) -> Trainer:
        """Train once more, on all interactions, for as many epochs as :meth:`fit` has kept.

        A new model of the same configuration, seed and start is trained on
        ``data.everything()``: the published model learns from the validation and test parts as
        well. This trainer, its model
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
        if not self.kept_epochs:
            raise ValueError("refit trains for as many epochs as fit has kept: call fit first")
        data = self.data.everything()
        model, source = begin_again(self.model, data), self.batches.negatives
        refitted = Trainer(
            model,
            data,
            objective=deepcopy(self._initial_objective),
            optimizer=self.optimizer.fresh(),
            batch_size=self.batches.size,
            negatives=None if source is None else rebuilt_for(source, model, data),
            positive_exponent=self.positive_exponent,
            self_supervised=self.self_supervised,
            regularization=self.regularization,
            seed=self.seed,
            on_progress=on_progress or self.on_progress,
        )
        rate, stretch = self.optimizer.rate, len(self.batches) / len(refitted.batches)
        if callable(rate):
            refitted.optimizer.rate = lambda step: rate(int(step * stretch))
        refitted.fit(self.kept_epochs, schedule=self.schedule, validate=False)
        return refitted

    def step(self, batch: Batch) -> StepResult:
        """Train on one batch."""
        with training_at(f"step {self.optimizer.step + 1}"):
            return gradient_step(
                self.model,
                self.optimizer,
                self.objective,
                batch,
                contrastive_loss=self.contrastive_loss,
                regularization=self.regularization,
            )

    def _epoch(self, epoch: int, epochs: int) -> Epoch:
        """Train for one epoch, without validation."""
        started, steps, seen = time.perf_counter(), len(self.batches), 0
        total, contrastive, rates = 0.0, 0.0, 0.0
        batches, negatives = self.batches.epoch(self.rng), self.batches.negatives
        if negatives is None or isinstance(negatives, SharedNegatives | SampledNegatives):
            batches = one_ahead(batches)  # other negatives may read the model, which a step moves
        for step, batch in enumerate(batches, start=1):
            if self.schedule is not None:
                share = self.schedule.of_step(self.kept_epochs + epoch, step, steps)
                self.optimizer.rate_share = share
            rates += self.optimizer.current_rate
            result = self.step(batch)
            total += result.loss * len(batch)
            contrastive += result.contrastive_loss
            seen += len(batch)
            if step < steps:  # the last step is reported together with its validation
                self.on_progress(Progress(epoch, epochs, step, steps, total / seen))
        seconds = time.perf_counter() - started
        return Epoch(epoch, total / seen, {}, seconds, contrastive / steps, rates / steps)


def _refuse_validation(
    validate: bool | None, patience: int | None, every: int, users: int | None
) -> None:
    """Refuse options of a validation that has nothing to measure on."""
    if validate:
        raise ValueError(
            "there is nothing to validate on: the valid split is empty, or all repeats"
        )
    given = {"patience": patience, "validate_every": every > 1, "validation_users": users}
    for name, value in given.items():
        if value:
            raise ValueError(f"{name} needs a validation split, which is empty")
