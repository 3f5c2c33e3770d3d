"""hnswlib: a graph of all points. Chapters 5 and 20."""

import struct
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from minitower.data.errors import DataError
from minitower.formulas.arguments import INT64_MAX, strict_integer
from minitower.formulas.arrays import Rows
from minitower.search.engines import Engine, VerifiedFolder, doubling
from minitower.search.index import SearchResult
from minitower.search.points import Points


class Hnsw(Engine):
    """hnswlib's graph. The effort is `ef`, the length of the candidate list.

    Reference: Malkov and Yashunin, Efficient and robust approximate nearest neighbor
        search using Hierarchical Navigable Small World graphs, TPAMI 2018.
    """

    name = "hnsw"
    module = "hnswlib"
    missing = "hnswlib is missing: pip install hnswlib"

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._lock = threading.Lock()  # ef is a state of the graph

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
        strict_integer("ef_construction", ef_construction, neighbors, INT64_MAX)
        strict_integer("threads", threads, 1, INT64_MAX)
        graph = cls.library().Index(space="ip", dim=points.shape[1])
        graph.init_index(
            len(points), M=neighbors, ef_construction=ef_construction, random_seed=seed
        )
        graph.add_items(points, np.arange(len(points)), num_threads=threads)
        return cls(graph)

    def effort_ladder(self, k: int) -> Sequence[int]:
        return doubling(k, self._graph.element_count)

    def search(self, points: Points, size: int, effort: int) -> SearchResult:
        with self._lock:
            self._graph.set_ef(max(effort, size))
            try:
                labels, distances = self._graph.knn_query(points, k=size)
                return labels.view(np.int64), 1 - distances
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
    def open(cls, saved: VerifiedFolder, shape: tuple[int, int]) -> Self:
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
