"""Nearest neighbors among items: which items a model places close together. Chapter 16."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minitower.data.interactions import Dataset
from minitower.data.table import Ragged
from minitower.evaluation.encode import encode
from minitower.evaluation.evaluator import Model
from minitower.formulas.similarity import l2_normalize
from minitower.search.index import ExactIndex


def neighbors(model: Model, data: Dataset, rows: ArrayLike, k: int = 10) -> NDArray[Any]:
    """The items with the largest cosine to each of some items, the item itself excluded.

    Shapes: (n)->(n,k), padded with -1 where the catalogue has fewer than k others.

    Args:
        rows: (n,) rows of the table of items, such as ``data.items.rows_of(ids)``.
        k: >= 1.
    """
    rows = np.asarray(rows, np.int64)
    vectors, _ = l2_normalize(encode(model.item, data.items))
    itself = Ragged.from_counts(np.ones(len(rows)), rows)
    return ExactIndex(vectors).search(vectors[rows], k, itself)[0]
