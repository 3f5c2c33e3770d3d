"""Approximate search: an engine proposes items, and this file does all the rest. Chapters 5 and 20.

The rest is exclusion, deletion, over-fetching, exact answers where the engine finds too few
items, and the recall that the build measures.
"""

import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.errors import DataError, show
from minitower.data.table import Ragged
from minitower.formulas.arguments import strict_integer
from minitower.formulas.arrays import Array, Rows, Vectors
from minitower.search.engines import Engine, VerifiedFolder
from minitower.search.faiss import FaissFlat, FaissHnsw, FaissIvfPq
from minitower.search.hnsw import Hnsw
from minitower.search.index import (
    ExactIndex,
    SearchResult,
    best_pairs,
    checked_k,
    checked_queries,
    empty_result,
    lengths_of,
)
from minitower.search.over_fetching import by_fetch_size, first_kept, scaled_effort
from minitower.search.points import Similarity, check_length_one, item_points, longest, query_points
from minitower.search.scann import Scann
from minitower.search.tuning import SAMPLE, TuningResult, kth_best, query_sample, tune

ENGINES: dict[str, type[Engine]] = {
    engine.name: engine for engine in (Hnsw, FaissFlat, FaissHnsw, FaissIvfPq, Scann)
}
"""The engines by name; beside them, `exact` names the exact index."""


class ApproximateIndex:
    """The m items in an engine; `search` keeps the contract of :class:`Index`.

    Over-fetch, then drop excluded and deleted items. A query that excludes e items asks the
    engine for the next power of two above k + e, at an effort in proportion. The exact index
    answers a query instead in two cases: the engine would have to fetch more than an eighth of
    the items, where it has no advantage left; or it finds fewer than k items.

    Calls from several threads are safe.

    Attributes:
        engine, name: the library, and its name.
        vectors: (m,d) of the items, as the model made them.
        similarity: "cosine" or "inner_product".
        tuning: the recall that the build measured.
        effort: the search effort at list length `tuning.k`; may be set.
        rescore: True scores the proposed items in the arithmetic of the exact index, in
            float64. False returns the scores of the engine: cosines in float32. It is for
            "cosine" alone, and queries must have length one (or zero).
        exact_answers: the number of queries that the exact index answered.

    Raises:
        DataError: inner products without rescoring.
    """

    def __init__(
        self,
        engine: Engine,
        exact: ExactIndex,
        similarity: Similarity,
        tuning: TuningResult,
        *,
        rescore: bool = True,
    ) -> None:
        _check_rescore(similarity, rescore)
        self.engine, self._exact = engine, exact
        self.name, self.vectors = engine.name, exact.vectors
        self.similarity, self.tuning, self.rescore = similarity, tuning, rescore
        self.effort = tuning.effort
        self.exact_answers = 0
        self._lock = threading.Lock()  # of the counter

    @classmethod
    def build(
        cls,
        engine: str,
        vectors: Vectors,
        *,
        similarity: Similarity,
        queries: Vectors | None = None,
        k: int = 100,
        target_recall: float = 0.95,
        seed: int = 0,
        rescore: bool = True,
        **options: Any,
    ) -> "ApproximateIndex":
        """Index the items, measure the recall, choose the effort.

        Args:
            engine: a key of `ENGINES`.
            vectors: items (m,d), m >= 1. With cosine, of length one (or zero).
            similarity: the score of the model.
            queries: user vectors (n,d) to measure the recall with; a thousand are drawn. Without
                them items stand in, which are nearer to their neighbors: pass users.
            k: the list length to measure at (at most m).
            target_recall: in (0, 1].
            seed: of the sample and of the engine, >= 0.
            rescore: as in :class:`ApproximateIndex`.
            options: of the engine's `build`.

        Raises:
            ValueError: a parameter is outside its domain; vectors are not finite; cosine
                vectors are not of length one, nor queries where nothing is rescored.
            ModuleNotFoundError: the library is not installed; names the extra.

        Warns:
            UserWarning: the largest effort misses the target.
        """
        if engine not in ENGINES:
            raise DataError(f"engine must be one of {', '.join(ENGINES)}, got {show(engine)}")
        _check_rescore(similarity, rescore)
        exact = ExactIndex(vectors)
        vectors, k = exact.vectors, min(checked_k(k), len(exact.vectors))
        if not len(vectors):
            raise DataError("vectors is empty: an index needs at least one item")
        sample = query_sample(queries, vectors, k, target_recall, seed)
        sample = checked_queries(exact, sample, k, None)
        if not rescore:
            check_length_one("query", lengths_of(sample))
        built = ENGINES[engine].build(item_points(vectors, similarity), seed=seed, **options)
        untuned = TuningResult(0.0, target_recall, 0, k, len(sample))
        index = cls(built, exact, similarity, untuned, rescore=rescore)
        index.tuning = tune(
            lambda effort: index._propose(sample, k, k, None, effort)[1],
            built.effort_ladder(k),
            kth_best(vectors, sample, k),
            k,
            target_recall,
        )
        index.effort = index.tuning.effort
        return index

    def delete(self, rows: Rows) -> None:
        """Exclude items from every later search; the engine keeps them."""
        self._exact.delete(rows)

    @property
    def deleted(self) -> Array | None:
        """(m,) boolean, True for deleted items; None before the first deletion."""
        return self._exact.deleted

    def search(self, queries: Vectors, k: int, exclude: Ragged | None = None) -> SearchResult:
        """Most of the k best items of each query; see :class:`Index` for the contract.

        Shapes: (n,d)->(n,k),(n,k)

        Raises:
            ValueError: as :meth:`ExactIndex.search`; or a query has another length than one, and
                nothing is rescored.
        """
        queries = checked_queries(self, queries, k, exclude)
        if not self.rescore:
            check_length_one("query", lengths_of(queries))
        k = int(k)
        n, m, deleted = len(queries), len(self.vectors), self.deleted
        if exclude is None and deleted is None and n:  # one call serves all
            return self._fetch(queries, k, k, None)
        rows, scores = empty_result(n, k)
        wanted = np.full(n, k) if exclude is None else k + exclude.counts
        if deleted is not None:  # deleted items are among those found in proportion
            wanted = wanted * (m / max(m - int(deleted.sum()), 1))
        for size, group in by_fetch_size(wanted, k, m // 8 + 1):  # above m // 8: exactly
            part = None if exclude is None else exclude.take(group)
            rows[group], scores[group] = self._fetch(queries[group], k, size, part)
        return rows, scores

    def _fetch(self, queries: Vectors, k: int, size: int, exclude: Ragged | None) -> SearchResult:
        """The k best of `size` items from the engine; where it finds too few, of all items."""
        if self.engine.pooled:
            size = max(size, self.tuning.k)
        if size > len(self.vectors) // 8:
            return self._search_exactly(queries, k, exclude)
        effort = scaled_effort(self.effort, size, self.tuning.k)
        rows, scores = self._propose(queries, k, size, exclude, effort)
        is_short = rows[:, -1] < 0
        if is_short.any():
            short = np.flatnonzero(is_short)
            part = None if exclude is None else exclude.take(short)
            rows[short], scores[short] = self._search_exactly(queries[short], k, part)
        return rows, scores

    def _propose(
        self, queries: Vectors, k: int, size: int, exclude: Ragged | None, effort: int
    ) -> SearchResult:
        """The k best of the `size` items that the engine finds, padded with -1."""
        rows, scores = self.engine.search(query_points(queries, self.similarity), size, effort)
        kept, deleted = rows >= 0, self.deleted
        if deleted is not None:
            kept &= ~deleted[rows]
        if exclude is not None:
            m, query = len(self.vectors), np.arange(len(queries))
            pairs = np.repeat(query, exclude.counts) * m + exclude.values
            kept &= ~np.isin(query[:, None] * m + rows, pairs)
        if not self.rescore:
            return first_kept(k, rows, scores, kept)
        rows = np.sort(np.where(kept, rows, -1), axis=1)
        found = rows >= 0
        return best_pairs(queries, self.vectors, np.nonzero(found)[0], rows[found], k)

    def _search_exactly(self, queries: Vectors, k: int, exclude: Ragged | None) -> SearchResult:
        with self._lock:
            self.exact_answers += len(queries)
        return self._exact.search(queries, k, exclude)

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the files of the engine; returns what `open` needs beside them, for JSON.

        Raises:
            OSError: a file cannot be written.
        """
        self.engine.save(folder)
        return {
            "engine": self.engine.name,
            "similarity": self.similarity,
            "rescore": self.rescore,
            "effort": self.effort,
            "tuning": asdict(self.tuning),
        }

    @classmethod
    def open(
        cls, saved: VerifiedFolder, vectors: Vectors, manifest: Mapping[str, Any]
    ) -> "ApproximateIndex":
        """The index that `save` wrote, for the item vectors of its build.

        Args:
            saved: the files of the engine.
            vectors: (m,d).
            manifest: what `save` returned.

        Raises:
            DataError: the engine is unknown, or the files hold other vectors.
            ModuleNotFoundError: the library is not installed; names the extra.
        """
        if manifest["engine"] not in ENGINES:
            raise DataError(f"{saved.folder}: unknown engine {show(manifest['engine'])}")
        exact, similarity = ExactIndex(vectors), manifest["similarity"]
        m, width = exact.vectors.shape
        shape = m, width + (similarity == "inner_product")
        engine = ENGINES[manifest["engine"]].open(saved, shape)
        # Checksums find damage. This finds a file of other vectors; a sample is enough.
        sample = np.unique(np.linspace(0, m - 1, SAMPLE).astype(np.int64))
        points = engine.points(sample)
        if points is not None:
            radius = None if similarity == "cosine" else longest(exact.vectors)
            if not np.array_equal(points, item_points(exact.vectors[sample], similarity, radius)):
                raise DataError(f"{saved.folder} is not the graph of these {m} item vectors")
        tuning = TuningResult(**manifest["tuning"])
        index = cls(engine, exact, similarity, tuning, rescore=manifest["rescore"])
        index.effort = strict_integer("effort", manifest["effort"], 0)
        return index


def _check_rescore(similarity: Similarity, rescore: bool) -> None:
    """Refuse scores of an engine that are no inner products."""
    if not rescore and similarity != "cosine":
        raise DataError(
            f"rescore=False returns cosines, but similarity is {show(similarity)}; rescore=True "
            "returns inner products"
        )
