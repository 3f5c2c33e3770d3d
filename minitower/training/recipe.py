"""The recipe of a training step: its parts, and the options that make them. Chapters 6 and 13.

A published version carries these names and values, so that an update trains as the version was
trained. The options themselves are declared where they are taken: by the objectives,
:class:`SelfSupervised`, the optimizers and :class:`Trainer`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy, deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from minitower.data import DataError, Dataset
from minitower.data.option_values import Options, written
from minitower.data.options import Option, Seed, checked, declared
from minitower.towers.optimizers import Optimizer
from minitower.towers.schedules import EpochSchedule
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import BatchSize, PositiveExponent
from minitower.training.history import History, Progress
from minitower.training.memory import check_memory
from minitower.training.named import (
    DEFAULT_NEGATIVES,
    NEGATIVES,
    OBJECTIVES,
    OPTIMIZERS,
    checked_negatives,
    parse_negatives,
)
from minitower.training.negatives import MixedNegatives, Negatives, Rebuildable
from minitower.training.objectives import Objective
from minitower.training.regularization import Regularization
from minitower.training.self_supervised import AUGMENTS, SelfSupervised
from minitower.training.spectral_start import start_model
from minitower.training.trainer import Trainer


@dataclass(frozen=True, eq=False)
class Recipe:
    """The parts of a training step, apart from the model and the data.

    Args:
        objective, optimizer, self_supervised, regularization: as :class:`Trainer` takes them.
        negatives: as the option writes them, such as "uniform:5", or "none"; None: no option
            can write them.
        positive_exponent, batch_size, seed: as :class:`Trainer` takes them.
    """

    objective: Objective
    optimizer: Optimizer
    negatives: str | None = "none"
    self_supervised: SelfSupervised | None = None
    regularization: Regularization = field(default_factory=Regularization)
    positive_exponent: PositiveExponent = 1.0
    batch_size: BatchSize = 1024
    seed: Seed = 0

    def trainer(
        self,
        model: TwoTower,
        data: Dataset,
        on_progress: Callable[[Progress], object] | None = None,
    ) -> Trainer:
        """A trainer made of this recipe.

        Raises:
            DataError: the parts do not go together, or a step would take too much memory.
        """
        check_memory(self.negatives, self.objective, self.batch_size, model, data)
        return checked(
            Trainer,
            model,
            data,
            objective=deepcopy(self.objective),  # a bank of vectors changes in training
            optimizer=self.optimizer.fresh(),
            batch_size=self.batch_size,
            negatives=self._source(model, data),
            positive_exponent=self.positive_exponent,
            self_supervised=self.self_supervised,
            regularization=self.regularization,
            seed=self.seed,
            on_progress=on_progress,
        )

    def _source(self, model: TwoTower, data: Dataset) -> Negatives | None:
        parts = []
        for kind, k in parse_negatives(self.negatives):
            try:
                parts.append(NEGATIVES[kind](model, data, k))
            except ValueError as error:
                raise DataError(f"--negatives {kind}:{k}: {error}") from None
        return checked(MixedNegatives, parts) if len(parts) > 1 else parts[0] if parts else None

    @staticmethod
    def from_trainer(trainer: Trainer) -> Recipe:
        """The recipe to train on by: that of a trainer, at the rate where its schedule ended."""
        optimizer = copy(trainer.optimizer)
        if not callable(optimizer.rate):
            optimizer.rate, optimizer.rate_share = optimizer.current_rate, 1.0
        source = trainer.batches.negatives
        option = source.cli_option if isinstance(source, Rebuildable) else None
        return Recipe(
            trainer.objective,
            optimizer,
            "none" if source is None else option,
            trainer.self_supervised,
            trainer.regularization,
            trainer.positive_exponent,
            trainer.batches.size,
            trainer.seed,
        )

    def to_json(self) -> dict[str, Any]:
        """The options that make this recipe, for the notes of a version.

        Parts that no option describes are left out: a custom objective, a rate that is a
        function of the step, lists of hard negatives. :func:`missing_options` then names
        their options.

        >>> from minitower.towers.optimizers import SGD
        >>> from minitower.training.sampled_objectives import Listwise
        >>> Recipe(Listwise(0.1), SGD(0.5), "uniform:5").to_json()["temperature"]
        0.1
        """
        names = {kind: name for name, kind in OPTIMIZERS.items()}
        rate = self.optimizer.rate
        options = {
            "negatives": self.negatives,
            **written(self.regularization),
            **written(self),
            **_objective_options(self.objective),
            **_self_supervised_options(self.self_supervised),
            "optimizer": names.get(type(self.optimizer)),
            "learning_rate": None if callable(rate) else float(rate),
        }
        return {name: value for name, value in options.items() if value is not None}


def read_recipe(
    options: Options,
    *,
    objective: Annotated[
        str, Option("loss to minimize", choices=tuple(OBJECTIVES), metavar="NAME")
    ] = "in-batch",
    negatives: Annotated[
        str | None,
        Option(
            "negatives beside the batch's own. For each pair: uniform:K, popular:K (clicks^0.75), "
            "mined:K (from the model's own recall), or several joined by +. For the batch: "
            "shared:N uniform ones. Or none. (default: none in-batch, uniform:2 pointwise, "
            "uniform:1 pairwise, uniform:10 listwise)",
            parse=checked_negatives,
            metavar="KIND:K",
        ),
    ] = None,
    self_supervised: Annotated[
        str,
        Option(
            "how two views of an item are made, which should find each other",
            choices=("none", *AUGMENTS),
            metavar="VIEWS",
        ),
    ] = "none",
    optimizer: Annotated[str, Option("optimizer", choices=tuple(OPTIMIZERS))] = "adagrad",
) -> Recipe:
    """The recipe that options describe.

    Call it as ``options.make(read_recipe, options)``: the values of the
    keyword parameters come from the options. The first argument hands all options on to the
    objective, the optimizer and the other parts of the recipe.

    Raises:
        DataError: options do not go together.
    """
    views = self_supervised != "none"
    return options.make(
        Recipe,
        options.make(OBJECTIVES[objective]),
        options.make(OPTIMIZERS[optimizer]),
        negatives or DEFAULT_NEGATIVES[objective],
        options.make(SelfSupervised, augment=self_supervised) if views else None,
        options.make(Regularization),
    )


def fit_by_options(
    options: Options,
    data: Dataset,
    on_progress: Callable[[Progress], object] | None = None,
    *,
    history: Path | None = None,
) -> tuple[Trainer, History]:
    """Train the model that options describe, on a data set.

    Args:
        options: of model and its start, training step, schedule and :meth:`Trainer.fit`.
        data: the data set.
        on_progress, history: as of :class:`Trainer` and :meth:`Trainer.fit`.

    Raises:
        DataError: options do not go together.
        TrainingError: as :meth:`Trainer.fit`.
    """
    model = options.make(start_model, options.make(TwoTower, data.schema), data)
    trainer = options.make(read_recipe, options).trainer(model, data, on_progress)
    schedule = options.make(EpochSchedule)
    return trainer, options.make(trainer.fit, schedule=schedule, history=history)


TRAINING = {
    **declared(
        read_recipe, *OBJECTIVES.values(), SelfSupervised, Optimizer, Recipe, Regularization
    ),
    "metric": declared(Trainer.fit)["metric"],
}
"""The options of a training step, and the metric that validates it."""

FORMER_NAMES = {"strength": "logq_weight", "positive_power": "positive_exponent"}
"""Options that the notes of an older version have under another name: old name -> new name."""

LATER_OPTIONS = {"log_sum_weight", "decoupled", "mask_known"}
"""Options that older versions do not record: they were trained with the default."""


def missing_options(options: Mapping[str, Any], *, incremental: bool) -> list[str]:
    """Options that a training step needs and that these do not give, by name.

    Args:
        options: by name.
        incremental: whether for an incremental update, which has no negatives beside the batch's.
    """
    objective = OBJECTIVES.get(str(options.get("objective")))
    needed = ["objective", *(declared(objective) if objective else ())]
    if not incremental:
        needed += ["negatives", "positive_exponent", "self_supervised"]
    needed += ["optimizer", "learning_rate", "batch_size"]
    if not incremental and options.get("self_supervised", "none") != "none":
        views = declared(SelfSupervised).items()
        needed += [name for name, o in views if o.default is not None and o.type is not bool]
    return [name for name in needed if name not in options and name not in LATER_OPTIONS]


def _objective_options(objective: Objective) -> dict[str, Any]:
    """The name and the options that make an objective; empty if it has settings beyond options."""
    for name, make in OBJECTIVES.items():
        if type(make()) is not type(objective):
            continue
        options = written(objective, declared(make))
        made = make(**_parameters(make, options))
        settings = inspect.signature(type(objective)).parameters
        if all(getattr(made, setting) == getattr(objective, setting) for setting in settings):
            return {"objective": name, **options}
    return {}


def _self_supervised_options(views: SelfSupervised | None) -> dict[str, Any]:
    """The options that make the views; empty if they have settings beyond options."""
    if views is None:
        return {"self_supervised": "none"}
    options = written(views)
    made = SelfSupervised(augment=views.augment, **_parameters(SelfSupervised, options))
    return {"self_supervised": views.augment, **options} if made == views else {}


def _parameters(make: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The values of options, by the names of the parameters that take them."""
    return {declared(make)[name].parameter: value for name, value in options.items()}
