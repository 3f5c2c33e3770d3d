"""Publishing to Milvus: a new collection beside the others, then the alias moves. Chapter 20.

Readers that go through the alias change over at once. Earlier collections stay until they
are pruned, for readers that opened them for their version of the model.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from minitower.data.errors import DataError
from minitower.formulas.arrays import Array, Scores
from minitower.scale.milvus import (
    MOST,
    MilvusIndex,
    collections,
    connected,
    milvus_errors,
    properties_of,
)
from minitower.search.by_id import checked_items, unit_queries
from minitower.search.engines import doubling
from minitower.search.points import Points
from minitower.search.tuning import kth_best, query_sample, tune

_LONGEST_ID = 65_535  # bytes; the limit of Milvus


def draft(
    uri: str, name: str, *, dim: int, string_ids: bool, version: int | None = None, token: str = ""
) -> MilvusIndex:
    """A new, empty collection without an alias: `upsert`, :func:`finish`, :func:`serve` follow.

    Args:
        uri, token: as in :meth:`MilvusIndex.open`.
        name: the alias that readers open.
        dim: of the vectors.
        string_ids: True for ids that are strings, False for integers.
        version: of the model that makes the vectors.

    Raises:
        OSError: as :meth:`MilvusIndex.open`.
        DataError: Milvus cannot use the name, or another program's collection has it.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise DataError(f"the name {name!r} must be letters, digits and _, no digit first")
    client = connected(uri, token)
    from pymilvus import DataType

    with milvus_errors(uri):
        if client.has_collection(name):
            MilvusIndex(client, uri, name)  # refuses a collection of another program
        number = max(collections(client, name), default=0) + 1
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        if string_ids:
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=_LONGEST_ID)
        else:
            schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("model_version", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        collection = f"{name}_{number:06d}"
        client.create_collection(
            collection, schema=schema, consistency_level="Strong", properties=properties_of(version)
        )
    return MilvusIndex(client, uri, collection)


@contextmanager
def drafted(uri: str, name: str, **options: Any) -> Iterator[MilvusIndex]:
    """A :func:`draft` that is dropped if the block fails."""
    index = draft(uri, name, **options)
    try:
        yield index
    except BaseException:
        with suppress(OSError), milvus_errors(uri):  # otherwise pruning removes it
            index.client.drop_collection(index.collection)
        raise


def finish(index: MilvusIndex, neighbors: int = 16, ef_construction: int = 200) -> None:
    """Build the graph of the inserted vectors, and load it."""
    client, params = index.client, {"M": neighbors, "efConstruction": ef_construction}
    with milvus_errors(index.uri):
        client.flush(index.collection)
        wanted = client.prepare_index_params()
        wanted.add_index("vector", index_type="HNSW", metric_type="COSINE", params=params)
        client.create_index(index.collection, wanted)
        client.load_collection(index.collection)


def measure(
    index: MilvusIndex, vectors: Points, sample: Points, k: int = 100, target_recall: float = 0.95
) -> None:
    """Find the `ef` that reaches a recall.

    Args:
        index: a finished draft.
        vectors: (m,d) all inserted vectors, of length one.
        sample: (n,d) queries of length one.
        k: the list length to measure at.
        target_recall: in (0, 1].

    Warns:
        UserWarning: as :func:`tune`.
    """
    k = min(k, MOST, len(vectors))

    def scores_at(effort: int) -> Scores:
        found = np.full((len(sample), k), -np.inf, np.float32)
        for row, hits in zip(found, index.ask(sample, k, effort=effort), strict=True):
            row[: len(hits)] = [*hits.values()]
        return found

    best = kth_best(vectors, sample, k)
    index.tuning = tune(scores_at, efforts(k, len(vectors)), best, k, target_recall)
    index.effort = index.tuning.effort


def efforts(k: int, items: int) -> Sequence[int]:
    """The `ef` ladder of a search for k, ascending; Milvus accepts at most 32,768."""
    return doubling(min(k, items), min(items, 2 * MOST))


def serve(index: MilvusIndex, name: str) -> None:
    """Move the alias to a collection."""
    client = index.client
    properties = properties_of(index.version, index.tuning)
    with milvus_errors(index.uri):
        client.alter_collection_properties(index.collection, properties)
        move = client.alter_alias if client.has_collection(name) else client.create_alias
        move(collection_name=index.collection, alias=name)


def publish_to_milvus(
    uri: str,
    ids: Any,
    vectors: Array,
    *,
    name: str = "items",
    queries: Array | None = None,
    k: int = 100,
    target_recall: float = 0.95,
    seed: int = 0,
    version: int | None = None,
    token: str = "",
    **options: int,
) -> MilvusIndex:
    """Publish a new collection of items, measure its recall, and serve it.

    If anything fails, the new collection is dropped and the one before it serves.

    Args:
        uri, name, version, token: as in :func:`draft`.
        ids, vectors, queries, k, target_recall, seed: as in :meth:`LocalIndex.build`.
        options: as in :func:`finish`.

    Raises, warns: as :func:`draft`, :func:`checked_items` and :func:`tune`.
    """
    ids, vectors = checked_items(ids, vectors)
    sample = query_sample(queries, vectors, k, target_recall, seed)
    sample = unit_queries(sample, vectors.shape[1])
    shape = {"dim": vectors.shape[1], "string_ids": ids.dtype.kind == "U"}
    with drafted(uri, name, version=version, token=token, **shape) as index:
        index.upsert(ids, vectors)
        finish(index, **options)
        measure(index, vectors, sample, k, target_recall)
        serve(index, name)
    return index


def prune(uri: str, name: str = "items", *, keep: int, token: str = "") -> list[str]:
    """Drop all but the newest `keep` collections up to the one that serves; returns their names.

    Collections newer than that stay: another process may be writing one.

    Raises:
        DataError: keep < 1, or no collection serves. OSError: as :meth:`MilvusIndex.open`.
    """
    if keep < 1:
        raise DataError(f"keep must be at least 1, got {keep}")
    index = MilvusIndex.open(uri, name, token=token)
    with milvus_errors(uri):
        served = index.client.describe_alias(name)["collection_name"]
        held = collections(index.client, name)
        old = sorted(number for number in held if held[number] <= served)[:-keep]
        dropped = [held[number] for number in old]
        for collection in dropped:
            index.client.drop_collection(collection)
    return dropped
