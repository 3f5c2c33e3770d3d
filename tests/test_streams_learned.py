"""No click is learned twice: not after training, and not from a log under another name."""

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
            "dead_letter_file": folder / "_aside",
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
    assert cursor.recognized == {f"a{suffix}": f"a{suffix}", f"z{suffix}": f"b{suffix}"}
    assert ClickStream(folder=tmp_path).unfinished(cursor) == {}
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


def test_known__only_recognized_logs_are_news_once(tmp_path):
    write(tmp_path / "a.jsonl", range(5))
    cursor = Cursor.begin(FIELDS, known=content_hashes(tmp_path))
    stream = ClickStream(folder=tmp_path)
    (batch,) = stream.batches(3, cursor=cursor)
    assert (len(batch), batch.cursor.recognized) == (0, {"a.jsonl": "a.jsonl"})
    assert list(stream.batches(3, cursor=again(batch.cursor))) == []


def test_known__what_is_appended_later_is_read(tmp_path):
    log = write(tmp_path / "a.jsonl", range(5))
    _, cursor = run(tmp_path, Cursor.begin(FIELDS, known=content_hashes(tmp_path)))
    with log.open("ab") as file:
        file.write(lines([9], first=9))
    assert run(tmp_path, again(cursor))[0] == [9]


def test_known__other_content_under_a_learned_name_is_refused(tmp_path):
    """It may be a log that has grown since training, whose beginning is learned."""
    log = write(tmp_path / "a.jsonl", range(5))
    known = content_hashes(tmp_path)
    with log.open("ab") as file:
        file.write(lines([9], first=9))
    with pytest.raises(DataError, match=r"a\.jsonl: its content is not the one .* new name"):
        run(tmp_path, Cursor.begin(FIELDS, known=known))
    users, _ = run(tmp_path, Cursor.begin(FIELDS, after=4.0, known=known))
    assert users == [9]


def test_content_hashes__are_of_logs_with_records(tmp_path):
    write(tmp_path / "a.csv", [])
    (tmp_path / "b.jsonl").write_bytes(b"")
    assert content_hashes(tmp_path) == {}
    write(tmp_path / "c.csv", [1])
    shutil.copy(tmp_path / "c.csv", tmp_path / "d.csv")
    assert list(content_hashes(tmp_path).values()) == ["c.csv"]
    with pytest.raises(DataError, match="no such folder"):
        content_hashes(tmp_path / "none")


def test_state__of_version_1_is_read(tmp_path):
    write(tmp_path / "a.jsonl", range(5))
    *_, last = ClickStream(folder=tmp_path, allowed_lateness=2.0).batches(
        2, poll=PollOptions(0.001, idle=0.0)
    )
    state = last.cursor.to_state()
    del state["after"], state["known"]
    state["version"] = 1
    state["files"] = {name: mark[:3] for name, mark in state["files"].items()}
    state["counts"] = state["counts"][:3]
    cursor = Cursor.from_state(json.loads(json.dumps(state)), FIELDS)
    assert (cursor.after, cursor.known) == (-math.inf, {})
    assert cursor.counts == Counts(read=5)
    write(tmp_path / "b.jsonl", [9], first=9)
    (tmp_path / "a.jsonl").rename(tmp_path / "_gone")
    assert run(tmp_path, cursor)[0] == [3, 4, 9]


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
    with tempfile.TemporaryDirectory() as name, patch.object(text_files, "BLOCK", block):
        log = write(Path(name) / f"m{suffix}", range(9))
        batches = list(ClickStream(folder=name).batches(2))
        move(log, log.with_name(f"a{suffix}"))
        rest, cursor = run(name, again(batches[at].cursor), allowed_lateness=0.0)
        read = [user for batch in batches[: at + 1] for user in batch.events.users.tolist()]
        assert read + rest == list(range(9))
        assert cursor.counts == Counts(read=9)


@pytest.mark.parametrize("move", [Path.rename, shutil.copy])
@pytest.mark.parametrize("half", [0, 10])
def test_renamed__and_grown_since_goes_on_where_it_was(tmp_path, move, half):
    """Also where the end that was written was half a line, which both now complete."""
    content = lines(range(9))
    cut = len(lines(range(5))) + half
    (tmp_path / "b.jsonl").write_bytes(content[:cut])
    users, cursor = run(tmp_path)
    move(tmp_path / "b.jsonl", tmp_path / "a.jsonl")
    more, cursor = run(tmp_path, again(cursor))
    for name in ("a.jsonl", "b.jsonl"):
        if (tmp_path / name).exists():
            (tmp_path / name).write_bytes(content)
    rest, cursor = run(tmp_path, again(cursor))
    assert (users + more + rest, cursor.counts) == (list(range(9)), Counts(read=9))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.randoms())
def test_renamed__snapshots_of_one_log_are_that_log(cuts, random):
    """Each begins with what was read of the one before, in any order of names."""
    with tempfile.TemporaryDirectory() as name:
        names = [f"{letter}.jsonl" for letter in "abcdef"[: len(cuts)]]
        random.shuffle(names)
        users, cursor = [], None
        for name_, cut in zip(names, sorted(cuts)):
            (Path(name) / name_).write_bytes(lines(range(cut)))
            more, cursor = run(name, cursor and again(cursor))
            users += more
    assert users == list(range(max(cuts)))


def test_renamed__while_following(tmp_path):
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
    with pytest.raises(DataError, match=r"a\.jsonl: (cut|replaced)"):
        run(tmp_path, again(cursor))


def test_cursor__a_change_in_the_middle_of_a_log_that_grows_is_noticed(tmp_path):
    content = lines([5] * 400)
    (tmp_path / "a.jsonl").write_bytes(content)
    _, cursor = run(tmp_path)
    at = content.index(b" 7,", len(content) // 2) + 1
    (tmp_path / "a.jsonl").write_bytes(content[:at] + b"8" + content[at + 1 :] + lines([6]))
    with pytest.raises(DataError, match=r"a\.jsonl: replaced"):
        run(tmp_path, again(cursor))


def test_state__of_version_1_knows_a_log_by_its_content_once_it_has_seen_it(tmp_path):
    """A cursor of version 1 has no content hashes: they are added while the file is there."""
    log = write(tmp_path / "a.jsonl", range(5))
    _, cursor = run(tmp_path)
    state = cursor.to_state() | {"version": 1}
    state["files"] = {name: mark[:3] for name, mark in state["files"].items()}
    write(tmp_path / "b.jsonl", [9], first=9)
    users, cursor = run(tmp_path, Cursor.from_state(state, FIELDS))
    assert users == [9]
    log.rename(tmp_path / "c.jsonl")
    write(tmp_path / "d.jsonl", [10], first=10)
    assert run(tmp_path, again(cursor))[0] == [10]
