"""Items by id, in whatever finds their nearest neighbours: the protocol of vector indexes.

`Index` (beside this file) knows rows of one matrix. What other programs ask is a
database of vectors, and that knows ids. Scores here are cosines.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from minitower.data.columns import as_array, scalars
from minitower.data.errors import DataError, Place, show
from minitower.data.vocabulary import text_array
from minitower.formulas.arguments import floats, strict_integer
from minitower.formulas.arrays import Array, Vectors
from minitower.search.index import ExactIndex, checked_k

Ids = Array
Cosines = NDArray[np.float32]
Found = tuple[Ids, Cosines]
Unit = NDArray[np.float32]

SAMPLE = 1000  # queries that a recall is measured with
_ROUNDING = 1e-6  # of a cosine in float32


@dataclass(frozen=True)
class Measured:
    """What a build found out about its own index.

    Attributes:
        recall: the share of the exact top k that was found; an item whose cosine is
            within 1e-6 of the k-th best counts as found.
        target: the recall that was asked for.
        effort: how hard a search tries, in the unit of the backend: the smallest of its
            ladder that reached the target, or the last.
        k: the list length it was measured at.
        queries: how many queries it was measured with.
    """

    recall: float
    target: float
    effort: int
    k: int
    queries: int

    def effort_for(self, size: int) -> int:
        """For a list of another length: larger in proportion, and never less than was measured."""
        return max(self.effort, -(-self.effort * size // self.k))


@runtime_checkable
class VectorIndex(Protocol):
    """Finds the items of largest cosine by id, and forgets items."""

    @property
    def dim(self) -> int:
        """Of the vectors."""
        ...

    @property
    def version(self) -> int | None:
        """The number of the model's version that made them, where it is known.

        A query must come from the user tower of that same version.
        """
        ...

    @property
    def measured(self) -> Measured | None:
        """The recall that the build measured, where one did."""
        ...

    def __len__(self) -> int:
        """How many items can be found."""
        ...

    def search(
        self, queries: Vectors, k: int, exclude: Sequence[Sequence[Any]] | None = None
    ) -> Found:
        """The k nearest items of each query, best first; nearly, where the index approximates.

        Shapes: (n,d)->(n,k),(n,k)

        Args:
            queries: of any length but zero; directions alone count.
            k: how many, from 1 to 16,384; to the size of the catalogue, where that is larger
                and the index in this process.
            exclude: for each query, ids that must not be returned. Unknown ones are no error.

        Returns:
            ids, int64 or text, and cosines, float32. Where fewer than k items are left, the
            cosine is -inf and the id is -1 or "", which means nothing.

        Raises:
            DataError: queries of another width, not finite or zero; k that is no whole number
                of at least 1, or larger than any list here; exclude for another number of
                queries or with ids of the other type.
        """
        ...

    def delete(self, ids: Sequence[Any]) -> int:
        """Forget items; returns how many there were. Unknown ids are no error."""
        ...


def checked_items(ids: Any, vectors: Vectors) -> tuple[Ids, Unit]:
    """Ids as int64 or text, and their vectors at length one.

    Shapes: (m),(m,d)->(m),(m,d)

    Raises:
        DataError: there is none; an id is missing, there twice, or neither a whole number
            nor text; there are not as many as vectors; or a vector is not finite, or zero.
    """
    place = Place("ids")
    values, missing = scalars(as_array(ids, place), place)
    if missing.any():
        raise place.error("missing id", int(missing.argmax()))
    if values.dtype == object:
        values = text_array(values.tolist())
    _, first, counts = np.unique(values, return_index=True, return_counts=True)
    if (counts > 1).any():
        twice = values[first[counts.argmax()]]
        raise DataError(f"ids: {show(twice)} is there {counts.max()} times")
    if np.shape(vectors)[:1] != (len(values),):
        raise DataError(f"there are {len(values)} ids for vectors of shape {np.shape(vectors)}")
    if not len(values):
        raise DataError("there is no item, and so nothing to index")
    return values, _unit(vectors, "vectors", lambda row: f"item {show(values[row])}")


def checked_queries(
    index: VectorIndex,
    queries: Vectors,
    k: int,
    exclude: Sequence[Sequence[Any]] | None,
    most: int,
) -> Unit:
    """The queries at length one, after everything that a search must refuse; k may be `most`."""
    unit = _queries(queries, index.dim)
    checked_k(k, most)
    if exclude is not None and len(exclude) != len(unit):
        raise DataError(f"exclude has {len(exclude)} rows for {len(unit)} queries")
    return unit


def nothing(shape: tuple[int, int], ids: Ids) -> Found:
    """Answers in which nothing has been found yet; ids are of the same type as `ids`."""
    empty = np.full(shape, -1, np.int64) if ids.dtype.kind == "i" else np.zeros(shape, ids.dtype)
    return empty, np.full(shape, -np.inf, np.float32)


def drawn(queries: Vectors | None, items: Unit, k: int, target: float, seed: int) -> Unit:
    """At most a thousand queries to measure with, after everything that measuring must refuse.

    Without queries the items stand in, which lie nearer to their neighbours than users do.

    Raises:
        DataError: k < 1, the target is not in (0, 1], or queries are none, of another width,
            not finite, or zero.
    """
    checked_k(k)
    if not 0 < target <= 1:
        raise DataError(f"target_recall must be in (0, 1], got {target}")
    pool = items if queries is None else np.asarray(queries)
    if not len(pool):
        raise DataError("queries is empty: there is nothing to measure the recall with")
    chosen = np.random.default_rng(strict_integer("seed", seed, 0)).permutation(len(pool))[:SAMPLE]
    return _queries(pool[np.sort(chosen)], items.shape[1])


def tuned(
    cosines: Callable[[Unit, int, int], Cosines],
    efforts: Sequence[int],
    items: Unit,
    sample: Unit,
    k: int,
    target: float,
) -> Measured:
    """The smallest effort that reaches a recall, measured on a sample of queries.

    Args:
        cosines: (queries, k, effort) -> (n,k): what the index finds.
        efforts: ascending; the last tries hardest.
        items: (m,d) unit vectors of all items.
        sample: (n,d) queries, from :func:`drawn`.
        k: the list length to measure at (at most m).
        target: in (0, 1].

    Warns:
        UserWarning: not even the last effort reaches the target.
    """
    k = min(k, len(items))
    best = kth_best(items, sample, k)
    for effort in efforts:
        recall = found_share(cosines(sample, k, effort), best)
        measured = Measured(recall, target, effort, k, len(sample))
        if recall >= target:
            return measured
    warnings.warn(
        f"the index finds {measured.recall:.1%} of the top {k}, below the target of "
        f"{target:.1%}, however hard it tries",
        stacklevel=4,
    )
    return measured


def kth_best(items: Unit, queries: Unit, k: int) -> Array:
    """(n,1) the k-th best cosine of each query, exactly. Shapes: (m,d),(n,d)->(n,1)"""
    return ExactIndex(items).search(queries, k)[1][:, -1:]


def found_share(cosines: Cosines, best: Array) -> float:
    """The share of the exact top k that was found. Shapes: (n,k),(n,1)->()"""
    return float((cosines >= best - _ROUNDING).mean())


def _queries(queries: Vectors, dim: int) -> Unit:
    unit = _unit(queries, "queries", lambda row: f"row {row}")
    if unit.shape[1] != dim:
        raise DataError(f"queries have {unit.shape[1]} dimensions, the items have {dim}")
    return unit


def _unit(vectors: Vectors, name: str, row: Callable[[int], str]) -> Unit:
    """(n,d) -> (n,d) at length one, in float32."""
    try:
        vectors = floats(name, vectors)
    except ValueError as error:
        raise DataError(str(error)) from error
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise DataError(f"{name} must be of shape (n,d) with d >= 1, got {vectors.shape}")
    with np.errstate(over="ignore"):
        short = vectors.astype(np.float32, copy=False)
    lengths = np.sqrt(np.einsum("nd,nd->n", short, short, dtype=np.float64))
    finite = np.isfinite(lengths)
    if not finite.all():
        raise DataError(f"{name}: {row(int(finite.argmin()))} is not finite")
    if not lengths.all():
        raise DataError(
            f"{name}: {row(int(lengths.argmin()))} is zero, and has no cosine with anything"
        )
    unit: Unit = np.ascontiguousarray(short / lengths[:, None], np.float32)
    return unit
