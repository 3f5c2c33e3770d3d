"""What publishing to Milvus promises beyond the contract: on Milvus Lite, by path and by URI."""

import re
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import minitower as mt
from minitower.data import DataError
from minitower.scale import milvus, milvus_versions
from minitower.scale.milvus import MilvusIndex, connected, released
from minitower.scale.milvus_versions import draft, finish, prune, publish_to_milvus, serve

pytest.importorskip("pymilvus", reason="not installed: pip install '.[milvus]'")
pytest.importorskip("milvus_lite", reason="not installed: pip install '.[milvus]'")

M, D = 300, 8
ITEMS = np.arange(M)


def vectors(seed, n=M, d=D):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def found(index, seed=9):
    return index.search(vectors(seed, 5), 3)[0].tolist()


def publish(uri, seed, **options):
    return publish_to_milvus(uri, ITEMS, vectors(seed), k=5, **options)


def python(script, *arguments):
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def lite(tmp_path):
    uri = str(tmp_path / "items.db")
    yield uri
    released(uri)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Milvus Lite as a server: by URI, for several processes, with a token it does not check."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("server")
    command = [sys.executable, "-m", "milvus_lite.cmdline", "server", "--data-dir", folder / "data"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([*command, "--port", str(port)], stdout=log, stderr=log)
        try:
            while process.poll() is None:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.1)
            assert process.poll() is None, (folder / "log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def test_publish__moves_the_alias_and_readers_change_over_at_once(server):
    first = publish(server, 1, version=1, token="root:secret")
    reader = MilvusIndex.open(server, token="root:secret")
    pinned = MilvusIndex.open(server, version=1)
    assert (reader.version, reader.dim, len(reader)) == (1, D, M)
    assert reader.tuning == first.tuning
    before = found(reader)
    second = publish(server, 2, version=2)
    assert (first.collection, second.collection) == ("items_000001", "items_000002")
    assert found(reader) == found(second) != before == found(pinned)
    assert MilvusIndex.open(server).version == 2
    other = python("""
        import sys
        from minitower.scale.milvus import MilvusIndex
        for version in (None, 1):
            print(MilvusIndex.open(sys.argv[1], version=version).version)
        """, server)  # fmt: skip
    assert other.stdout == "2\n1\n", other.stderr
    assert prune(server, keep=2) == []
    assert prune(server, keep=1) == ["items_000001"]
    assert found(reader) == found(second)
    with pytest.raises(DataError, match="items has no model version 1; versions: 2"):
        MilvusIndex.open(server, version=1)


def test_publish__another_dimension_and_other_ids(lite):
    publish(lite, 1)
    index = publish_to_milvus(lite, ["a", "b"], vectors(0, 2, 3), k=1)
    assert MilvusIndex.open(lite).search(np.ones((1, 3)), 2)[0].dtype.kind == "U"
    assert index.dim == 3
    with pytest.raises(DataError, match="the vectors of items have 3 dimensions, not 8"):
        MilvusIndex.open(lite, dim=8)


@pytest.mark.parametrize("step", ["finish", "measure", "serve"])
def test_publish__a_failure_drops_the_draft_and_what_was_served_still_is(lite, monkeypatch, step):
    publish(lite, 1)
    before = found(MilvusIndex.open(lite))

    def fails(*_, **__):
        raise OSError("the network is down")

    monkeypatch.setattr(milvus_versions, step, fails)
    with pytest.raises(OSError, match="the network is down"):
        publish(lite, 2)
    assert found(MilvusIndex.open(lite)) == before
    assert connected(lite).list_collections() == ["items_000001"]


def test_publish__a_killed_one_leaves_a_draft_that_pruning_removes(lite):
    publish(lite, 1)
    draft(lite, "items", dim=D, string_ids=False).upsert(ITEMS[:9], vectors(2, 9))  # and is killed
    before = found(MilvusIndex.open(lite))
    assert prune(lite, keep=1) == []  # it could be at work
    publish(lite, 1)
    assert found(MilvusIndex.open(lite)) == before
    assert prune(lite, keep=1) == ["items_000001", "items_000002"]


def test_upsert__in_batches_and_twice_is_as_once(lite, monkeypatch):
    monkeypatch.setattr(milvus, "_BATCH", 64 * D)
    index = draft(lite, "items", dim=D, string_ids=False, version=7)
    for _ in range(2):
        index.upsert(ITEMS[:200], vectors(1)[:200])
    index.upsert(ITEMS[150:], vectors(1)[150:])
    finish(index)
    serve(index, "items")
    reader = MilvusIndex.open(lite, version=7)
    assert len(reader) == M
    assert reader.tuning is None
    assert reader.search(vectors(1), 1)[0][:, 0].tolist() == ITEMS.tolist()
    reader.upsert([5], -vectors(1)[5:6])
    assert len(reader) == M
    assert reader.search(-vectors(1)[5:6], 1)[0].tolist() == [[5]]
    rows = reader.client.query("items", filter="id == 5", output_fields=["model_version"])
    assert rows[0]["model_version"] == 7


@pytest.mark.parametrize("ids, width", [([1], D + 1), (["a"], D)])
def test_upsert__refuses_other_items(lite, ids, width):
    index = draft(lite, "items", dim=D, string_ids=False)
    with pytest.raises(DataError, match="has ids that are integers, and vectors of 8 dimensions"):
        index.upsert(ids, vectors(0, 1, width))


def test_search__fills_up_what_the_graph_left_short(lite, monkeypatch):
    index, asked = publish(lite, 1), []
    right = index.search(vectors(9, 5), 20, [[]] * 5)
    ask = index.ask

    def short(queries, size, without):
        asked.append(len(without))
        answers = ask(queries, size, without)
        return answers if without else [dict([*answer.items()][1::2]) for answer in answers]

    monkeypatch.setattr(index, "ask", short)
    ids, cosines = index.search(vectors(9, 5), 20, [[]] * 5)
    assert max(asked) == 10
    assert np.mean([np.isin(a, b).mean() for a, b in zip(ids, right[0])]) > 0.9
    assert all(len(set(row)) == 20 for row in ids.tolist())
    assert (np.diff(cosines) <= 0).all()


def test_prune__keeps_what_is_newer_than_what_is_served(lite):
    first, _ = publish(lite, 1), publish(lite, 2)
    first.client.alter_alias(first.collection, "items")  # back
    before = found(MilvusIndex.open(lite))
    assert prune(lite, keep=1) == []
    publish(lite, 3)
    assert prune(lite, keep=2) == ["items_000001"]
    assert found(MilvusIndex.open(lite)) != before
    with pytest.raises(DataError, match="keep must be at least 1"):
        prune(lite, keep=0)


def test_connected__does_not_ping_a_milvus_lite_that_is_busy(lite, monkeypatch):
    """Which would hang up in the middle of a build that takes half a minute."""
    asked = []
    monkeypatch.setattr("pymilvus.MilvusClient", lambda uri, **options: asked.append(options))
    connected(lite)
    connected("http://localhost:19530")
    assert asked[0]["grpc_options"]["grpc.keepalive_time_ms"] >= 300_000  # what gRPC allows
    assert "grpc_options" not in asked[1]


def test_search__k_beyond_what_milvus_returns(lite):
    index = publish(lite, 1)
    with pytest.raises(DataError, match="k must be at most 16384"):
        index.search(vectors(0, 1), 16_385)


def test_open__one_clear_line(lite, tmp_path):
    with pytest.raises(DataError, match="nothing is served under the name items"):
        MilvusIndex.open(lite)
    with pytest.raises(DataError, match="the name '1-a' must be letters"):
        draft(lite, "1-a", dim=D, string_ids=False)
    connected(lite).create_collection("theirs", dimension=4)
    for use in (
        lambda: MilvusIndex.open(lite, "theirs"),
        lambda: draft(lite, "theirs", dim=D, string_ids=False),
    ):
        with pytest.raises(DataError, match="theirs was not made by minitower"):
            use()
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(OSError, match=f"{uri}: Milvus: Fail connecting to server"):
            MilvusIndex.open(uri)
    (tmp_path / "old.db").write_bytes(b"SQLite format 3")
    with pytest.raises(DataError, match=r"old\.db: is a file of Milvus Lite 2"):
        MilvusIndex.open(str(tmp_path / "old.db"))
    with pytest.raises(OSError, match=rf"items\.db: the folder {tmp_path}/none is missing"):
        MilvusIndex.open(str(tmp_path / "none" / "items.db"))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("stored", ['{"version": 1, "measured": {"share": 1.0}}', "[]", "", "{}"])
def test_open__what_another_release_made(lite, stored):
    index = publish(lite, 1)
    index.client.alter_collection_properties("items", {"minitower": stored})
    with pytest.raises(DataError, match="another release of minitower made items"):
        MilvusIndex.open(lite)


def test_open__a_file_that_another_process_holds(lite):
    """Whoever holds it goes on serving."""
    index = publish(lite, 1)
    before = found(index)
    other = python("""
        import sys
        from minitower.scale.milvus import MilvusIndex
        try:
            MilvusIndex.open(sys.argv[1])
        except OSError as error:
            print(error)
        """, lite)  # fmt: skip
    assert other.stdout == f"{lite}: another process holds it: Milvus Lite serves only one\n"
    assert found(index) == before
    index.close()
    assert "\n1\n" in "\n" + python("""
        import sys
        from minitower.scale.milvus import MilvusIndex
        index = MilvusIndex.open(sys.argv[1])
        print(1)
        index.close()
        """, lite).stdout  # fmt: skip


def test_publish__a_full_disk_leaves_the_previous_index_served(tmp_path):
    """In a process of its own, whose files may not grow beyond 16 KB from then on."""
    run = python("""
        import resource, sys
        import numpy as np
        from minitower.scale.milvus import MilvusIndex
        from minitower.scale.milvus_versions import publish_to_milvus

        vectors = np.random.default_rng(1).standard_normal((3000, 8)).astype(np.float32)
        uri = sys.argv[1]
        publish_to_milvus(uri, np.arange(200), vectors[:200], k=5)
        search = lambda: MilvusIndex.open(uri).search(vectors[:20], 5)[0].tolist()
        before = search()
        resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, resource.RLIM_INFINITY))
        try:
            publish_to_milvus(uri, np.arange(3000), vectors, k=5)
        except OSError as error:
            print(error)
        print(search() == before)
        """, tmp_path / "items.db")  # fmt: skip
    assert run.returncode == 0, run.stderr
    error, same = run.stdout.splitlines()
    assert error.startswith(f"{tmp_path / 'items.db'}: Milvus: ")
    assert same == "True"


def test_the_block_of_the_book_runs(tmp_path, monkeypatch):
    """The one that is no doctest, since the book is also read without the extra."""
    page = Path(__file__).parent.parent / "docs" / "20-choosing-an-index.md"
    (block,) = re.findall(r"```python\n(service.*?)```", page.read_text("utf-8"), re.DOTALL)
    log = {"user": [1, 1, 2, 3], "item": [1, 2, 2, 3]}
    schema = mt.Schema(user=[mt.Id("user")], item=[mt.Id("item")])
    data = mt.Dataset.from_columns(schema, log, split=mt.RandomSplit(0, 0))
    monkeypatch.chdir(tmp_path)
    version = mt.publish_model(
        mt.TwoTower(data.schema, dim=2, hidden=()), data, "store"
    ).version.number
    store = mt.Recommender.open("store").store
    publish_to_milvus("vectors.db", store.items.ids, store.index.vectors, version=version)
    names = {"mt": mt, "user": 1, "seen": [1, 2]}
    exec(block, names)
    assert names["ids"][0, 0] == 3
    assert (names["ids"][0, 1:] == -1).all()
    names["index"].close()


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    for module in ("pymilvus", "milvus_lite"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, module, None)
            with pytest.raises(ModuleNotFoundError, match=r"minitower\[milvus\]"):
                MilvusIndex.open(str(tmp_path / "items.db"))
