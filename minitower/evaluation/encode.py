"""Encode every user, or every item, by its tower. Chapter 5."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minitower.data.errors import DataError
from minitower.data.feature_encoder import FeatureEncoders
from minitower.data.table import Features, Table
from minitower.formulas import arguments
from minitower.formulas.arrays import Array, Vectors
from minitower.formulas.threads import ordered_map

Tower = Callable[[Features], tuple[Array, Any]]

BLOCK = 4096
"""Rows of one call of a tower. The size is fixed because BLAS chooses kernels by size: a row that
is encoded among other rows may differ in its last bit."""


def encode(tower: Tower, table: Table, rows: Array | None = None) -> Vectors:
    """The vectors of a whole table, or of some of its rows.

    Shapes: n rows of features->(n,d)

    Args:
        tower: `model.user` or `model.item`. It may run on several threads at once
            (:func:`~minitower.formulas.threads.use_threads`).
        table: the encoded entities, `data.users` or `data.items`.
        rows: (n,) rows of the table, in any order; None is all.

    Raises:
        ValueError: a row is not an integer, or is not in the table; or the vectors are not
            real numbers.
    """
    n = len(table)
    rows = np.arange(n) if rows is None else _checked_rows(rows, n)
    starts = range(0, max(len(rows), 1), BLOCK)  # zero rows still have a width
    vectors = ordered_map(lambda s: tower(table.take(rows[s : s + BLOCK]))[0], starts)
    return arguments.as_floats("vectors", np.concatenate(list(vectors)))


def _checked_rows(rows: Array, n: int) -> Array:
    rows = arguments.as_rows("rows", rows, n)
    if rows.ndim != 1:
        raise ValueError(f"rows must be of shape (n,), got {rows.shape}")
    return rows


def encode_sample(tower: Tower, table: Table, size: int = 1000) -> Vectors:
    """Vectors of at most `size` rows, the same ones in every call. Shapes: ()->(<=size,d)."""
    rows = np.random.default_rng(0).permutation(len(table))[:size]
    return encode(tower, table, np.sort(rows))


def check_same_schema(model: FeatureEncoders, data: FeatureEncoders) -> None:
    """Check that the rows of the data stand for the values that the model was trained on.

    Raises:
        DataError: a field, vocabulary or statistic of the two differs.
    """
    if model is data:
        return
    (ours, our_arrays), (theirs, their_arrays) = model.to_state(), data.to_state()
    same = ours == theirs and our_arrays.keys() == their_arrays.keys()
    if not same or not all(np.array_equal(a, their_arrays[k]) for k, a in our_arrays.items()):
        raise DataError(
            "the model and the data were not fitted together (other fields, other vocabularies "
            "or another split); read the data as for training"
        )
