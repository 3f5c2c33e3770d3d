"""Engines: adapters to the libraries that search points on the sphere. Chapters 5 and 20.

An engine builds, searches, saves and opens an index of its library. Everything that all
engines share stands in :mod:`minitower.search.approximate`.

Each engine has one number that trades time for recall, its search effort: `ef` of a graph,
`nprobe` of lists, leaves of a tree.

The points rank like scores. Cosine models have unit vectors already. For inner products, every
item gets one more coordinate that makes all items equally long:

    b' = [b, sqrt(M^2 - |b|^2)] / M,   a' = [a, 0] / |a|,   M = max |b|

so that <a', b'> = <a, b> / (M |a|) ranks like <a, b>. On raw inner products, which obey no
triangle inequality, a graph misses many of the best items.

Reference: Bachrach et al., Speeding up the Xbox recommender system using a Euclidean
    transformation for inner-product spaces, RecSys 2014.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from minitower.data.errors import DataError
from minitower.formulas.arguments import choice
from minitower.formulas.arrays import Rows, Scores, Vectors
from minitower.formulas.similarity import l2_normalize
from minitower.search.index import SearchResult, lengths_of

Similarity = Literal["cosine", "inner_product"]
Points = NDArray[np.float32]
"""Vectors of length one (or zero), (n,w)."""


class VerifiedFolder(Protocol):
    """A folder of verified files, such as a version of a store.

    The keys of `files` are the names.
    """

    folder: Path
    files: dict[str, Any]

    def path(self, name: str) -> Path:
        """The path of a file, after its checksum has been verified."""
        ...


class Engine(ABC):
    """An adapter to a library.

    Attributes:
        name: in :data:`~minitower.search.approximate.ENGINES` and in manifests.
        module: the module to import.
        pooled: True if the engine scores again a pool in proportion to the size of the
            list. Then a shorter list has a lower recall.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    pooled: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def library() -> Any:
        """The library, imported.

        Raises:
            ModuleNotFoundError: it is not installed; names the extra.
        """

    @classmethod
    @abstractmethod
    def build(cls, points: Points, *, seed: int) -> Self:
        """Index points (m,w). Further keywords are options of the engine."""

    def effort_ladder(self, k: int) -> Sequence[int]:
        """The search efforts to try for a list of k, ascending; (0,) without a choice."""
        return (0,)

    @abstractmethod
    def search(self, points: Points, size: int, effort: int) -> SearchResult:
        """Rows (n,size) int64, best first, -1 where none was found; and scores, float32."""

    def points(self, rows: Rows) -> Points | None:
        """The points (n,w) that the engine holds at these rows; None if it cannot say."""
        return None

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the files of the engine.

        Raises:
            OSError: a file cannot be written.
        """

    @classmethod
    @abstractmethod
    def open(cls, saved: VerifiedFolder, shape: tuple[int, int]) -> Self:
        """The engine that `save` wrote, for (m,w) points.

        Raises:
            DataError: this release of the library cannot read the file, or the file holds
                other points.
        """


def imported(module: str, missing: str) -> Any:
    """A library.

    Raises:
        ModuleNotFoundError: the library cannot be imported; the message is `missing`.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ModuleNotFoundError(missing, name=module) from None


def doubling(first: int, last: int) -> Sequence[int]:
    """first, 2 first, 4 first, ..., and the last.

    >>> doubling(3, 20)
    [3, 6, 12, 20]
    """
    steps = []
    while first < last:
        steps.append(first)
        first *= 2
    return [*steps, last]


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
