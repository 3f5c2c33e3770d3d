"""Regularization of a training step: decay and bound of rows, dropout of vectors and histories.

All are off by default. All belong to the step alone: towers, evaluation and serving know
none of them.

Chapter 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from minitower.data.histories import kept
from minitower.data.options import Option, Seed, check_options
from minitower.data.schema import HISTORY
from minitower.data.table import Features, Ragged
from minitower.formulas.arrays import Array, Mask, Vectors
from minitower.formulas.similarity import l2_normalize
from minitower.towers.layers import Gradients, RowGradient
from minitower.towers.tower import Parameters

Backward = Callable[[Vectors], Vectors]


def decay_rows(gradients: Gradients, parameters: Parameters, weight_decay: float) -> Gradients:
    """Add the gradient of (lambda / 2) |w_r|^2 for each embedding row r that has a gradient.

        g_r <- g_r + lambda w_r

    A row without a gradient does not decay. In expectation, the decay of a row is proportional
    to its frequency. Dense layers do not decay.
    """
    return {
        name: RowGradient(g.rows, g.values + weight_decay * parameters[name][g.rows])
        if isinstance(g, RowGradient)
        else g
        for name, g in gradients.items()
    }


def bound_rows(parameters: Parameters, gradients: Gradients, max_norm: float) -> None:
    """Scale back, in place, each embedding row with a gradient that is longer than max_norm.

        w_r <- w_r min(1, max_norm / |w_r|)

    A cosine ignores the length of a row, and a step at a right angle to a row makes it longer.
    Without a bound, the rows grow and the same step turns them less and less.

    References: ``max_norm`` of torch.nn.Embedding; N. Srivastava et al., Dropout, JMLR 2014,
        section 5.1.

    >>> table = np.array([[3.0, 4.0], [0.0, 2.0], [6.0, 8.0]])
    >>> bound_rows({"t": table}, {"t": RowGradient(np.array([0, 1]), np.zeros((2, 2)))}, 2.5)
    >>> table
    array([[1.5, 2. ],
           [0. , 2. ],
           [6. , 8. ]])
    """
    for name, g in gradients.items():
        if isinstance(g, RowGradient):
            rows = parameters[name].take(g.rows, axis=0)
            lengths = np.sqrt(np.einsum("rd,rd->r", rows, rows))
            long = lengths > max_norm
            factors = (max_norm / lengths[long]).astype(rows.dtype)
            parameters[name][g.rows[long]] = rows[long] * factors[:, None]


def inverted_dropout(x: Vectors, keep: Mask, share: float) -> tuple[Vectors, Backward]:
    """Set components to 0, and divide the others by 1 - share, so that the mean stays x.

    Shapes: (n,d),(n,d)->(n,d)
    Args:
        keep: False where a component becomes 0, which has the probability `share`.
        share: in [0, 1).
    Gradient: d_x = d_y / (1 - share) where keep, else 0.

    >>> y, backward = inverted_dropout(np.ones((1, 4)), np.array([[True, False, True, True]]), 0.25)
    >>> y.round(3)
    array([[1.333, 0.   , 1.333, 1.333]])

    Reference: N. Srivastava et al., Dropout, JMLR 2014, section 10.
    """
    factor = keep.astype(x.dtype) / x.dtype.type(1 - share)
    return x * factor, lambda d_y: d_y * factor


@dataclass(frozen=True)
class Regularization:
    """What a training step adds so that the model fits the training clicks less closely.

    Args:
        weight_decay: lambda of :func:`decay_rows`, in [0, 1e6]; 0: none.
        max_norm: of :func:`bound_rows`, in [0, 1e6]; 0: no bound. Random and spectral rows
            begin with length 1.
        user_dropout: share, in [0, 1), of the components of a user vector that a step drops;
            0: none. A score then is over the kept components, so items are regularized as well.
        history_dropout: share, in [0, 1), of the clicks of each history that a step leaves out;
            0: none. A history may lose all its clicks. Each click then has to be predicted from
            a few others, chosen at random: those of the same session come rarely.
        seed: of what is dropped. It is a function of the seed and of the number of
            the optimizer's step: shuffling and sampling draw the same with and without dropout.
    Raises ValueError: a parameter is outside its domain.

    Reference: dropout of the clicks that a user vector is made of: D. Liang et al., Variational
        Autoencoders for Collaborative Filtering, WWW 2018, section 2.3 (as Mult-DAE).
    """

    weight_decay: Annotated[
        float,
        Option("L2 weight decay of the embedding rows that a step uses", 0, 1e6, metavar="LAMBDA"),
    ] = 0.0
    max_norm: Annotated[
        float,
        Option(
            "length to which a step scales back longer embedding rows that it uses; 0: no bound",
            0,
            1e6,
            metavar="LENGTH",
        ),
    ] = 0.0
    user_dropout: Annotated[
        float,
        Option(
            "share of the components of user vectors that a training step drops",
            0,
            below=1,
            metavar="SHARE",
        ),
    ] = 0.0
    history_dropout: Annotated[
        float,
        Option(
            "share of the clicks of a history that a training step leaves out",
            0,
            below=1,
            metavar="SHARE",
        ),
    ] = 0.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_options(self)

    def check(self, *, reads_histories: bool) -> None:
        """Refuse dropout of histories for a model without a history.

        Raises ValueError: the model has nothing to drop.
        """
        if self.history_dropout and not reads_histories:
            raise ValueError(
                "history_dropout leaves out clicks of histories, and the model has no history; "
                "give the model a history, or leave the option out"
            )

    def shortened(self, users: Features, *, step: int) -> Features:
        """Features of users, with the clicks of their histories that the step keeps.

        Args:
            users: the features of a batch.
            step: number of the optimizer's step.
        """
        if not self.history_dropout:
            return users
        histories = users[HISTORY]
        assert isinstance(histories, Ragged)
        keep = self._random(2, step, histories.values.shape) >= self.history_dropout
        return {**users, HISTORY: kept(histories, keep)}

    def _random(self, purpose: int, step: int, shape: tuple[int, ...]) -> Array:
        """Uniform numbers in [0, 1), the same for the same purpose and step."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(purpose, step))
        return np.random.default_rng(sequence).random(shape)

    def dropped(self, users: Vectors, *, unit: bool, step: int) -> tuple[Vectors, Backward]:
        """User vectors after dropout, and the function that sends gradients back.

        Shapes: (n,d)->(n,d)
        Args:
            users: the output of the user tower.
            unit: whether user vectors have length one. They are then normalized once more, which
                is the same as dropping before the tower normalizes.
            step: number of the optimizer's step.
        """
        if not self.user_dropout:
            return users, lambda d_users: d_users
        keep = self._random(1, step, users.shape) >= self.user_dropout
        users, back_dropout = inverted_dropout(users, keep, self.user_dropout)
        if not unit:
            return users, back_dropout
        users, back_norm = l2_normalize(users)
        return users, lambda d_users: back_dropout(back_norm(d_users))

    def decayed(self, gradients: Gradients, parameters: Parameters) -> Gradients:
        """Gradients after weight decay."""
        if not self.weight_decay:
            return gradients
        return decay_rows(gradients, parameters, self.weight_decay)

    def bound(self, parameters: Parameters, gradients: Gradients) -> None:
        """Bound the rows that the optimizer has moved, in place."""
        if self.max_norm:
            bound_rows(parameters, gradients, self.max_norm)
