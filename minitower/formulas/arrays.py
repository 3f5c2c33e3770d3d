"""The names of the array types, and the distinct values of an array. Chapter 2.

In the losses n counts pairs or rows, m candidates and d dimensions. Other letters belong to their
file: k counts negatives of a row in a loss, ranks in a metric, fields in a view.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
"""An array of any type."""

Floats = NDArray[np.floating[Any]]
"""Real numbers; float32, float64 or longdouble."""

Vectors = Floats
"""(n,d), one vector a row."""

Scores = Floats
"""(n) or (n,m), one score for each pair of a user and an item."""

Integers = NDArray[np.integer[Any]]
"""Integers of any width."""

Rows = NDArray[np.int64]
"""Row numbers of a table, or column numbers of a matrix."""

Counts = Integers
"""How often, >= 0."""

Ids = NDArray[Any]
"""Integers or strings that are only compared."""

Mask = NDArray[np.bool_]
"""Booleans."""


def distinct(values: Integers) -> Integers:
    """The distinct values, sorted.

    NumPy sorts where counts are asked for. Otherwise it hashes, which takes ten times as long.

    >>> distinct(np.array([7, 3, 7]))
    array([3, 7])
    """
    found: Integers = np.unique(values, return_counts=True)[0]
    return found
