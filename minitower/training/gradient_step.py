"""One training step: loss, gradients, optimizer update, and a check for finite numbers. Chapter 4.

The trainer and the incremental update (:mod:`minitower.updating.incremental_update`) both
train by this function. The second one moves embeddings of ids only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from minitower.formulas.threads import together
from minitower.towers.layers import (
    Gradient,
    Gradients,
    RowGradient,
    add_gradients,
    first_not_finite,
)
from minitower.towers.optimizers import Optimizer
from minitower.towers.two_tower import TwoTower
from minitower.training.batches import Batch
from minitower.training.objectives import Objective
from minitower.training.regularization import Regularization
from minitower.training.self_supervised import ContrastiveLoss


class TrainingError(ArithmeticError):
    """Training left the finite numbers; the message names the tensor and the step."""


@contextmanager
def training_at(place: str) -> Iterator[None]:
    """Name the place of a training error first, such as "step 7" or "store version 3"."""
    try:
        yield
    except TrainingError as error:
        raise TrainingError(f"{place}: {error}") from error


class StepResult(NamedTuple):
    """What one step computed.

    Attributes:
        loss: the objective's loss before the step.
        contrastive_loss: alpha times the self-supervised loss before the step; 0 without one.
        gradients: those that were applied.
    """

    loss: float
    contrastive_loss: float
    gradients: Gradients


@np.errstate(over="ignore", invalid="ignore")  # the checks below find and name such numbers
def gradient_step(
    model: TwoTower,
    optimizer: Optimizer,
    objective: Objective,
    batch: Batch,
    *,
    contrastive_loss: ContrastiveLoss | None = None,
    regularization: Regularization | None = None,
    id_tables: Collection[str] | None = None,
) -> StepResult:
    """Compute the loss of one batch and move the parameters against its gradient, in place.

    Args:
        model, optimizer: their parameters and state change.
        objective: the loss on user and item vectors.
        batch: n pairs and m candidate items.
        contrastive_loss: the self-supervised loss to add; None: nothing.
        regularization: weight decay, bound of rows, dropout; None: none of them.
        id_tables: names of the id embeddings that may move, all rows but row 0; None: all
            parameters may move.

    Raises:
        TrainingError: the loss, a gradient or a parameter is not finite. Parameters are
            unchanged in the first two cases.
    """
    regularization = regularization or Regularization()
    features = regularization.shortened(batch.users, step=optimizer.step)
    (users, back_users), (items, back_items) = together(
        lambda: model.user(features), lambda: model.item(batch.items)
    )
    unit = model.similarity == "cosine"
    users, back_dropout = regularization.dropped(users, unit=unit, step=optimizer.step)
    loss, (d_users, d_items) = objective(users, items, batch)
    backward = [lambda: back_users(back_dropout(d_users)), lambda: back_items(d_items)]
    items_move = id_tables is None or any(name.startswith("item.") for name in id_tables)
    gradients = add_gradients(*together(*backward[: 1 + items_move]))
    contrastive = 0.0
    if contrastive_loss is not None:
        contrastive, of_views = contrastive_loss(model)
        gradients = add_gradients(gradients, of_views)
    if id_tables is not None:
        gradients = {name: _without_row_0(gradients[name]) for name in id_tables}
    gradients = regularization.decayed(gradients, model.parameters)
    _check_gradients(loss + contrastive, gradients)
    optimizer.update(model.parameters, gradients)
    regularization.bound(model.parameters, gradients)
    _check_parameters(model, gradients)
    return StepResult(loss, contrastive, gradients)


def _without_row_0(gradient: Gradient) -> RowGradient:
    """Row 0 is the default embedding that all unknown ids share: one id must not move it."""
    assert isinstance(gradient, RowGradient)
    own = gradient.rows > 0
    return RowGradient(gradient.rows[own], gradient.values[own])


def _check_gradients(loss: float, gradients: Gradients) -> None:
    values = {n: g.values if isinstance(g, RowGradient) else g for n, g in gradients.items()}
    bad = first_not_finite(values.items())
    if np.isfinite(loss) and bad is None:
        return
    what = f"the gradient of '{bad}' is not finite" if np.isfinite(loss) else f"the loss is {loss}"
    raise TrainingError(
        f"{what}; lower the learning rate if earlier steps went well; else look for extreme "
        "numbers in the temperature, log q (the counts of items) and the features"
    )


def _check_parameters(model: TwoTower, gradients: Gradients) -> None:
    moved = (
        (name, table.take(g.rows, axis=0) if isinstance(g, RowGradient) else table)
        for name, g in gradients.items()
        for table in [model.parameters[name]]
    )
    bad = first_not_finite(moved)
    if bad is not None:
        raise TrainingError(
            f"the parameter '{bad}' is not finite after the update; lower the learning rate"
        )
