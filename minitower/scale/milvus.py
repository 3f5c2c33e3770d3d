"""Milvus (extra ``milvus``): a cluster by URI and token, or Milvus Lite by the path of a .db.

Each publication is a collection of its own, `items_000001`, `items_000002`, ...; the alias
`items` names the collection that serves (see :mod:`minitower.scale.milvus_versions`).
"""

import json
from collections.abc import Collection, Sequence
from typing import Any, Self

import numpy as np

from minitower.data.columns import as_array, scalars
from minitower.data.errors import DataError, Place
from minitower.formulas.arrays import Array
from minitower.scale.milvus_connection import (
    collections,
    connected,
    milvus_errors,
    read_properties,
    released,
)
from minitower.search.approximate import scaled_effort
from minitower.search.by_id import Hits, checked_items, checked_search, search_database
from minitower.search.engines import Points
from minitower.search.index import MAX_K, SearchResult

MOST = MAX_K  # items that Milvus returns for a query
_BATCH = 1 << 22  # numbers in a message: 16 MB; the limit is 64
_EF = 128  # for collections without a measured recall
_INT64 = 5


class MilvusIndex:
    """A :class:`VectorIndex` in Milvus: a collection, or an alias of one.

    An index opened without a version reads through the alias. It changes over at the moment
    when the alias moves; `version`, `dim` and `tuning` keep their values. An index opened for
    a version of the model stays with the collection of that version. So does the user tower
    that makes its queries.

    Args:
        client: a `pymilvus.MilvusClient`.
        uri: of the client, for messages.
        collection: the name of a collection or an alias.
    """

    def __init__(self, client: Any, uri: str, collection: str) -> None:
        self.client, self.uri, self.collection = client, uri, collection
        with milvus_errors(uri):
            described = client.describe_collection(collection)
        fields = {field["name"]: field for field in described["fields"]}
        if {"id", "model_version", "vector"} - fields.keys():
            raise DataError(
                f"{uri}: the collection {collection} was not made by minitower; choose another name"
            )
        self.dim = int(fields["vector"]["params"]["dim"])
        self.text = fields["id"]["type"] != _INT64
        self._kind = "strings" if self.text else "integers"
        self.version, self.tuning = read_properties(uri, described)
        self.effort = self.tuning.effort if self.tuning else _EF

    @classmethod
    def open(
        cls,
        uri: str,
        name: str = "items",
        *,
        dim: int | None = None,
        version: int | None = None,
        token: str = "",
    ) -> Self:
        """The collection that the alias serves, or the newest one of a version of the model.

        Args:
            uri: of a server; or the path of a Milvus Lite, ending with .db.
            name: the alias.
            dim: the required dimension; None accepts any.
            version: of the model.
            token: "user:password", or an API key.

        Raises:
            OSError: the server cannot be reached, or another process holds the file.
            DataError: no collection is of that name, version or dimension.
            ModuleNotFoundError: pymilvus is not installed; names the extra.
        """
        client = connected(uri, token)
        with milvus_errors(uri):
            served, kept = client.has_collection(name), collections(client, name)
        if version is None:
            if not served:
                raise DataError(f"{uri}: nothing is served under the name {name}")
            index = cls(client, uri, name)
        else:
            each = [cls(client, uri, kept[number]) for number in sorted(kept, reverse=True)]
            right = [index for index in each if index.version == version]
            if not right:
                held = ", ".join(sorted({str(index.version) for index in each})) or "none"
                raise DataError(f"{uri}: {name} has no model version {version}; versions: {held}")
            index = right[0]
        if dim is not None and dim != index.dim:
            raise DataError(f"{uri}: the vectors of {name} have {index.dim} dimensions, not {dim}")
        with milvus_errors(uri):
            client.load_collection(index.collection)  # Milvus Lite unloads it on exit
        return index

    def __len__(self) -> int:
        with milvus_errors(self.uri):
            counted = self.client.query(self.collection, filter="", output_fields=["count(*)"])
        return int(counted[0]["count(*)"])

    def upsert(self, ids: Any, vectors: Array) -> None:
        """Insert items, or replace items of the same ids, in batches.

        Raises:
            DataError: as :func:`checked_items`; or ids or vectors are of another type or width.
            OSError: Milvus failed; some batches may have arrived.
        """
        ids, vectors = checked_items(ids, vectors)
        if vectors.shape[1] != self.dim or (ids.dtype.kind == "U") != self.text:
            held = f"{self._kind}, and vectors of {self.dim} dimensions"
            raise DataError(f"{self.uri}: {self.collection} has ids that are {held}")
        step = max(1, _BATCH // self.dim)
        for start in range(0, len(ids), step):
            some = zip(ids[start : start + step].tolist(), vectors[start : start + step])
            version = -1 if self.version is None else self.version
            rows = [{"id": i, "model_version": version, "vector": vector} for i, vector in some]
            with milvus_errors(self.uri):
                self.client.upsert(self.collection, rows)

    def delete(self, ids: Sequence[Any]) -> int:
        """Delete items; returns how many existed. Unknown ids are no error."""
        before, some = len(self), self._ids(ids)
        for start in range(0, len(some), MOST):
            with milvus_errors(self.uri):
                self.client.delete(self.collection, ids=some[start : start + MOST])
        return before - len(self)

    def search(
        self, queries: Array, k: int, exclude: Sequence[Sequence[Any]] | None = None
    ) -> SearchResult:
        """The k nearest items of each query; see :class:`VectorIndex` for the contract.

        Raises:
            DataError: also for k > 16384, the most that Milvus returns.
        """
        points = checked_search(queries, self.dim, k, MOST, exclude)
        nothing: list[set[Any]] = [set()] * len(points)
        excluded = nothing if exclude is None else [set(self._ids(ids)) for ids in exclude]
        found = search_database(self.ask, points, k, excluded, MOST)
        pad = "" if self.text else -1
        ids = [i for hits in found for i in (*hits, *[pad] * (k - len(hits)))]
        cosines = [c for hits in found for c in (*hits.values(), *[-np.inf] * (k - len(hits)))]
        shape, kind = (len(points), k), np.str_ if self.text else np.int64
        return np.array(ids, kind).reshape(shape), np.array(cosines, np.float32).reshape(shape)

    def ask(
        self, queries: Points, size: int, without: Collection[Any] = (), effort: int | None = None
    ) -> list[Hits]:
        """The answer of Milvus, by default at the effort that the build chose."""
        if effort is None:
            effort = scaled_effort(self.effort, size, self.tuning.k if self.tuning else size)
        listed = json.dumps(list(without), ensure_ascii=False)
        with milvus_errors(self.uri):
            hits = self.client.search(
                self.collection,
                data=queries,
                anns_field="vector",
                limit=size,
                search_params={"metric_type": "COSINE", "params": {"ef": max(effort, size)}},
                output_fields=["id"],
                filter=f"id not in {listed}" if without else "",
            )
        return [dict(zip(hit.ids, hit.distances, strict=True)) for hit in hits]

    def _ids(self, ids: Any) -> list[Any]:
        """Ids as Milvus holds them, without missing ones."""
        place = Place("ids")
        values, missing = scalars(as_array(ids, place), place)
        if len(values) and (values.dtype == object) != self.text:
            raise place.error(f"the ids of the index are {self._kind}")
        return values[~missing].tolist()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Disconnect. A Milvus Lite ends for the whole process and frees its file."""
        self.client.close()
        released(self.uri)
