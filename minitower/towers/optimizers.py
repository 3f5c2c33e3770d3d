"""Optimizers: gradient descent that touches only the rows that a step used. Chapter 4.

:meth:`Optimizer.update` walks over the gradients by name. Each optimizer adds one rule: from
a gradient and the optimizer's slots to a displacement. For a :class:`RowGradient` the rule
sees those rows of the slots only, so a table of ten million rows costs what the batch costs.
The gradient of each row is already summed; (g1 + g2)^2 is not g1^2 + g2^2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from functools import partial
from typing import Any, Literal, Self

import numpy as np

from minitower.data.errors import show
from minitower.formulas.arguments import choice, number_within, positive_number
from minitower.formulas.arrays import Array
from minitower.formulas.threads import threads, together
from minitower.towers.layers import Gradient, Gradients, RowGradient
from minitower.towers.optimizer_slots import Layout, OptimizerSlot, Slots, check_slot, slot_shape
from minitower.towers.schedules import LARGEST_RATE, LEARNING_RATE, Rate, Schedule


class Optimizer(ABC):
    """Base of all optimizers.

    Args:
        rate: learning rate in (0, 1e6], or a schedule (:mod:`minitower.towers.schedules`).

    Attributes:
        state: dict of arrays "<parameter>/<slot>", made at a parameter's first gradient.
        step: number of updates so far. rate, settings, state and step are all there is to save.
        rate_share: share of the rate that a step takes; a schedule in epochs sets it.
        start: initial value of the slots.
    """

    start = 0.0
    options: tuple[str, ...] = ()  # names of the settings

    def __init__(self, rate: Rate = LEARNING_RATE) -> None:
        self.rate: float | Schedule = rate
        if not callable(rate):
            rate = positive_number("the learning rate", rate)
            self.rate = number_within("the learning rate", rate, (0, LARGEST_RATE))
        self.state: dict[str, Array] = {}
        self.step, self.rate_share = 0, 1.0

    @property
    def current_rate(self) -> float:
        """The learning rate of the next step."""
        return (self.rate(self.step) if callable(self.rate) else self.rate) * self.rate_share

    def update(self, parameters: dict[str, Array], gradients: Gradients) -> None:
        """Move each parameter that has a gradient, in place. The others keep their bits."""
        rate = self.current_rate
        self.step += 1
        for name in gradients:
            for slot, per_row in self.layout.items():
                if (key := f"{name}/{slot}") not in self.state:
                    self.state[key] = self._new_slot(parameters[name], per_row)
        items = list(gradients.items())
        share = -(-len(items) // threads())  # one task for each thread: many parameters are small
        parts = [items[i : i + share] for i in range(0, len(items), max(share, 1))]
        together(*(partial(self._move, parameters, part, rate) for part in parts))

    def _move(
        self, parameters: dict[str, Array], gradients: list[tuple[str, Gradient]], rate: float
    ) -> None:
        for name, gradient in gradients:
            parameter, rows = parameters[name], None
            if isinstance(gradient, RowGradient):
                rows, gradient = gradient.rows, gradient.values
            slots = {s: OptimizerSlot(self.state[f"{name}/{s}"], rows) for s in self.layout}
            moved = parameter if rows is None else parameter.take(rows, axis=0)
            moved -= self._displacement(gradient, rate, slots)
            if rows is not None:
                parameter[rows] = moved

    def _new_slot(self, parameter: Array, per_row: bool) -> Array:
        shape, dtype = slot_shape(parameter, per_row), parameter.dtype
        # np.zeros takes memory only for pages that are touched: unused rows cost nothing.
        return np.zeros(shape, dtype) if self.start == 0 else np.full(shape, self.start, dtype)

    @property
    def layout(self) -> Layout:
        """The slots of each parameter."""
        return {}

    @abstractmethod
    def _displacement(self, gradient: Array, rate: float, slots: Slots) -> Array:
        """Update the slots, and return what to subtract from the rows."""

    def extended(self, parameters: dict[str, Array]) -> Self:
        """Copy this optimizer for parameters with more rows; new rows start like fresh ones."""
        extended = copy(self)
        extended.state = {}
        for key, slot in self.state.items():
            parameter = parameters[key.rpartition("/")[0]]
            rows = len(parameter) if parameter.ndim > 1 else len(slot)
            extended.state[key] = larger = np.empty((rows, *slot.shape[1:]), slot.dtype)
            larger[: len(slot)], larger[len(slot) :] = slot, self.start
        return extended

    def fresh(self) -> Self:
        """Copy this optimizer as it is before its first step."""
        fresh = copy(self)
        fresh.state, fresh.step, fresh.rate_share = {}, 0, 1.0
        return fresh

    def check_state(self, parameters: dict[str, Array]) -> None:
        """Refuse a state that this optimizer cannot have for these parameters.

        Raises ValueError: an array belongs to no parameter or slot; or a parameter with slots lacks
            one, or has one of a wrong shape or type, or with an impossible number.
        """
        for key in self.state:
            name, slash, slot = key.rpartition("/")
            if not slash or slot not in self.layout or name not in parameters:
                raise ValueError(f"{show(key)} is the state of no parameter")
        for name in dict.fromkeys(key.rpartition("/")[0] for key in self.state):
            for slot, per_row in self.layout.items():
                check_slot(self.state, f"{name}/{slot}", parameters[name], per_row)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments besides the rate, as JSON."""
        values = {name: getattr(self, name) for name in self.options}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    def configure(self, settings: dict[str, Any]) -> None:
        """Take over the :attr:`settings` of another optimizer of this class.

        Raises TypeError, ValueError: a setting is unknown, or outside its domain.
        """
        checked = type(self)(1.0, **settings)
        for name in settings:
            setattr(self, name, getattr(checked, name))


class SGD(Optimizer):
    """Stochastic gradient descent: w <- w - rate g."""

    def _displacement(self, gradient: Array, rate: float, slots: Slots) -> Array:
        return gradient * rate


class Adagrad(Optimizer):
    """Adagrad: divide each entry's rate by the root of its summed squares.

        G <- G + g^2
        w <- w - rate g / (sqrt(G) + epsilon)

    The rate of an entry falls with its gradients, so a rare item keeps a large one.

    Args:
        start: G before the first gradient, in [0, 1e38). 0 (PyTorch) makes the first step
            rate * sign(g); 0.1 (Keras) makes the first steps smaller.
        epsilon: in (0, 1e38).

    Reference: J. Duchi et al., Adaptive Subgradient Methods, JMLR 2011.
    """

    per_row = False
    options = "start", "epsilon"

    def __init__(
        self, rate: Rate = LEARNING_RATE, *, start: float = 0.0, epsilon: float = 1e-10
    ) -> None:
        super().__init__(rate)
        if not (0 <= start < 1e38 and 0 < epsilon < 1e38):  # beyond, float32 holds infinity
            raise ValueError(
                f"start must be >= 0 and epsilon > 0, both below 1e38; got {start} and {epsilon}"
            )
        self.start, self.epsilon = start, epsilon

    @property
    def layout(self) -> Layout:
        return {"square": self.per_row}

    def _displacement(self, gradient: Array, rate: float, slots: Slots) -> Array:
        total = slots["square"].update(_square(gradient, self.per_row))
        return gradient * (rate / (np.sqrt(total) + self.epsilon))


class RowWiseAdagrad(Adagrad):
    """Adagrad with one number per row: G_r <- G_r + mean_d(g_r^2).

    The state is 1/d of Adagrad's, and a row moves along its gradient.

    Reference: ``ROWWISE_ADAGRAD`` of FBGEMM; A. Lerer et al., PyTorch-BigGraph, SysML 2019.
    """

    per_row = True


class Adam(Optimizer):
    """Lazy Adam: moments of the rows that a step uses.

        m <- b1 m + (1 - b1) g                   v <- b2 v + (1 - b2) g^2
        w <- w - rate m^ / (sqrt(v^) + epsilon)  m^ = m / (1 - b1^t), v^ = v / (1 - b2^t)

    A row without a gradient keeps its moments and does not move; dense Adam would move it.

    Args:
        rate: 0.05 by default, as of all optimizers here. The paper's 0.001 is meant for dense
            layers: a row that is used in few steps would hardly move.
        betas: (b1, b2), each in [0, 1).
        epsilon: in (0, 1e38).
        count: meaning of t. "row" is the number of updates of the row, so its first step is
            rate * sign(g). "global" is the number of all steps, as in torch's SparseAdam:
            the first step of a row at t = 10^6 is then 3.2 times as long.

    Reference: D. Kingma, J. Ba, Adam, ICLR 2015, Algorithm 1.
    """

    per_row = False
    options = "betas", "epsilon", "count"

    def __init__(
        self,
        rate: Rate = LEARNING_RATE,
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
    def layout(self) -> Layout:
        layout = {"first": False, "second": self.per_row}
        return layout | ({"count": True} if self.count == "row" else {})

    def _displacement(self, gradient: Array, rate: float, slots: Slots) -> Array:
        b1, b2 = self.betas
        square = _square(gradient, self.per_row)
        first = slots["first"].update(gradient * (1 - b1), decay=b1)
        second = slots["second"].update(square * (1 - b2), decay=b2)
        t: Any = self.step
        if self.count == "row":
            t = slots["count"].update(1).astype(np.float64)
        scale = rate / (1 - b1**t)
        root = np.sqrt(second / (1 - b2**t)) + self.epsilon
        step: Array = first * (scale / root).astype(gradient.dtype, copy=False)
        return step


class RowWiseAdam(Adam):
    """Lazy Adam with one second moment per row: v_r <- b2 v_r + (1 - b2) mean_d(g_r^2).

    The state is half of Adam's, and a step keeps the direction of the first moment.
    """

    per_row = True


def _square(gradient: Array, per_row: bool) -> Array:
    """g^2, or its mean over the last axis with that axis kept."""
    if not per_row:
        return gradient * gradient
    square = np.einsum("...d,...d->...", gradient, gradient) / gradient.shape[-1]
    return np.asarray(square)[..., None]
