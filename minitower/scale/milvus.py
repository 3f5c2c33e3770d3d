"""Milvus (extra ``milvus``): a cluster by URI and token, or Milvus Lite by the path of a .db.

Each publication is a collection of its own, `items_000001`, `items_000002`, ...; the alias
`items` names the collection that serves (see :mod:`minitower.scale.milvus_versions`). The
properties of a collection hold the version of the model, and the measured recall.

Chapter 20.
"""

import json
import logging
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np

from minitower.data.columns import as_array, scalars
from minitower.data.errors import DataError, Place
from minitower.formulas.arrays import Array
from minitower.search.by_id import CosineById, checked_items, checked_search, search_database
from minitower.search.index import MAX_K, SearchResult
from minitower.search.over_fetching import scaled_effort
from minitower.search.points import Points
from minitower.search.tuning import TuningResult

MOST = MAX_K  # items that Milvus returns for a query
_BATCH = 1 << 22  # numbers in a message: 16 MB; the limit is 64
_EF = 128  # for collections without a measured recall
_INT64 = 5
# pymilvus pings every ten seconds. Milvus Lite takes the pings for an attack and hangs up: in the
# middle of a long build, which then begins again.
_PATIENT: dict[str, Any] = {"grpc_options": {"grpc.keepalive_time_ms": 3_600_000}}


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
        self.string_ids = fields["id"]["type"] != _INT64
        self._kind = "strings" if self.string_ids else "integers"
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
        if vectors.shape[1] != self.dim or (ids.dtype.kind == "U") != self.string_ids:
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
        pad = "" if self.string_ids else -1
        ids = [i for hits in found for i in (*hits, *[pad] * (k - len(hits)))]
        cosines = [c for hits in found for c in (*hits.values(), *[-np.inf] * (k - len(hits)))]
        shape, kind = (len(points), k), np.str_ if self.string_ids else np.int64
        return np.array(ids, kind).reshape(shape), np.array(cosines, np.float32).reshape(shape)

    def ask(
        self, queries: Points, size: int, without: Collection[Any] = (), effort: int | None = None
    ) -> list[CosineById]:
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
        if len(values) and (values.dtype == object) != self.string_ids:
            raise place.error(f"the ids of the index are {self._kind}")
        return values[~missing].tolist()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Disconnect. A Milvus Lite ends for the whole process and frees its file."""
        self.client.close()
        released(self.uri)


def is_lite(uri: str) -> bool:
    """Whether a URI is the path of a Milvus Lite, by the rule of pymilvus."""
    return uri.endswith(".db")


def connected(uri: str, token: str = "") -> Any:
    """A client.

    Raises:
        OSError: the server cannot be reached, or another process holds the file.
        DataError: the file was written by Milvus Lite 2.
        ModuleNotFoundError: pymilvus is not installed; names the extra.
    """
    try:
        from pymilvus import MilvusClient

        if is_lite(uri):
            import milvus_lite  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError('Milvus is missing: pip install "minitower[milvus]"') from None
    try:
        with milvus_errors(uri):
            return MilvusClient(uri, token=token, timeout=10, **(_PATIENT if is_lite(uri) else {}))
    except OSError:
        if is_lite(uri):
            _open_lite(uri)  # gives the reason; pymilvus does not
        raise


def released(uri: str) -> None:
    """End the Milvus Lite of a path, for everybody in this process."""
    if is_lite(uri):
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(uri)


@contextmanager
def milvus_errors(uri: str) -> Iterator[None]:
    """Turn an error of Milvus within the block into an OSError of one line."""
    from pymilvus import MilvusException

    try:
        yield
    except MilvusException as error:
        raise OSError(f"{uri}: Milvus: {' '.join(str(error.message).split())}") from None


def silence_loggers() -> None:
    """Silence the pymilvus, milvus_lite and grpc loggers for the rest of this process."""
    with suppress(ModuleNotFoundError):
        import pymilvus  # noqa: F401  (the import sets up its logger)
    for library in ("pymilvus", "pymilvus.milvus_client", "milvus_lite", "grpc"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _open_lite(path: str) -> None:
    import milvus_lite

    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise OSError(f"{path}: the folder {folder} is missing; create it")
    if Path(path).is_file():
        raise DataError(f"{path}: is a file of Milvus Lite 2; Milvus Lite 3 cannot read it")
    try:
        milvus_lite.MilvusLite(path).close()
    except milvus_lite.DataDirLockedError:
        raise OSError(f"{path}: another process holds it: Milvus Lite serves only one") from None
    except (milvus_lite.MilvusLiteError, OSError) as error:
        raise OSError(f"{path}: Milvus Lite cannot open it: {error}") from None


def collections(client: Any, name: str) -> dict[int, str]:
    """The collections of an alias, by number."""
    found = (re.fullmatch(rf"{name}_(\d{{6}})", each) for each in client.list_collections())
    return {int(match[1]): match[0] for match in found if match}


def properties_of(version: int | None, tuning: TuningResult | None = None) -> dict[str, str]:
    """The properties of a collection: the version of the model, and the measured recall."""
    content = {"version": version, "measured": tuning and asdict(tuning)}
    return {"minitower": json.dumps(content)}


def read_properties(uri: str, described: dict[str, Any]) -> tuple[int | None, TuningResult | None]:
    """The version and the recall that :func:`properties_of` wrote.

    Raises:
        DataError: another release of minitower wrote them in another form.
    """
    try:
        content = json.loads(described["properties"]["minitower"])
        measured = content.get("measured")
        return content["version"], measured and TuningResult(**measured)
    except (AttributeError, KeyError, TypeError, ValueError):
        name = described["collection_name"]
        raise DataError(
            f"{uri}: another release of minitower made {name}; publish it again with this one"
        ) from None
