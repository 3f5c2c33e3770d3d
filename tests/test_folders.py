"""Files of nested folders: which there are, in which order, and what they are called."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.data.table_parts import files_below, is_partition, name_below


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_below__all_but_the_ignored(tmp_path):
    wanted = ["day=1/part-0.csv", "day=1/part-1.csv", "day=2/hour=0/part-0.csv", "x.csv"]
    ignored = ["_SUCCESS", ".x.crc", "day=1/_old/part-0.csv", "day=2/a.csv.tmp", ".git/b.csv"]
    touch(tmp_path, *wanted, *ignored)
    assert files_below(tmp_path) == [tmp_path / name for name in wanted]


def test_files_below__a_link_to_another_folder_is_read_and_a_circle_is_refused(tmp_path):
    touch(tmp_path, "logs/a.csv", "mount/b.csv")
    (tmp_path / "logs" / "more").symlink_to(tmp_path / "mount")
    assert [path.name for path in files_below(tmp_path / "logs")] == ["a.csv", "b.csv"]
    (tmp_path / "mount" / "up").symlink_to(tmp_path / "logs")
    with pytest.raises(DataError, match=r"up: a link to a folder above it; remove the link"):
        files_below(tmp_path / "logs")


def test_files_below__a_missing_folder(tmp_path):
    touch(tmp_path, "file")
    for name in ("nothing", "file"):
        with pytest.raises(DataError, match=f"{name}: the folder is missing"):
            files_below(tmp_path / name)


@given(st.lists(st.sampled_from(["day=1", "hour=02", "logs", "=", "x="]), max_size=4), st.data())
def test_name_below__is_the_same_from_each_partition(parts, data):
    """From the table or from any folder of its partitions."""
    table = Path("/top/table")
    path = table.joinpath(*parts, "part-0.csv")
    first = next((n for n, part in enumerate(parts) if not is_partition(part)), len(parts))
    above = data.draw(st.integers(0, first))
    name = name_below(table.joinpath(*parts[:above]), path)
    assert name == "/".join([*parts, "part-0.csv"])


def test_name_below__a_relative_folder(tmp_path, monkeypatch):
    touch(tmp_path, "day=1/part-0.csv")
    monkeypatch.chdir(tmp_path / "day=1")
    assert name_below(Path(), Path("part-0.csv")) == "day=1/part-0.csv"
