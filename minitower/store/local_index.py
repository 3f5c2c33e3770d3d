"""An engine with ids, in memory or in a folder of versions: Faiss, ScaNN, hnswlib, exact.

Everything that all engines share stands here once: ids, refusals, exclusion, deletion,
the measured recall, and files. The files are a store (see
:mod:`minitower.store.catalogue`), each version of it one index:

    versions/000001/
      manifest.json      backend, dimension, version of the model, recall; SHA-256 of each file
      ids.npy            row -> id
      vectors.npy        the unit vectors
      deleted.npy        rows that were deleted
      index.faiss ...    the engine's own
"""

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.encoding import Table
from minitower.data.errors import DataError
from minitower.data.ragged import Ragged
from minitower.formulas.arrays import Array, Rows
from minitower.search.engines import Engine, Exact, Hnsw, Nearest
from minitower.search.exclusion import first_kept, together
from minitower.search.faiss import FaissFlat, FaissHnsw, FaissIvfPq
from minitower.search.index import LONGEST, ExactIndex, empty_recall
from minitower.search.scann import Scann
from minitower.search.vector_index import (
    Found,
    Measured,
    Unit,
    checked_items,
    checked_queries,
    drawn,
    nothing,
    tuned,
)
from minitower.store.array_files import write_array
from minitower.store.catalogue import Catalogue, Version, changing, served
from minitower.store.folder import MANIFEST, POINTER, refuse_foreign
from minitower.store.snapshot import fitting

ENGINES: dict[str, type[Engine]] = {
    "exact": Exact,
    "hnsw": Hnsw,
    "faiss-flat": FaissFlat,
    "faiss-hnsw": FaissHnsw,
    "faiss-ivfpq": FaissIvfPq,
    "scann": Scann,
}

_PAIRS = 1 << 22  # (query, deleted item) at a time


class LocalIndex:
    """A :class:`VectorIndex` in this process.

    What must not be returned is found all the same and dropped afterwards: a query that
    excludes e items asks the engine for the next power of two above k + e, with an effort
    larger in proportion. No query asks for less than was asked for when the recall was
    measured: the best of a hundred are surer than the best of ten. A query is answered
    exactly instead if it would ask for more than an eighth of the items, where an engine has
    no advantage left, or if the engine leaves it short; `exact_answers` counts them.
    """

    def __init__(
        self,
        backend: str,
        engine: Engine,
        ids: Array,
        vectors: Unit,
        measured: Measured,
        version: int | None = None,
    ) -> None:
        self.backend, self.engine = backend, engine
        self.measured, self.version = measured, version
        self.dim = vectors.shape[1]
        self.exact_answers = 0
        self._table = Table(ids, {})
        self._vectors = vectors
        self._deleted = np.zeros(len(ids), bool)

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
        """Index items, measure the recall, pick the effort.

        Args:
            backend: one of `ENGINES`.
            ids: (m,) whole numbers or texts, distinct.
            vectors: (m,d) of any length but zero.
            queries: (n,d) user vectors to measure the recall with; a thousand are drawn.
                Without them items stand in, which lie nearer to their neighbours than
                users do: pass users where there are some.
            k: the list length to measure at (at most m).
            target_recall: in (0, 1].
            seed: of the sample, and of the engine's own draws where it takes one.
            version: of the model that made the vectors.
            options: of the engine's `build`.

        Raises:
            DataError: as :func:`checked_items`, and parameters outside their domain.
            ModuleNotFoundError: the library is not installed; says how to.

        Warns:
            UserWarning: the target is out of reach. `measured` holds what was reached.
        """
        if backend not in ENGINES:
            raise DataError(f"there is no backend {backend!r}; backends: {', '.join(ENGINES)}")
        ids, vectors = checked_items(ids, vectors)
        sample = drawn(queries, vectors, k, target_recall, seed)
        engine = ENGINES[backend].build(vectors, seed=seed, **options)
        cosines = lambda queries, k, effort: engine.search(queries, k, effort)[1]
        efforts = engine.efforts(min(k, len(ids)))
        measured = tuned(cosines, efforts, vectors, sample, k, target_recall)
        return cls(backend, engine, ids, vectors, measured, version)

    def __len__(self) -> int:
        return len(self._deleted) - int(self._deleted.sum())

    def search(
        self, queries: Array, k: int, exclude: Sequence[Sequence[Any]] | None = None
    ) -> Found:
        """The k nearest items of each query; see :class:`VectorIndex` for the contract."""
        ids, m = self._table.ids, len(self._deleted)
        queries = checked_queries(self, queries, k, exclude, max(m, LONGEST))
        if not len(queries):
            return nothing((0, k), ids)
        left_out = self._rows(exclude)
        if left_out is None and not self._deleted.any():  # one call serves all
            rows, cosines = self._ask(queries, min(k, m), min(k, m), None)
        else:
            rows, cosines = self._ask_around(queries, min(k, m), left_out)
        if k <= m and rows.min(initial=0) >= 0:
            return ids.take(rows), cosines
        found = nothing((len(queries), k), ids)
        query, place = np.nonzero(rows >= 0)
        found[0][query, place] = ids[rows[query, place]]
        found[1][query, place] = cosines[query, place]
        return found

    def _rows(self, exclude: Sequence[Sequence[Any]] | None) -> Ragged | None:
        """Rows of the ids to leave out, a query a row; None where there are none at all."""
        if exclude is None or not any(len(ids) for ids in exclude):
            return None
        rows = self._table.rows_of([id_ for ids in exclude for id_ in ids])
        query_of = np.repeat(np.arange(len(exclude)), [len(ids) for ids in exclude])
        known = rows >= 0
        return Ragged.from_counts(np.bincount(query_of[known], minlength=len(exclude)), rows[known])

    def _ask_around(self, queries: Unit, k: int, left_out: Ragged | None) -> Nearest:
        """The k best that are neither left out nor deleted, in few calls of like size."""
        n, m = len(queries), len(self._deleted)
        extra = np.zeros(n, np.int64) if left_out is None else left_out.counts
        share = m / max(len(self), 1)  # of what is found, deleted items take their share
        rows, cosines = np.full((n, k), -1), np.full((n, k), -np.inf, np.float32)
        for size, group in together((k + extra) * share, k, m):
            part = None if left_out is None else left_out.take(group)
            rows[group], cosines[group] = self._ask(queries[group], k, size, part)
        return rows, cosines

    def _ask(self, queries: Unit, k: int, size: int, left_out: Ragged | None) -> Nearest:
        """The k best of the `size` items that the engine finds, or of all that remain."""
        m, complete = len(self._deleted), self.engine.complete
        size = size if complete else max(size, self.measured.k)
        if not complete and size > m // 8:
            return self._exactly(queries, k, left_out)
        rows, cosines = self.engine.search(queries, size, self.measured.effort_for(size))
        if left_out is not None or self._deleted.any():
            rows, cosines = first_kept(k, rows, cosines, self._kept(rows, left_out))
        else:
            rows, cosines = rows[:, :k], cosines[:, :k]
        short = np.flatnonzero(rows[:, -1] < 0)
        if len(short) and not (complete and size == m):
            part = None if left_out is None else left_out.take(short)
            if complete:
                filled = self._ask(queries[short], k, min(2 * size, m), part)
            else:
                filled = self._exactly(queries[short], k, part)
            rows[short], cosines[short] = filled
        return rows, cosines

    def _kept(self, rows: Rows, left_out: Ragged | None) -> Array:
        """Which of the rows that were found may be returned."""
        kept = (rows >= 0) & ~self._deleted[rows]
        if left_out is not None:
            m, query = len(self._deleted), np.arange(len(rows))
            pairs = np.repeat(query, left_out.counts) * m + left_out.values
            kept &= ~np.isin(query[:, None] * m + rows, pairs)
        return kept

    def _exactly(self, queries: Unit, k: int, left_out: Ragged | None) -> Nearest:
        self.exact_answers += len(queries)
        deleted = np.flatnonzero(self._deleted)
        rows, scores = empty_recall(len(queries), k)
        step = max(1, _PAIRS // (len(deleted) + 1))
        for start in range(0, len(queries), step):
            part = np.arange(start, min(start + step, len(queries)))
            out = None if left_out is None else left_out.take(part)
            if len(deleted):
                gone = [
                    deleted if out is None else np.union1d(deleted, out.row(i))
                    for i in range(len(part))
                ]
                out = Ragged.from_counts([len(g) for g in gone], np.concatenate(gone))
            rows[part], scores[part] = self._exact.search(queries[part], k, out)
        return rows, scores.astype(np.float32)

    @cached_property
    def _exact(self) -> ExactIndex:
        return ExactIndex(self._vectors)

    def delete(self, ids: Sequence[Any]) -> int:
        """Forget items; the engine keeps them, and they are dropped from what it finds."""
        rows = self._table.rows_of(ids)
        deleted = self._deleted.copy()  # searches that have begun go on with theirs
        deleted[rows[rows >= 0]] = True
        gone = int(deleted.sum() - self._deleted.sum())
        self._deleted = deleted
        return gone

    def save(self, folder: str | Path) -> Version:
        """Publish as a new version of a folder of indexes; served when this returns.

        It is opened from the disk first. Until then, and if anything goes wrong, the version
        before it is served.

        Raises:
            DataError: the folder holds something else, or it cannot be written.
        """
        content = {
            "backend": self.backend,
            "library": _release(self.engine.module),
            "dim": self.dim,
            "version": self.version,
            "measured": asdict(self.measured),
        }
        with changing(folder) as catalogue:
            catalogue.check_family("index")
            with catalogue.new_version("index", content) as place:
                write_array(place / "ids.npy", self._table.ids)
                write_array(place / "vectors.npy", self._vectors)
                write_array(place / "deleted.npy", np.flatnonzero(self._deleted))
                self.engine.save(place)
            catalogue = catalogue.with_version("index", None)
            again = _read(catalogue, catalogue.version())
            probes = self._vectors[:8]
            if not np.array_equal(self.search(probes, 8)[0], again.search(probes, 8)[0]):
                raise DataError(f"{folder}: what was written does not find what it found before")
            catalogue.write()
        return catalogue.version()

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
            backend, dim, version: what it must be; None takes what is there.

        Raises:
            DataError: it is of another backend, dimension or version of the model, the
                folder holds something else, or a file is damaged; the message names it.
            ModuleNotFoundError: its library is not installed; says how to.
        """
        index = served(folder, _read)
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
        DataError: it does.
    """
    refuse_foreign(Path(folder).absolute())
    if (Path(folder) / POINTER).is_file():
        Catalogue.read(folder).check_family("index")


def _read(catalogue: Catalogue, version: Version) -> LocalIndex:
    catalogue.check_family("index")
    saved = catalogue.open(version)
    unlisted = {path.name for path in saved.folder.iterdir()} - {*saved.files, MANIFEST}
    if unlisted:  # a library may open, or unpickle, whatever bears the name it looks for
        raise DataError(f"{saved.folder}: holds what {MANIFEST} does not list: {min(unlisted)}")
    ids, vectors = saved.array("ids.npy", mapped=True), saved.array("vectors.npy", mapped=True)
    with fitting(saved):
        stated = saved.content
        backend = stated["backend"]
        if backend not in ENGINES:
            raise DataError(
                f"{saved.folder}: holds an index of a backend {backend!r}, unknown here"
            )
        engine = ENGINES[backend].open(saved, vectors)
        measured = Measured(**stated["measured"])
        index = LocalIndex(backend, engine, ids, vectors, measured, stated["version"])
        index._deleted[saved.array("deleted.npy")] = True
        return index


def _release(module: str) -> str | None:
    try:
        return version("faiss-cpu" if module == "faiss" else module)
    except PackageNotFoundError:
        return None
