"""Engines: libraries that search points on the unit sphere; and hnswlib's graph.

An engine is an adapter to one library: build, search, save, open. Everything that all
engines share stands in :mod:`minitower.search.approximate`.

Cosine models have unit vectors already. For inner products, every item gets one more
coordinate that makes all items equally long:

    b' = [b, sqrt(M^2 - |b|^2)] / M,   a' = [a, 0] / |a|,   M = max |b|

so that <a', b'> = <a, b> / (M |a|) ranks like <a, b>. On raw inner products, which obey no
triangle inequality, a graph misses many of the best items.

Reference: Bachrach et al., Speeding up the Xbox recommender system using a Euclidean
    transformation for inner-product spaces, RecSys 2014.
"""

import importlib
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from minitower.data.errors import DataError
from minitower.formulas.arguments import LARGEST, choice, strict_integer
from minitower.formulas.similarity import l2_normalize
from minitower.search.index import Rows, Scores, SearchResult, Vectors

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
    lengths = _lengths(vectors)
    if similarity == "cosine":
        off = (np.abs(lengths - 1) > 1e-3) & (lengths > 0)
        if off.any():
            raise DataError(
                f"item vector {int(off.argmax())} has length {lengths[off.argmax()]:.4g}; "
                "cosine needs vectors of length one"
            )
        return vectors.astype(np.float32, copy=False)
    radius = np.float64(radius or lengths.max() or 1.0)  # NumPy's own: divides in float64
    rest = np.sqrt(np.maximum(1 - (lengths / radius) ** 2, 0))
    return np.column_stack([vectors / radius, rest]).astype(np.float32)


def query_points(queries: Vectors, similarity: Similarity) -> Points:
    """Queries as points. Shapes: (n,d)->(n,d) for cosine, (n,d)->(n,d+1) for inner products."""
    # Only the direction of a query counts. The 1 - product of a graph must not lose it.
    if (np.abs(np.einsum("nd,nd->n", queries, queries) - 1) > 0.5).any():
        queries = l2_normalize(queries, epsilon=0.0)[0]
    if similarity == "inner_product":
        queries = np.hstack([queries, np.zeros((len(queries), 1), queries.dtype)])
    return np.ascontiguousarray(queries, np.float32)


def longest(vectors: Vectors) -> float:
    """The length of the longest vector. Shapes: (m,d)->()"""
    return float(_lengths(vectors).max())


def _lengths(vectors: Vectors) -> Scores:
    lengths: Scores = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return lengths


class Files(Protocol):
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
            list; a shorter list then has a lower recall.
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

    def efforts(self, k: int) -> Sequence[int]:
        """The search efforts for a list of k, ascending; (0,) for an engine without a choice."""
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
    def open(cls, saved: Files, shape: tuple[int, int]) -> Self:
        """The engine that `save` wrote, for (m,w) points.

        Raises:
            DataError: this release of the library cannot read the file, or the file holds
                other points.
        """


class Hnsw(Engine):
    """hnswlib's graph. The effort is `ef`, the length of the candidate list.

    Reference: Malkov and Yashunin, Efficient and robust approximate nearest neighbor
        search using Hierarchical Navigable Small World graphs, TPAMI 2018.
    """

    name = "hnsw"
    module = "hnswlib"

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._lock = threading.Lock()  # ef is a state of the graph

    @staticmethod
    def library() -> Any:
        return imported("hnswlib", "hnswlib is missing: pip install hnswlib")

    @classmethod
    def build(
        cls,
        points: Points,
        *,
        seed: int = 0,
        neighbors: int = 16,
        ef_construction: int = 200,
        threads: int = 1,
    ) -> Self:
        """Insert the points.

        Args:
            points: (m,w).
            seed: of the random layers, >= 0.
            neighbors: links of an item on the upper layers (M), 2..100; twice as many on
                the ground layer.
            ef_construction: the candidate list while inserting, >= neighbors.
            threads: with more than one, the graph differs from run to run.

        Raises:
            ValueError: an option is outside its domain.
            ModuleNotFoundError: hnswlib is not installed.
        """
        strict_integer("neighbors", neighbors, 2, 100)
        strict_integer("ef_construction", ef_construction, neighbors, LARGEST)
        strict_integer("threads", threads, 1, LARGEST)
        graph = cls.library().Index(space="ip", dim=points.shape[1])
        graph.init_index(
            len(points), M=neighbors, ef_construction=ef_construction, random_seed=seed
        )
        graph.add_items(points, np.arange(len(points)), num_threads=threads)
        return cls(graph)

    def efforts(self, k: int) -> Sequence[int]:
        return doubling(k, self._graph.element_count)

    def search(self, points: Points, size: int, effort: int) -> SearchResult:
        with self._lock:
            self._graph.set_ef(max(effort, size))
            try:
                labels, distances = self._graph.knn_query(points, k=size)
                return labels.astype(np.int64), 1 - distances
            except RuntimeError as error:
                if "contiguous 2D array" not in str(error):
                    raise
        # The graph found too few for one query, and does not say for which: halve the batch.
        if len(points) == 1:
            return np.full((1, size), -1), np.full((1, size), -np.inf, np.float32)
        half = len(points) // 2
        parts = [self.search(part, size, effort) for part in (points[:half], points[half:])]
        return np.vstack([p[0] for p in parts]), np.vstack([p[1] for p in parts])

    def points(self, rows: Rows) -> Points:
        try:
            held: Points = self._graph.get_items(rows)
        except RuntimeError as error:
            raise DataError(f"index.hnsw is not the graph of these item vectors: {error}") from None
        return held

    def save(self, folder: Path) -> None:
        path = folder / "index.hnsw"
        self._graph.save_index(str(path))
        written, size = path.stat().st_size, self._graph.index_file_size()
        if written < size:  # hnswlib does not check
            raise OSError(f"the disk took {written} of the {size} bytes of the graph: is it full?")

    @classmethod
    def open(cls, saved: Files, shape: tuple[int, int]) -> Self:
        path, (m, width) = saved.path("index.hnsw"), shape
        graph = cls.library().Index(space="ip", dim=width)
        try:
            _check_width(path, width)
            graph.load_index(str(path), max_elements=m)
            if not 0 < m == graph.element_count:
                raise RuntimeError(f"{graph.element_count} points")
        except (RuntimeError, struct.error) as error:
            raise DataError(
                f"{path} is not the graph of these {m} item vectors, or hnswlib cannot read it: "
                f"{error}"
            ) from None
        return cls(graph)


def _check_width(path: Path, width: int) -> None:
    """Refuse a graph of other points: hnswlib would read past the end of them.

    The file begins with six 64-bit sizes. A point lies between the data offset (the sixth)
    and the label offset (the fifth) of an element.
    """
    with path.open("rb") as file:
        *_, label, data = struct.unpack("<6Q", file.read(48))
    if label - data != 4 * width:
        raise RuntimeError(f"vectors of {label - data} bytes instead of {4 * width}")


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
