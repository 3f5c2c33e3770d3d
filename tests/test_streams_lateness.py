"""The allowed lateness can be infinite, and late events can be counted only."""

import json
import math
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
    text_files,
)
from minitower.updating.streams.events import EventBuffer

FIELDS = EventFields()
times = st.lists(st.integers(0, 30), max_size=20)


def write(folder, files):
    """Files of JSON lines; returns (user, time) of each, in the order of reading."""
    numbered, line = [], '{"user_id": %d, "item_id": 7, "timestamp": %d}\n'
    for number, file in enumerate(files):
        rows = [(100 * number + row, time) for row, time in enumerate(file)]
        (Path(folder) / f"{number}.jsonl").write_text("".join(line % row for row in rows))
        numbered += rows
    return numbered


def pairs(batches):
    """(user, time) of every event, in the order in which they came."""
    return [(u, t) for b in batches for u, t, *_ in zip(b.events.users, b.events.timestamps)]


@given(st.lists(st.lists(st.integers(0, 9), max_size=9), max_size=9), st.data())
def test_buffer__takes_the_oldest_and_of_those_the_first(chunks, data):
    waiting, kept, number = EventBuffer(FIELDS.from_rows([])), [], 0
    for chunk in chunks:
        rows = [[number + row, 0, time] for row, time in enumerate(chunk)]
        number += len(rows)
        waiting.add(FIELDS.from_rows(rows))
        kept = sorted([*kept, *rows], key=lambda row: row[2])
        assert len(waiting) == len(kept)
        limit = data.draw(st.integers(-1, 10))
        assert waiting.count_until(limit) == sum(row[2] <= limit for row in kept)
        if data.draw(st.booleans()):
            n = data.draw(st.integers(0, len(kept)))
            events, rest = waiting.take(n)
            assert events.rows() + rest.rows() == kept
            assert len(events) == n
            kept = kept[n:]


def test_buffer__sorts_little_however_many_blocks_there_are():
    """n log n, and not n for each block."""
    n, chunk, rng = 1 << 14, 16, np.random.default_rng(0)
    rows = np.column_stack([np.arange(n), np.arange(n), rng.integers(0, 999, n)]).tolist()
    argsort, sizes = np.argsort, []
    count = lambda values, **options: (sizes.append(len(values)), argsort(values, **options))[1]
    waiting = EventBuffer(FIELDS.from_rows([]))
    with patch.object(np, "argsort", count):
        for start in range(0, n, chunk):
            waiting.add(FIELDS.from_rows(rows[start : start + chunk]))
            waiting.count_until(-math.inf)
        waiting.take(n)
    assert sum(sizes) < 2 * n * math.log2(n)


@given(st.lists(times, max_size=4), st.integers(1, 9), st.sampled_from([40, 1000]))
def test_infinite_lateness__nothing_is_late(files, size, block):
    with tempfile.TemporaryDirectory() as folder, patch.object(text_files, "BLOCK_SIZE", block):
        rows = write(folder, files)
        batches = list(ClickStream(folder=folder, allowed_lateness=math.inf).batches(size))
    assert pairs(batches) == sorted(rows, key=lambda row: row[1])
    assert [len(batch) for batch in batches[:-1]] == [size] * len(batches[:-1])
    if rows:
        assert batches[-1].cursor.counts == Counts(read=len(rows))
    for batch in batches:
        json.dumps(batch.cursor.to_state(), allow_nan=False)


@given(times, times, st.integers(1, 9), st.data())
def test_infinite_lateness__on_top_of_any_cursor(first, second, size, data):
    """Whatever window came before, and however late its newest event is."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"dead_letter_file": Path(folder) / "_bad", "max_error_rate": 1.0}
        write(folder, [first])
        window = data.draw(st.sampled_from([0.0, 3.0, math.inf]))
        before = list(ClickStream(folder=folder, allowed_lateness=window, **options).batches(size))
        cursor = None
        if before:
            before = before[: data.draw(st.integers(1, len(before)))]
            state = json.dumps(before[-1].cursor.to_state(), allow_nan=False)
            cursor = Cursor.from_state(json.loads(state), FIELDS)
        rows = write(folder, [first, second])
        night = list(
            ClickStream(folder=folder, allowed_lateness=math.inf).batches(99, cursor=cursor)
        )
    counts = night[-1].cursor.counts if night else cursor.counts if cursor else Counts()
    late = cursor.counts.late if cursor else 0
    assert counts == Counts(read=len(rows), late=late)
    if window == math.inf:
        assert sorted(pairs(before) + pairs(night)) == rows
    else:
        assert len(pairs(before)) + len(pairs(night)) + late == len(rows)
    assert [time for _, time in pairs(night)] == sorted(time for _, time in pairs(night))


@given(st.lists(times, max_size=4), st.sampled_from([0.0, 3.0, 10.0]), st.integers(1, 9))
def test_late__counted_or_set_aside_the_others_are_the_same(files, window, size):
    with tempfile.TemporaryDirectory() as folder:
        write(folder, files)
        aside = Path(folder) / "_bad"
        refuse = ClickStream(
            folder=folder, allowed_lateness=window, dead_letter_file=aside, max_error_rate=1.0
        )
        count = ClickStream(
            folder=folder, allowed_lateness=window, late="count", max_error_rate=0.0, min_errors=0
        )
        expected, got = list(refuse.batches(size)), list(count.batches(size))
    assert pairs(got) == pairs(expected)
    assert [b.cursor.counts for b in got] == [b.cursor.counts for b in expected]


def test_late__is_no_share_of_what_is_malformed(tmp_path):
    """Nor is it set aside: the next full update learns it."""
    write(tmp_path, [[9, 1, 1, 1]])
    with (tmp_path / "0.jsonl").open("a") as log:
        log.write("nothing\n")
    aside = tmp_path / "_bad"
    options = {"dead_letter_file": aside, "max_error_rate": 0.3, "min_errors": 0}
    (batch,) = ClickStream(folder=tmp_path, late="count", **options).batches(9)
    assert batch.cursor.counts == Counts(read=5, malformed=1, late=3)
    assert [json.loads(line)["number"] for line in aside.read_text().splitlines()] == [5]
    with pytest.raises(DataError, match="1 of 5 records are malformed and 0 late"):
        list(
            ClickStream(folder=tmp_path, late="count", **options | {"max_error_rate": 0.1}).batches(
                9
            )
        )


def test_lateness__refuses(tmp_path):
    with pytest.raises(ValueError, match="late must be 'refuse' or 'count', got 'drop'"):
        ClickStream(folder=tmp_path, late="drop")
    stream = ClickStream(folder=tmp_path, allowed_lateness=math.inf)
    with pytest.raises(ValueError, match="polling never emits"):
        next(stream.batches(1, poll=PollOptions()))
