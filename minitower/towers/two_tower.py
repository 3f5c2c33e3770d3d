"""The two-tower model: parameters by name, and a tower for each side."""

from __future__ import annotations

from copy import copy
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minitower.data.encoding import Features, FittedSchema
from minitower.data.options import Option, Seed
from minitower.formulas.arguments import choice, shown, strict_integer
from minitower.towers.tower import Backward, Parameters, Tower

Similarity = Literal["cosine", "inner_product"]

MAX_WIDTH = 4096
"""The largest dim, and the widest embedding."""

MAX_HIDDEN = 2 * MAX_WIDTH
"""The widths of a tower's hidden layers together."""

MAX_DENSE_WEIGHTS = 2**23
"""Weights of a tower's dense layers together: 32 MB in float32, and some five times that with
gradients, optimizer slots and the copy of the best epoch."""


class TwoTower:
    """A user tower and an item tower whose vectors meet in an inner product.

    Args:
        schema: the fitted schema of a data set (``data.schema``).
        dim: d, length of both vectors, 1 to 4,096. An embedding is at most as wide.
        hidden: widths of each tower's hidden layers, together at most 8,192; () sums the
            features, and with ids alone is matrix factorisation. The dense layers of a tower
            hold at most 2^23 (8,388,608) weights.
        similarity: "cosine" (vectors have length one) or "inner_product".
        residual: add the id's embedding to each tower's output.
        seed: of the initial parameters.
        dtype: float32 to train, float64 to check gradients.
        parameters: of a model made before, to use instead of random ones.

    Attributes:
        parameters: flat dict of arrays: "user.user_id.embedding",
            "item.mlp.0.weight". Freezing, saving and comparing are operations
            on its names; training changes the arrays in place.
        seed: of the random parameters it began with; None: it began with others.

    Raises:
        ValueError: sizes, similarity or schema do not make a model. A size above its bound is
            refused before any memory is taken.

    Reference: P. Huang et al., Learning Deep Structured Semantic Models, CIKM
        2013; X. Yi et al., RecSys 2019; the lecture, section 1.
    """

    def __init__(
        self,
        schema: FittedSchema,
        *,
        dim: Annotated[int, Option("length of the vectors", 1, MAX_WIDTH, metavar="D")] = 64,
        hidden: Annotated[
            tuple[int, ...] | list[int],
            Option("widths of the hidden layers; '' is none", 1, MAX_HIDDEN, metavar="WIDTHS"),
        ] = (128,),
        similarity: Annotated[Similarity, Option("how the two vectors are compared")] = "cosine",
        residual: Annotated[bool, Option("add the id's embedding to each tower's output")] = False,
        seed: Seed = 0,
        dtype: DTypeLike = np.float32,
        parameters: Parameters | None = None,
    ) -> None:
        if not isinstance(schema, FittedSchema):
            raise ValueError("TwoTower needs a data set's fitted schema: pass data.schema")
        choice("similarity", similarity, ("cosine", "inner_product"))
        scalar = _scalar(dtype)
        dim = strict_integer("dim", dim, 1)
        hidden = [strict_integer("hidden", width, 1) for width in hidden]
        self.schema, self.dim, self.similarity = schema, dim, similarity
        self.config: dict[str, Any] = {
            "dim": dim,
            "hidden": hidden,
            "similarity": similarity,
            "residual": residual,
            "dtype": np.dtype(scalar).name,
        }
        self.user_tower, self.item_tower = towers = _towers(schema, self.config)
        for tower in towers:
            _check_size(tower, tuple(hidden))
        self.parameters: Parameters
        self.seed = seed if parameters is None else None
        if parameters is None:
            rng = np.random.default_rng(strict_integer("seed", seed, 0))
            self.parameters = {
                **self.user_tower.initial_parameters(rng, scalar),
                **self.item_tower.initial_parameters(rng, scalar),
            }
            return
        made = {name: (p.shape, p.dtype) for name, p in parameters.items()}
        shapes = self.user_tower.shapes() | self.item_tower.shapes()
        if made != {name: (shape, np.dtype(scalar)) for name, shape in shapes.items()}:
            raise ValueError("the names, shapes and types of the parameters are not the model's")
        self.parameters = parameters

    def grown(self, schema: FittedSchema, *, seed: int = 0) -> TwoTower:
        """A copy of this model for a schema whose vocabularies have grown.

        What has a row keeps it; a new row is a copy of row 0, which has stood for the value
        until now: see :meth:`Tower.grown_parameters`.

        Args:
            schema: a later one, as :func:`~minitower.data.days.next_day` makes it.
            seed: of what is drawn where row 0 is no beginning.

        Raises:
            ValueError: the schema does not continue this model's, or the seed is no integer.
        """
        if not schema.continues(self.schema):
            raise ValueError(
                "the schema does not continue the model's; make it by next_day() of the data "
                "that the model was trained on"
            )
        rng = np.random.default_rng(strict_integer("seed", seed, 0))
        model = copy(self)
        model.schema, model.seed = schema, None
        model.user_tower, model.item_tower = towers = _towers(schema, self.config)
        users, items = (tower.grown_parameters(self.parameters, rng) for tower in towers)
        model.parameters = {**users, **items}
        return model

    def fresh(self, schema: FittedSchema) -> TwoTower:
        """A model of the same configuration and seed for another schema, as before training.

        Raises:
            ValueError: this model did not begin with random parameters.
        """
        if self.seed is None:
            raise ValueError(
                "the model did not begin with random parameters, so it cannot begin again; "
                "make a TwoTower for the new data"
            )
        return TwoTower(schema, **self.config, seed=self.seed)

    def user(self, features: Features) -> tuple[NDArray[Any], Backward]:
        """User vectors (n,d), and the function from their gradient to the parameters'."""
        return self.user_tower(self.parameters, features)

    def item(self, features: Features) -> tuple[NDArray[Any], Backward]:
        """Item vectors (n,d), and the function from their gradient to the parameters'."""
        return self.item_tower(self.parameters, features)


def _scalar(dtype: DTypeLike) -> type[np.floating[Any]]:
    """The type of the parameters."""
    try:
        scalar = np.dtype(dtype).type
    except (TypeError, ValueError):  # NumPy does not know this name
        scalar = None
    if scalar not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {shown(dtype)}")
    return scalar


def _towers(schema: FittedSchema, config: dict[str, Any]) -> tuple[Tower, Tower]:
    options: dict[str, Any] = {
        "dim": config["dim"],
        "hidden": tuple(config["hidden"]),
        "residual": config["residual"],
        "normalize": config["similarity"] == "cosine",
    }
    return Tower("user", schema.user, **options), Tower("item", schema.item, **options)


def _check_size(tower: Tower, hidden: tuple[int, ...]) -> None:
    """Refuse a tower that would take more memory than a model of this package needs."""
    widest = max(tower.dim, *(width for _, width in tower.tables.values()), 0)
    weights = sum(rows * columns for _, rows, columns in tower.layers)
    for what, size, most in (
        ("dim and the widths of embeddings", widest, MAX_WIDTH),
        ("the hidden widths together", sum(hidden), MAX_HIDDEN),
        (f"the dense weights of the {tower.name} tower", weights, MAX_DENSE_WEIGHTS),
    ):
        if size > most:
            raise ValueError(f"{what} must be at most {most:,}, got {size:,}; lower dim or hidden")
