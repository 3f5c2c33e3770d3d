"""Optimizers: one step of gradient descent, touching only what the step used.

Every optimizer is the same walk over the names (:meth:`Optimizer.update`) and a
rule of its own (``_rule``) from a gradient and the state kept beside it to a
displacement. For the gradient of a few rows, the rule sees those rows of the
parameter and of the state, and nothing else moves: a table of ten million rows
costs what the batch costs. Duplicates have been summed before (g1 + g2 squared is
not g1 squared plus g2 squared).

A learning rate is a number, or a function of the step (0, 1, 2, ...):
:func:`warmup`, :func:`cosine_decay`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Annotated, Any, Literal, Self

import numpy as np

from minitower.data.options import Option
from minitower.formulas.arguments import choice, number_within, positive_number, strict_integer
from minitower.formulas.arrays import Array
from minitower.towers.gradients import Gradients, RowGradient
from minitower.towers.optimizer_state import Kept, Slots, check_state

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
    """Linearly from rate / steps to rate, then constant.

    Raises:
        ValueError: rate is not positive and finite, or steps is no integer >= 0.

    >>> [warmup(1.0, 4)(step) for step in (0, 1, 3, 9)]
    [0.25, 0.5, 1.0, 1.0]
    """
    rate, steps = positive_number("rate", rate), strict_integer("steps", steps, 0)
    return lambda step: rate * min(1.0, (step + 1) / max(steps, 1))


def cosine_decay(rate: float, steps: int, floor: float = 0.0) -> Schedule:
    """Half a cosine from rate down to floor * rate over so many steps.

    Raises:
        ValueError: as :func:`warmup`, or floor is outside [0, 1].

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


class Optimizer(ABC):
    """The walk over the gradients. Subclasses say what one displacement is.

    Args:
        rate: learning rate, > 0 and at most 1e6, or a schedule.

    Attributes:
        state: flat dict of arrays, "<parameter>/<what is kept>", made when a
            parameter is first seen. With ``step`` it is all there is to save.
        step: updates made so far.
        start: what the state begins with.
    """

    start = 0.0

    def __init__(self, rate: Rate) -> None:
        self.rate: float | Schedule = rate
        if not callable(rate):
            rate = positive_number("the learning rate", rate)
            self.rate = number_within("the learning rate", rate, (0, LARGEST_RATE))
        self.state: dict[str, Array] = {}
        self.step = 0

    def update(self, parameters: dict[str, Array], gradients: Gradients) -> None:
        """Move each parameter that has a gradient, in place; the others stay bit for bit."""
        rate = self.rate(self.step) if callable(self.rate) else self.rate
        self.step += 1
        for name, gradient in gradients.items():
            parameter = parameters[name]
            if isinstance(gradient, RowGradient):
                rows: Any = gradient.rows
                values = gradient.values
            else:
                rows, values = ..., gradient
            kept = Kept(self.state, self.slots, self.start, name, parameter, rows)
            parameter[rows] -= self._rule(kept, values, rate)

    def grown(self, parameters: dict[str, Array]) -> Self:
        """A copy of this optimizer for parameters whose tables have more rows.

        What has been kept of a row is kept; new rows have the state of rows never updated.
        """
        grown = copy(self)
        grown.state = {}
        for key, kept in self.state.items():
            parameter = parameters[key.rpartition("/")[0]]
            rows = len(parameter) if parameter.ndim > 1 else len(kept)
            grown.state[key] = larger = np.empty((rows, *kept.shape[1:]), kept.dtype)
            larger[: len(kept)], larger[len(kept) :] = kept, self.start
        return grown

    def check_state(self, parameters: dict[str, Array]) -> None:
        """Refuse a state that this optimizer cannot have for these parameters.

        Raises:
            ValueError: as :func:`minitower.towers.optimizer_state.check_state`.
        """
        check_state(self.state, self.slots, parameters)

    def fresh(self) -> Self:
        """A copy of this optimizer that has made no step."""
        fresh = copy(self)
        fresh.state, fresh.step = {}, 0
        return fresh

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments besides the rate, as JSON: with rate, state and step all there is."""
        return {}

    def configure(self, settings: dict[str, Any]) -> None:
        """Take over :attr:`settings` of another optimizer of this kind.

        Raises:
            TypeError, ValueError: they are not such settings.
        """
        checked = type(self)(1.0, **settings)
        for name in settings:
            setattr(self, name, getattr(checked, name))

    @property
    def slots(self) -> Slots:
        """What is kept of a parameter."""
        return {}

    @abstractmethod
    def _rule(self, kept: Kept, gradient: Array, rate: float) -> Array:
        """The displacement, from the gradient and the rows' own state."""


def _mean_square(gradient: Array) -> Array:
    """Mean over the last axis of the squared gradient, that axis kept with length one."""
    square = np.einsum("...d,...d->...", gradient, gradient) / gradient.shape[-1]
    return np.asarray(square)[..., None]


class SGD(Optimizer):
    """w -= rate * g."""

    def _rule(self, kept: Kept, gradient: Array, rate: float) -> Array:
        return gradient * rate


class Adagrad(Optimizer):
    """G += g^2;  w -= rate * g / (sqrt(G) + epsilon), entry by entry.

    The step of an entry shrinks with what it has seen, so a rare item keeps a
    large one: made for sparse features.

    Args:
        rate: > 0, or a schedule.
        start: G before the first gradient, >= 0. 0.1 (Keras) calms the first
            steps; 0 (PyTorch) makes the first step rate * sign(g).
        epsilon: > 0.

    Reference: J. Duchi et al., Adaptive Subgradient Methods, JMLR 2011.
    """

    per_row = False

    def __init__(self, rate: Rate = 0.05, *, start: float = 0.0, epsilon: float = 1e-10) -> None:
        super().__init__(rate)
        if not (0 <= start < 1e38 and 0 < epsilon < 1e38):  # beyond, float32 holds infinity
            raise ValueError(
                f"start must be >= 0 and epsilon > 0, both below 1e38; got {start} and {epsilon}"
            )
        self.start, self.epsilon = start, epsilon

    @property
    def settings(self) -> dict[str, Any]:
        return {"start": self.start, "epsilon": self.epsilon}

    @property
    def slots(self) -> Slots:
        return {"square": self.per_row}

    def _rule(self, kept: Kept, gradient: Array, rate: float) -> Array:
        square = _mean_square(gradient) if self.per_row else gradient * gradient
        total = kept.accumulate("square", square)
        return gradient * (rate / (np.sqrt(total) + self.epsilon))


class RowWiseAdagrad(Adagrad):
    """Adagrad with one number a row: G_r += mean over d of g_r^2.

    The state is 1/d of Adagrad's, and a row moves along its gradient.

    Reference: the ``ROWWISE_ADAGRAD`` of FBGEMM; A. Lerer et al., PyTorch-BigGraph,
        SysML 2019.
    """

    per_row = True


class Adam(Optimizer):
    """m <- b1 m + (1-b1) g;  v <- b2 v + (1-b2) g^2;  w -= rate * m^ / (sqrt(v^) + epsilon).

    m^ and v^ are m and v without the bias of their start at zero. On the rows of
    a table it is lazy: rows that a step does not use keep their moments and do
    not move (dense Adam would go on moving them).

    Args:
        rate: > 0, or a schedule.
        betas: (b1, b2), each in [0, 1).
        epsilon: > 0.
        count: what the bias is reckoned by. "row" counts the updates of each row,
            so its first step is rate * sign(g) whenever it comes. "global" counts
            all steps, as torch's SparseAdam does: a row first touched at step
            10^6 then leaps by 3.2 * rate.

    Reference: D. Kingma, J. Ba, Adam, ICLR 2015, Algorithm 1.
    """

    per_row = False

    def __init__(
        self,
        rate: Rate = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        count: Literal["row", "global"] = "row",
    ) -> None:
        super().__init__(rate)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas must be in [0, 1), got {betas}")
        if not 0 < epsilon < 1e38:
            raise ValueError(f"epsilon must be positive and below 1e38, got {epsilon}")
        choice("count", count, ("row", "global"))
        self.betas, self.epsilon, self.count = betas, epsilon, count

    @property
    def settings(self) -> dict[str, Any]:
        return {"betas": list(self.betas), "epsilon": self.epsilon, "count": self.count}

    @property
    def slots(self) -> Slots:
        slots = {"first": False, "second": self.per_row}
        return slots | ({"count": True} if self.count == "row" else {})

    def _rule(self, kept: Kept, gradient: Array, rate: float) -> Array:
        first_beta, second_beta = self.betas
        square = _mean_square(gradient) if self.per_row else gradient * gradient
        first = kept.accumulate("first", gradient * (1 - first_beta), decay=first_beta)
        second = kept.accumulate("second", square * (1 - second_beta), decay=second_beta)
        times: Any = self.step
        if self.count == "row":
            times = kept.accumulate("count", 1).astype(np.float64)
        scale = rate / (1 - first_beta**times)
        root = np.sqrt(second / (1 - second_beta**times)) + self.epsilon
        step: Array = first * (scale / root).astype(gradient.dtype, copy=False)
        return step


class RowWiseAdam(Adam):
    """Lazy Adam with one second moment a row, from the mean over d of g_r^2.

    The state is half of Adam's, and a step does not turn the first moment.
    """

    per_row = True
