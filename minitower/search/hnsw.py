"""Approximate recall by a navigable small world graph, through hnswlib.

The graph lives on unit vectors. Cosine models have them already; for inner products
every item gets one more coordinate that makes all items equally long:

    b' = [b, sqrt(M^2 - |b|^2)] / M,   a' = [a, 0] / |a|,   M = max |b|

so that <a', b'> = <a, b> / (M |a|) ranks like <a, b>. On raw inner products, which
obey no triangle inequality, the graph misses much of what it looks for.

The graph only proposes. Scores come from the items' own vectors, in the arithmetic
of the exact index, and so do the answers for queries the graph cannot serve.
"""

import struct
import threading
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import hnswlib
import numpy as np
from numpy.typing import NDArray

from minitower.data.ragged import Ragged
from minitower.formulas.arguments import LARGEST, choice, strict_integer
from minitower.formulas.arrays import Vectors
from minitower.formulas.similarity import l2_normalize
from minitower.search.exclusion import together
from minitower.search.index import ExactIndex, Recalled, best_pairs, checked_queries, empty_recall

Similarity = Literal["cosine", "inner_product"]

_SAMPLE = 1000  # queries that the recall of the graph is measured with


@dataclass(frozen=True)
class Measurement:
    """What the build found out about its own graph.

    Attributes:
        recall: the share of the exact top k that the graph returned, an item that
            ties with the k-th best counting as found.
        target: the recall that was asked for.
        ef: the length of the candidate list that reached it, the smallest of
            k, 2k, 4k, ... that did.
        k: the list length it was measured at.
        queries: how many queries it was measured with.
        exact_answers: how many of these the graph left short, so that they were
            answered exactly.
    """

    recall: float
    target: float
    ef: int
    k: int
    queries: int
    exact_answers: int


class HnswIndex:
    """The m items in a graph; `search` keeps the contract of :class:`Index`.

    Excluded items are found all the same and dropped afterwards: a query that
    excludes e items asks the graph for the next power of two above k + e, with a
    candidate list longer in proportion. Two kinds of query are answered exactly
    instead, and counted in `exact_answers`: those that would ask for more than an
    eighth of the items, where the graph has no advantage left, and those for which
    the graph comes back short (hnswlib raises; its graph is not connected).

    Safe to search from several threads: calls queue for the graph, which itself
    spreads the queries of one call over all cores.

    Reference: Malkov and Yashunin, Efficient and robust approximate nearest neighbor
        search using Hierarchical Navigable Small World graphs, TPAMI 2018. The extra
        coordinate: Bachrach et al., Speeding up the Xbox recommender system using a
        Euclidean transformation for inner-product spaces, RecSys 2014.
    """

    def __init__(
        self, graph: Any, exact: ExactIndex, similarity: Similarity, measured: Measurement
    ) -> None:
        self._graph = graph
        self._exact = exact
        self._lock = threading.Lock()
        self.similarity = similarity
        self.measured = measured
        self.ef = measured.ef
        self.exact_answers = 0

    @classmethod
    def build(
        cls,
        vectors: Vectors,
        *,
        similarity: Similarity,
        queries: Vectors | None = None,
        k: int = 100,
        target_recall: float = 0.95,
        neighbours: int = 16,
        ef_construction: int = 200,
        seed: int = 0,
        threads: int = 1,
    ) -> "HnswIndex":
        """Insert the items, measure the recall, pick ef.

        Args:
            vectors: items (m,d), m >= 1. With cosine, of length one (or zero).
            similarity: what the model scores by.
            queries: user vectors (n,d) to measure the recall with; a thousand of
                them are drawn. Without them the items stand in, which lie nearer to
                their neighbours than users do: pass users where there are some.
            k: the list length to measure at (at most m).
            target_recall: in (0, 1].
            neighbours: links of an item on the upper layers (M), 2..100; twice as
                many on the ground layer.
            ef_construction: the candidate list while inserting, >= neighbours.
            seed: of the layer draws and of the sample of queries, >= 0.
            threads: insert on this many threads. With more than one the order of
                insertion, and so the graph, differs from run to run.

        Raises:
            ValueError: a parameter outside its domain, vectors that are not finite,
                or cosine with vectors that are not of length one.

        Warns:
            UserWarning: not even ef = m reaches the target. `measured` holds what
                was reached.
        """
        _check_domain(neighbours, ef_construction, target_recall, k, seed, threads)
        exact = ExactIndex(vectors)
        m = len(exact.vectors)
        if not m:
            raise ValueError("vectors is empty: an index needs at least one item")
        sample = exact.vectors if queries is None else np.asarray(queries)
        chosen = np.random.default_rng(seed).permutation(len(sample))[:_SAMPLE]
        k = int(k)
        sample = checked_queries(exact, sample[np.sort(chosen)], min(k, m), None)
        if not len(sample):
            raise ValueError("queries is empty: there is nothing to measure the recall with")

        placed = _placed(exact.vectors, similarity)
        graph = hnswlib.Index(space="ip", dim=placed.shape[1])
        graph.init_index(m, M=neighbours, ef_construction=ef_construction, random_seed=seed)
        graph.add_items(placed, np.arange(m), num_threads=threads)

        k = min(k, m)
        kth_best = exact.search(sample, k)[1][:, -1:]
        ef = k
        while True:
            index = cls(graph, exact, similarity, Measurement(0, target_recall, ef, k, 0, 0))
            found = index._propose(sample, k, k, None)[1] >= kth_best
            index.measured = replace(
                index.measured,
                recall=float(found.mean()),
                queries=len(sample),
                exact_answers=index.exact_answers,
            )
            index.exact_answers = 0
            if index.measured.recall >= target_recall:
                return index
            if ef == m:
                break
            ef = min(2 * ef, m)
        warnings.warn(
            f"the graph finds {index.measured.recall:.1%} of the top {k}, below the target of "
            f"{target_recall:.1%}, even with ef = {m}, the number of items",
            stacklevel=2,
        )
        return index

    @property
    def vectors(self) -> Vectors:
        """The item vectors (m,d), as the model made them."""
        return self._exact.vectors

    def search(self, queries: Vectors, k: int, exclude: Ragged | None = None) -> Recalled:
        """The k best items of each query, nearly; see :class:`Index` for the contract.

        Shapes: (n,d)->(n,k),(n,k)

        Raises:
            ValueError: as :meth:`ExactIndex.search`.
        """
        queries, k = checked_queries(self, queries, k, exclude), int(k)
        if exclude is None:  # one call serves all
            return self._propose(queries, k, k if k <= len(self.vectors) // 8 else 0, None)
        rows, scores = empty_recall(len(queries), k)
        most = len(self.vectors) // 8 + 1  # one more than the graph is asked for
        for size, group in together(k + exclude.counts, k, most):
            part, size = exclude.take(group), size if size < most else 0
            rows[group], scores[group] = self._propose(queries[group], k, size, part)
        return rows, scores

    def _propose(self, queries: Vectors, k: int, size: int, exclude: Ragged | None) -> Recalled:
        """The k best of the `size` items that the graph finds; size 0 asks the exact index."""
        labels = self._neighbours(queries, size) if size else None
        if labels is None and len(queries) > 1 and size:
            # One query came back short; hnswlib does not say which. Halve until it is alone.
            half = len(queries) // 2
            parts = (np.arange(half), np.arange(half, len(queries)))
            found = [
                self._propose(queries[p], k, size, None if exclude is None else exclude.take(p))
                for p in parts
            ]
            return np.vstack([f[0] for f in found]), np.vstack([f[1] for f in found])
        if labels is None:
            with self._lock:
                self.exact_answers += len(queries)
            return self._exact.search(queries, k, exclude)
        item_of = np.sort(labels.astype(np.int64), axis=1).ravel()
        query_of = np.repeat(np.arange(len(queries)), size)
        if exclude is not None:
            m = len(self.vectors)
            seen = np.repeat(np.arange(len(queries)), exclude.counts) * m + exclude.values
            kept = ~np.isin(query_of * m + item_of, seen)
            query_of, item_of = query_of[kept], item_of[kept]
        return best_pairs(queries, self.vectors, query_of, item_of, k)

    def _neighbours(self, queries: Vectors, size: int) -> NDArray[np.uint64] | None:
        """Labels (n,size) from the graph, or None where it finds too few for some query."""
        ef = max(self.ef, -(-self.ef * size // self.measured.k))
        width = self._graph.dim - queries.shape[1]
        placed = queries
        # Of a query only the direction counts; the graph's 1 - product must not lose it.
        if (np.abs(np.einsum("nd,nd->n", queries, queries) - 1) > 0.5).any():
            placed = l2_normalize(queries, epsilon=0.0)[0]
        if width:
            placed = np.pad(placed, ((0, 0), (0, width)))
        with self._lock:  # ef is a state of the graph
            self._graph.set_ef(min(ef, len(self.vectors)))
            try:
                labels: NDArray[np.uint64] = self._graph.knn_query(placed, k=size)[0]
            except RuntimeError as error:
                if "contiguous 2D array" not in str(error):
                    raise
                return None
        return labels

    def save(self, path: Path) -> dict[str, Any]:
        """Write the graph to a file; returns what `load` needs besides, for JSON.

        hnswlib's file holds neither ef nor the similarity.

        Raises:
            OSError: as :func:`write_graph`.
        """
        write_graph(self._graph, path)
        return {"similarity": self.similarity, "measured": asdict(self.measured), "ef": self.ef}

    @classmethod
    def load(cls, path: Path, vectors: Vectors, stored: Mapping[str, Any]) -> "HnswIndex":
        """The index that `save` wrote, for the item vectors it was built from.

        Raises:
            ValueError: the file is not a graph of these vectors.
        """
        exact = ExactIndex(vectors)
        m, width = exact.vectors.shape
        width += stored["similarity"] == "inner_product"
        graph = hnswlib.Index(space="ip", dim=width)
        foreign = ValueError(f"{path} is not the graph of these {m} item vectors")
        try:
            _check_width(path, width)
            graph.load_index(str(path), max_elements=m)
            if not 0 < m == graph.element_count:
                raise foreign
            # Checksums tell what was damaged. This tells a graph of other vectors; some suffice.
            some = np.unique(np.linspace(0, m - 1, _SAMPLE).astype(np.int64))
            points = graph.get_items(some)
        except (RuntimeError, struct.error) as error:
            raise foreign from error
        longest = None if stored["similarity"] == "cosine" else _lengths(exact.vectors).max()
        placed = _placed(exact.vectors[some], stored["similarity"], longest)
        if not np.array_equal(points, placed.astype(np.float32)):
            raise foreign
        index = cls(graph, exact, stored["similarity"], Measurement(**stored["measured"]))
        index.ef = stored["ef"]
        return index


def write_graph(graph: Any, path: Path) -> None:
    """A graph in a file; hnswlib does not look whether the disk takes it.

    Raises:
        OSError: it takes less than all of it.
    """
    graph.save_index(str(path))
    written, whole = path.stat().st_size, graph.index_file_size()
    if written < whole:
        raise OSError(f"the disk took {written} of the {whole} bytes of the graph: is it full?")


def _lengths(vectors: Vectors) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return lengths


def _placed(vectors: Vectors, similarity: Similarity, longest: Any = None) -> Vectors:
    """Item vectors as points on the unit sphere, in the order of their scores.

    `longest` is the length of the longest, where these are not all.
    """
    lengths = _lengths(vectors)
    if similarity == "cosine":
        off = (np.abs(lengths - 1) > 1e-3) & (lengths > 0)
        if off.any():
            raise ValueError(
                f"item vector {int(off.argmax())} has length {lengths[off.argmax()]:.4g}; "
                "cosine needs vectors of length one"
            )
        return vectors
    choice("similarity", similarity, ("cosine", "inner_product"))
    longest = longest or lengths.max() or 1.0
    rest = np.sqrt(np.maximum(1 - (lengths / longest) ** 2, 0))
    return np.column_stack([vectors / longest, rest]).astype(vectors.dtype)


def _check_domain(
    neighbours: int, ef_construction: int, target_recall: float, k: int, seed: int, threads: int
) -> None:
    for what, value, low, high in (
        ("neighbours", neighbours, 2, 100),
        ("ef_construction", ef_construction, neighbours, LARGEST),
        ("k", k, 1, LARGEST),
        ("seed", seed, 0, LARGEST),
        ("threads", threads, 1, LARGEST),
    ):
        strict_integer(what, value, low, high)
    if not 0 < target_recall <= 1:
        raise ValueError(f"target_recall must be in (0, 1], got {target_recall}")


def _check_width(path: Path, width: int) -> None:
    """Refuse a graph of other vectors before hnswlib reads past the end of them.

    Its file begins with six 64-bit sizes; a vector lies between the data offset, the
    sixth, and the label offset, the fifth, of an element.
    """
    with path.open("rb") as file:
        *_, label, data = struct.unpack("<6Q", file.read(48))
    if label - data != 4 * width:
        raise RuntimeError(f"vectors of {label - data} bytes instead of {4 * width}")
