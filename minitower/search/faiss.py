"""Faiss (extra ``faiss``): every vector, a graph of them, or codes of them in lists."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from minitower.data.errors import DataError
from minitower.search.engines import Engine, Nearest, doubling
from minitower.search.files import Files
from minitower.search.vector_index import Unit


class FaissFlat(Engine):
    """All vectors, in products of blocks."""

    module = "faiss"
    complete = True

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, vectors: Unit, *, seed: int = 0) -> Self:
        index = _faiss().IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        return cls(index)

    def search(self, queries: Unit, size: int, effort: int) -> Nearest:
        cosines, rows = self._index.search(queries, size, params=self._parameters(size, effort))
        return rows, cosines

    def save(self, folder: Path) -> None:
        try:
            _faiss().write_index(self._index, str(folder / "index.faiss"))
        except RuntimeError as error:
            raise OSError(None, f"Faiss: {error}") from None

    @classmethod
    def open(cls, saved: Files, vectors: Unit) -> Self:
        path = saved.path("index.faiss")
        try:
            index = _faiss().read_index(str(path))
        except RuntimeError as error:
            raise DataError(f"{path}: this Faiss cannot read it: {error}") from None
        return cls(index)

    def _parameters(self, size: int, effort: int) -> Any:
        return None


class FaissHnsw(FaissFlat):
    """Faiss's own graph, inserted on as many threads as OpenMP has. The effort is `efSearch`."""

    complete = False

    @classmethod
    def build(
        cls, vectors: Unit, *, seed: int = 0, neighbours: int = 16, ef_construction: int = 200
    ) -> Self:
        faiss = _faiss()
        index = faiss.IndexHNSWFlat(vectors.shape[1], neighbours, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = ef_construction
        index.add(vectors)
        return cls(index)

    def efforts(self, k: int) -> Sequence[int]:
        return doubling(k, self._index.ntotal)

    def _parameters(self, size: int, effort: int) -> Any:
        return _faiss().SearchParametersHNSW(efSearch=max(effort, size))


class FaissIvfPq(FaissFlat):
    """Lists of product-quantised vectors; the best by code are scored again by vector.

    The effort is `nprobe`, the lists that are looked into. At least four times what is
    asked for is scored again, and a quarter of `nprobe` times, so that the last effort
    looks at everything. Of fewer than 78 items all are scored.
    """

    complete = False

    @classmethod
    def build(cls, vectors: Unit, *, seed: int = 0, lists: int | None = None) -> Self:
        faiss = _faiss()
        m, d = vectors.shape
        most = m // 39  # centres that may be learnt: Faiss wants 39 vectors for each
        if most < 2:
            return super().build(vectors)
        lists = min(lists or int(4 * np.sqrt(m)), most)
        bits = int(min(np.log2(most), 8))
        parts = next(n for n in range(max(d // 2, 1), 0, -1) if d % n == 0)
        codes = faiss.IndexIVFPQ(
            faiss.IndexFlatIP(d), d, lists, parts, bits, faiss.METRIC_INNER_PRODUCT
        )
        codes.cp.seed = seed + 1
        index = faiss.IndexRefineFlat(codes)
        index.train(vectors)
        index.add(vectors)
        return cls(index)

    def efforts(self, k: int) -> Sequence[int]:
        codes = getattr(self._index, "base_index", None)
        return (0,) if codes is None else doubling(1, _faiss().downcast_index(codes).nlist)

    def _parameters(self, size: int, effort: int) -> Any:
        if effort == 0:
            return None
        faiss = _faiss()
        return faiss.IndexRefineSearchParameters(
            k_factor=max(4, effort // 4),
            base_index_params=faiss.SearchParametersIVF(nprobe=effort),
        )


def _faiss() -> Any:
    try:
        import faiss
    except ModuleNotFoundError:
        raise ModuleNotFoundError('Faiss is missing: pip install "minitower[faiss]"') from None
    return faiss
