"""Whatever bytes a log has, reading it ends, and raises nothing but a DataError of one line."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.updating.streams import ClickStream, Cursor, EventFields, write_events

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
                "dead_letter_file": Path(name) / "_aside",
                "max_error_rate": 1.0,
                "allowed_lateness": 9.0,
            }
            stream = ClickStream(folder=name, fields=fields, **options)
            try:
                for batch in stream.batches(7):
                    Cursor.from_state(batch.cursor.to_state(), fields)
                    stream.unfinished(batch.cursor)
            except DataError as error:
                message = str(error)
                assert (len(message) < 500, message.isprintable()) == (True, True), message

    holds()
