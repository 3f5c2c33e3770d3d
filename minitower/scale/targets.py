"""Targets of item vectors, in one string: `faiss:PATH`, `milvus:URI`, ... Chapter 20.

exact:PATH, hnsw:PATH, faiss:PATH, scann:PATH   a folder of versions, see `LocalIndex`
milvus:PATH.db, milvus:http://HOST:PORT         Milvus Lite, or a cluster, see `MilvusIndex`
"""

import os
from dataclasses import dataclass
from typing import Any

from minitower.data.errors import DataError, show
from minitower.formulas.arrays import Array
from minitower.scale.milvus import MilvusIndex
from minitower.scale.milvus_versions import publish_to_milvus
from minitower.search.by_id import VectorIndex
from minitower.store.full_version import Store
from minitower.store.local_index import LocalIndex, check_folder

KINDS = {
    "exact": ("exact",),
    "hnsw": ("hnsw",),
    "faiss": ("hnsw", "flat", "ivfpq"),
    "scann": ("scann",),
    "milvus": ("milvus",),
}


@dataclass(frozen=True)
class Target:
    """A place to publish vectors to.

    Attributes:
        scheme: a key of `KINDS`.
        place: a path or a URI.
        kind: the kind of index, where the scheme has several.
    """

    scheme: str
    place: str
    kind: str

    @staticmethod
    def read(target: str, kind: str | None = None) -> "Target":
        """From `SCHEME:PLACE`.

        Raises:
            DataError: the scheme or the kind is unknown, or the place cannot be a path or URI.

        >>> Target.read("faiss:vectors", "ivfpq").backend
        'faiss-ivfpq'
        >>> Target.read("milvus:http://localhost:19530").place
        'http://localhost:19530'
        """
        scheme, colon, place = target.partition(":")
        if scheme not in KINDS or not colon or not place:
            raise DataError(f"expected {':PATH, '.join(KINDS)}:URI, got {target!r}")
        try:
            writable = b"\0" not in os.fsencode(place)
        except UnicodeEncodeError:
            writable = False
        if not writable:
            raise DataError(f"{show(target)} cannot be a path or URI on any system")
        kind = kind or KINDS[scheme][0]
        if kind not in KINDS[scheme]:
            raise DataError(f"{scheme} has no kind {kind!r}; kinds: {', '.join(KINDS[scheme])}")
        return Target(scheme, place, kind)

    @property
    def backend(self) -> str:
        """As in :meth:`LocalIndex.build`."""
        return f"faiss-{self.kind}" if self.scheme == "faiss" else self.kind

    def publish(
        self, ids: Any, vectors: Array, *, name: str = "items", token: str = "", **options: Any
    ) -> tuple[VectorIndex, str]:
        """Index items and serve them; returns the index, and the name of its version.

        Args:
            ids, vectors: of the items.
            name, token: as in :func:`publish_to_milvus`.
            options: as in :meth:`LocalIndex.build`.

        Raises:
            DataError, OSError, ModuleNotFoundError: as these two. The version before serves.
        """
        if self.scheme == "milvus":
            index = publish_to_milvus(self.place, ids, vectors, name=name, token=token, **options)
            return index, index.collection
        check_folder(self.place)  # before minutes of building
        local = LocalIndex.build(self.backend, ids, vectors, **options)
        return local, str(local.save(self.place).number)

    def open(self, *, name: str = "items", token: str = "", **wanted: Any) -> VectorIndex:
        """The index that serves there; `wanted` as in the `open` of the two indexes."""
        if self.scheme == "milvus":
            return MilvusIndex.open(self.place, name, token=token, **wanted)
        return LocalIndex.open(self.place, **wanted)


def vectors_of(store: Store) -> tuple[Array, Array]:
    """Ids and vectors of a store's items, for indexes that score by cosine.

    Raises:
        DataError: the model scores by inner product. A cosine ignores the length of a vector,
            and would rank differently.
    """
    if store.model.similarity != "cosine":
        raise DataError(
            f"the model scores by {store.model.similarity}, and vector indexes by cosine: they "
            "would rank differently; train with similarity cosine, or serve from the store"
        )
    return store.items.ids, store.index.vectors
