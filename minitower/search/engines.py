"""What searches (m,d) unit vectors in this process, by row; and hnswlib and NumPy as such.

An engine is a library and nothing else: ids, refusals, exclusion, files and measuring are
the same for all of them, and are in :mod:`minitower.store.local_index`.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import hnswlib
import numpy as np

from minitower.data.errors import DataError
from minitower.formulas.arrays import Rows
from minitower.search.files import Files
from minitower.search.hnsw import write_graph
from minitower.search.index import ExactIndex
from minitower.search.vector_index import Cosines, Unit

Nearest = tuple[Rows, Cosines]


class Engine(ABC):
    """A library that finds rows.

    Attributes:
        module: what must be installed for it.
        complete: whether it finds as many rows as asked for, up to all of them.
    """

    module: ClassVar[str]
    complete: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def build(cls, vectors: Unit, *, seed: int) -> Self:
        """The engine of these vectors. Options of a kind are further keywords."""

    def efforts(self, k: int) -> Sequence[int]:
        """How hard a search for k may try, ascending; by default there is no choice."""
        return (0,)

    @abstractmethod
    def search(self, queries: Unit, size: int, effort: int) -> Nearest:
        """Rows (n,size) int64, best first and -1 behind the last, and their cosines."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write whatever `open` needs besides the vectors.

        Raises:
            OSError: it cannot be written.
        """

    @classmethod
    @abstractmethod
    def open(cls, saved: Files, vectors: Unit) -> Self:
        """The engine that `save` wrote, whose vectors were these.

        Raises:
            DataError: this release of the library cannot read it.
        """


class Exact(Engine):
    """Every item for every query."""

    module = "numpy"
    complete = True

    def __init__(self, vectors: Unit) -> None:
        self._index = ExactIndex(vectors)

    @classmethod
    def build(cls, vectors: Unit, *, seed: int = 0) -> Self:
        return cls(vectors)

    def search(self, queries: Unit, size: int, effort: int) -> Nearest:
        rows, cosines = self._index.search(queries, size)
        return rows, cosines.astype(np.float32)

    def save(self, folder: Path) -> None:
        """The vectors are all there is."""

    @classmethod
    def open(cls, saved: Files, vectors: Unit) -> Self:
        return cls(vectors)


class Hnsw(Engine):
    """hnswlib's graph. The effort is `ef`, the length of the candidate list.

    Inserted on several threads the graph is another one each time.
    """

    module = "hnswlib"

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._lock = threading.Lock()  # ef is a state of the graph

    @classmethod
    def build(
        cls,
        vectors: Unit,
        *,
        seed: int = 0,
        neighbours: int = 16,
        ef_construction: int = 200,
        threads: int = 1,
    ) -> Self:
        graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
        graph.init_index(len(vectors), neighbours, ef_construction, seed)
        graph.add_items(vectors, np.arange(len(vectors)), num_threads=threads)
        return cls(graph)

    def efforts(self, k: int) -> Sequence[int]:
        return doubling(k, self._graph.element_count)

    def search(self, queries: Unit, size: int, effort: int) -> Nearest:
        with self._lock:
            self._graph.set_ef(max(effort, size))
            try:
                labels, distances = self._graph.knn_query(queries, size)
                return labels.astype(np.int64), 1 - distances
            except RuntimeError as error:
                if "contiguous 2D array" not in str(error):
                    raise
        # It came back short for one query and does not say for which: halve until it is alone.
        if len(queries) == 1:
            return np.full((1, size), -1), np.full((1, size), -np.inf, np.float32)
        half = len(queries) // 2
        parts = [self.search(q, size, effort) for q in (queries[:half], queries[half:])]
        return np.vstack([p[0] for p in parts]), np.vstack([p[1] for p in parts])

    def save(self, folder: Path) -> None:
        write_graph(self._graph, folder / "index.hnsw")

    @classmethod
    def open(cls, saved: Files, vectors: Unit) -> Self:
        graph = hnswlib.Index(space="ip", dim=vectors.shape[1])
        path = saved.path("index.hnsw")
        try:
            graph.load_index(str(path), max_elements=len(vectors))
        except RuntimeError as error:
            raise DataError(f"{path}: hnswlib cannot read it: {error}") from None
        return cls(graph)


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
