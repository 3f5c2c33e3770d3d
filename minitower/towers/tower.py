"""A tower: the features of one side in, one vector out. Chapters 2 and 3.

        id          -> embedding ┐
        categorical -> embedding ├ concatenate -> [dense -> relu] ... -> dense -> vector
        set         -> bag       │
        history     -> bag       │
        number      -> itself    ┘

Without hidden layers the tower sums its features, and each is as wide as the vector. (A dense
layer over concatenated embeddings would only multiply each table by a matrix.) A tower of an
id alone is then plain matrix factorization.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from minitower.data.feature_encoder import FeatureEncoder
from minitower.data.schema import HISTORY, Field, Id, MultiValued
from minitower.data.table import Features, Ragged
from minitower.formulas.arrays import Array
from minitower.formulas.similarity import l2_normalize
from minitower.towers.layers import (
    Gradients,
    add_gradients,
    concatenate,
    dense,
    embedding,
    embedding_bag,
    relu,
)
from minitower.towers.user_history import HistoryInput

Parameters = dict[str, Array]
Backward = Callable[[Array], Gradients]
InputsBackward = Callable[[Array], tuple[list[Array], Gradients]]

CATEGORICAL_DIM = 16
"""Width of an embedding that is not of an id, where the field names no width."""


class Tower:
    """Map the features of one side to vectors. It holds names and sizes, but no parameters.

    Args:
        name: prefix of the parameter names, "user" or "item".
        encoder: the fitted features of this side.
        dim: d, length of the vector.
        hidden: widths of the hidden layers; () sums the features.
        residual: add the id's embedding to the output of the layers.
        normalize: end with L2 normalization, for cosines.
        history: what a user tower reads of the user's clicks; None: nothing.
    Raises ValueError: the side has no feature, a width does not fit the sum or the residual path,
        or a size is not positive.
    """

    def __init__(
        self,
        name: str,
        encoder: FeatureEncoder,
        *,
        dim: int,
        hidden: tuple[int, ...],
        residual: bool,
        normalize: bool,
        history: HistoryInput | None = None,
    ) -> None:
        if dim < 1 or any(width < 1 for width in hidden):
            raise ValueError(f"dim and hidden widths must be positive, got {dim} and {hidden}")
        if not encoder.inputs and history is None:
            raise ValueError(f"the {name} tower has no feature: embed the id or add a field")
        self.name, self.dim, self.normalize = name, dim, normalize
        self.summed = not hidden
        self.fields, self.history = encoder.inputs, history
        # (rows, width) of each embedding table; a field without a table is a number.
        self.tables = {
            field.name: (encoder.cardinality(field.name), self._width(field))
            for field in self.fields
            if encoder.is_embedded(field.name)
        }
        rates = encoder.default_rates(history=history is not None)
        self.learned_default = {name for name, rate in rates.items() if rate > 0}
        # (name, inputs, outputs) of the dense layers.
        concatenated = sum(self.tables.get(field.name, (0, 1))[1] for field in self.fields)
        if history is not None:
            self._check_history(history, encoder)
            self.tables[HISTORY] = history.shape
            concatenated += history.width
        sizes = [concatenated, *hidden, dim] if hidden else []
        self.layers = [(f"{name}.mlp.{i}", a, b) for i, (a, b) in enumerate(pairwise(sizes))]
        self.residual = self._id_position() if residual else None

    def __call__(self, parameters: Parameters, features: Features) -> tuple[Array, Backward]:
        """Compute the vectors of a batch.

        Shapes: n rows of features->(n,d)

        Returns:
            The vectors, and the function from their gradient to those of the parameters.
        """
        inputs: list[Array] = []
        inputs_backward: list[Backward] = []
        for field in self.fields:
            value, back = self._input(field, parameters, features[field.name])
            inputs.append(value)
            inputs_backward.append(back)
        if self.history is not None:
            value, back = self.history(parameters, _histories(features))
            inputs.append(value)
            inputs_backward.append(back)
        combine = self._sum if self.summed else self._mlp
        vectors, back_combined = combine(parameters, inputs)
        if self.normalize:
            vectors, back_normalized = l2_normalize(vectors)

        def backward(d_vectors: Array) -> Gradients:
            if self.normalize:
                d_vectors = back_normalized(d_vectors)
            d_inputs, gradients = back_combined(d_vectors)
            of_inputs = (back(d) for back, d in zip(inputs_backward, d_inputs, strict=True))
            return add_gradients(gradients, *of_inputs)

        return vectors, backward

    def _input(
        self, field: Field, parameters: Parameters, values: Array | Ragged
    ) -> tuple[Array, Backward]:
        """One field's part of the input: an embedding, a bag of embeddings, or the number."""
        if field.name in self.tables:
            name = f"{self.name}.{field.name}.embedding"
            table = parameters[name]
            if isinstance(field, MultiValued):
                assert isinstance(values, Ragged)
                value, back = embedding_bag(values, table, pool=field.pool)
            else:
                assert not isinstance(values, Ragged)
                value, back = embedding(values, table)
            return value, lambda dy: {name: back(dy)}
        assert not isinstance(values, Ragged)
        column = values[:, None]
        if not self.summed:
            return column, lambda dy: {}
        name = f"{self.name}.{field.name}.weight"
        weight = parameters[name]
        return column * weight, lambda dy: {name: column.T @ dy}

    def _sum(self, parameters: Parameters, inputs: list[Array]) -> tuple[Array, InputsBackward]:
        """Sum the inputs, which are all as wide as the vector."""
        total: Array = inputs[0] if len(inputs) == 1 else np.add.reduce(inputs)

        def backward(dy: Array) -> tuple[list[Array], Gradients]:
            return [dy] * len(inputs), {}

        return total, backward

    def _mlp(self, parameters: Parameters, inputs: list[Array]) -> tuple[Array, InputsBackward]:
        """Concatenate the inputs and run the dense layers, with a relu between each two."""
        x, back_inputs = concatenate(inputs)
        backs = []
        for i, (name, _, _) in enumerate(self.layers):
            x, back_dense = dense(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])
            back_relu = None
            if i < len(self.layers) - 1:
                x, back_relu = relu(x)
            backs.append((name, back_dense, back_relu))
        id_position = self.residual
        if id_position is not None:
            x = x + inputs[id_position]

        def backward(dy: Array) -> tuple[list[Array], Gradients]:
            gradients: Gradients = {}
            dx = dy
            for name, back_dense, back_relu in reversed(backs):
                if back_relu is not None:
                    dx = back_relu(dx)
                dx, gradients[f"{name}.weight"], gradients[f"{name}.bias"] = back_dense(dx)
            d_inputs = back_inputs(dx)
            if id_position is not None:
                d_inputs[id_position] = d_inputs[id_position] + dy
            return d_inputs, gradients

        return x, backward

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for field in self.fields:
            if field.name in self.tables:
                shapes[f"{self.name}.{field.name}.embedding"] = self.tables[field.name]
            elif self.summed:
                shapes[f"{self.name}.{field.name}.weight"] = (1, self.dim)
        if self.history is not None:
            shapes[f"{self.name}.{HISTORY}.embedding"] = self.history.shape
        for name, rows, columns in self.layers:
            shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (columns,)}
        return shapes

    def initial_parameters(self, rng: np.random.Generator, dtype: Any) -> Parameters:
        """Draw random parameters that keep the scale of each layer's input.

        Rows of embeddings have length about one. Weights are normal with variance 2 / fan-in
        before a relu (He et al., 2015) and 1 / fan-in elsewhere. Biases are zero, and so is
        a default row that training never uses.
        """
        parameters: Parameters = {}
        before_relu = {name for name, _, _ in self.layers[:-1]}
        for name, shape in self.shapes().items():
            owner, _, kind = name.rpartition(".")
            if kind == "bias":
                parameters[name] = np.zeros(shape, dtype)
                continue
            fan_in, width = shape
            variance = 1 / width  # of an embedding, or of a number's weight in a sum
            if kind == "weight" and self.layers:
                variance = (2 if owner in before_relu else 1) / fan_in
            parameters[name] = rng.standard_normal(shape, dtype) * math.sqrt(variance)
            field = owner.removeprefix(f"{self.name}.")
            if kind == "embedding" and field not in self.learned_default:
                parameters[name][0] = 0
        return parameters

    def extended_parameters(self, parameters: Parameters, rng: np.random.Generator) -> Parameters:
        """Copy the parameters of a tower with smaller tables; new rows are copies of row 0.

        A value that was unknown so far thus keeps its vector. One exception: if row 0 is zero
        and the tower normalizes a sum of features, new rows are random, because a zero vector
        gets no gradient.
        """
        extended: Parameters = {}
        shapes = self.shapes()
        for name in (name for name in parameters if name.startswith(f"{self.name}.")):
            old = parameters[name]
            n, width = len(old), old.shape[-1]
            added = shapes[name][0] - n
            extended[name] = new = np.empty((n + added, *old.shape[1:]), old.dtype)
            new[:n] = old
            if added:
                new[n:] = old[0]
                if self.summed and self.normalize and not old[0].any():
                    new[n:] = rng.standard_normal((added, width), old.dtype) / math.sqrt(width)
        return extended

    def _width(self, field: Field) -> int:
        default = self.dim if self.summed or isinstance(field, Id) else CATEGORICAL_DIM
        width = field.dim or default
        if self.summed and width != self.dim:
            raise ValueError(
                f"without hidden layers features are summed, so '{field.name}' must be "
                f"{self.dim} wide, not {width}"
            )
        return width

    def _check_history(self, history: HistoryInput, encoder: FeatureEncoder) -> None:
        if HISTORY in {field.name for field in encoder.fields}:
            raise ValueError(f"the {self.name} field '{HISTORY}' has the history's name; rename it")
        if self.summed and history.width != self.dim:
            raise ValueError(
                "without hidden layers features are summed, so the embedding of item ids must be "
                f"{self.dim} wide for a history, not {history.width}"
            )

    def _id_position(self) -> int:
        """Position among the inputs of the embedding for the residual path."""
        for position, field in enumerate(self.fields):
            if isinstance(field, Id) and self.layers and self.tables[field.name][1] == self.dim:
                return position
        raise ValueError(
            f"the {self.name} tower's residual path needs hidden layers and an embedded id "
            f"of width {self.dim}"
        )


def _histories(features: Features) -> Ragged:
    histories = features.get(HISTORY)
    if not isinstance(histories, Ragged):
        raise ValueError(
            "the model reads histories, and these users have none: take the users from "
            "model.users(data), which adds them"
        )
    return histories
