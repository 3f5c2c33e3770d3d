"""Faiss (extra ``faiss``): every vector, a graph of them, or codes of them in lists. Chapter 20."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from minitower.data.errors import DataError
from minitower.search.engines import Engine, VerifiedFolder, doubling
from minitower.search.index import SearchResult
from minitower.search.points import Points


class FaissFlat(Engine):
    """All vectors, in products of blocks."""

    name = "faiss-flat"
    module = "faiss"
    missing = 'Faiss is missing: pip install "minitower[faiss]"'

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, points: Points, *, seed: int = 0) -> Self:
        index = cls.library().IndexFlatIP(points.shape[1])
        index.add(points)
        return cls(index)

    def search(self, points: Points, size: int, effort: int) -> SearchResult:
        scores, rows = self._index.search(points, size, params=self._parameters(size, effort))
        return rows, scores

    def save(self, folder: Path) -> None:
        try:
            self.library().write_index(self._index, str(folder / "index.faiss"))
        except RuntimeError as error:
            raise OSError(None, f"Faiss: {error}") from None

    @classmethod
    def open(cls, saved: VerifiedFolder, shape: tuple[int, int]) -> Self:
        path = saved.path("index.faiss")
        try:
            index = cls.library().read_index(str(path))
        except RuntimeError as error:
            raise DataError(f"{path}: this Faiss cannot read it: {error}") from None
        if (index.ntotal, index.d) != shape:
            held = f"{index.ntotal} vectors of {index.d} numbers"
            raise DataError(f"{path}: holds {held}, the catalogue has {shape[0]} of {shape[1]}")
        return cls(index)

    def _parameters(self, size: int, effort: int) -> Any:
        return None


class FaissHnsw(FaissFlat):
    """Faiss's own graph, inserted on as many threads as OpenMP has. The effort is `efSearch`."""

    name = "faiss-hnsw"

    @classmethod
    def build(
        cls, points: Points, *, seed: int = 0, neighbors: int = 16, ef_construction: int = 200
    ) -> Self:
        faiss = cls.library()
        index = faiss.IndexHNSWFlat(points.shape[1], neighbors, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = ef_construction
        index.add(points)
        return cls(index)

    def effort_ladder(self, k: int) -> Sequence[int]:
        return doubling(k, self._index.ntotal)

    def _parameters(self, size: int, effort: int) -> Any:
        return self.library().SearchParametersHNSW(efSearch=max(effort, size))


class FaissIvfPq(FaissFlat):
    """Lists of product-quantized vectors; the best by code are scored again by vector.

    The effort is `nprobe`, the number of lists that a search reads. The pool that is scored
    again is the list length times 4, or times `nprobe` / 4 if that is more. The largest effort
    reads all lists. It scores at most k sqrt(m) of the m items again, with the default number
    of lists. With fewer than 78 items, every item is scored.
    """

    name = "faiss-ivfpq"
    pooled = True

    @classmethod
    def build(cls, points: Points, *, seed: int = 0, lists: int | None = None) -> Self:
        faiss = cls.library()
        m, d = points.shape
        most = m // 39  # centers to learn: Faiss wants 39 vectors for each
        if most < 2:
            return super().build(points)
        lists = min(lists or int(4 * np.sqrt(m)), most)
        bits = int(min(np.log2(most), 8))
        parts = d // 2 if d % 2 == 0 else d  # a byte for two dimensions, or for one
        codes = faiss.IndexIVFPQ(
            faiss.IndexFlatIP(d), d, lists, parts, bits, faiss.METRIC_INNER_PRODUCT
        )
        codes.cp.seed = seed + 1
        index = faiss.IndexRefineFlat(codes)
        index.train(points)
        index.add(points)
        return cls(index)

    def effort_ladder(self, k: int) -> Sequence[int]:
        codes = getattr(self._index, "base_index", None)
        return (0,) if codes is None else doubling(1, self.library().downcast_index(codes).nlist)

    def _parameters(self, size: int, effort: int) -> Any:
        if effort == 0:
            return None
        faiss = self.library()
        return faiss.IndexRefineSearchParameters(
            k_factor=max(4, effort // 4),
            base_index_params=faiss.SearchParametersIVF(nprobe=effort),
        )
