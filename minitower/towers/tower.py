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

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minitower.data.encoding import Features, SideEncoder
from minitower.data.ragged import Ragged
from minitower.data.schema import Id, MultiValued
from minitower.formulas.similarity import l2_normalize
from minitower.towers.gradients import Gradients, add_gradients
from minitower.towers.layers import concatenate, dense, embedding, embedding_bag, relu

Array = NDArray[Any]
Parameters = dict[str, Array]
Backward = Callable[[Array], Gradients]

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
        self.name, self.dim, self.normalize = name, dim, normalize
        self.fields = encoder.inputs
        if not self.fields:
            raise ValueError(f"the {name} tower has no feature: embed the id or add a field")
        self.widths = {f.name: self._width(f, encoder, hidden) for f in self.fields}
        self.table_rows = {
            f.name: encoder.cardinality(f.name) for f in self.fields if encoder.is_embedded(f.name)
        }
        self.learned_default = {n for n, rate in encoder.default_rates().items() if rate > 0}
        self.numbers = [f.name for f in self.fields if f.name not in self.table_rows]
        self.id = next((f.name for f in self.fields if isinstance(f, Id)), None)
        names = [f.name for f in self.fields]
        self.residual = names.index(self.id) if residual and self.id else None
        if residual and (not hidden or self.id is None or self.widths[self.id] != dim):
            raise ValueError(
                f"the {name} tower's residual path needs hidden layers and an embedded id "
                f"of width {dim}"
            )
        for field, width in self.widths.items():
            if not hidden and field in self.table_rows and width != dim:
                raise ValueError(
                    f"without hidden layers features are summed, so '{field}' must be "
                    f"{dim} wide, not {width}"
                )
        # Dense layers, as (name, rows, columns). Without hidden layers only numbers need one.
        if hidden:
            sizes = [sum(self.widths.values()), *hidden, dim]
            self.layers = [(f"{name}.mlp.{i}", a, b) for i, (a, b) in enumerate(pairwise(sizes))]
        else:
            self.layers = []
        self.summed = not hidden

    def _width(self, field: Any, encoder: SideEncoder, hidden: tuple[int, ...]) -> int:
        if not encoder.is_embedded(field.name):
            return 1
        default = self.dim if isinstance(field, Id) or not hidden else CATEGORICAL_DIM
        return field.dim or default

    def initial_parameters(self, rng: np.random.Generator, dtype: Any) -> Parameters:
        """Random parameters under which every layer keeps the scale of its input.

        Embedding rows have length about one. Weights before a relu are normal
        with variance 2 / fan-in (He et al., 2015), the last with 1 / fan-in;
        biases are zero. A default row that training never shows starts, and
        stays, at zero: nothing is known.
        """
        parameters: Parameters = {}
        for field, rows in self.table_rows.items():
            width = self.widths[field]
            table = rng.standard_normal((rows, width), dtype) / dtype(np.sqrt(width))
            if field not in self.learned_default:
                table[0] = 0
            parameters[f"{self.name}.{field}.embedding"] = table
        if self.summed:
            for field in self.numbers:
                scale = dtype(np.sqrt(self.dim))
                weight = rng.standard_normal((1, self.dim), dtype) / scale
                parameters[f"{self.name}.{field}.weight"] = weight
        for i, (name, rows, columns) in enumerate(self.layers):
            gain = 1 if i == len(self.layers) - 1 else 2
            weight = rng.standard_normal((rows, columns), dtype) * dtype(np.sqrt(gain / rows))
            parameters[f"{name}.weight"] = weight
            parameters[f"{name}.bias"] = np.zeros(columns, dtype)
        return parameters

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
        self, field: Any, parameters: Parameters, values: Array | Ragged
    ) -> tuple[Array, Backward]:
        """One field's part of the tower's input: an embedding, a bag or the number itself."""
        if field.name in self.table_rows:
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

    def _hidden(self, parameters: Parameters, inputs: list[Array]) -> Any:
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


def _sum(inputs: list[Array]) -> Any:
    """All inputs are as wide as the vector: it is their sum."""
    total = inputs[0] if len(inputs) == 1 else np.add.reduce(inputs)

    def backward(dy: Array) -> tuple[list[Array], Gradients]:
        return [dy] * len(inputs), {}

    return total, backward
