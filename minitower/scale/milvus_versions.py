"""Publishing to Milvus: a new collection beside the others, then the alias moves.

Readers that go through the alias change over at once. The collections before stay, to be
read by those who opened them for their version of the model, until they are pruned.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from minitower.data.errors import DataError
from minitower.formulas.arrays import Array
from minitower.scale.milvus import MOST, MilvusIndex
from minitower.scale.milvus_connection import collections, connected, statement, told
from minitower.search.engines import doubling
from minitower.search.vector_index import Cosines, Unit, checked_items, drawn, tuned

_TEXT = 65_535  # bytes that an id may have, the most that Milvus allows


def draft(
    uri: str, name: str, *, dim: int, text: bool, version: int | None = None, token: str = ""
) -> MilvusIndex:
    """A new collection, empty and served to nobody: `upsert`, :func:`finish`, :func:`serve`.

    Args:
        uri, token: as in :meth:`MilvusIndex.open`.
        name: the alias that readers ask for.
        dim: of the vectors.
        text: whether ids are texts; else they are integers.
        version: of the model that makes the vectors.

    Raises:
        OSError: as :meth:`MilvusIndex.open`.
        DataError: Milvus cannot use the name, or a collection of somebody else has it.
    """
    if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
        raise DataError(f"the name {name!r} must be letters, digits and _, no digit first")
    client = connected(uri, token)
    from pymilvus import DataType

    with told(uri):
        if client.has_collection(name):
            MilvusIndex(client, uri, name)  # refuses what minitower has not made
        number = max(collections(client, name), default=0) + 1
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        if text:
            schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=_TEXT)
        else:
            schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("model_version", DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        collection = f"{name}_{number:06d}"
        client.create_collection(
            collection, schema=schema, consistency_level="Strong", properties=statement(version)
        )
    return MilvusIndex(client, uri, collection)


@contextmanager
def drafted(uri: str, name: str, **options: Any) -> Iterator[MilvusIndex]:
    """A :func:`draft` that is dropped if anything goes wrong in the block."""
    index = draft(uri, name, **options)
    try:
        yield index
    except BaseException:
        with suppress(OSError), told(uri):  # else pruning removes it
            index.client.drop_collection(index.collection)
        raise


def finish(index: MilvusIndex, neighbours: int = 16, ef_construction: int = 200) -> None:
    """Build the graph of what was inserted, and load it."""
    client, params = index.client, {"M": neighbours, "efConstruction": ef_construction}
    with told(index.uri):
        client.flush(index.collection)
        wanted = client.prepare_index_params()
        wanted.add_index("vector", index_type="HNSW", metric_type="COSINE", params=params)
        client.create_index(index.collection, wanted)
        client.load_collection(index.collection)


def measure(
    index: MilvusIndex, vectors: Unit, sample: Unit, k: int = 100, target_recall: float = 0.95
) -> None:
    """Find the `ef` that reaches a recall.

    Args:
        index: a draft that is finished.
        vectors: (m,d) all that were inserted, of length one.
        sample: (n,d) queries, from :func:`drawn`.
        k, target_recall: as in :func:`tuned`, which says what it warns of.
    """

    def cosines(queries: Unit, k: int, effort: int) -> Cosines:
        found = np.full((len(queries), k), -np.inf, np.float32)
        for row, answer in zip(found, index.ask(queries, k, effort=effort), strict=True):
            row[: len(answer)] = [*answer.values()]
        return found

    k = min(k, MOST)
    index.measured = tuned(cosines, efforts(k, len(vectors)), vectors, sample, k, target_recall)


def efforts(k: int, items: int) -> Sequence[int]:
    """The `ef` that a search for k may try, ascending; Milvus takes no more than 32,768."""
    return doubling(min(k, items), min(items, 2 * MOST))


def serve(index: MilvusIndex, name: str) -> None:
    """Move the alias here."""
    client = index.client
    properties = statement(index.version, index.measured)
    with told(index.uri):
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
    """A new collection of these items, its recall measured, and then served.

    If anything goes wrong it is dropped, and what was served still is.

    Args:
        uri, name, version, token: as in :func:`draft`.
        ids, vectors, queries, k, target_recall, seed: as in :meth:`LocalIndex.build`.
        options: as in :func:`finish`.

    Raises, warns: as :func:`draft`, :func:`checked_items` and :func:`tuned`.
    """
    ids, vectors = checked_items(ids, vectors)
    sample = drawn(queries, vectors, k, target_recall, seed)
    shape = {"dim": vectors.shape[1], "text": ids.dtype.kind == "U"}
    with drafted(uri, name, version=version, token=token, **shape) as index:
        index.upsert(ids, vectors)
        finish(index, **options)
        measure(index, vectors, sample, k, target_recall)
        serve(index, name)
    return index


def prune(uri: str, name: str = "items", *, keep: int, token: str = "") -> list[str]:
    """Drop all but the newest collections up to the one served; returns what is gone.

    The one served stays, and so does what is newer: somebody may be at work on it.

    Raises:
        DataError: keep < 1, or nothing is served. OSError: as :meth:`MilvusIndex.open`.
    """
    if keep < 1:
        raise DataError(f"keep must be at least 1, got {keep}")
    index = MilvusIndex.open(uri, name, token=token)
    with told(uri):
        served = index.client.describe_alias(name)["collection_name"]
        held = collections(index.client, name)
        old = sorted(number for number in held if held[number] <= served)[:-keep]
        gone = [held[number] for number in old]
        for collection in gone:
            index.client.drop_collection(collection)
    return gone
