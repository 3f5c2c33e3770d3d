"""Each click once under kills; and any bytes of a log end in clicks or in one line of an error."""

import json
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.data.errors import printable
from minitower.updating.streams import (
    ClickStream,
    Cursor,
    EventFields,
    PollOptions,
    text_files,
    tfrecord,
    write_events,
)
from minitower.updating.streams.folder import WRITERS

KINDS = {".jsonl": "json", ".csv": "csv", ".parquet": "pyarrow", ".tfrecord": "google_crc32c"}
FIELDS = [
    EventFields(),
    EventFields(value="rating", user_type="string", item_type="string"),
]
HOSTILE = [b"\0", b"\xff" * 9, b"\n", b"\r", b'"', b",", b"[" * 2000, b"9" * 5000, b"{}\n", b"PAR1"]


def log(suffix, fields, rows=20):
    """The bytes of a valid log."""
    numbers = np.arange(rows)
    ids = [f"ä{n}" for n in numbers] if fields.user_type == "string" else numbers
    columns = {"user_id": ids, "item_id": ids, "timestamp": 5 + numbers, "rating": numbers / 2}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"log{suffix}"
        write_events(path, columns, fields)
        return path.read_bytes()


def mutated(content, data):
    """The bytes after some flips, cuts, insertions and splices."""
    place = st.integers(0, len(content))
    for _ in range(data.draw(st.integers(1, 4))):
        at, other = sorted([data.draw(place), data.draw(place)])
        how = data.draw(st.sampled_from(["flip", "cut", "end", "insert", "splice"]))
        if how == "flip":
            bit = 1 << data.draw(st.integers(0, 7))
            content = (
                content[:at] + bytes(b ^ bit for b in content[at : at + 1]) + content[at + 1 :]
            )
        elif how == "cut":
            content = content[:at] + content[other:]
        elif how == "end":
            content = content[:other]
        elif how == "insert":
            new = data.draw(st.binary(max_size=9) | st.sampled_from(HOSTILE))
            content = content[:at] + new + content[at:]
        else:
            content = content[:other] + content[at:]
    return content


@pytest.mark.parametrize("fields", FIELDS, ids=["integers", "texts"])
@pytest.mark.parametrize("suffix", KINDS)
def test_read__mutated_logs(suffix, fields):
    pytest.importorskip(KINDS[suffix])
    valid = log(suffix, fields)

    @given(st.data())
    def holds(data):
        content = mutated(valid, data)
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / f"log{suffix}").write_bytes(content)
            options = {
                "dead_letter_file": Path(name) / "_bad",
                "max_error_rate": 1.0,
                "allowed_lateness": 9.0,
            }
            stream = ClickStream(folder=name, fields=fields, **options)
            try:
                for batch in stream.batches(7):
                    Cursor.from_state(batch.cursor.to_state(), fields)
            except DataError as error:
                message = str(error)
                assert (len(message) < 500, printable(message)) == (True, message)

    holds()


def read_all(batches, folder):
    """(user, time) of all events; file and number of all bad records."""
    events = [(row[0], row[2]) for batch in batches for row in batch.events.rows()]
    path = folder / "_bad"
    lines = path.read_text().splitlines() if path.exists() else []
    return events, [(record["file"], record["number"]) for record in map(json.loads, lines)]


BAD_TIME = -1
logs = st.lists(
    st.tuples(
        st.sampled_from(list(KINDS)), st.lists(st.sampled_from([*range(20), BAD_TIME]), max_size=9)
    ),
    min_size=1,
    max_size=4,
)
kills = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), max_size=6)


@given(logs, kills, st.integers(1, 5), st.sampled_from([0.0, 3.0, 99.0]), st.sampled_from([1, 99]))
def test_exactly_once__however_often_a_run_is_killed(logs, kills, size, lateness, block):
    """A run is killed after some batches. Its cursor was last stored after fewer of them."""
    for module in KINDS.values():
        pytest.importorskip(module)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        for module in (text_files, tfrecord):
            patch.setattr(module, "BLOCK_SIZE", block)
        patch.setattr("minitower.data.parquet._BLOCK_ROWS", min(block, 2))
        folder, written = Path(name), 0
        for number, (suffix, times) in enumerate(logs):
            users = np.arange(written, written + len(times))
            written += len(times)
            columns = {"user_id": users, "item_id": users, "timestamp": np.array(times, np.int64)}
            with (folder / f"{number}{suffix}").open("wb") as file:
                WRITERS[suffix](file, columns)
        options = {"dead_letter_file": folder / "_bad", "max_error_rate": 1.0}
        stream = ClickStream(folder=folder, allowed_lateness=lateness, **options)
        expected = read_all(stream.batches(size), folder)

        (folder / "_bad").unlink(missing_ok=True)
        hidden = sorted(folder.iterdir())
        hidden = [path.rename(folder / f"_{path.name}") for path in hidden]
        cursor, stored = None, []

        def add_log():
            path = hidden.pop(0)
            path.rename(folder / path.name[1:])

        for n_read, n_stored, is_added in kills:
            if is_added and hidden:
                add_log()
            poll = PollOptions(interval=1e-4, idle=0.0)
            batches = list(islice(stream.batches(size, cursor=cursor, poll=poll), n_read))
            stored += batches[:n_stored]
            if batches[:n_stored]:
                state = json.dumps(stored[-1].cursor.to_state(), allow_nan=False)
                cursor = Cursor.from_state(json.loads(state), EventFields())
        while hidden:
            add_log()
        stored += stream.batches(size, cursor=cursor)
        assert read_all(stored, folder) == expected
        if stored:
            assert stored[-1].cursor.counts.read == written
