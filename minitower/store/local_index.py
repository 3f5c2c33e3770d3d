"""An index by id in this process, in memory or in a folder of versions. Chapters 5 and 20.

This is the adapter from rows to ids. The files are a store (see
:mod:`minitower.store.version_log`), and each version of the store is one index:

    versions/000001/
      manifest.json      engine, dimension, version of the model, recall; SHA-256 of each file
      ids.npy            row -> id
      vectors.npy        the unit vectors
      deleted.npy        rows of deleted items
      index.faiss ...    the engine's own files
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.errors import DataError, show
from minitower.data.table import Ragged, Table
from minitower.formulas.arrays import Array
from minitower.search.approximate import ENGINES, ApproximateIndex
from minitower.search.by_id import checked_items, checked_search, unit_queries
from minitower.search.index import MAX_K, ExactIndex, SearchResult
from minitower.search.tuning import query_sample
from minitower.store.folder import POINTER, mismatch_is_data_error
from minitower.store.model_files import read_index, write_index
from minitower.store.new_folder import check_target, write_array
from minitower.store.transaction import add_version, transaction
from minitower.store.version_log import Version, VersionLog, read_current

BACKENDS = ("exact", *ENGINES)


class LocalIndex:
    """A :class:`~minitower.search.by_id.VectorIndex` in this process.

    Args:
        index: finds rows of unit vectors.
        ids: (m,) the id of each row.
        version: of the model that made the vectors, if known.

    Attributes:
        backend: as in :meth:`build`.
    """

    def __init__(
        self,
        index: ExactIndex | ApproximateIndex,
        ids: Array,
        version: int | None = None,
    ) -> None:
        self.index, self.backend, self.version = index, index.name, version
        self.tuning = None if isinstance(index, ExactIndex) else index.tuning
        self.dim = index.vectors.shape[1]
        self._table = Table(ids, {})

    @classmethod
    def build(
        cls,
        backend: str,
        ids: Any,
        vectors: Array,
        *,
        queries: Array | None = None,
        k: int = 100,
        target_recall: float = 0.95,
        seed: int = 0,
        version: int | None = None,
        **options: Any,
    ) -> "LocalIndex":
        """Index items, measure the recall, choose the effort.

        Args:
            backend: one of `BACKENDS`.
            ids: (m,) integers or strings, distinct.
            vectors: (m,d) of any length but zero.
            queries, k, target_recall, seed, options: as in :meth:`ApproximateIndex.build`.
            version: of the model that made the vectors.

        Raises:
            DataError: as :func:`checked_items`, or a parameter is outside its domain.
            ModuleNotFoundError: the library is not installed; names the extra.

        Warns:
            UserWarning: the largest effort misses the target.
        """
        if backend not in BACKENDS:
            raise DataError(f"backend must be one of {', '.join(BACKENDS)}, got {show(backend)}")
        ids, points = checked_items(ids, vectors)
        sample = query_sample(queries, points, k, target_recall, seed)
        sample = unit_queries(sample, points.shape[1])
        if backend == "exact":
            return cls(ExactIndex(points), ids, version)
        index = ApproximateIndex.build(
            backend, points, similarity="cosine", queries=sample, k=k,
            target_recall=target_recall, seed=seed, rescore=False, **options,
        )  # fmt: skip
        return cls(index, ids, version)

    def __len__(self) -> int:
        deleted = self.index.deleted
        return len(self._table.ids) - (0 if deleted is None else int(deleted.sum()))

    def search(
        self, queries: Array, k: int, exclude: Sequence[Sequence[Any]] | None = None
    ) -> SearchResult:
        """The k nearest items of each query; see :class:`VectorIndex` for the contract."""
        ids = self._table.ids
        points = checked_search(queries, self.dim, k, max(len(ids), MAX_K), exclude)
        rows, scores = self.index.search(points, k, self._rows(exclude))
        scores = scores.astype(np.float32, copy=False)
        if rows.min(initial=0) >= 0:
            return ids.take(rows), scores
        found = ids.take(rows)
        found[rows < 0] = "" if ids.dtype.kind == "U" else -1
        return found, scores

    def _rows(self, exclude: Sequence[Sequence[Any]] | None) -> Ragged | None:
        """Rows of the excluded ids, a query a row; None where nothing is excluded."""
        if exclude is None or not any(len(ids) for ids in exclude):
            return None
        rows = self._table.rows_of([id_ for ids in exclude for id_ in ids])
        query_of = np.repeat(np.arange(len(exclude)), [len(ids) for ids in exclude])
        known = rows >= 0
        return Ragged.from_counts(np.bincount(query_of[known], minlength=len(exclude)), rows[known])

    def delete(self, ids: Sequence[Any]) -> int:
        """Delete items; returns how many existed. The engine keeps them; searches drop them."""
        rows, before = self._table.rows_of(ids), len(self)
        self.index.delete(rows[rows >= 0])
        return before - len(self)

    def save(self, folder: str | Path) -> Version:
        """Publish as a new version of a folder of indexes; it serves when this returns.

        The version is first read back from disk. Until then, and if anything fails, the
        version before it serves.

        Raises:
            DataError: the folder holds something else, or it cannot be written.
        """
        content: dict[str, Any] = {"version": self.version}
        deleted = np.zeros(0, np.int64) if self.index.deleted is None else self.index.deleted

        def write(place: Path) -> None:
            write_array(place / "ids.npy", self._table.ids)
            write_array(place / "vectors.npy", self.index.vectors)
            write_array(place / "deleted.npy", np.flatnonzero(deleted))
            content["index"] = write_index(place, self.index, self.index)

        def read(log: VersionLog, version: Version) -> Version:
            again, probes = _read(log, version), self.index.vectors[:8]
            if not np.array_equal(self.search(probes, 8)[0], again.search(probes, 8)[0]):
                raise DataError(f"{folder}: the new version finds other items than the index did")
            return version

        with transaction(folder) as log:
            return add_version(log, "index", None, content, write, read)

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        backend: str | None = None,
        dim: int | None = None,
        version: int | None = None,
    ) -> "LocalIndex":
        """The index that a folder serves now.

        Args:
            folder: that :meth:`save` wrote.
            backend, dim, version: the required ones; None accepts any.

        Raises:
            DataError: the index is of another backend, dimension or version of the model;
                the folder holds something else; or a file is damaged (the message names it).
            ModuleNotFoundError: the library is not installed; names the extra.
        """
        index = read_current(folder, _read)
        for what, wanted, held in (
            ("backend", backend, index.backend),
            ("dimension", dim, index.dim),
            ("version of the model", version, index.version),
        ):
            if wanted is not None and wanted != held:
                raise DataError(f"{folder}: its {what} is {held}, not {wanted}")
        return index


def check_folder(folder: str | Path) -> None:
    """Refuse a folder that holds anything but indexes.

    Raises:
        DataError: the folder does.
    """
    check_target(Path(folder).absolute())
    if (Path(folder) / POINTER).is_file():
        VersionLog.read(folder).check_family("index")


def _read(log: VersionLog, version: Version) -> LocalIndex:
    log.check_family("index")
    saved = log.open(version)
    ids, vectors = saved.array("ids.npy", mapped=True), saved.array("vectors.npy", mapped=True)
    with mismatch_is_data_error(saved):
        index = read_index(saved, vectors)
        result = LocalIndex(index, ids, saved.content["version"])
        if len(deleted := saved.array("deleted.npy")):
            index.delete(deleted)
    return result
