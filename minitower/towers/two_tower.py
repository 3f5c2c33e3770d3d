"""The two-tower model: parameters by name, and a tower for each side."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minitower.data.encoding import Features, FittedSchema
from minitower.towers.tower import Backward, Parameters, Tower

Similarity = Literal["cosine", "inner_product"]


class TwoTower:
    """A user tower and an item tower whose vectors meet in an inner product.

    Args:
        schema: the fitted schema of a data set (``data.schema``).
        dim: d, length of both vectors.
        hidden: widths of each tower's hidden layers; () sums the features, and
            with ids alone is matrix factorisation.
        similarity: "cosine" (vectors have length one) or "inner_product".
        residual: add the id's embedding to each tower's output.
        seed: of the initial parameters.
        dtype: float32 to train, float64 to check gradients.

    Attributes:
        parameters: flat dict of arrays: "user.user_id.embedding",
            "item.mlp.0.weight". Freezing, saving and comparing are operations
            on its names; training changes the arrays in place.

    Raises:
        ValueError: sizes, similarity or schema do not make a model.

    Reference: P. Huang et al., Learning Deep Structured Semantic Models, CIKM
        2013; X. Yi et al., RecSys 2019; the lecture, section 1.
    """

    def __init__(
        self,
        schema: FittedSchema,
        *,
        dim: int = 64,
        hidden: tuple[int, ...] | list[int] = (128,),
        similarity: Similarity = "cosine",
        residual: bool = False,
        seed: int = 0,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if not isinstance(schema, FittedSchema):
            raise ValueError("TwoTower needs a data set's fitted schema: pass data.schema")
        if similarity not in ("cosine", "inner_product"):
            raise ValueError(f"similarity must be cosine or inner_product, got {similarity!r}")
        scalar = np.dtype(dtype).type
        if scalar not in (np.float32, np.float64):
            raise ValueError(f"dtype must be float32 or float64, got {np.dtype(dtype)}")
        self.schema, self.dim, self.similarity = schema, dim, similarity
        self.config: dict[str, Any] = {
            "dim": dim,
            "hidden": list(hidden),
            "similarity": similarity,
            "residual": residual,
            "dtype": np.dtype(dtype).name,
        }
        options: dict[str, Any] = {
            "dim": dim,
            "hidden": tuple(hidden),
            "residual": residual,
            "normalize": similarity == "cosine",
        }
        self.user_tower = Tower("user", schema.user, **options)
        self.item_tower = Tower("item", schema.item, **options)
        rng = np.random.default_rng(seed)
        self.parameters: Parameters = {
            **self.user_tower.initial_parameters(rng, scalar),
            **self.item_tower.initial_parameters(rng, scalar),
        }

    def user(self, features: Features) -> tuple[NDArray[Any], Backward]:
        """User vectors (n,d), and the function from their gradient to the parameters'."""
        return self.user_tower(self.parameters, features)

    def item(self, features: Features) -> tuple[NDArray[Any], Backward]:
        """Item vectors (n,d), and the function from their gradient to the parameters'."""
        return self.item_tower(self.parameters, features)
