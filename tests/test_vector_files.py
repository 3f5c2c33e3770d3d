"""Vectors on their way to an index."""

import numpy as np
import pytest

from minitower.data.errors import DataError
from minitower.scale import vector_files
from minitower.scale.milvus import MilvusIndex
from minitower.scale.vector_files import VectorFiles, publish_files, write_vectors
from minitower.store.new_folder import new_folder

pytest.importorskip("pyarrow.parquet", reason="not installed: pip install '.[streams]'")

N, DIM, ROWS = 3000, 4, 500


def some(seed=0):
    return np.random.default_rng(seed).standard_normal((N, DIM)).astype(np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_files, "_ROWS", ROWS)
    content = {"items": N, "dim": DIM, "text": False, "version": 3, "model": "0" * 64}
    with new_folder(tmp_path / "vectors", "vectors", content) as place:
        for part in range(2):
            rows = np.arange(N)[part::2]
            blocks = ((rows[i : i + 999], some()[rows[i : i + 999]]) for i in range(0, N // 2, 999))
            path = place / f"part-{part:05d}.parquet"
            assert write_vectors(path, blocks, dim=DIM, string_ids=False, version=3) == N // 2
    return tmp_path / "vectors"


class Kept(dict):
    """An index that is no more than what it was given; it dies after so many batches."""

    def __init__(self, lives=1 << 30):
        self.lives, self.largest = lives, 0

    def upsert(self, ids, vectors):
        if not self.lives:
            raise ConnectionError("the server is gone")
        self.lives -= 1
        self.largest = max(self.largest, len(ids))
        self.update(zip(ids.tolist(), map(bytes, vectors)))


def test_upsert_to__hands_over_everything_in_small_batches(folder):
    index = Kept()
    assert VectorFiles(folder).upsert_to(index) == N
    assert index == dict(zip(range(N), map(bytes, some())))
    assert index.largest <= ROWS


def test_upsert_to__is_done_again_after_a_failure(folder):
    index = Kept(lives=2)
    with pytest.raises(ConnectionError):
        VectorFiles(folder).upsert_to(index)
    assert 0 < len(index) < N
    index.lives = 99
    assert VectorFiles(folder).upsert_to(index) == N
    assert index == dict(zip(range(N), map(bytes, some())))


def test_vector_files__refuses_what_was_changed(folder):
    path = folder / "part-00001.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"part-00001\.parquet: damaged: its SHA-256"):
        VectorFiles(folder).upsert_to(Kept())
    path.unlink()
    with pytest.raises(DataError, match=r"part-00001\.parquet: missing"):
        VectorFiles(folder)


def test_write_vectors__leaves_nothing_of_what_failed(tmp_path):
    def blocks():
        yield np.arange(2), np.ones((2, DIM))
        raise DataError("row 2")

    with pytest.raises(DataError, match="row 2"):
        write_vectors(tmp_path / "x.parquet", blocks(), dim=DIM, string_ids=False, version=-1)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def milvus(tmp_path):
    """The place of a Milvus Lite, which ends with the test."""
    for package in ("pymilvus", "milvus_lite"):
        pytest.importorskip(package, reason="not installed: pip install '.[milvus]'")
    return str(tmp_path / "items.db")


def test_publish_files__to_milvus(folder, milvus):
    index = publish_files(VectorFiles(folder), milvus)
    served = MilvusIndex.open(milvus, version=3)
    assert len(served) == N
    vectors, asked = some(), [0, 1, N // 2, N - 1]
    found, cosines = served.search(vectors[asked], k=1)
    assert found[:, 0].tolist() == asked
    assert cosines == pytest.approx(1, abs=1e-5)
    index.close()


def test_publish_files__what_fails_is_dropped_and_what_was_served_still_is(folder, milvus):
    files = VectorFiles(folder)
    publish_files(files, milvus)
    last = folder / files.files[1]
    last.write_bytes(bytes(last.stat().st_size))
    with pytest.raises(DataError, match="damaged"):
        publish_files(files, milvus)
    index = MilvusIndex.open(milvus)
    assert index.client.describe_collection("items")["collection_name"] == "items_000001"
    assert index.client.list_collections() == ["items_000001"]
    assert len(index) == N
    index.close()
