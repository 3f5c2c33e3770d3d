"""Milvus (extra ``milvus``): a cluster by URI and token, or Milvus Lite by the path of a .db.

What is published is a collection of its own, `items_000001`, `items_000002`, ...; the alias
`items` says which is served (see :mod:`minitower.scale.milvus_versions`).
"""

import json
from collections.abc import Collection, Sequence
from typing import Any, Self

import numpy as np

from minitower.data.columns import as_array, scalars
from minitower.data.errors import DataError, Place
from minitower.formulas.arrays import Array
from minitower.scale.milvus_connection import collections, connected, released, stated, told
from minitower.search.exclusion import Answer, nearest_but
from minitower.search.vector_index import Found, Unit, checked_items, checked_queries

MOST = 16_384  # items that Milvus returns for a query
_BATCH = 1 << 22  # numbers sent at a time: 16 MB, of the 64 that a message may have
_EF = 128  # where nothing was measured
_INT64 = 5


class MilvusIndex:
    """A :class:`VectorIndex` that is a collection of a Milvus, or an alias of one.

    Opened without a version it reads through the alias, and changes over in the moment in
    which another collection is served; `version`, `dim` and `measured` stay as they were.
    Opened for a version of the model it stays with that version's collection, as the user
    tower that makes its queries does.

    Args:
        client: a `pymilvus.MilvusClient`.
        uri: where it is connected to, for messages.
        collection: its name, or an alias.
    """

    def __init__(self, client: Any, uri: str, collection: str) -> None:
        self.client, self.uri, self.collection = client, uri, collection
        with told(uri):
            described = client.describe_collection(collection)
        fields = {field["name"]: field for field in described["fields"]}
        if {"id", "model_version", "vector"} - fields.keys():
            raise DataError(f"{uri}: the collection {collection} was not made by minitower")
        self.dim = int(fields["vector"]["params"]["dim"])
        self.text = fields["id"]["type"] != _INT64
        self._kind = "texts" if self.text else "integers"
        self.version, self.measured = stated(uri, described)

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
        """What the alias serves, or the newest collection of a version of the model.

        Args:
            uri: of a server, or the path of a Milvus Lite, which ends with .db.
            name: the alias.
            dim: what the dimension must be; None takes what is there.
            version: of the model.
            token: "user:password", or an API key.

        Raises:
            OSError: the server cannot be reached, or another process holds the file.
            DataError: nothing of that name, version or dimension was published.
            ModuleNotFoundError: pymilvus is not installed; says how to.
        """
        client = connected(uri, token)
        with told(uri):
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
        with told(uri):
            client.load_collection(index.collection)  # Milvus Lite forgets it when it ends
        return index

    def __len__(self) -> int:
        with told(self.uri):
            counted = self.client.query(self.collection, filter="", output_fields=["count(*)"])
        return int(counted[0]["count(*)"])

    def upsert(self, ids: Any, vectors: Array) -> None:
        """Insert items, or replace those whose ids are there, in batches; twice is as once.

        Raises:
            DataError: as :func:`checked_items`; or ids or vectors are not as those held.
            OSError: Milvus could not; some of the batches may be there.
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
            with told(self.uri):
                self.client.upsert(self.collection, rows)

    def delete(self, ids: Sequence[Any]) -> int:
        """Forget items; returns how many there were. Unknown ids are no error."""
        before, some = len(self), self._ids(ids)
        for start in range(0, len(some), MOST):
            with told(self.uri):
                self.client.delete(self.collection, ids=some[start : start + MOST])
        return before - len(self)

    def search(
        self, queries: Array, k: int, exclude: Sequence[Sequence[Any]] | None = None
    ) -> Found:
        """The k nearest items of each query; see :class:`VectorIndex` for the contract.

        Raises:
            DataError: also for k > 16384, the most that Milvus returns.
        """
        queries = checked_queries(self, queries, k, exclude, MOST)
        nobody: list[set[Any]] = [set()] * len(queries)
        left_out = nobody if exclude is None else [set(self._ids(ids)) for ids in exclude]
        found, pad = nearest_but(self.ask, queries, k, left_out, MOST), "" if self.text else -1
        ids = [i for answer in found for i in (*answer, *[pad] * (k - len(answer)))]
        cosines = [c for a in found for c in (*a.values(), *[-np.inf] * (k - len(a)))]
        shape, kind = (len(queries), k), np.str_ if self.text else np.int64
        return np.array(ids, kind).reshape(shape), np.array(cosines, np.float32).reshape(shape)

    def ask(
        self, queries: Unit, size: int, without: Collection[Any] = (), effort: int | None = None
    ) -> list[Answer]:
        """What Milvus answers, by default with the effort that was measured to be enough."""
        if effort is None:
            effort = self.measured.effort_for(size) if self.measured else _EF
        listed = json.dumps(list(without), ensure_ascii=False)
        with told(self.uri):
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
        """Ids as Milvus holds them; missing ones, which it cannot hold, go."""
        place = Place("ids")
        values, missing = scalars(as_array(ids, place), place)
        if len(values) and (values.dtype == object) != self.text:
            raise place.error(f"the index holds {self._kind}, these are not")
        return values[~missing].tolist()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Disconnect. A Milvus Lite ends, for everybody in this process, and frees its file."""
        self.client.close()
        released(self.uri)
