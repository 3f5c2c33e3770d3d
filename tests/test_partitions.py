"""Partitions are read a block at a time, and know their rows. Needs no cluster."""

import builtins

import numpy as np
import pytest

from minitower.data.columns import numbers, scalars, sets
from minitower.data.errors import DataError
from minitower.scale import partitions

ROWS = 40_000


@pytest.fixture(scope="module")
def columns():
    tags = [[1.0, 2.0]] * ROWS
    tags[ROWS - 3] = [1.0, 1.5]
    price = np.ones(ROWS)
    price[ROWS - 5] = np.inf
    return {"item_id": np.arange(ROWS), "tags": tags, "price": price, "unread": np.zeros(ROWS)}


@pytest.fixture(params=["file", "frame"])
def part(request, columns, tmp_path):
    if request.param == "file":
        arrow = pytest.importorskip("pyarrow", reason="not installed: pip install '.[streams]'")
        import pyarrow.parquet

        pyarrow.parquet.write_table(arrow.table(columns), tmp_path / "7.parquet")
        return 7, "here", str(tmp_path / "7.parquet")
    pandas = pytest.importorskip("pandas", reason="not installed: pip install '.[frames]'")
    return 7, "here", pandas.DataFrame(columns)


def test_blocks__are_small_and_complete(part):
    read = list(partitions.blocks(part, ["item_id"]))
    assert len(read) > 2
    assert max(map(len, read)) <= 1 << 14  # so is the memory of a worker
    assert np.array_equal(np.concatenate([b["item_id"] for b in read]), np.arange(ROWS))
    assert all(block.arrays.keys() == {"item_id"} for block in read)


def test_blocks__errors_name_the_row_of_the_partition(part):
    *_, last = partitions.blocks(part, ["price", "tags"])
    with pytest.raises(
        DataError, match=rf"^here, row {ROWS - 5}, column 'price': the number is inf"
    ):
        numbers(last["price"], last.at("price"))
    _, members, place = sets(last["tags"], " ", last.at("tags"))
    with pytest.raises(
        DataError, match=rf"^here, row {ROWS - 3}, column 'tags': expected an integer"
    ):
        scalars(members, place)


def test_blocks__a_column_that_is_not_there(part):
    with pytest.raises(DataError, match=r"column 'color'.*; columns: item_id, tags"):
        list(partitions.blocks(part, ["color"]))


def test_total__is_none_where_there_is_nothing():
    assert partitions.total([]) is None
    assert partitions.total([None, 2, None, 3]) == 5
    assert partitions.total([(1, 10), None, (2, 20)]) == (3, 30)


def test_without_dask_the_extra_is_named(monkeypatch, tmp_path):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("dask"):
            raise ModuleNotFoundError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ModuleNotFoundError, match=r"pip install \"minitower\[dask\]\""):
        partitions.partitions(tmp_path)


def test_without_a_client_one_is_asked_for(tmp_path):
    pytest.importorskip("dask.distributed", reason="not installed: pip install '.[dask]'")
    (tmp_path / "1.parquet").touch()
    with pytest.raises(ValueError, match="no Dask client is active: make one"):
        partitions.folded(partitions.partitions(tmp_path), None, len)
