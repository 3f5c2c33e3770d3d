"""Points on the unit sphere that rank like scores: what an engine indexes and searches.

Cosine models have unit vectors already. For inner products, every item gets one more
coordinate that makes all items equally long:

    b' = [b, sqrt(M^2 - |b|^2)] / M,   a' = [a, 0] / |a|,   M = max |b|

so that <a', b'> = <a, b> / (M |a|) ranks like <a, b>. On raw inner products, which obey no
triangle inequality, a graph misses many of the best items.

Reference: Bachrach et al., Speeding up the Xbox recommender system using a Euclidean
    transformation for inner-product spaces, RecSys 2014.

Chapters 5 and 20.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from minitower.data.errors import DataError
from minitower.formulas.arguments import choice
from minitower.formulas.arrays import Scores, Vectors
from minitower.formulas.similarity import l2_normalize
from minitower.search.index import lengths_of

Similarity = Literal["cosine", "inner_product"]
Points = NDArray[np.float32]
"""Vectors of length one (or zero), (n,w)."""


def item_points(vectors: Vectors, similarity: Similarity, radius: float | None = None) -> Points:
    """Item vectors as points that rank like the scores of the items.

    Shapes: (m,d)->(m,d) for cosine, (m,d)->(m,d+1) for inner products.

    Args:
        radius: the length M of the longest item, where `vectors` are only some of the items.

    Raises:
        DataError: a vector for cosine is neither zero nor of length one.

    >>> item_points(np.array([[3.0, 4.0], [0.0, 3.0]]), "inner_product")
    array([[0.6, 0.8, 0. ],
           [0. , 0.6, 0.8]], dtype=float32)
    """
    choice("similarity", similarity, ("cosine", "inner_product"))
    lengths = lengths_of(vectors)
    if similarity == "cosine":
        check_length_one("item vector", lengths)
        return vectors.astype(np.float32, copy=False)
    radius = np.float64(radius or lengths.max() or 1.0)  # NumPy's own: divides in float64
    rest = np.sqrt(np.maximum(1 - (lengths / radius) ** 2, 0))
    return np.column_stack([vectors / radius, rest]).astype(np.float32)


def query_points(queries: Vectors, similarity: Similarity) -> Points:
    """Queries as points. Shapes: (n,d)->(n,d) for cosine, (n,d)->(n,d+1) for inner products."""
    # Only the direction of a query counts. hnswlib returns 1 - product in float32: of a query
    # that is much shorter than one, all distances would round to 1.
    if (np.abs(np.einsum("nd,nd->n", queries, queries) - 1) > 0.5).any():
        queries = l2_normalize(queries, epsilon=0.0)[0]
    if similarity == "inner_product":
        queries = np.hstack([queries, np.zeros((len(queries), 1), queries.dtype)])
    return np.ascontiguousarray(queries, np.float32)


def check_length_one(what: str, lengths: Scores) -> None:
    """Refuse vectors for cosine that are neither zero nor of length one.

    Args:
        what: what to call a vector, such as "query".
        lengths: (n,) of the vectors.

    Raises:
        DataError: names the first vector of another length.
    """
    off = (np.abs(lengths - 1) > 1e-3) & (lengths > 0)
    if off.any():
        raise DataError(
            f"{what} {int(off.argmax())} has length {lengths[off.argmax()]:.4g}; "
            "cosine needs vectors of length one"
        )


def longest(vectors: Vectors) -> float:
    """The length of the longest vector. Shapes: (m,d)->()"""
    return float(lengths_of(vectors).max())
