"""Files of lists: read back as written, complete or not at all."""

import csv
import json
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.scale.list_files import WRITERS, check_ending, json_lines, write_lists

ENDINGS = (".csv", ".jsonl", ".parquet")
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5)
ids = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=9).map(lambda v: np.array(v, np.int64)),
    st.lists(names, max_size=9).map(lambda v: np.array(v, np.str_)),
)


def needs(ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="not installed: pip install '.[streams]'")


def read(path):
    """The rows of a file by the readers that everybody has."""
    if path.suffix == ".parquet":
        from pyarrow import parquet

        return [tuple(row.values()) for row in parquet.read_table(path).to_pylist()]
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".jsonl":
            return [tuple(json.loads(line).values()) for line in file]
        header, *rows = csv.reader(file)
    assert header == ["user", "item", "score", "rank"]
    return [tuple(row) for row in rows]


def block(users, items):
    n = min(len(users), len(items))
    scores = np.linspace(-1, 1 / 3, n)
    return {"user": users[:n], "item": items[:n], "score": scores, "rank": np.arange(n) + 1}


@pytest.mark.parametrize("ending", ENDINGS)
@given(users=ids, items=ids, parts=st.integers(1, 3))
@example(users=np.array([0]), items=np.array(["\r"]), parts=1)
def test_write_lists__read_back(tmp_path_factory, ending, users, items, parts):
    needs(ending)
    path = tmp_path_factory.mktemp("lists") / f"lists{ending}"
    blocks = [block(users, items)] * parts
    assert write_lists(path, iter(blocks)) == parts * len(blocks[0]["rank"])
    expected = [row for b in blocks for row in zip(*(c.tolist() for c in b.values()), strict=True)]
    if ending == ".csv":
        expected = [tuple(map(str, row)) for row in expected]
    assert read(path) == expected


def test_write_lists__a_row_group_for_each_block(tmp_path):
    needs(".parquet")
    from pyarrow import parquet

    write_lists(tmp_path / "l.parquet", [block(np.arange(5), np.arange(5))] * 3)
    file = parquet.ParquetFile(tmp_path / "l.parquet")
    assert file.metadata.num_row_groups == 3
    assert [str(field.type) for field in file.schema_arrow] == ["int64", "int64", "double", "int64"]
    file.close()


@pytest.mark.parametrize("ending", ENDINGS)
def test_write_lists__an_error_leaves_the_old_file(tmp_path, ending):
    needs(ending)

    def failing():
        yield block(np.arange(5), np.arange(5))
        raise DataError("no more users")

    path = tmp_path / f"lists{ending}"
    path.write_bytes(b"old")
    with pytest.raises(DataError, match="no more users"):
        write_lists(path, failing())
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"


KILLED = """
    import os, signal, sys
    import numpy as np
    from pathlib import Path
    from minitower.scale.list_files import write_lists
    def blocks():
        for i in range(9):
            many = np.arange(5000)
            yield {"user": many, "item": many, "score": many / 7, "rank": many}
            if i == 7:
                os.kill(os.getpid(), signal.SIGKILL)
    write_lists(sys.argv[1], blocks())
"""


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_write_lists__a_killed_process_leaves_no_half_file(tmp_path, ending, old):
    needs(ending)
    path = tmp_path / f"lists{ending}"
    if old is not None:
        path.write_bytes(old)
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(path)]
    assert subprocess.run(command, timeout=120).returncode == -signal.SIGKILL
    assert (path.read_bytes() if path.exists() else None) == old


def test_check_ending__refuses(tmp_path, monkeypatch):
    for name in ("lists.txt", "lists", "lists.CSV", "lists.csv.gz"):
        with pytest.raises(DataError, match=r"ends with .parquet, .csv, .jsonl"):
            check_ending(tmp_path / name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"minitower\[streams\]"):
        check_ending(tmp_path / "lists.parquet")
    assert set(WRITERS) == set(ENDINGS)


def test_write_lists__a_folder_that_is_missing(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        write_lists(tmp_path / "no" / "lists.csv", [block(np.arange(2), np.arange(2))])


def test_json_lines__hold_no_character_that_a_terminal_obeys():
    columns = {"user": ["u\x7f", "u\x9b2J", "茶"], "item": [1, 2, 3]}
    text = json_lines({name: np.array(column) for name, column in columns.items()})
    assert all(line.isprintable() for line in text.splitlines())
    assert [json.loads(line)["user"] for line in text.splitlines()] == columns["user"]
    assert "茶" in text
