"""Learning-rate schedules: the rate as a function of the step, or of the epochs of training.

:func:`warmup` and :func:`cosine_decay` count steps 0, 1, 2, ...; an optimizer takes them as its
rate. :class:`EpochSchedule` counts epochs; the trainer multiplies the optimizer's rate by it.

Chapter 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from minitower.data.options import Option, check_options
from minitower.formulas.arguments import number_within, positive_number, strict_integer

Schedule = Callable[[int], float]

LEARNING_RATE = 0.05
"""The default of all optimizers."""

LARGEST_RATE = 1e6
"""A larger step leaves no digit of a parameter near one in float32."""

Rate = Annotated[
    float | Schedule,
    Option(
        "learning rate",
        above=0,
        high=LARGEST_RATE,
        name="learning_rate",
        metavar="RATE",
    ),
]

Epochs = Annotated[int, Option("passes over the training positives", 1, default=10, metavar="N")]


@dataclass(frozen=True)
class EpochSchedule:
    """The learning rate as a share of the optimizer's, t epochs after the start of training.

        t < w    t / w
        t >= w   1                                  "constant"
                 f + (1 - f) (1 - p)                "linear"
                 f + (1 - f) (1 + cos(pi p)) / 2    "cosine"

    with p = (t - w) / (E - w), at most 1. An epoch keeps its rates if its number of steps
    changes. The default changes no rate.

    Args:
        decay: how the rate falls after the warm-up.
        epochs: E >= 1, the end of the decay.
        warmup: w >= 0, epochs in which the rate rises from 0; below E with a decay.
        final: f in (0, 1], the last share, of "linear" and "cosine".
    Raises ValueError: an argument is outside its domain.

    Reference: I. Loshchilov, F. Hutter, SGDR, ICLR 2017, Eq. 5; P. Goyal et al., Accurate, Large
        Minibatch SGD, 2017, section 2.2 (warm-up).

    >>> schedule = EpochSchedule("cosine", epochs=10, warmup=2, final=0.1)
    >>> [round(schedule(t), 3) for t in (0, 1, 2, 6, 10, 11)]
    [0.0, 0.5, 1.0, 0.55, 0.1, 0.1]
    """

    decay: Annotated[
        Literal["constant", "linear", "cosine"],
        Option("how the learning rate falls, until the last epoch", name="schedule"),
    ] = "constant"
    epochs: Epochs = 10
    warmup: Annotated[
        float,
        Option(
            "epochs in which the learning rate rises from 0",
            0,
            1e6,
            metavar="EPOCHS",
            name="warmup_epochs",
        ),
    ] = 0.0
    final: Annotated[
        float,
        Option(
            "last learning rate of linear and cosine, as a share of the first",
            above=0,
            high=1,
            metavar="SHARE",
            name="final_rate",
        ),
    ] = 0.1

    def __post_init__(self) -> None:
        check_options(self)
        if self.decay != "constant" and self.warmup >= self.epochs:
            raise ValueError(
                f"warmup_epochs must be below the {self.epochs} epochs of a {self.decay} schedule, "
                f"got {self.warmup:g}"
            )

    def __call__(self, t: float) -> float:
        """The share of the learning rate after t epochs."""
        if t < self.warmup:
            return t / self.warmup
        if self.decay == "constant":
            return 1.0
        progress = min(1.0, (t - self.warmup) / (self.epochs - self.warmup))
        left = 1 - progress if self.decay == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return self.final + (1 - self.final) * left

    @property
    def is_constant(self) -> bool:
        """Whether the schedule changes no rate."""
        return self.decay == "constant" and not self.warmup

    def of_step(self, epoch: int, step: int, steps: int) -> float:
        """The share at the middle of a step. Epochs and steps count from 1."""
        return self(epoch - 1 + (step - 0.5) / steps)


def _checked(rate: float) -> float:
    return number_within("rate", positive_number("rate", rate), (0, LARGEST_RATE))


def warmup(rate: float, steps: int) -> Schedule:
    """Rise linearly from rate / steps to rate, then stay constant.

    Raises ValueError: rate is not in (0, 1e6], or steps is not an integer >= 0.

    >>> [warmup(1.0, 4)(step) for step in (0, 1, 3, 9)]
    [0.25, 0.5, 1.0, 1.0]
    """
    rate, steps = _checked(rate), strict_integer("steps", steps, 0)
    return lambda step: rate * min(1.0, (step + 1) / max(steps, 1))


def cosine_decay(rate: float, steps: int, floor: float = 0.0) -> Schedule:
    """Fall from rate to floor * rate along half a cosine, then stay constant.

    Args:
        rate: learning rate at step 0, in (0, 1e6].
        steps: length of the decay, >= 0.
        floor: last rate as a share of the first, in [0, 1].
    Raises ValueError: an argument is outside its domain.

    Reference: I. Loshchilov, F. Hutter, SGDR, ICLR 2017, Eq. 5.

    >>> [round(cosine_decay(1.0, 10)(step), 3) for step in (0, 5, 10, 99)]
    [1.0, 0.5, 0.0, 0.0]
    """
    rate, steps = _checked(rate), strict_integer("steps", steps, 0)
    floor = number_within("floor", floor, (0, 1))

    def rate_at(step: int) -> float:
        progress = min(1.0, step / max(steps, 1))
        return rate * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)

    return rate_at
