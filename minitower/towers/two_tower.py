"""The two-tower model: parameters by name, and a tower for each side. Chapter 2."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import DTypeLike

from minitower.data.feature_encoder import FeatureEncoders
from minitower.data.histories import clicks_before, with_histories
from minitower.data.interactions import Dataset
from minitower.data.options import Option, Seed
from minitower.data.table import Features, Table
from minitower.formulas.arguments import choice, shown, strict_integer
from minitower.formulas.arrays import Array
from minitower.towers.tower import Backward, Parameters, Tower
from minitower.towers.user_history import (
    HistoryInput,
    UserHistory,
    as_history,
    read_history_option,
)

Similarity = Literal["cosine", "inner_product"]

MAX_WIDTH = 4096
"""Bound on dim and on the width of an embedding."""

MAX_HIDDEN = 2 * MAX_WIDTH
"""Bound on the sum of a tower's hidden widths."""

MAX_DENSE_WEIGHTS = 2**23
"""Bound on the weights of a tower's dense layers: 32 MB in float32, and about five times that
with gradients, optimizer slots and the copy of the best epoch."""


class TwoTower:
    """A user tower and an item tower whose vectors meet in an inner product.

    Args:
        encoders: the feature encoders of a data set (``data.schema``).
        dim: d, length of both vectors, 1 to 4,096. An embedding is at most as wide.
        hidden: widths of each tower's hidden layers, at most 8,192 in sum; () sums the
            features, which for ids alone is matrix factorization. The dense layers of a
            tower hold at most 2^23 (8,388,608) weights.
        similarity: "cosine" (vectors of length one) or "inner_product".
        residual: add the id's embedding to each tower's output.
        history: what the user tower reads of the user's clicks, such as ``UserHistory(50)``;
            None: nothing.
        seed: seed of the initial parameters.
        dtype: float32 to train, float64 to check gradients.
        parameters: parameters of another model, in place of random ones.

    Attributes:
        parameters: flat dict of arrays such as "user.user_id.embedding" and
            "item.mlp.0.weight". Freezing, saving and comparing are operations on the names.
            Training changes the arrays in place.
        seed: seed of the initial parameters; None if they were not random.
        start: "random", or "spectral" if :func:`~minitower.training.spectral_start.spectral_start`
            replaced the random embeddings of ids.
    Raises ValueError: sizes, similarity or encoders do not make a model. A size above its bound is
        refused before any memory is taken.

    Reference: P. Huang et al., Learning Deep Structured Semantic Models, CIKM 2013; X. Yi et al.,
        RecSys 2019; lecture, section 1; docs/02.
    """

    def __init__(
        self,
        encoders: FeatureEncoders,
        *,
        dim: Annotated[int, Option("length of the vectors", 1, MAX_WIDTH, metavar="D")] = 64,
        hidden: Annotated[
            tuple[int, ...] | list[int],
            Option("widths of the hidden layers; '' for no layer", 1, MAX_HIDDEN, metavar="WIDTHS"),
        ] = (128,),
        similarity: Annotated[Similarity, Option("how the two vectors are compared")] = "cosine",
        residual: Annotated[bool, Option("add the id's embedding to each tower's output")] = False,
        history: Annotated[
            UserHistory | Mapping[str, Any] | None,
            Option(
                "the user tower reads the last K clicks of the user: their mean, or :sum; of the "
                "item tower's table of ids, or its :own; in training those before a click, or all "
                ":others; none: no history (default: none)",
                parse=read_history_option,
                metavar="K[:POOL][:TABLE][:CLICKS]",
            ),
        ] = None,
        seed: Seed = 0,
        dtype: DTypeLike = np.float32,
        parameters: Parameters | None = None,
    ) -> None:
        if not isinstance(encoders, FeatureEncoders):
            raise ValueError("TwoTower needs a data set's feature encoders: pass data.schema")
        choice("similarity", similarity, ("cosine", "inner_product"))
        scalar = _scalar(dtype)
        dim = strict_integer("dim", dim, 1)
        hidden = [strict_integer("hidden", width, 1) for width in hidden]
        self.encoders, self.dim, self.similarity = encoders, dim, similarity
        self.config: dict[str, Any] = {
            "dim": dim,
            "hidden": hidden,
            "similarity": similarity,
            "residual": residual,
            "dtype": np.dtype(scalar).name,
        }
        self.history = as_history(history)
        if self.history is not None:
            self.config["history"] = self.history.to_json()
        self.user_tower, self.item_tower = towers = _towers(encoders, self.config)
        for tower in towers:
            _check_size(tower, tuple(hidden))
        self.seed = seed if parameters is None else None
        self.start: Literal["random", "spectral"] = "random"
        if parameters is None:
            rng = np.random.default_rng(strict_integer("seed", seed, 0))
            users, items = (tower.initial_parameters(rng, scalar) for tower in towers)
            parameters = {**users, **items}
        else:
            _check_parameters(parameters, towers, scalar)
        self.parameters: Parameters = parameters

    def user(self, features: Features) -> tuple[Array, Backward]:
        """Compute user vectors (n,d), and the function from their gradient to the parameters'."""
        return self.user_tower(self.parameters, features)

    def item(self, features: Features) -> tuple[Array, Backward]:
        """Compute item vectors (n,d), and the function from their gradient to the parameters'."""
        return self.item_tower(self.parameters, features)

    def users(self, data: Dataset, before: str = "all") -> Table:
        """The users of a data set as the user tower reads them, histories included.

        Args:
            data: the data set.
            before: the split that histories end before, "train", "valid" or "test"; "all" ends
                them with the newest click.
        """
        if self.history is None:
            return data.users
        return with_histories(data.users, clicks_before(data, before), self.history.last)

    def extended(self, encoders: FeatureEncoders, *, seed: int = 0) -> TwoTower:
        """Copy this model for encoders with larger vocabularies.

        Known values keep their rows. A new row is a copy of row 0, the default embedding; see
        :meth:`Tower.extended_parameters`.

        Args:
            encoders: those of a later day, made by :func:`~minitower.data.days.next_day`.
            seed: seed of new rows where row 0 cannot be copied.
        Raises ValueError: the encoders do not continue this model's, or the seed is not an
            integer.
        """
        if not encoders.continues(self.encoders):
            raise ValueError(
                "the encoders do not continue the model's; make them by next_day() of the data "
                "that the model was trained on"
            )
        rng = np.random.default_rng(strict_integer("seed", seed, 0))
        model = copy(self)
        model.encoders, model.seed = encoders, None
        model.user_tower, model.item_tower = towers = _towers(encoders, self.config)
        users, items = (tower.extended_parameters(self.parameters, rng) for tower in towers)
        model.parameters = {**users, **items}
        return model

    def fresh(self, encoders: FeatureEncoders) -> TwoTower:
        """Make an untrained model of the same configuration and seed for other encoders.

        Raises ValueError: this model did not begin with random parameters.
        """
        if self.seed is None:
            raise ValueError(
                "the model did not begin with random parameters, so it cannot begin again; "
                "make a TwoTower for the new data"
            )
        return TwoTower(encoders, **self.config, seed=self.seed)


def _scalar(dtype: DTypeLike) -> type[np.floating[Any]]:
    """The type of the parameters."""
    try:
        scalar = np.dtype(dtype).type
    except (TypeError, ValueError):  # NumPy does not know this name
        scalar = None
    if scalar not in (np.float32, np.float64):
        raise ValueError(f"dtype must be float32 or float64, got {shown(dtype)}")
    return scalar


def _towers(encoders: FeatureEncoders, config: dict[str, Any]) -> tuple[Tower, Tower]:
    options: dict[str, Any] = {
        "dim": config["dim"],
        "hidden": tuple(config["hidden"]),
        "residual": config["residual"],
        "normalize": config["similarity"] == "cosine",
    }
    item_tower, history = Tower("item", encoders.item, **options), None
    if (how := as_history(config.get("history"))) is not None:
        history = _history_input(how, encoders, item_tower)
    return Tower("user", encoders.user, **options, history=history), item_tower


def _history_input(how: UserHistory, encoders: FeatureEncoders, items: Tower) -> HistoryInput:
    key = encoders.schema.item_id.name
    rows, width = items.tables.get(key, (encoders.item.cardinality(key), items.dim))
    if how.table == "item" and key not in items.tables:
        raise ValueError(
            f"the item tower does not embed '{key}', so a history has no table to read; "
            'take UserHistory(table="own"), or embed the id'
        )
    return HistoryInput(how, f"item.{key}.embedding", rows, width)


def _check_parameters(
    parameters: Parameters, towers: tuple[Tower, Tower], scalar: type[np.floating[Any]]
) -> None:
    expected = {name: shape for tower in towers for name, shape in tower.shapes().items()}
    dtype = np.dtype(scalar)
    if {name: (array.shape, array.dtype) for name, array in parameters.items()} != {
        name: (shape, dtype) for name, shape in expected.items()
    }:
        raise ValueError("the names, shapes and types of the parameters are not the model's")


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
