"""Item vectors in Parquet files: how they travel from many workers to one index.

folder/
  manifest.json          as in minitower.store.folder; which model made the vectors
  part-00000.parquet     id (int64 or string), vector (d float32), model_version (int64)
  ...

Chapters 20 and 21.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.files import new_path
from minitower.data.parquet import pyarrow_parquet
from minitower.formulas.arrays import Array
from minitower.scale.milvus import MilvusIndex
from minitower.scale.milvus_versions import drafted, finish, serve
from minitower.store.folder import SavedFolder

UNVERSIONED = -1
"""The model_version of vectors whose model comes from no store."""

_ROWS = 1 << 14  # read at a time


class VectorFiles:
    """A folder of item vectors, opened.

    Attributes:
        files: in the order of the partitions that they come from.
        items: how many vectors there are.
        dim: d, their length.
        string_ids: True for ids that are strings, False for integers.
        version: of the store's model that made them; None of a model from no store.
        model: the SHA-256 of that model's manifest.

    Raises:
        DataError: the folder holds something else, or was cut or changed.
    """

    def __init__(self, folder: str | Path) -> None:
        self._saved = SavedFolder(folder, "vectors")
        self.files = sorted(self._saved.files)
        content = self._saved.content
        self.items: int = content["items"]
        self.dim: int = content["dim"]
        self.string_ids: bool = content["text"]
        self.version: int | None = content["version"]
        self.model: str = content["model"]

    def batches(self) -> Iterator[tuple[Array, Array]]:
        """Ids and vectors (n,d) float32, a bounded number at a time.

        Raises:
            DataError: a file is damaged; the message names it.
        """
        for name in self.files:
            yield from read_vectors(self._saved.path(name), self.dim)

    def upsert_to(self, index: MilvusIndex) -> int:
        """Hand all of them to an index, batch by batch; returns how many there were.

        It may be killed and called again: what an index has got twice it has once.
        """
        done = 0
        for ids, vectors in self.batches():
            index.upsert(ids, vectors)
            done += len(ids)
        return done


def publish_files(
    files: VectorFiles, uri: str, *, name: str = "items", token: str = "", **options: int
) -> MilvusIndex:
    """A new collection of all vectors, batch by batch, which is served when it is complete.

    If anything goes wrong it is dropped, and what was served still is. The recall is not
    measured: that takes all vectors in memory, as
    :func:`~minitower.scale.milvus_versions.publish_to_milvus` has them.

    Args:
        uri, name, token: as in :func:`~minitower.scale.milvus_versions.draft`.
        options: as in :func:`~minitower.scale.milvus_versions.finish`.

    Raises:
        OSError, DataError: as there, and as :meth:`VectorFiles.batches`.
    """
    shape = {"dim": files.dim, "string_ids": files.string_ids}
    with drafted(uri, name, version=files.version, token=token, **shape) as index:
        files.upsert_to(index)
        finish(index, **options)
        serve(index, name)
    return index


def write_vectors(
    path: Path, blocks: Iterable[tuple[Array, Array]], *, dim: int, string_ids: bool, version: int
) -> int:
    """Write ids and vectors; returns how many. A failure leaves no file.

    Two that write the same file at once do not meet: each writes under a name of its own.
    """
    arrow, parquet = pyarrow_parquet()
    schema = arrow.schema(
        {
            "id": arrow.string() if string_ids else arrow.int64(),
            "vector": arrow.list_(arrow.float32(), dim),
            "model_version": arrow.int64(),
        }.items()
    )
    rows = 0
    options = {"use_dictionary": ["model_version"], "write_page_checksum": True}
    with new_path(path) as temporary, parquet.ParquetWriter(temporary, schema, **options) as file:
        for ids, vectors in blocks:
            flat = arrow.array(np.asarray(vectors, np.float32).ravel())
            vector = arrow.FixedSizeListArray.from_arrays(flat, dim)
            stated = np.full(len(ids), version)
            columns = [arrow.array(ids, schema.field("id").type), vector, arrow.array(stated)]
            file.write_table(arrow.table(columns, schema=schema))
            rows += len(ids)
    return rows


def read_vectors(path: Path, dim: int) -> Iterator[tuple[Array, Array]]:
    """The ids and vectors of one file, a bounded number at a time."""
    _, parquet = pyarrow_parquet()
    with parquet.ParquetFile(path, page_checksum_verification=True) as file:
        for batch in file.iter_batches(_ROWS, columns=["id", "vector"]):
            ids: Any = batch.column("id").to_numpy(zero_copy_only=False)
            vectors = batch.column("vector").flatten().to_numpy().reshape(-1, dim)
            yield ids, vectors
