"""No click is learned twice: not after training, and not from a log under another name."""

import hashlib
import json
import math
import shutil
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.updating.streams import (
    ClickStream,
    Counts,
    Cursor,
    EventFields,
    PollOptions,
    content_hashes,
    text_files,
    write_events,
)

FIELDS = EventFields()
KINDS = {".jsonl": "json", ".csv": "csv", ".parquet": "pyarrow", ".tfrecord": "google_crc32c"}
kinds = pytest.mark.parametrize("suffix", KINDS)


def write(path, times, first=0):
    """A log of clicks at the given times, each of a user of its own."""
    users = first + np.arange(len(times))
    write_events(path, {"user_id": users, "item_id": users, "timestamp": np.array(times, float)})
    return path


def lines(times, first=0):
    """The same as JSON lines."""
    line = b'{"user_id": %d, "item_id": 7, "timestamp": %d}\n'
    return b"".join(line % (first + user, time) for user, time in enumerate(times))


def run(folder, cursor=None, size=4, **options):
    """(users, cursor) of one run, the cursor as another process reads it."""
    options = {"allowed_lateness": 1e9, **options}
    users, seen = [], cursor or Cursor.begin(FIELDS)
    for batch in ClickStream(folder=folder, **options).batches(size, cursor=cursor):
        users += batch.events.users.tolist()
        seen = batch.cursor
    return users, seen


def again(cursor):
    """A cursor that was written down and read by another process."""
    return Cursor.from_state(json.loads(json.dumps(cursor.to_state(), allow_nan=False)), FIELDS)


# After training


@given(
    st.lists(st.integers(0, 20), max_size=12),
    st.integers(-1, 21),
    st.sampled_from([0.0, 3.0, 100.0]),
)
def test_after__the_stream_is_the_one_without_what_was_learned(times, after, window):
    """Learned clicks change nothing else: nor which of the others are late."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = {
            "allowed_lateness": window,
            "dead_letter_file": folder / "_bad",
            "max_error_rate": 1.0,
        }
        (folder / "a.jsonl").write_bytes(lines(times))
        users, cursor = run(folder, Cursor.begin(FIELDS, after=after), **options)
        first = again(cursor).counts
        kept = [(user, time) for user, time in enumerate(times) if time > after]
        rest = b"".join(lines([time], user) for user, time in kept)
        (folder / "a.jsonl").write_bytes(rest)
        other, cursor = run(folder, **options)
    assert users == other
    learned = len(times) - len(kept)
    assert first == Counts(len(times), 0, cursor.counts.late, learned)


def test_after__what_is_no_click_is_malformed_whatever_its_time(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"user_id": -1, "item_id": 7, "timestamp": 1}\n')
    with pytest.raises(DataError, match="negative id"):
        run(tmp_path, Cursor.begin(FIELDS, after=5.0))


@pytest.mark.parametrize("after", [math.nan, math.inf])
def test_after__must_be_a_time(after):
    with pytest.raises(ValueError, match="after must be seconds"):
        Cursor.begin(FIELDS, after=after)
    state = Cursor.begin(FIELDS).to_state() | {"after": after}
    with pytest.raises(DataError, match="after must be seconds"):
        Cursor.from_state(state, FIELDS)


@kinds
def test_known__a_log_that_training_learned_from_is_not_read(tmp_path, suffix):
    """Under any name, in this run and the next."""
    pytest.importorskip(KINDS[suffix])
    write(tmp_path / f"a{suffix}", range(5))
    write(tmp_path / f"b{suffix}", range(5, 9), first=5)
    known = content_hashes(tmp_path)
    assert sorted(known.values()) == [f"a{suffix}", f"b{suffix}"]
    (tmp_path / f"b{suffix}").rename(tmp_path / f"z{suffix}")
    write(tmp_path / f"c{suffix}", range(9, 12), first=9)
    users, cursor = run(tmp_path, again(Cursor.begin(FIELDS, known=known)))
    assert users == [9, 10, 11]
    assert cursor.counts == Counts(read=3)
    assert cursor.recognized == {f"z{suffix}": f"b{suffix}"}
    write(tmp_path / f"d{suffix}", range(12, 14), first=12)
    users, cursor = run(tmp_path, again(cursor))
    assert users == [12, 13]
    assert cursor.recognized == {}


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_known__nothing_of_it_is_read_even_of_other_columns(tmp_path, suffix):
    if suffix == ".parquet":
        arrow = pytest.importorskip("pyarrow")
        arrow.parquet.write_table(arrow.table({"other": [1] * 9999}), tmp_path / f"a{suffix}")
    else:
        (tmp_path / f"a{suffix}").write_text("other\n1\n")
    cursor = Cursor.begin(FIELDS, known=content_hashes(tmp_path))
    for _ in range(2):
        users, cursor = run(tmp_path, again(cursor))
        assert (users, cursor.counts) == ([], Counts())


def test_known__a_recognized_log_is_news_once(tmp_path):
    write(tmp_path / "a.jsonl", range(5))
    cursor = Cursor.begin(FIELDS, known=content_hashes(tmp_path))
    stream = ClickStream(folder=tmp_path)
    assert list(stream.batches(3, cursor=cursor)) == []
    (tmp_path / "a.jsonl").rename(tmp_path / "b.jsonl")
    (batch,) = stream.batches(3, cursor=cursor)
    assert (len(batch), batch.cursor.recognized) == (0, {"b.jsonl": "a.jsonl"})
    assert list(stream.batches(3, cursor=again(batch.cursor))) == []


@pytest.mark.parametrize("after", [-math.inf, 4.0])
def test_known__other_content_under_a_learned_name_is_refused(tmp_path, after):
    log = write(tmp_path / "a.jsonl", range(5))
    known = content_hashes(tmp_path)
    with log.open("ab") as file:
        file.write(lines([9], first=9))
    with pytest.raises(DataError, match=r"a\.jsonl: its content is not the one .* new name"):
        run(tmp_path, Cursor.begin(FIELDS, known=known, after=after))


def test_content_hashes__are_of_logs_with_records(tmp_path):
    write(tmp_path / "a.csv", [])
    (tmp_path / "b.jsonl").write_bytes(b"")
    assert content_hashes(tmp_path) == {}
    write(tmp_path / "c.csv", [1])
    shutil.copy(tmp_path / "c.csv", tmp_path / "d.csv")
    assert list(content_hashes(tmp_path).values()) == ["c.csv"]
    with pytest.raises(DataError, match="the folder is missing"):
        content_hashes(tmp_path / "none")


# Cursors of earlier versions


def old_state(version, folder, marks, known=None, rows=()):
    """A state of version 1 or 2: (offset, size, hash of both ends, content) of every file."""
    files = {}
    for name, offset in marks.items():
        content = (folder / name).read_bytes()
        size = len(content) if name.endswith(".parquet") else offset
        hashes = ["ends", hashlib.sha256(content[:size]).hexdigest()]
        files[name] = [offset, size, *hashes[:version]]
    counts = [9, 0, 0, 0][: 2 + version]
    state = {"version": version, "files": files, "newest": 4.0, "pending": list(rows)}
    state |= {"counts": counts} | ({"after": None, "known": known or {}} if version == 2 else {})
    return json.loads(json.dumps(state))


@pytest.mark.parametrize("version", [1, 2])
@kinds
def test_state__of_an_earlier_version_goes_on(tmp_path, version, suffix):
    """Finished files are finished, half a Parquet file is read on, buffered events are kept."""
    pytest.importorskip(KINDS[suffix])
    log = write(tmp_path / f"a{suffix}", range(5))
    is_parquet = suffix == ".parquet"
    read = 3 if is_parquet else log.stat().st_size
    state = old_state(version, tmp_path, {log.name: read}, rows=[[100, 7, 3.0]])
    cursor = Cursor.from_state(state, FIELDS)
    assert cursor.counts == Counts(read=9)
    write(tmp_path / f"b{suffix}", [9], first=9)
    users, cursor = run(tmp_path, cursor)
    assert users == [100, *([3, 4] if is_parquet else []), 9]
    assert run(tmp_path, again(cursor))[0] == []
    log.rename(tmp_path / f"c{suffix}")  # its hash is known by now
    assert run(tmp_path, again(cursor))[0] == []


@pytest.mark.parametrize("version", [1, 2])
def test_state__of_an_earlier_version_knows_a_copy(tmp_path, version):
    """Version 1 knows sizes only; the hash of the log is found first."""
    log = write(tmp_path / "m.jsonl", range(5))
    state = old_state(version, tmp_path, {log.name: log.stat().st_size})
    shutil.copy(log, tmp_path / "a.jsonl")
    users, cursor = run(tmp_path, Cursor.from_state(state, FIELDS))
    assert (users, cursor.recognized) == ([], {"a.jsonl": "m.jsonl"})


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("suffix", [".jsonl", ".tfrecord"])
def test_state__of_an_earlier_version_within_a_file_is_refused(tmp_path, version, suffix):
    """Records would be lost, or learned twice."""
    pytest.importorskip(KINDS[suffix])
    log = write(tmp_path / f"a{suffix}", range(5))
    state = old_state(version, tmp_path, {log.name: log.stat().st_size // 2})
    with pytest.raises(DataError, match="its content is not the one that was read"):
        run(tmp_path, Cursor.from_state(state, FIELDS))


@kinds
@pytest.mark.parametrize("is_read", [True, False])
def test_state__of_version_2_keeps_the_logs_of_training(tmp_path, suffix, is_read):
    """Their marks had the size for an offset, also where a Parquet file has more rows."""
    pytest.importorskip(KINDS[suffix])
    log = write(tmp_path / f"a{suffix}", range(5))
    known = content_hashes(tmp_path)
    marks = {log.name: 1 if suffix == ".parquet" else log.stat().st_size} if is_read else {}
    cursor = Cursor.from_state(old_state(2, tmp_path, marks, known=known), FIELDS)
    assert run(tmp_path, cursor)[0] == []
    log.rename(tmp_path / f"z{suffix}")
    users, cursor = run(tmp_path, cursor)
    assert (users, cursor.recognized) == ([], {f"z{suffix}": f"a{suffix}"})


# Under another name


@kinds
@pytest.mark.parametrize("window", [0.0, 100.0])
@pytest.mark.parametrize("move", [Path.rename, shutil.copy])
def test_renamed__a_log_is_not_learned_twice(tmp_path, suffix, window, move):
    pytest.importorskip(KINDS[suffix])
    log = write(tmp_path / f"a{suffix}", range(9))
    users, cursor = run(tmp_path, allowed_lateness=window)
    move(log, tmp_path / f"a-old{suffix}")
    write(tmp_path / f"b{suffix}", [20], first=20)
    more, cursor = run(tmp_path, again(cursor), allowed_lateness=window)
    assert users + more == [*range(9), 20]
    assert cursor.counts == Counts(read=10)
    assert cursor.recognized == {f"a-old{suffix}": f"a{suffix}"}


@kinds
@pytest.mark.parametrize("move", [Path.rename, shutil.copy])
@given(at=st.integers(0, 4), block=st.sampled_from([10, 60, 1 << 18]))
def test_renamed__in_the_middle_of_reading(suffix, move, at, block):
    """Reading goes on where it was, from a cursor in front of any batch."""
    pytest.importorskip(KINDS[suffix])
    with tempfile.TemporaryDirectory() as name, patch.object(text_files, "BLOCK_SIZE", block):
        log = write(Path(name) / f"m{suffix}", range(9))
        batches = list(ClickStream(folder=name).batches(2))
        move(log, log.with_name(f"a{suffix}"))
        rest, cursor = run(name, again(batches[at].cursor), allowed_lateness=0.0)
        read = [user for batch in batches[: at + 1] for user in batch.events.users.tolist()]
        assert read + rest == list(range(9))
        assert cursor.counts == Counts(read=9)


@pytest.mark.parametrize("first, later", ["am", "ma"])
def test_renamed__in_the_middle_and_back_is_not_read_again(tmp_path, monkeypatch, first, later):
    """The mark of the old name goes to the new one."""
    monkeypatch.setattr(text_files, "BLOCK_SIZE", 60)
    log = write(tmp_path / f"{first}.jsonl", range(9))
    batch = next(ClickStream(folder=tmp_path).batches(2))
    log.rename(tmp_path / f"{later}.jsonl")
    users, cursor = run(tmp_path, again(batch.cursor), allowed_lateness=0.0)
    assert [*batch.events.users.tolist(), *users] == list(range(9))
    shutil.copy(tmp_path / f"{later}.jsonl", tmp_path / f"{first}.jsonl")
    assert run(tmp_path, again(cursor))[0] == []


def test_renamed__while_polling(tmp_path):
    log = write(tmp_path / "b.jsonl", range(4))
    follow = PollOptions(interval=0.001)
    batches = ClickStream(folder=tmp_path).batches(4, poll=follow)
    assert next(batches).events.users.tolist() == [0, 1, 2, 3]
    log.rename(tmp_path / "a.jsonl")
    write(tmp_path / "c.jsonl", range(10, 14), first=10)
    batch = next(batches)
    assert batch.events.users.tolist() == [10, 11, 12, 13]
    assert batch.cursor.recognized == {"a.jsonl": "b.jsonl"}


def test_copied__before_the_first_run(tmp_path):
    log = write(tmp_path / "a.jsonl", range(9))
    shutil.copy(log, tmp_path / "b.jsonl")
    users, cursor = run(tmp_path)
    assert (users, cursor.recognized) == (list(range(9)), {"b.jsonl": "a.jsonl"})


def test_renamed__logs_that_share_head_tail_and_size_are_two(tmp_path):
    content = lines([5] * 400)
    at = len(content) // 2
    at = content.index(b" 7,", at) + 1
    (tmp_path / "a.jsonl").write_bytes(content)
    _, cursor = run(tmp_path)
    (tmp_path / "b.jsonl").write_bytes(content[:at] + b"8" + content[at + 1 :])
    users, cursor = run(tmp_path, again(cursor))
    assert len(users) == 400
    assert cursor.recognized == {}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_renamed__files_without_records_are_not_one_log(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    for name in "ab":
        write(tmp_path / f"{name}{suffix}", [])
    users, cursor = run(tmp_path)
    for first, name in enumerate("cd"):
        write(tmp_path / f"{name}{suffix}", [first], first=first)
    users, cursor = run(tmp_path, again(cursor))
    assert (users, cursor.recognized) == ([0, 1], {})


def test_renamed__a_new_log_under_the_old_name_is_refused(tmp_path):
    log = write(tmp_path / "a.jsonl", range(9))
    _, cursor = run(tmp_path)
    log.rename(tmp_path / "a-old.jsonl")
    write(log, [20], first=20)
    with pytest.raises(DataError, match=r"a\.jsonl: its content is not"):
        run(tmp_path, again(cursor))
