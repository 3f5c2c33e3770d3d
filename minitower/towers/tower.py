"""A tower: the features of one side in, one vector out.

        id          -> embedding ┐
        categorical -> embedding ├ concatenate -> [dense -> relu] ... -> dense -> vector
        set         -> bag       │
        number      -> itself    ┘

With no hidden layer the features are summed instead, each an embedding as wide
as the vector: a dense layer over concatenated embeddings would only multiply
each table by a matrix. Then an id alone is plain matrix factorisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from minitower.data.encoding import Features, SideEncoder
from minitower.data.ragged import Ragged
from minitower.data.schema import Field, Id, MultiValued
from minitower.formulas.arrays import Array
from minitower.formulas.similarity import l2_normalize
from minitower.towers.gradients import Gradients, add_gradients
from minitower.towers.layers import concatenate, dense, embedding, embedding_bag, relu

Parameters = dict[str, Array]
Backward = Callable[[Array], Gradients]
InputsBackward = Callable[[Array], tuple[list[Array], Gradients]]

CATEGORICAL_DIM = 16
"""Width of an embedding that is not an id, where the field names none."""


class Tower:
    """One side's features to one vector. It holds names and sizes; the parameters are passed in.

    Args:
        name: prefix of its parameters, "user" or "item".
        encoder: the fitted features of this side.
        dim: d, length of the vector.
        hidden: widths of the hidden layers; () sums the features.
        residual: add the id's embedding to what the layers give, so that they
            learn only what the id does not say.
        normalize: end with L2 normalisation, for cosines.

    Raises:
        ValueError: no feature is embedded, a width contradicts the summing or
            the residual path, or a size is not positive.
    """

    def __init__(
        self,
        name: str,
        encoder: SideEncoder,
        *,
        dim: int,
        hidden: tuple[int, ...],
        residual: bool,
        normalize: bool,
    ) -> None:
        if dim < 1 or any(width < 1 for width in hidden):
            raise ValueError(f"dim and hidden widths must be positive, got {dim} and {hidden}")
        if not encoder.inputs:
            raise ValueError(f"the {name} tower has no feature: embed the id or add a field")
        self.name, self.dim, self.normalize = name, dim, normalize
        self.summed = not hidden
        self.fields = encoder.inputs
        # (rows, width) of the embedding table of every field that has one; the others are numbers.
        self.tables = {
            field.name: (encoder.cardinality(field.name), self._width(field))
            for field in self.fields
            if encoder.is_embedded(field.name)
        }
        self.learned_default = {n for n, rate in encoder.default_rates().items() if rate > 0}
        # (name, inputs, outputs) of the dense layers.
        concatenated = sum(self.tables.get(field.name, (0, 1))[1] for field in self.fields)
        sizes = [concatenated, *hidden, dim] if hidden else []
        self.layers = [(f"{name}.mlp.{i}", a, b) for i, (a, b) in enumerate(pairwise(sizes))]
        # Where the id's embedding stands among the inputs, if it is added to the output.
        self.residual = self._id_position() if residual else None

    def _width(self, field: Field) -> int:
        own = self.summed or isinstance(field, Id)
        width = field.dim or (self.dim if own else CATEGORICAL_DIM)
        if self.summed and width != self.dim:
            raise ValueError(
                f"without hidden layers features are summed, so '{field.name}' must be "
                f"{self.dim} wide, not {width}"
            )
        return width

    def _id_position(self) -> int:
        for position, field in enumerate(self.fields):
            if isinstance(field, Id) and self.layers and self.tables[field.name][1] == self.dim:
                return position
        raise ValueError(
            f"the {self.name} tower's residual path needs hidden layers and an embedded id "
            f"of width {self.dim}"
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each parameter, by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for field in self.fields:
            if field.name in self.tables:
                shapes[f"{self.name}.{field.name}.embedding"] = self.tables[field.name]
            elif self.summed:
                shapes[f"{self.name}.{field.name}.weight"] = (1, self.dim)
        for name, rows, columns in self.layers:
            shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (columns,)}
        return shapes

    def initial_parameters(self, rng: np.random.Generator, dtype: Any) -> Parameters:
        """Random parameters under which every layer keeps the scale of its input.

        Embedding rows have length about one. Weights before a relu are normal
        with variance 2 / fan-in (He et al., 2015), the last with 1 / fan-in;
        biases are zero. A default row that training never shows starts, and
        stays, at zero: nothing is known.
        """
        parameters: Parameters = {}

        def normal(rows: int, columns: int, variance: float) -> Array:
            drawn: Array = rng.standard_normal((rows, columns), dtype) * math.sqrt(variance)
            return drawn

        for field in self.fields:
            name = f"{self.name}.{field.name}"
            if field.name in self.tables:
                rows, width = self.tables[field.name]
                table = normal(rows, width, 1 / width)
                if field.name not in self.learned_default:
                    table[0] = 0
                parameters[f"{name}.embedding"] = table
            elif self.summed:
                parameters[f"{name}.weight"] = normal(1, self.dim, 1 / self.dim)
        for i, (name, rows, columns) in enumerate(self.layers):
            gain = 1 if i == len(self.layers) - 1 else 2
            parameters[f"{name}.weight"] = normal(rows, columns, gain / rows)
            parameters[f"{name}.bias"] = np.zeros(columns, dtype)
        return parameters

    def grown_parameters(self, parameters: Parameters, rng: np.random.Generator) -> Parameters:
        """A copy of the parameters of a tower with smaller tables, row 0 copied into new rows.

        So a value that was unknown begins as what the tower has read in its place until
        now. Only where that is a zero and the vector but a sum that is normalised, new rows
        are drawn as at the beginning: nothing pulls on a vector without a direction.
        """
        grown: Parameters = {}
        rows_of = {f"{self.name}.{field}.embedding": n for field, (n, _) in self.tables.items()}
        for name in (name for name in parameters if name.startswith(f"{self.name}.")):
            old = parameters[name]
            n, width = len(old), old.shape[-1]
            added = rows_of.get(name, n) - n
            grown[name] = new = np.empty((n + added, *old.shape[1:]), old.dtype)
            new[:n] = old
            if added:
                new[n:] = old[0]
                if self.summed and self.normalize and not old[0].any():
                    new[n:] = rng.standard_normal((added, width), old.dtype) / math.sqrt(width)
        return grown

    def __call__(self, parameters: Parameters, features: Features) -> tuple[Array, Backward]:
        """Vectors of a batch, and the function from their gradient to the parameters'.

        Shapes: n rows of features->(n,d)
        """
        inputs: list[Array] = []
        ways_back: list[Backward] = []
        for field in self.fields:
            value, back = self._input(field, parameters, features[field.name])
            inputs.append(value)
            ways_back.append(back)
        if self.summed:
            vectors, back_hidden = _sum(inputs)
        else:
            vectors, back_hidden = self._hidden(parameters, inputs)
        if self.normalize:
            vectors, back_length = l2_normalize(vectors)

        def backward(d_vectors: Array) -> Gradients:
            if self.normalize:
                d_vectors = back_length(d_vectors)
            d_inputs, gradients = back_hidden(d_vectors)
            inputs_gradients = (back(d) for back, d in zip(ways_back, d_inputs, strict=True))
            return add_gradients(gradients, *inputs_gradients)

        return vectors, backward

    def _input(
        self, field: Field, parameters: Parameters, values: Array | Ragged
    ) -> tuple[Array, Backward]:
        """One field's part of the tower's input: an embedding, a bag or the number itself."""
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

    def _hidden(self, parameters: Parameters, inputs: list[Array]) -> tuple[Array, InputsBackward]:
        """Concatenate and run the dense layers, with a relu between each two."""
        x, back_inputs = concatenate(inputs)
        backs = []
        for i, (name, _, _) in enumerate(self.layers):
            x, back_dense = dense(x, parameters[f"{name}.weight"], parameters[f"{name}.bias"])
            back_relu = None
            if i < len(self.layers) - 1:
                x, back_relu = relu(x)
            backs.append((name, back_dense, back_relu))
        own = self.residual
        if own is not None:
            x = x + inputs[own]

        def backward(dy: Array) -> tuple[list[Array], Gradients]:
            gradients: Gradients = {}
            dx = dy
            for name, back_dense, back_relu in reversed(backs):
                if back_relu is not None:
                    dx = back_relu(dx)
                dx, gradients[f"{name}.weight"], gradients[f"{name}.bias"] = back_dense(dx)
            d_inputs = back_inputs(dx)
            if own is not None:
                d_inputs[own] = d_inputs[own] + dy
            return d_inputs, gradients

        return x, backward


def _sum(inputs: list[Array]) -> tuple[Array, InputsBackward]:
    """All inputs are as wide as the vector: it is their sum."""
    total: Array = inputs[0] if len(inputs) == 1 else np.add.reduce(inputs)

    def backward(dy: Array) -> tuple[list[Array], Gradients]:
        return [dy] * len(inputs), {}

    return total, backward
