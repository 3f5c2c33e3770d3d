"""How an update trains: as its version was trained, unless an option says otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from minitower.data import DataError, Dataset
from minitower.towers.optimizers import Optimizer
from minitower.towers.two_tower import TwoTower
from minitower.training.objectives import Objective
from minitower.training.recipe import OPTIMIZERS, missing
from minitower.training.trainer import Progress, Trainer
from minitower.updating.options import input_errors


@dataclass(frozen=True)
class TrainingPlan:
    """The options of the training step, put together.

    Attributes:
        job: the options.
        from_version: "name value" of options that the version set and that are not defaults.
    """

    job: Any
    from_version: list[str]

    @staticmethod
    def read(
        where: str, notes: Mapping[str, Any], given: Mapping[str, Any], *, incremental: bool
    ) -> TrainingPlan:
        """Combine given options with those that the notes of a version record.

        Args:
            where: the store and the version, for error messages.
            notes: of the version.
            given: options by name; they win.
            incremental: whether for an incremental update, which has fewer options.

        Raises:
            DataError: a value is outside its domain, or an option is missing in both.
        """
        from minitower.cli.choices import NEGATIVES_OF
        from minitower.cli.job import OPTIONS, read_job

        for name in given:
            if name not in OPTIONS:
                raise DataError(f"unknown training option '{name}'; known: {', '.join(OPTIONS)}")
        read_job(given)  # a wrong value is reported before a missing one
        before = dict(notes.get("training", {}))
        if "objective" in before and "learned" not in notes:  # release 0.1 left defaults out
            before.setdefault("negatives", NEGATIVES_OF.get(str(before["objective"])) or "none")
        if "positive" in notes.get("reading", {}):
            before["positive"] = notes["reading"]["positive"]
        combined = before | dict(given)
        lacking = [] if "positive" in combined else ["positive"]
        lacking += missing(combined, by_day=incremental)
        if lacking:
            flags = ", ".join("--" + name.replace("_", "-") for name in lacking)
            raise DataError(f"{where} does not record how it was trained; give {flags}")
        usual = {name: option.default for name, option in OPTIONS.items()}
        usual |= {"negatives": "none", "positive": "all"}
        taken = [n for n in OPTIONS if n in before and n not in given and before[n] != usual[n]]
        job = read_job(given, (f"{where}: notes", before))
        if incremental and NEGATIVES_OF[job.objective] is not None:
            raise DataError(
                "an incremental update draws no negatives, which the objective "
                f"{job.objective} needs"
            )
        return TrainingPlan(job, [f"{name} {before[name]}" for name in taken])

    def objective(self) -> Objective:
        """The loss of an incremental update."""
        from minitower.cli.choices import OBJECTIVES

        with input_errors():
            return OBJECTIVES[self.job.objective](self.job)

    def optimizer(self) -> Optimizer:
        """A new optimizer."""
        with input_errors():
            optimizer: Optimizer = OPTIMIZERS[self.job.optimizer](self.job.learning_rate)
        return optimizer

    def trainer(
        self, model: TwoTower, data: Dataset, on_progress: Callable[[Progress], object]
    ) -> Trainer:
        """The trainer of a full update."""
        trainer: Trainer = self.job.trainer(model, data, on_progress)
        return trainer

    def to_notes(self) -> dict[str, Any]:
        """What the next version records, as JSON that :meth:`read` takes."""
        notes: dict[str, Any] = self.job.how_to_train()
        return notes
