"""hnswlib's graph as an engine: its files, and what it refuses to open."""

import struct

import hnswlib
import numpy as np
import pytest
from test_approximate import Folder, clustered, unit

from minitower.search.approximate import ApproximateIndex


def build(items, **options):
    return ApproximateIndex.build("hnsw", items, similarity="cosine", **options)


def test_build__same_seed_same_graph(tmp_path):
    items = unit(clustered(0, 500))
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (tmp_path / name).mkdir()
        build(items, seed=seed).save(tmp_path / name)
    a, b, c = ((tmp_path / name / "index.hnsw").read_bytes() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(
    "change",
    [
        lambda items: items[:-1],
        lambda items: np.vstack([items, items[:1]]),
        lambda items: items[::-1],
        lambda items: unit(items[:, :-1]),
        lambda items: unit(np.hstack([items, items])),
    ],
)
def test_open__refuses_a_graph_of_other_vectors(tmp_path, change):
    items = unit(clustered(0, 300))
    stated = build(items).save(tmp_path)
    with pytest.raises(ValueError, match="is not the graph of these"):
        ApproximateIndex.open(Folder(tmp_path), change(items), stated)


@pytest.mark.parametrize("width", [15, 17])
def test_open__looks_before_hnswlib_reads_past_the_end(tmp_path, monkeypatch, width):
    """hnswlib takes the width it is printed, whatever the file holds."""
    stated = build(unit(clustered(0, 300))).save(tmp_path)

    class Unread:
        def __init__(self, space, dim):
            pass

        def load_index(self, path, max_elements):
            pytest.fail("read with a wrong width")

    monkeypatch.setattr(hnswlib, "Index", Unread)
    with pytest.raises(ValueError, match="is not the graph of these 300"):
        ApproximateIndex.open(Folder(tmp_path), unit(clustered(0, 300, d=width)), stated)


@pytest.mark.parametrize("kept", [0, 40, 48, 100, 5000])
def test_open__refuses_a_truncated_file(tmp_path, kept):
    items = unit(clustered(0, 300))
    stated = build(items).save(tmp_path)
    (tmp_path / "index.hnsw").write_bytes((tmp_path / "index.hnsw").read_bytes()[:kept])
    with pytest.raises(ValueError, match="is not the graph of these"):
        ApproximateIndex.open(Folder(tmp_path), items, stated)


@pytest.mark.parametrize("label", [5, 2**40])
def test_open__refuses_a_graph_without_one_of_the_labels(tmp_path, label):
    items = unit(clustered(0, 3))
    stated = build(items).save(tmp_path)
    content = bytearray((tmp_path / "index.hnsw").read_bytes())
    size, offset = struct.unpack("<2Q", content[24:40])  # of an element, and of its label in it
    at = 96 + 2 * size + offset
    assert content[at : at + 8] in [(i).to_bytes(8, "little") for i in range(3)]
    content[at : at + 8] = label.to_bytes(8, "little")
    (tmp_path / "index.hnsw").write_bytes(content)
    with pytest.raises(ValueError, match="is not the graph of these"):
        ApproximateIndex.open(Folder(tmp_path), items, stated)


def test_open__refuses_a_graph_of_no_vectors(tmp_path):
    items = unit(clustered(0, 3))
    stated = build(items).save(tmp_path)
    with pytest.raises(ValueError, match="is not the graph of these 0 item vectors"):
        ApproximateIndex.open(Folder(tmp_path), items[:0], stated)
