"""What a claim is: a sentence of the lecture, arms that are trained, and what is compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Setting = Mapping[str, float]
Figures = dict[str, float]


def every(**values: tuple[float, ...]) -> tuple[dict[str, float], ...]:
    """All settings with one of these values each: ``every(temperature=(0.1, 0.2))`` is two."""
    settings: tuple[dict[str, float], ...] = ({},)
    for name, choices in values.items():
        settings = tuple({**setting, name: value} for setting in settings for value in choices)
    return settings


TEMPERATURES = every(temperature=(0.07, 0.1, 0.15, 0.25))
SCALES = every(scale=(4.0, 7.0, 12.0, 20.0))


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        trainer: task, untrained model and setting -> the arguments of ``mt.Trainer``; in the
            living world, that and a setting -> what is served (``living.Service``).
        trials: the settings among which validation chooses; every arm has four, or one that
            is borrowed.
        epochs: of this arm for every epoch of the task.
        trials_of: take the setting that this other arm's trials chose, and run none.
        upon: (claim, arm) whose chosen setting every trial of this one begins with.
        same_as: (claim, arm) whose models these are; nothing is run again.
        tasks: where the arm runs; None: wherever its claim does.
        seeds: how many; None: all.
    """

    trainer: Callable[..., Any]
    trials: tuple[dict[str, float], ...] = TEMPERATURES
    epochs: float = 1.0
    trials_of: str | None = None
    upon: tuple[str, str] | None = None
    same_as: tuple[str, str] | None = None
    tasks: tuple[str, ...] | None = None
    seeds: int | None = None


@dataclass(frozen=True)
class Comparison:
    """What would make the claim hold: one figure higher than another, over seeds.

    Attributes:
        better, worse: (arm, figure); the task's own metric where the figure is "".
        top: with a third arm, what share of the way from ``worse`` to it ``better`` goes.
    """

    better: tuple[str, str]
    worse: tuple[str, str]
    top: str | None = None


@dataclass(frozen=True)
class Claim:
    """A sentence that can be wrong.

    Attributes:
        says: the sentence.
        arms: by name.
        compare: the differences that the sentence states, and that decide.
        also: differences that are told beside them.
        tasks: data sets.
        measure: what is measured of a trained model; None: what the task measures.
        against: the arm to which the others are drawn as differences; "": all as they are.
        columns: figures to tell of every arm; None: all, its epochs and seconds.
    """

    says: str
    arms: Mapping[str, Arm]
    compare: tuple[Comparison, ...]
    also: tuple[Comparison, ...] = ()
    tasks: tuple[str, ...] = ("funnel",)
    measure: Callable[[Any, Any], Figures] | None = None
    against: str = ""
    columns: tuple[str, ...] | None = None

    def arms_on(self, task: str) -> list[str]:
        """Names of the arms that run on a task."""
        return [name for name, arm in self.arms.items() if arm.tasks is None or task in arm.tasks]


def beats(better: str, *worse: str, figure: str = "") -> tuple[Comparison, ...]:
    """An arm better than each of some others."""
    return tuple(Comparison((better, figure), (other, figure)) for other in worse)
