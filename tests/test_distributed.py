"""What many workers make of a catalogue is what one machine makes of it."""

import os
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import minitower as mt
from minitower.data.columns import read_columns
from minitower.data.errors import DataError, Place
from minitower.scale import distributed
from minitower.scale.distributed import click_counts, encode_items, pairwise_mutual_information

MISSING = "not installed: pip install '.[dask]'"
pd = pytest.importorskip("pandas", reason=MISSING)
dask = pytest.importorskip("dask", reason=MISSING)
dask_distributed = pytest.importorskip("dask.distributed", reason=MISSING)
dd = pytest.importorskip("dask.dataframe", reason=MISSING)
parquet = pytest.importorskip("pyarrow.parquet", reason=MISSING)

ITEMS, PARTS = 300, 6


@pytest.fixture(scope="module")
def client():
    """Two processes, as two machines are."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with (
        dask_distributed.LocalCluster(dashboard_address=":0", **options) as cluster,
        dask_distributed.Client(cluster) as client,
    ):
        yield client


def catalogue(rng, n, first=0):
    words = [rng.choice(list("abcdef"), rng.integers(0, 4)).tolist() for _ in range(n)]
    return {
        "item_id": first + np.arange(n),
        "color": rng.choice(["red", "green", "blue"], n),
        "tags": words,
        "price": rng.gamma(2.0, 10.0, n).round(1),
        "size": rng.integers(0, 40, n),
        "year": rng.integers(1990, 1999, n).astype(float),
    }


SCHEMA = mt.Schema(
    user=[mt.Id("user_id")],
    item=[
        mt.Id("item_id"),
        mt.Categorical("color"),
        mt.MultiValued("tags"),
        mt.Continuous("price", "log1p"),
        mt.Continuous("size", "bucketise"),
        mt.Continuous("year", "standardise", impute=True),
    ],
)


class World:
    """A data set, a model of it on the disk, and both tables cut into files."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        self.items = catalogue(rng, ITEMS)
        self.clicks = {
            "user_id": rng.integers(0, 40, 2000),
            "item_id": np.minimum(rng.zipf(1.3, 2000), ITEMS - 20),
            "rating": rng.integers(1, 6, 2000),
        }
        self.data = mt.Dataset.from_columns(
            SCHEMA, self.clicks, None, self.items, positive="all", split=mt.RandomSplit(0, 0)
        )
        self.model = mt.TwoTower(self.data.schema, dim=8, hidden=(16,), seed=0)
        self.folder, self.saved = folder, folder / "model"
        mt.save_model(self.saved, self.model)
        self.item_files = cut(self.items, folder / "items")
        self.click_files = cut(self.clicks, folder / "clicks")
        self.vectors = mt.encode(self.model.item, self.data.items)


def cut(columns, folder, parts=PARTS):
    """One Parquet file for each of several parts of a table, one of them empty."""
    folder.mkdir()
    frame = pd.DataFrame(columns)
    edges = np.linspace(0, len(frame), parts).astype(int)
    for i, (start, stop) in enumerate(pairwise([*edges[:2], *edges[1:]])):
        frame.iloc[start:stop].to_parquet(folder / f"{i}.parquet")
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


def texts(columns):
    """A frame with sets as texts: Dask would make texts of lists, and not these."""
    return pd.DataFrame({**columns, "tags": [" ".join(tags) for tags in columns["tags"]]})


def read(files):
    ids, vectors = zip(*files.batches())
    return np.concatenate(ids), np.concatenate(vectors)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def test_cut__has_an_empty_part(world):
    rows = [parquet.read_metadata(p).num_rows for p in sorted(world.item_files.iterdir())]
    assert sum(rows) == ITEMS
    assert 0 in rows


def test_encode_items__equals_the_local_vectors(world, client, tmp_path):
    for items in (world.item_files, dd.from_pandas(texts(world.items), npartitions=3)):
        files = encode_items(items, world.saved, tmp_path / "vectors", client=client)
        ids, vectors = read(files)
        assert (files.items, files.dim, files.string_ids, files.version) == (ITEMS, 8, False, None)
        assert np.array_equal(ids, world.data.items.ids)
        assert vectors == pytest.approx(world.vectors, abs=1e-6)
        assert vectors.dtype == np.float32


def test_encode_items__again_gives_the_same_files(world, client, tmp_path):
    encode_items(world.item_files, world.saved, tmp_path / "vectors")  # the active client
    first = contents(tmp_path / "vectors")
    encode_items(world.item_files, world.saved, tmp_path / "vectors")
    assert contents(tmp_path / "vectors") == first
    assert [p.name for p in tmp_path.iterdir()] == ["vectors"]  # and nothing beside it


def test_encode_items__says_which_model(world, client, tmp_path):
    for _ in range(2):
        mt.publish_model(world.model, world.data, tmp_path / "store", index="exact")
    for version in (2, 1):
        files = encode_items(
            world.item_files, tmp_path / "store", tmp_path / "vectors", version=version
        )
        table = parquet.read_table(tmp_path / "vectors" / files.files[0])
        assert files.version == version
        assert set(table["model_version"].to_pylist()) == {version}
        assert [str(kind) for kind in table.schema.types] == [
            "int64",
            "fixed_size_list<element: float>[8]",
            "int64",
        ]


def test_encode_items__of_texts(client, tmp_path):
    names = np.array(["é", "b", "long name", "d"])
    data = mt.Dataset.from_columns(
        mt.Schema(
            user=[mt.Id("user_id")], item=[mt.Id("item_id", embed=False), mt.Categorical("c")]
        ),
        {"user_id": [1, 2], "item_id": names[:2]},
        None,
        {"item_id": names, "c": [1, 2, 1, 2]},
        split=mt.RandomSplit(0, 0),
    )
    model = mt.TwoTower(data.schema, dim=4, hidden=())
    mt.save_model(tmp_path / "model", model)
    items = cut({"item_id": names, "c": [1, 2, 1, 2]}, tmp_path / "items", 3)
    files = encode_items(items, tmp_path / "model", tmp_path / "vectors")
    ids, vectors = read(files)
    assert files.string_ids
    assert ids.tolist() == names.tolist()
    assert vectors == pytest.approx(mt.encode(model.item, data.items), abs=1e-6)


def test_encode_items__unknown_values_read_as_they_do_locally(world, client, tmp_path):
    strange = catalogue(np.random.default_rng(1), 40, first=1000)
    strange["color"][:9] = "violet"
    strange["tags"][0] = ["unheard", "of"]
    strange["year"][3] = np.nan
    side = world.data.schema.item
    local = side.encode(read_columns(strange, Place("items")), strange["item_id"])
    files = encode_items(cut(strange, tmp_path / "items"), world.saved, tmp_path / "vectors")
    assert read(files)[1] == pytest.approx(mt.encode(world.model.item, local), abs=1e-6)


def spoiled(name, row, value):
    def spoil(columns):
        column = list(columns[name])
        column[row] = value
        return {**columns, name: column}

    return spoil


@pytest.mark.parametrize(
    "spoil, where",
    [
        (spoiled("price", 130, np.nan), "2.parquet, row 10, column 'price': missing value; "),
        (spoiled("price", 130, -2.0), "2.parquet, row 10, column 'price': log1p needs "),
        (spoiled("item_id", 130, -4), "2.parquet, row 10, column 'item_id': negative id -4"),
        (spoiled("item_id", 130, None), "2.parquet, row 10, column 'item_id': missing id"),
        (spoiled("price", 130, np.inf), "2.parquet, row 10, column 'price': the number is inf"),
    ],
)
def test_encode_items__bad_rows_are_the_errors_they_are_locally(
    world, client, tmp_path, spoil, where
):
    columns = spoil(world.items)
    with pytest.raises(DataError) as local:
        mt.Dataset.from_columns(
            SCHEMA, world.clicks, None, columns, positive="all", split=mt.RandomSplit(0, 0)
        )
    frame = pd.DataFrame(columns)
    (tmp_path / "items").mkdir()
    for i in range(5):
        frame.iloc[60 * i : 60 * (i + 1)].to_parquet(tmp_path / "items" / f"{i}.parquet")
    with pytest.raises(DataError) as far:
        encode_items(tmp_path / "items", world.saved, tmp_path / "vectors")
    assert str(far.value).startswith(where)
    assert str(local.value).partition(": ")[2] == str(far.value).partition(": ")[2]
    assert [p.name for p in tmp_path.iterdir()] == ["items"]


def test_encode_items__a_dataframe_is_blamed_by_its_partition(world, client, tmp_path):
    frame = texts(spoiled("price", 130, np.nan)(world.items))
    with pytest.raises(DataError, match=r"^partition 1, row 30, column 'price': missing value"):
        encode_items(dd.from_pandas(frame, npartitions=3), world.saved, tmp_path / "vectors")
    table = dd.from_pandas(frame.drop(columns="tags"), npartitions=3)
    with pytest.raises(DataError, match=r"^partition \d: column 'tags' is missing; columns: item"):
        encode_items(table, world.saved, tmp_path / "vectors")


def test_encode_items__lists_that_dask_made_texts_of(world, client, tmp_path):
    """Every tag would be unknown, and nothing would say so."""
    frame = pd.DataFrame(world.items)
    with pytest.raises(DataError, match=r"^partition \d, row 0, column 'tags': a list became"):
        encode_items(dd.from_pandas(frame, npartitions=2), world.saved, tmp_path / "vectors")
    with dask.config.set({"dataframe.convert-string": False}):
        files = encode_items(
            dd.from_pandas(frame, npartitions=2), world.saved, tmp_path / "vectors"
        )
    assert read(files)[1] == pytest.approx(world.vectors, abs=1e-6)


@pytest.mark.parametrize(
    "rows, where",
    [([5, 70], r"^0.parquet and 1.parquet: the id 5 occurs"), ([5, 6], r"^0.parquet: the id 5 ")],
)
def test_encode_items__refuses_an_id_that_is_there_twice(world, client, tmp_path, rows, where):
    encode_items(world.item_files, world.saved, tmp_path / "vectors")
    before = contents(tmp_path / "vectors")
    frame = pd.DataFrame(spoiled("item_id", rows[1], rows[0])(world.items))
    (tmp_path / "items").mkdir()
    for i in range(5):
        frame.iloc[60 * i : 60 * (i + 1)].to_parquet(tmp_path / "items" / f"{i}.parquet")
    with pytest.raises(DataError, match=where):
        encode_items(tmp_path / "items", world.saved, tmp_path / "vectors")
    assert contents(tmp_path / "vectors") == before  # the older vectors are still there


def test_encode_items__refuses_files_that_are_not_whole(world, client, tmp_path):
    (tmp_path / "items").mkdir()
    whole = (world.item_files / "0.parquet").read_bytes()
    (tmp_path / "items" / "0.parquet").write_bytes(whole[:-9])
    with pytest.raises(DataError, match="not complete: it has no footer"):
        encode_items(tmp_path / "items", world.saved, tmp_path / "vectors")


def test_encode_items__refuses_what_is_no_catalogue(world, client, tmp_path):
    with pytest.raises(DataError, match=r"the folder has no .parquet file"):
        encode_items(tmp_path, world.saved, tmp_path / "vectors")
    with pytest.raises(DataError, match="a Dask dataframe or a folder of Parquet files, got dict"):
        encode_items({}, world.saved, tmp_path / "vectors")
    nothing = pd.DataFrame(world.items).iloc[:0]
    with pytest.raises(DataError, match="items: the table has no rows"):
        encode_items(dd.from_pandas(nothing, npartitions=1), world.saved, tmp_path / "vectors")
    with pytest.raises(DataError, match="items: the table has no rows"):
        pairwise_mutual_information(dd.from_pandas(nothing, npartitions=1), world.saved)


def test_a_worker_opens_the_model_that_was_meant(world, tmp_path):
    mt.save_model(tmp_path / "model", world.model)
    pinned = distributed._pinned(distributed.saved_model(tmp_path / "model", None))
    distributed._loaded(distributed.read_model, *pinned)
    mt.save_model(tmp_path / "model", mt.TwoTower(world.data.schema, dim=8, hidden=(16,), seed=1))
    with pytest.raises(DataError, match=r"manifest\.json: damaged"):
        distributed._loaded(distributed.read_model, *pinned)


def slow(world, parts):
    """A dataframe whose partitions take a while, so that there is a middle to kill in."""
    frame = texts(world.items)
    step = ITEMS // parts

    def load(part):
        import time

        time.sleep(0.1)
        return frame.iloc[step * part : step * (part + 1)]

    return dd.from_map(load, range(parts), meta=frame.iloc[:0])


def kill_a_worker_when(happened, client):
    """Kill -9 one process of the cluster once something has happened; the thread that does it."""
    (address, pid), *_ = client.run(os.getpid).items()
    killed = []

    def wait_and_kill():
        give_up = time.monotonic() + 60
        while not happened() and time.monotonic() < give_up:
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        killed.append(address)

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    return thread, killed


def test_encode_items__a_killed_worker_loses_nothing(world, client, tmp_path):
    written = lambda: sorted(tmp_path.glob(".minitower-vectors.*/new/part-*"))
    seen = []

    def half_way():
        seen[:] = written()
        return len(seen) >= 4

    thread, killed = kill_a_worker_when(half_way, client)
    files = encode_items(slow(world, 15), world.saved, tmp_path / "vectors", client=client)
    thread.join()
    assert 4 <= len(seen) < 15  # it was in the middle
    assert killed[0] not in client.scheduler_info(n_workers=-1)["workers"]
    ids, vectors = read(files)
    assert np.array_equal(ids, world.data.items.ids)
    assert vectors == pytest.approx(world.vectors, abs=1e-6)
    names = {path.name for path in (tmp_path / "vectors").iterdir()}
    assert names == {"manifest.json", *files.files}
    assert len(files.files) == 15


def test_pairwise_mutual_information__a_killed_worker_counts_nothing_twice(world, client):
    start = time.monotonic()
    thread, killed = kill_a_worker_when(lambda: time.monotonic() > start + 0.5, client)
    _, matrix = pairwise_mutual_information(slow(world, 15), world.saved, client=client)
    thread.join()
    assert killed
    assert matrix == pytest.approx(mt.pairwise_mutual_information(world.data)[1], abs=1e-12)


def test_a_partition_that_fails_is_done_again(world, client, tmp_path):
    """And what a try left behind, as a killed worker does, is no part of the result."""
    frame, folder = texts(world.items), str(tmp_path)

    def load(part):
        from pathlib import Path

        mark = Path(folder) / f"tried {part}"
        if part == 1 and not mark.exists():
            mark.touch()
            (place,) = Path(folder).glob(".minitower-vectors.*/new")
            (place / ".part-00001.parquet.half").write_bytes(b"PAR1")
            raise OSError("the network is down")
        return frame.iloc[100 * part : 100 * (part + 1)]

    items = dd.from_map(load, range(3), meta=frame.iloc[:0])
    files = encode_items(items, world.saved, tmp_path / "vectors")
    assert (tmp_path / "tried 1").exists()
    assert np.array_equal(read(files)[0], world.data.items.ids)
    assert set(contents(tmp_path / "vectors")) == {"manifest.json", *files.files}
    assert len(files.files) == 3


def test_click_counts__equal_the_local_ones(world, client):
    ids = world.data.items.ids
    counts = click_counts(world.click_files, positive="all")
    assert np.array_equal(counts.counts_of(ids), world.data.item_counts)
    shares = world.data.item_counts / len(world.data.train)
    assert np.array_equal(counts.shares, shares[np.isin(ids, counts.values)])
    frame = dd.from_pandas(pd.DataFrame(world.clicks), npartitions=3)
    users = click_counts(frame, "user_id", positive="all", client=client)
    assert np.array_equal(users.counts, np.bincount(world.clicks["user_id"]))


def test_click_counts__of_positives(world, client):
    local = mt.Dataset.from_columns(
        SCHEMA, world.clicks, None, world.items, positive="rating >= 4", split=mt.RandomSplit(0, 0)
    )
    counts = click_counts(world.click_files, positive="rating >= 4")
    assert np.array_equal(counts.counts_of(local.items.ids), local.item_counts)
    assert len(click_counts(world.click_files, positive="rating > 5").values) == 0


def test_click_counts__refuses(world, client):
    for source in (world.click_files, dd.from_pandas(pd.DataFrame(world.clicks), npartitions=2)):
        with pytest.raises(DataError, match="clicks: column 'rating' could define positives"):
            click_counts(source, client=client)
    clicks = pd.DataFrame({"item_id": [1, 2, 3, 4]})
    with pytest.raises(DataError, match=r"^partition 0: column 'id' is missing; columns: item_id"):
        click_counts(dd.from_pandas(clicks, npartitions=1), "id")
    missing = dd.from_pandas(pd.DataFrame({"item_id": [1, 2, 3, np.nan]}), npartitions=2)
    with pytest.raises(DataError, match=r"^partition 1, row 1, column 'item_id': missing id$"):
        click_counts(missing)
    mixed = dd.from_map(lambda part: clicks.astype(part), [int, str], meta=clicks)
    with pytest.raises(DataError, match=r"in one column; make them one type"):
        click_counts(mixed)


@pytest.mark.parametrize("by", ["items", "clicks"])
def test_pairwise_mutual_information__equals_the_local_matrix(world, client, by):
    clicks = click_counts(world.click_files, positive="all") if by == "clicks" else None
    names, matrix = pairwise_mutual_information(world.item_files, world.saved, clicks=clicks)
    local_names, local = mt.pairwise_mutual_information(world.data, by)
    assert names == local_names == ["color", "tags", "price", "size", "year"]
    assert matrix == pytest.approx(local, abs=1e-12)
    assert not np.isnan(matrix).any()


def test_pairwise_mutual_information__of_an_id_alone_is_empty(client, tmp_path):
    data = mt.Dataset.from_columns(
        mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")]),
        {"user_id": [1, 2], "item_id": [1, 2]},
        split=mt.RandomSplit(0, 0),
    )
    mt.save_model(tmp_path / "model", mt.TwoTower(data.schema, dim=4, hidden=()))
    items = cut({"item_id": [1, 2]}, tmp_path / "items", 2)
    names, matrix = pairwise_mutual_information(items, tmp_path / "model")
    assert (names, matrix.shape) == ([], (0, 0))
