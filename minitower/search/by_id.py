"""Search by item id, for programs that know ids and no rows. Scores are cosines. Chapter 20.

The protocol, the checks that every index of ids makes, and the search of a database that has
no rows at all. :mod:`minitower.store.local_index` turns the rows of an index into ids.
"""

from collections.abc import Callable, Collection, Sequence
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import numpy as np

from minitower.data.columns import as_array, scalars
from minitower.data.errors import DataError, Place, show
from minitower.data.table import string_array
from minitower.formulas.arguments import as_floats
from minitower.formulas.arrays import Array, Vectors
from minitower.search.index import SearchResult, checked_k
from minitower.search.over_fetching import by_fetch_size
from minitower.search.points import Points
from minitower.search.tuning import TuningResult

CosineById = dict[Any, float]
"""What a database returns for one query: cosines by id, best first."""

Database = Callable[[Points, int, Collection[Any]], Sequence[CosineById]]
"""(queries, size, without): at most `size` items for each query, none of them in `without`."""


@runtime_checkable
class VectorIndex(Protocol):
    """Finds the items of largest cosine by id, and deletes items.

    Attributes:
        dim: the number of dimensions.
        version: of the model that made the vectors, if known. A query must come from the
            user tower of that same version.
        tuning: the recall that the build measured; None if it measured nothing.
    """

    dim: int
    version: int | None
    tuning: TuningResult | None

    def __len__(self) -> int:
        """The number of items."""
        ...

    def search(
        self, queries: Vectors, k: int, exclude: Sequence[Sequence[Any]] | None = None
    ) -> SearchResult:
        """The k nearest items of each query, best first; most of them, if approximate.

        Shapes: (n,d)->(n,k),(n,k)

        Args:
            queries: of any length but zero; only directions count.
            k: from 1 to 16,384; up to the size of the catalogue, where that is larger and
                the index is in this process.
            exclude: for each query, the ids to exclude. Unknown ids are no error.

        Returns:
            ids, int64 or strings, and cosines, float32. Where fewer than k items remain, the
            cosine is -inf, and the id is -1 or "", without meaning.

        Raises:
            DataError: queries of another width, not finite or zero; k is not an integer in
                its range; exclude for another number of queries or with ids of another type.
        """
        ...

    def delete(self, ids: Sequence[Any]) -> int:
        """Delete items; returns how many existed. Unknown ids are no error."""
        ...


def checked_items(ids: Any, vectors: Vectors) -> tuple[Array, Points]:
    """Ids as int64 or strings, and their vectors at length one.

    Shapes: (m),(m,d)->(m),(m,d)

    Raises:
        DataError: no item is given; an id is missing, a duplicate, or neither an integer
            nor a string; ids and vectors differ in number; a vector is not finite or zero.
    """
    place = Place("ids")
    values, missing = scalars(as_array(ids, place), place)
    place.refuse(missing, "missing id")
    if values.dtype == object:
        values = string_array(values.tolist())
    _, first, counts = np.unique(values, return_index=True, return_counts=True)
    if (counts > 1).any():
        twice = values[first[counts.argmax()]]
        raise DataError(f"ids: {show(twice)} occurs {counts.max()} times; ids must be distinct")
    vectors = _floats(vectors, "vectors")
    if vectors.shape[:1] != (len(values),):
        raise DataError(f"{len(values)} ids for vectors of shape {vectors.shape}")
    if not len(values):
        raise DataError("ids is empty: an index needs at least one item")
    return values, _unit(vectors, "vectors", lambda row: f"item {show(values[row])}")


def unit_queries(queries: Vectors, dim: int) -> Points:
    """Queries at length one.

    Raises:
        DataError: queries of another width than `dim`, not finite, or zero.
    """
    unit = _unit(queries, "queries", lambda row: f"row {row}")
    if unit.shape[1] != dim:
        raise DataError(f"queries have {unit.shape[1]} dimensions, the items have {dim}")
    return unit


def checked_search(
    queries: Vectors, dim: int, k: int, most: int, exclude: Sequence[Sequence[Any]] | None
) -> Points:
    """The queries at length one, after all checks of a search; k may be `most`."""
    unit = unit_queries(queries, dim)
    checked_k(k, most)
    if exclude is not None and len(exclude) != len(unit):
        raise DataError(f"exclude has {len(exclude)} rows for {len(unit)} queries")
    return unit


def search_database(
    database: Database, queries: Points, k: int, excluded: Sequence[set[Any]], most: int
) -> list[CosineById]:
    """The k nearest items of each query that are not excluded.

    Over-fetch, then drop. A query that is still short asks again, alone, with its own filter
    of the ids that it excludes or has, until nothing more comes: one call takes one filter.

    Args:
        database: see :data:`Database`.
        queries: (n,d).
        k: the list length.
        excluded: ids, for each query.
        most: the largest list that the database returns, >= k.
    """
    found: list[CosineById] = [{}] * len(queries)
    wanted = k + np.array([*map(len, excluded)], np.int64)
    for size, group in by_fetch_size(wanted, k, most):
        for query, hits in zip(group.tolist(), database(queries[group], size, ()), strict=True):
            out = excluded[query]
            kept = {id_: cosine for id_, cosine in hits.items() if id_ not in out} if out else hits
            while len(kept) < k:
                more = database(queries[query, None], k, [*out, *kept])[0]
                if not more:
                    break
                kept = dict(sorted((kept | more).items(), key=lambda hit: -hit[1]))
            found[query] = dict(islice(kept.items(), k))
    return found


def _floats(vectors: Vectors, name: str) -> Vectors:
    try:
        return as_floats(name, vectors)
    except ValueError as error:
        raise DataError(str(error)) from error


def _unit(vectors: Vectors, name: str, row: Callable[[int], str]) -> Points:
    """(n,d) -> (n,d) at length one, in float32."""
    vectors = _floats(vectors, name)
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
            f"{name}: {row(int(lengths.argmin()))} is zero and has no cosine; leave it out"
        )
    unit: Points = np.ascontiguousarray(short / lengths[:, None], np.float32)
    return unit
