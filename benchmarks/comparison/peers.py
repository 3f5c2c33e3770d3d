"""Peers on one thread: implicit's ALS and BPR, LightFM's WARP, and baselines in closed form.

The score of a pair is the inner product of two vectors, wherever a library has vectors. A bias of
an item is one more component.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

import minitower as mt
from minitower.data.table import Ragged

from .recipe import DIM, Setting

if TYPE_CHECKING:
    from .units import Watch


class Vectors:
    """Vectors that another library has trained."""

    def __init__(self, users: np.ndarray, items: np.ndarray) -> None:
        self.of = users, items

    def vectors(self, data: mt.Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Of all users, and of all items."""
        return self.of


def clicks(data: mt.Dataset) -> Any:
    """The training clicks as a sparse matrix of ones. Shapes: ()->(users,items)"""
    shape = len(data.users), len(data.items)
    pairs = data.train.users, data.train.items
    matrix = sparse.csr_matrix((np.ones(len(data.train), np.float32), pairs), shape)
    matrix.data[:] = 1
    return matrix


def popular(data: mt.Dataset, setting: Setting, seed: int, watch: Watch) -> None:
    """Most popular."""
    watch.after_epoch(mt.PopularityScorer())


def item_knn(data: mt.Dataset, setting: Setting, seed: int, watch: Watch) -> None:
    """ItemKNN, without a share of popularity."""
    watch.after_epoch(mt.item_knn(data, **setting, popularity=0.0))


def ease(data: mt.Dataset, setting: Setting, seed: int, watch: Watch) -> None:
    """EASE, without a share of popularity."""
    watch.after_epoch(mt.ease(data, **setting, popularity=0.0))


def als(data: mt.Dataset, setting: Setting, seed: int, watch: Watch) -> None:
    """implicit's alternating least squares; an epoch is one iteration."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=DIM,
        regularization=setting["regularization"],
        alpha=setting["alpha"],
        iterations=watch.epochs,
        num_threads=1,
        random_state=seed,
    )
    _fit_implicit(model, data, watch)


def bpr(data: mt.Dataset, setting: Setting, seed: int, watch: Watch) -> None:
    """implicit's Bayesian personalized ranking; an epoch is as many draws as clicks."""
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    model = BayesianPersonalizedRanking(
        factors=DIM,
        learning_rate=setting["rate"],
        regularization=setting["regularization"],
        iterations=watch.epochs,
        num_threads=1,
        random_state=seed,
    )
    _fit_implicit(model, data, watch)


def _fit_implicit(model: Any, data: mt.Dataset, watch: Watch) -> None:
    def after(*progress: object) -> None:
        watch.after_epoch(Vectors(model.user_factors, model.item_factors))

    model.fit(clicks(data), show_progress=False, callback=after)


def warp(data: mt.Dataset, setting: Setting, seed: int, watch: Watch) -> None:
    """LightFM's WARP, with features where the split has features."""
    from lightfm import LightFM

    model = LightFM(
        no_components=DIM,
        loss="warp",
        learning_rate=setting["rate"],
        item_alpha=setting["alpha"],
        user_alpha=setting["alpha"],
        max_sampled=setting["max_sampled"],
        random_state=seed,
    )
    schema = data.schema.schema
    users = _indicators(data.users, schema.user_id.name)
    items = _indicators(data.items, schema.item_id.name)
    matrix = clicks(data)
    for _ in range(watch.epochs):
        model.fit_partial(matrix, user_features=users, item_features=items, num_threads=1)
        # score = user vector . item vector + bias of the item; the user's bias ranks nothing
        of_users = model.get_user_representations(users)[1]
        bias, of_items = model.get_item_representations(items)
        ones = np.ones((len(of_users), 1), of_users.dtype)
        watch.after_epoch(
            Vectors(np.hstack([of_users, ones]), np.hstack([of_items, bias[:, None]]))
        )


def _indicators(table: Any, id_name: str) -> Any:
    """One column for each entity, and one for each value of a feature; None: ids alone.

    Shapes: n entities->(n,n + values)
    """
    blocks: list[Any] = [sparse.identity(len(table), np.float32, format="csr")]
    for name, values in table.columns.items():
        if name == id_name:
            continue
        if isinstance(values, Ragged):
            parts = np.ones(len(values.values), np.float32), values.values, values.indptr
            blocks.append(sparse.csr_matrix(parts, (len(table), values.values.max() + 1)))
        elif np.issubdtype(values.dtype, np.integer):
            parts = np.ones(len(table), np.float32), (np.arange(len(table)), values)
            blocks.append(sparse.csr_matrix(parts, (len(table), values.max() + 1)))
    return None if len(blocks) == 1 else sparse.hstack(blocks, "csr")
