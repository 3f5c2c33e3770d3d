"""Learning-rate schedules: the rate as a function of the step 0, 1, 2, ..."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

from minitower.data.options import Option
from minitower.formulas.arguments import number_within, positive_number, strict_integer

Schedule = Callable[[int], float]

LARGEST_RATE = 1e6
"""A larger step leaves no digit of a parameter near one in float32."""

Rate = Annotated[
    float | Schedule,
    Option(
        "learning rate",
        above=0,
        high=LARGEST_RATE,
        name="learning_rate",
        default=0.05,
        metavar="RATE",
    ),
]


def warmup(rate: float, steps: int) -> Schedule:
    """Rise linearly from rate / steps to rate, then stay constant.

    Raises ValueError: rate is not positive and finite, or steps is not an integer >= 0.

    >>> [warmup(1.0, 4)(step) for step in (0, 1, 3, 9)]
    [0.25, 0.5, 1.0, 1.0]
    """
    rate, steps = positive_number("rate", rate), strict_integer("steps", steps, 0)
    return lambda step: rate * min(1.0, (step + 1) / max(steps, 1))


def cosine_decay(rate: float, steps: int, floor: float = 0.0) -> Schedule:
    """Fall from rate to floor * rate along half a cosine, then stay constant.

    Args:
        rate: learning rate at step 0, > 0.
        steps: length of the decay, >= 0.
        floor: last rate as a share of the first, in [0, 1].
    Raises ValueError: an argument is outside its domain.

    Reference: I. Loshchilov, F. Hutter, SGDR, ICLR 2017, Eq. 5.

    >>> [round(cosine_decay(1.0, 10)(step), 3) for step in (0, 5, 10, 99)]
    [1.0, 0.5, 0.0, 0.0]
    """
    rate, steps = positive_number("rate", rate), strict_integer("steps", steps, 0)
    floor = number_within("floor", floor, (0, 1))

    def rate_at(step: int) -> float:
        progress = min(1.0, step / max(steps, 1))
        return rate * (floor + (1 - floor) * (1 + math.cos(math.pi * progress)) / 2)

    return rate_at
