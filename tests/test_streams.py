"""Every event once, in time order, whatever the files, the batches and the restarts."""

import json
import os
import tempfile
import tracemalloc
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
    text_files,
    write_events,
)
from minitower.updating.streams import folder as folder_module

SUFFIXES = [".jsonl", ".csv", ".parquet", ".tfrecord"]
BAD = "no event"

times = st.integers(0, 30)
windows = st.sampled_from([0.0, 1.0, 4.0, 10.0, 100.0])
sizes = st.integers(1, 9)
lines = st.lists(times | st.just(BAD), max_size=12)
blocks = st.sampled_from([10, 100, 1000])  # bytes read at once; a line has about 50


def json_line(user, time):
    """A line of a log: an event of a user of its own, or none, of two kinds."""
    if time == BAD and user % 2:
        return b'{"user_id": "%d"\n' % user
    if time == BAD:
        time = -1
    return b'{"user_id": %d, "item_id": 7, "timestamp": %d}\n' % (user, time)


def write_lines(folder, files):
    """Files of JSON lines, every event with the number of its line as user."""
    number = 0
    for name, file in enumerate(files):
        content = b""
        for time in file:
            content += json_line(number, time)
            number += 1
        (folder / f"{name:03d}.jsonl").write_bytes(content)


def stream(folder, window=0.0, **options):
    """A stream that bears any number of wrong records."""
    options = {
        "dead_letter_file": Path(folder) / "_bad",
        "max_error_rate": 1.0,
        "min_errors": 0,
        **options,
    }
    return ClickStream(folder=folder, allowed_lateness=window, **options)


def pairs(batches):
    """(user, time) of every event, in the order in which they came."""
    return [
        (user, time)
        for batch in batches
        for user, time in zip(batch.events.users.tolist(), batch.events.timestamps.tolist())
    ]


def bad_records(folder):
    """The bad records: file and number of each."""
    path = Path(folder) / "_bad"
    text = path.read_text() if path.exists() else ""
    return [(r["file"], r["number"]) for r in map(json.loads, text.splitlines())]


def again(cursor, fields=None):
    """A cursor that was written down and read by another process."""
    return Cursor.from_state(json.loads(json.dumps(cursor.to_state())), fields or EventFields())


def naive(files, window):
    """The events that are in time, in order; the numbers of the records that are not."""
    kept, wrong, newest, number = [], [], float("-inf"), 0
    for file in files:
        for time in file:
            if time == BAD or time < newest - window:
                wrong.append(number)
            else:
                kept.append((number, time))
                newest = max(newest, time)
            number += 1
    return sorted(kept, key=lambda event: event[1]), wrong


@given(st.lists(lines, max_size=4), windows, sizes, blocks)
def test_batches__equal_naive(files, window, size, block):
    with tempfile.TemporaryDirectory() as folder, patch.object(text_files, "BLOCK_SIZE", block):
        write_lines(Path(folder), files)
        batches = list(stream(folder, window).batches(size))
        kept, wrong = naive(files, window)
        assert pairs(batches) == kept
        assert [len(batch) for batch in batches[:-1]] == [size] * len(batches[:-1])
        number = 0
        places = []
        for name, file in enumerate(files):
            for place in range(len(file)):
                if number in wrong:
                    places.append((f"{name:03d}.jsonl", place + 1))
                number += 1
        assert bad_records(folder) == places
        counts = batches[-1].cursor.counts if batches else Counts()
        assert counts.malformed == sum(file.count(BAD) for file in files)
        assert counts.malformed + counts.late == len(wrong)
        assert counts.read == sum(map(len, files))


@given(st.lists(lines, min_size=1, max_size=4), windows, sizes, blocks, st.data())
def test_cursor__goes_on_as_if_never_stopped(files, window, size, block, data):
    other, other_block = data.draw(sizes), data.draw(blocks)
    with tempfile.TemporaryDirectory() as folder:
        write_lines(Path(folder), files)
        with patch.object(text_files, "BLOCK_SIZE", block):
            whole = list(stream(folder, window).batches(size))
        set_aside = bad_records(folder)
        if not whole:
            return
        at = data.draw(st.integers(0, len(whole) - 1))
        with patch.object(text_files, "BLOCK_SIZE", other_block):
            rest = list(stream(folder, window).batches(other, cursor=again(whole[at].cursor)))
        assert pairs(whole[: at + 1]) + pairs(rest) == pairs(whole)
        assert bad_records(folder) == set_aside
        assert (rest or whole)[-1].cursor.counts == whole[-1].cursor.counts


@given(st.lists(st.lists(times, max_size=6), min_size=1, max_size=4), windows, sizes)
def test_cursor__a_process_per_batch(files, window, size):
    pytest.importorskip("pyarrow"), pytest.importorskip("google_crc32c")
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(files):
            users = np.arange(len(file)) + 100 * number
            columns = {"user_id": users, "item_id": users, "timestamp": file}
            write_events(Path(folder) / f"{number}{SUFFIXES[number]}", columns)
        whole = list(stream(folder, window).batches(size))
        one_by_one, cursor = [], None
        while (
            batch := next(stream(folder, window).batches(size, cursor=cursor), None)
        ) is not None:
            one_by_one.append(batch)
            cursor = again(batch.cursor)
        assert [pairs([batch]) for batch in one_by_one] == [pairs([batch]) for batch in whole]


def test_batches__memory_does_not_grow_with_the_files(tmp_path):
    peaks = []
    for copies in (1, 5):
        for copy in range(copies):
            rows = np.arange(10_000)
            columns = {"user_id": rows, "item_id": rows, "timestamp": 10_000 * copy + rows}
            log = tmp_path / f"{copy}.jsonl"
            log.unlink(missing_ok=True)
            write_events(log, columns)
        tracemalloc.start()
        n = sum(len(batch) for batch in stream(tmp_path, 50.0).batches(256))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert n == 10_000 * copies
    assert peaks[1] < 1.2 * peaks[0]


@pytest.fixture
def log(tmp_path):
    """A folder with one log of ten lines."""
    write_lines(tmp_path, [range(10)])
    return tmp_path / "000.jsonl"


CHANGES = {
    "cut": lambda content: content[:100],
    "grown": lambda content: content + json_line(99, 99),
    "changed at its beginning": lambda content: content[:12] + b"9" + content[13:],
    "changed in what was not read": lambda content: content.replace(b"9}", b"8}"),
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("at", [0, -1], ids=["unfinished", "finished"])
def test_cursor__a_file_that_was_changed_is_refused(log, change, at):
    append(log.parent, 10, 11, "001.jsonl")
    batches = list(stream(log.parent).batches(3))
    content = log.read_bytes()
    log.write_bytes(change(content))
    assert log.read_bytes() != content
    with pytest.raises(DataError, match=r"000\.jsonl: its content is not .* folder above both$"):
        list(stream(log.parent).batches(3, cursor=again(batches[at].cursor)))


def test_cursor__another_version_is_refused(log):
    state = next(stream(log.parent).batches(3)).cursor.to_state() | {"version": 4}
    with pytest.raises(DataError, match="version 4 is not 3"):
        Cursor.from_state(state, EventFields())


def test_cursor__a_file_that_is_replaced_between_blocks_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr("minitower.updating.streams.text_files.BLOCK_SIZE", 200)
    write_lines(tmp_path, [range(20)])
    batches = stream(tmp_path).batches(1)
    next(batches)
    new = tmp_path / "_new"
    new.write_bytes((tmp_path / "000.jsonl").read_bytes().replace(b" 7,", b" 8,"))
    new.rename(tmp_path / "000.jsonl")
    with pytest.raises(DataError, match=r"000\.jsonl: changed while it was read"):
        list(batches)


def test_cursor__a_file_that_is_gone_is_not_read_again_when_it_returns(log):
    write_lines(log.parent, [range(10), range(10, 12)])
    *_, last = stream(log.parent).batches(5)
    away = log.rename(log.parent / "_away")
    assert list(stream(log.parent).batches(5, cursor=last.cursor)) == []
    away.rename(log)
    assert list(stream(log.parent).batches(5, cursor=last.cursor)) == []


@pytest.mark.parametrize(
    "state", [None, 3, {}, {"version": 3}, {"version": 1, "files": {}, "pending": [[1, "x"]]}]
)
def test_cursor__refuses_what_is_none(state):
    with pytest.raises(DataError, match="not the cursor"):
        Cursor.from_state(state, EventFields())


def test_cursor__other_fields_are_refused(log):
    first = next(stream(log.parent, 100.0).batches(3))
    with pytest.raises(DataError, match="not the cursor of such a stream"):
        again(first.cursor, EventFields(value="rating"))


def test_dead_letters__the_first_is_an_error_where_no_file_is_named(tmp_path):
    write_lines(tmp_path, [[5, BAD]])
    with pytest.raises(DataError, match=r"000\.jsonl, record 2: .*name a dead-letter file"):
        list(stream(tmp_path, dead_letter_file=None).batches(3))


@pytest.mark.parametrize(
    "files, kind",
    [([[5] * 8 + [BAD] * 3], "3 of 11 records are malformed"), ([[5] * 8 + [1] * 3], "and 3 late")],
)
def test_dead_letters__above_the_share_is_an_error(tmp_path, files, kind):
    write_lines(tmp_path, files)
    assert pairs(stream(tmp_path, max_error_rate=0.28).batches(3))
    assert pairs(stream(tmp_path, max_error_rate=0.0, min_errors=3).batches(3))
    with pytest.raises(DataError, match=kind):
        list(stream(tmp_path, max_error_rate=0.27, min_errors=2).batches(3))


def test_dead_letters__the_share_is_that_of_a_run(tmp_path):
    """Years without a wrong record are no reason to bear a night of them."""
    write_lines(tmp_path, [range(200)])
    *_, last = stream(tmp_path, max_error_rate=0.01).batches(99)
    write_lines(tmp_path, [range(200), [BAD, BAD, 201]])
    with pytest.raises(DataError, match="2 of 3 records are malformed"):
        list(stream(tmp_path, max_error_rate=0.5, min_errors=1).batches(99, cursor=last.cursor))
    *_, last = stream(tmp_path, max_error_rate=0.7, min_errors=2).batches(99, cursor=last.cursor)
    assert last.cursor.counts == Counts(read=203, malformed=2)
    assert last.cursor.counts.since(Counts(read=200)) == Counts(read=3, malformed=2)


def test_dead_letters__a_disk_that_is_full_is_named(log, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    log.write_bytes(log.read_bytes() + b"x\n")
    with pytest.raises(DataError, match="_bad: cannot be written: No space left on device"):
        list(stream(log.parent).batches(4))


def test_dead_letters__says_what_and_why(tmp_path):
    write_lines(tmp_path, [[5, BAD, 2, 9]])
    list(stream(tmp_path, 1.0).batches(9))
    records = list(map(json.loads, (tmp_path / "_bad").read_text().splitlines()))
    assert [record["reason"] for record in records] == [
        "Expecting ',' delimiter: line 1 column 16 (char 15)",
        "late: the watermark was 4",
    ]
    assert [record["record"] for record in records] == ['{"user_id": "1"', "[2, 7, 2.0]"]


@pytest.mark.parametrize("user, kind", [("u" * 257, "string"), ("1" * 257, "integer")])
def test_dead_letters__takes_an_id_that_is_too_long(tmp_path, user, kind):
    """One such id in a store would make all of its ids as wide."""
    events = [{"user_id": u, "item_id": 1, "timestamp": 1} for u in ("1" * 9, user, "2" * 9)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    found = stream(tmp_path, fields=EventFields(user_type=kind)).batches(9)
    assert [str(u) for batch in found for u in batch.events.users] == ["1" * 9, "2" * 9]
    assert len(bad_records(tmp_path)) == 1
    reason = json.loads((tmp_path / "_bad").read_text())["reason"]
    assert "a string of 257 characters, more than 256" in reason


@pytest.mark.parametrize("end", ["", "\n"])
def test_dead_letters__keeps_what_was_there_before(log, end):
    """Another's last line without an end is not joined to ours."""
    other = json.dumps({"file": "a", "sha256": "", "number": 1, "reason": "", "record": ""})
    (log.parent / "_bad").write_text(f"{other}\nmine{end}")
    log.write_bytes(log.read_bytes() + b"x\n")
    batches = list(stream(log.parent).batches(4))
    list(stream(log.parent).batches(4, cursor=batches[0].cursor))
    *before, record = (log.parent / "_bad").read_text().splitlines()
    assert before == [other, "mine"]
    assert json.loads(record)["number"] == 11


def test_dead_letters__is_on_the_disk_before_reading_goes_on(log, monkeypatch):
    """A cursor behind a record may be published at once; the record must not be lost then."""
    written = []
    monkeypatch.setattr("os.fsync", lambda fd: written.append(os.fstat(fd).st_size))
    log.write_bytes(log.read_bytes() + b"x\n")
    list(stream(log.parent).batches(4))
    assert written == [(log.parent / "_bad").stat().st_size]


def test_max_clock_skew__an_event_from_the_future_is_malformed_and_makes_no_other_late(
    tmp_path, monkeypatch
):
    """Nor does it where an earlier run believed it."""
    write_lines(tmp_path, [[5, 900, 6, 7]])
    (told,) = stream(tmp_path).batches(9)
    assert pairs([told]) == [(0, 5), (1, 900)]
    monkeypatch.setattr("minitower.updating.streams.stream.time", lambda: 100.0)
    (tmp_path / "_bad").unlink()
    (told,) = stream(tmp_path, max_clock_skew=799.0).batches(9)
    assert pairs([told]) == [(0, 5), (2, 6), (3, 7)]
    assert (told.cursor.counts.malformed, told.cursor.counts.late) == (1, 0)
    assert "ahead of time: dated after 899" in (tmp_path / "_bad").read_text()
    (told,) = stream(tmp_path, max_clock_skew=800.0).batches(9)
    assert pairs([told]) == [(0, 5), (1, 900)]
    append(tmp_path, 4, 8, "001.jsonl")
    (after,) = stream(tmp_path, max_clock_skew=799.0).batches(9, cursor=again(told.cursor))
    assert pairs([after]) == [(4, 8)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"allowed_lateness": -1.0}, "allowed_lateness"),
        ({"allowed_lateness": float("nan")}, "allowed_lateness"),
        ({"max_clock_skew": -1.0}, "max_clock_skew"),
        ({"max_error_rate": 1.1}, "max_error_rate"),
        ({"min_errors": -1}, "min_errors"),
        ({"dead_letter_file": "log.jsonl"}, "elsewhere"),
    ],
)
def test_stream__refuses(tmp_path, options, message):
    if "dead_letter_file" in options:
        options = {"dead_letter_file": tmp_path / options["dead_letter_file"]}
    with pytest.raises(ValueError, match=message):
        ClickStream(folder=tmp_path, **options)
    with pytest.raises(ValueError, match="size must be an integer of at least 1"):
        next(ClickStream(folder=tmp_path).batches(0))
    with pytest.raises(ValueError, match="interval"):
        PollOptions(interval=0)
    with pytest.raises(ValueError, match=r"_bad: the folder .* is missing"):
        ClickStream(folder=tmp_path, dead_letter_file=tmp_path / "none/_bad")


@pytest.mark.parametrize("name", ["log.jsonl.gz", "log.txt", "log"])
def test_stream__refuses_unknown_files(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(DataError, match=f"{name}: expected a name that ends with .jsonl"):
        list(stream(tmp_path).batches(1))


def test_stream__names_that_are_no_logs(log):
    for name in (".hidden.jsonl", "_marker", "next.jsonl.tmp"):
        (log.parent / name).write_text("nothing\n")
    (log.parent / "folder").mkdir()
    assert len(pairs(stream(log.parent).batches(3))) == 10


def test_stream__no_folder(tmp_path):
    with pytest.raises(DataError, match="the folder is missing"):
        next(stream(tmp_path / "none", dead_letter_file=None).batches(1))


def append(folder, user, time, name):
    """One more log, of one line."""
    (folder / name).write_bytes(json_line(user, time))


def test_a_file_that_goes_while_the_folder_is_read_is_passed_over(log, monkeypatch):
    """Old logs are deleted; what was listed and is gone when it is opened has nothing to say."""
    listed = [log.parent / "000-gone.jsonl", log]
    monkeypatch.setattr(folder_module, "log_files", lambda folder: listed)
    *_, last = list(stream(log.parent).batches(99))
    assert pairs([last])
    listed[0].symlink_to(log.parent / "nowhere")
    with pytest.raises(DataError, match="a link to nowhere"):
        list(stream(log.parent).batches(99))


def test_poll__new_lines_and_new_files(log):
    follow = PollOptions(interval=0.001)
    batches = stream(log.parent, 2.0).batches(3, poll=follow)
    assert pairs([next(batches), next(batches)]) == [(k, k) for k in range(6)]
    append(log.parent, 10, 11, "001.jsonl")
    append(log.parent, 11, 12, "002.jsonl")
    append(log.parent, 12, 13, "000a.jsonl")
    third = next(batches)
    assert pairs([third]) == [(6, 6), (7, 7), (8, 8)]
    follow.stop.set()
    *_, last = rest = list(batches)
    left = stream(log.parent, 2.0).batches(9, cursor=again(last.cursor))
    assert pairs([*rest, *left]) == [(9, 9), (10, 11), (11, 12), (12, 13)]


def test_poll__what_waits_in_the_window_stays_in_the_cursor(log):
    followed = list(stream(log.parent, 3.0).batches(4, poll=PollOptions(interval=0.001, idle=0.0)))
    assert pairs(followed) == [(k, k) for k in range(7)]
    rest = list(stream(log.parent, 3.0).batches(4, cursor=again(followed[-1].cursor)))
    assert pairs(rest) == [(7, 7), (8, 8), (9, 9)]


def test_poll__every_so_often_a_batch_even_if_nothing_is_ready(log):
    follow = PollOptions(interval=0.001, emit_every=0.0)
    batches = stream(log.parent, 3.0).batches(100, poll=follow)
    assert [len(next(batches)) for _ in range(4)] == [0, 7, 0, 0]
    append(log.parent, 10, 11, "001.jsonl")
    while not (batch := next(batches)):
        pass
    assert pairs([batch]) == [(7, 7), (8, 8)]
    follow.stop.set()
    assert pairs(batches) == []


def test_poll__emits_first_when_all_that_is_there_is_read(log):
    """Who begins anew has not to wait for the clock."""
    (log.parent / "001.jsonl").write_bytes(json_line(10, 11))
    first = next(
        stream(log.parent, 3.0).batches(100, poll=PollOptions(interval=0.001, emit_every=3600.0))
    )
    assert pairs([first]) == [(k, k) for k in range(9)]


def test_poll__a_file_that_is_replaced_by_one_of_its_size_is_noticed(log):
    follow = PollOptions(interval=0.001)
    batches = stream(log.parent).batches(10, poll=follow)
    assert len(next(batches)) == 10
    new = log.parent / "_new"
    new.write_bytes(log.read_bytes().replace(b" 7,", b" 8,"))
    new.rename(log)
    append(log.parent, 1, 99, "001.jsonl")
    with pytest.raises(DataError, match=r"000\.jsonl: its content is not"):
        next(batches)


def test_poll__hashes_a_log_again_only_when_it_was_touched(log, monkeypatch):
    hashed, content_hash = [], folder_module.content_hash
    count = lambda path: (hashed.append(path.name), content_hash(path))[1]
    monkeypatch.setattr(folder_module, "content_hash", count)
    batches = stream(log.parent).batches(10, poll=PollOptions(interval=0.001, emit_every=0.0))
    for _ in range(5):
        next(batches)
    assert hashed == ["000.jsonl"]
    os.utime(log, (1, 1))
    for _ in range(5):
        next(batches)
    assert hashed == ["000.jsonl"] * 2


def test_poll__stops_between_two_blocks(tmp_path):
    write_lines(tmp_path, [[1], [2], [3]])
    follow = PollOptions(interval=60.0)
    batches = stream(tmp_path).batches(1, poll=follow)
    next(batches)
    follow.stop.set()
    assert pairs(batches) == []
