"""Each kind of file says the same, damage is noticed, and a file is written whole or not at all."""

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import texts

from minitower.data import DataError
from minitower.updating.streams import (
    ClickStream,
    EventFields,
    parquet,
    text_files,
    tfrecord,
    write_events,
)
from minitower.updating.streams.folder import READERS
from minitower.updating.streams.text_files import read_csv, read_json_lines

KINDS = {".jsonl": "json", ".csv": "csv", ".parquet": "pyarrow", ".tfrecord": "google_crc32c"}
TEXT = EventFields(user_type="string", item_type="string", value="rating")
kinds = pytest.mark.parametrize("suffix", KINDS)
ids = texts.filter(lambda text: not set(text) & set("\r\n"))


def read(folder, fields=None, **options):
    """All events of a folder, and the cursor behind them."""
    stream = ClickStream(
        folder=folder, fields=fields or EventFields(), allowed_lateness=1e11, **options
    )
    (batch,) = stream.batches(10**6)
    return batch.events, batch.cursor


def reasons(folder, **options):
    """Why records were set aside."""
    options = {"dead_letter_file": Path(folder) / "_bad", "max_error_rate": 1.0, **options}
    for _ in ClickStream(folder=folder, **options).batches(10**6):
        pass
    return [
        json.loads(line)["reason"] for line in options["dead_letter_file"].read_text().splitlines()
    ]


def names(folder):
    """The files of a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


def columns(n):
    """A small log."""
    return {"user_id": np.arange(n), "item_id": np.arange(n) * 2, "timestamp": 100 + np.arange(n)}


@kinds
@given(
    rows=st.lists(
        st.tuples(ids, ids, st.integers(0, 10**10), st.none() | st.floats(-1000, 1000, width=32)),
        min_size=1,
        max_size=8,
    )
)
def test_write_events__is_what_is_read(suffix, rows):
    pytest.importorskip(KINDS[suffix])
    written = TEXT.from_rows(rows)
    with tempfile.TemporaryDirectory() as folder:
        table = dict(zip(TEXT.names, map(list, zip(*rows))))
        write_events(Path(folder) / f"log{suffix}", table, TEXT)
        assert names(folder) == [f"log{suffix}"]
        got, cursor = read(folder, TEXT)
    order = np.argsort(written.timestamps, kind="stable")
    assert got.rows() == written.take(order).rows()
    assert cursor.counts.read == len(rows)


@kinds
def test_write_events__large_integers_and_fractions_of_seconds(suffix, tmp_path):
    pytest.importorskip(KINDS[suffix])
    exact = {"user_id": [2**63 - 1, 2**53 + 1], "item_id": [0, 1], "timestamp": [1.0, 1.7e9 + 1]}
    write_events(tmp_path / f"a{suffix}", exact)
    events, _ = read(tmp_path)
    assert events.users.tolist() == exact["user_id"]
    assert events.timestamps.tolist() == exact["timestamp"]
    if suffix == ".tfrecord":
        with pytest.raises(DataError, match="row 1, column 'timestamp': TFRecord holds whole"):
            write_events(tmp_path / "b.tfrecord", exact | {"timestamp": [1.0, 1.5]})
    else:
        write_events(tmp_path / f"b{suffix}", exact | {"timestamp": [2.5, 1.7e9 + 0.1]})
        assert read(tmp_path)[0].timestamps.tolist() == [1.0, 2.5, 1.7e9 + 0.1, 1.7e9 + 1]


@kinds
@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_write_events__a_fault_leaves_nothing(suffix, failing, tmp_path, monkeypatch):
    pytest.importorskip(KINDS[suffix])

    def fault(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if failing == "fsync" else (Path, "replace")), fault)
    with pytest.raises(DataError, match=f"log{suffix}: cannot be written: No space left"):
        write_events(tmp_path / f"log{suffix}", columns(3))
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("log.txt", {}, "expected a name that ends with .jsonl"),
        ("old.jsonl", {}, "already there"),
        ("log.jsonl", {"user_id": [1, -1]}, "row 1, column 'user_id': negative id -1"),
        ("log.jsonl", {"user_id": [1, 2**64]}, "row 1, column 'user_id': .* of 64 bits"),
        ("log.jsonl", {"user_id": [1.0, 2.5]}, "row 1, column 'user_id': expected an integer"),
        ("log.jsonl", {"user_id": [1.0, 2.0**53]}, "row 1, .* stands for several integers"),
        ("log.jsonl", {"user_id": [1.0, np.nan]}, "row 1, .* missing id"),
        ("log.jsonl", {"user_id": [1.0, -np.inf]}, "row 1, .* expected an integer"),
        ("log.jsonl", {"item_id": ["1", "1_0"]}, "row 1, column 'item_id': expected an integer"),
        ("log.jsonl", {"item_id": ["1", "\N{FULLWIDTH DIGIT ONE}"]}, "row 1, .* an integer"),
        ("log.jsonl", {"timestamp": [1, 1.7e12]}, "row 1, .* expected seconds since 1970"),
        ("log.jsonl", {"timestamp": [1, None]}, "row 1, .* missing timestamp"),
        ("log.jsonl", {"timestamp": [-1, 1]}, "row 0, .* expected seconds since 1970"),
        ("no/log.jsonl", {}, "cannot be written: No such file"),
    ],
)
def test_write_events__refuses(tmp_path, name, change, message):
    (tmp_path / "old.jsonl").write_text("mine")
    with pytest.raises(DataError, match=message):
        write_events(tmp_path / name, columns(2) | change)
    assert names(tmp_path) == ["old.jsonl"]


def test_write_events__an_end_of_line_is_no_csv(tmp_path):
    with pytest.raises(DataError, match=r"log\.csv: an id has an end of line"):
        write_events(
            tmp_path / "log.csv",
            columns(1) | {"user_id": ["a\nb"]},
            EventFields(user_type="string"),
        )
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "line, reason",
    [
        (b"[1, 2, 3]", "expected an object"),
        (b"{", "Expecting property name"),
        (b"[" * 100_000, "recursion"),
        (b"\xff", "can't decode"),
        (b'{"user_id": 1, "item_id": 2}', "'timestamp': missing timestamp"),
        (b'{"user_id": true, "item_id": 2, "timestamp": 3}', "'user_id': expected an integer"),
        (b'{"user_id": [1], "item_id": 2, "timestamp": 3}', "'user_id': expected an integer"),
        (b'{"user_id": 1.5, "item_id": 2, "timestamp": 3}', "'user_id': expected an integer"),
        (b'{"user_id": "", "item_id": 2, "timestamp": 3}', "'user_id': expected an integer"),
        (b'{"user_id": 1, "item_id": "x", "timestamp": 3}', "'item_id': expected an integer"),
        (b'{"user_id": 1, "item_id": 2, "timestamp": true}', "'timestamp': expected a number"),
        (b'{"user_id": 1, "item_id": 2, "timestamp": NaN}', "'timestamp': missing timestamp"),
        (b'{"user_id": 1, "item_id": 2, "timestamp": 1%s}' % (b"0" * 400), "expected a number"),
        (b'{"user_id": 9%s, "item_id": 2, "timestamp": 3}' % (b"9" * 30), "of 64 bits"),
    ],
)
def test_json_lines__a_record_that_is_none_is_set_aside_alone(tmp_path, line, reason):
    good = b'{"user_id": 1, "item_id": 2, "timestamp": 3}\n'
    (tmp_path / "log.jsonl").write_bytes(good + line + b"\r\n\n" + good + b"  \n")
    (why,) = reasons(tmp_path)
    assert reason in why
    events, cursor = read(tmp_path, dead_letter_file=tmp_path / "_bad")
    assert events.rows() == [[1, 2, 3.0]] * 2
    assert cursor.counts.malformed == 1


@pytest.mark.parametrize(
    "user, what",
    [
        ('""', "expected a string"),
        ('"a\\u0000"', "a string with a zero character"),
        ('"\\ud800"', "a string with half a surrogate pair"),
        ("7.0", "expected a string"),
        ("true", "expected a string"),
    ],
)
def test_json_lines__texts_that_cannot_be_ids(tmp_path, user, what):
    record = '{"user_id": %s, "item_id": "b", "timestamp": 3, "rating": null}\n'
    (tmp_path / "log.jsonl").write_text((record % user) + (record % '"é"'))
    (why,) = reasons(tmp_path, fields=TEXT)
    assert f"column 'user_id': {what}" in why


def test_json_lines__a_byte_order_mark_is_no_part_of_a_line(tmp_path, monkeypatch):
    """In front of the file, of a block, or of one line in the middle: files are joined."""
    line = '{"user_id": %d, "item_id": 2, "timestamp": 3}\n'
    text = "\ufeff" + line % 1 + line % 2 + "\ufeff" + line % 3 + "no\n" + line % 4
    (tmp_path / "log.jsonl").write_text(text, encoding="utf-8")
    for size in (1, 1 << 18):
        monkeypatch.setattr("minitower.updating.streams.text_files.BLOCK_SIZE", size)
        (tmp_path / "_bad").unlink(missing_ok=True)
        events, cursor = read(tmp_path, dead_letter_file=tmp_path / "_bad")
        assert events.users.tolist() == [1, 2, 3, 4]
        assert cursor.counts.malformed == 1
        assert json.loads((tmp_path / "_bad").read_text())["number"] == 4


def test_csv__quotes_windows_lines_and_byte_order_mark(tmp_path):
    text = '\ufefftimestamp,"item_id",rating,user_id\r\n5,"a,""b""",,u 1\r\n6,c,2.5,"u2"\r\n7,d,,u3'
    (tmp_path / "log.csv").write_text(text, encoding="utf-8", newline="")
    events, _ = read(tmp_path, TEXT)
    assert events.rows() == [
        ["u 1", 'a,"b"', 5.0, None],
        ["u2", "c", 6.0, 2.5],
        ["u3", "d", 7.0, None],
    ]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_texts__a_whole_number_is_the_text_of_its_digits(tmp_path, suffix):
    """A store made of text files knows its ids as texts; JSON and Parquet may not."""
    if suffix == ".jsonl":
        (tmp_path / "a.jsonl").write_text('{"user_id": 12, "item_id": -3, "timestamp": 3}\n')
    else:
        arrow = pytest.importorskip("pyarrow")
        table = arrow.table({"user_id": [12], "item_id": [-3], "timestamp": [3]})
        arrow.parquet.write_table(table, tmp_path / "a.parquet")
    events, _ = read(tmp_path, EventFields(user_type="string", item_type="string"))
    assert events.rows() == [["12", "-3", 3.0]]


@kinds
def test_a_file_without_records_is_no_news(tmp_path, suffix):
    """However often it is looked at; nothing of it stays in the cursor."""
    pytest.importorskip(KINDS[suffix])
    write_events(tmp_path / f"0{suffix}", columns(0))
    write_events(tmp_path / "1.jsonl", columns(2))
    stream = ClickStream(folder=tmp_path)
    (batch,) = stream.batches(9)
    assert len(batch) == 2
    assert set(batch.cursor.files) == {"1.jsonl"}
    assert list(stream.batches(9, cursor=batch.cursor)) == []


@kinds
@given(st.integers(0, 9), st.sampled_from([1, 60, 1 << 18]))
def test_read__the_records_behind_those_that_are_skipped(suffix, skip, block):
    pytest.importorskip(KINDS[suffix])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for module in (text_files, tfrecord):
            patch.setattr(module, "BLOCK_SIZE", block)
        patch.setattr("minitower.data.parquet._BLOCK_ROWS", min(block, 4))
        write_events(Path(folder) / f"log{suffix}", columns(9))
        blocks = list(READERS[suffix](Path(folder) / f"log{suffix}", skip, EventFields().names))
    users = [int(user) for block in blocks for user in block.columns["user_id"].tolist()]
    assert users == list(range(skip, 9))
    assert [n - 1 for block in blocks for n in block.numbers.tolist()] == users
    assert [block.stop for block in blocks] == [block.numbers[-1] for block in blocks]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_text__a_last_line_without_an_end_is_a_record(tmp_path, suffix):
    """A log is written whole; half a record is a bad one."""
    write_events(tmp_path / f"log{suffix}", columns(3))
    content = (tmp_path / f"log{suffix}").read_bytes()
    (tmp_path / f"log{suffix}").write_bytes(content[:-1])
    assert read(tmp_path)[0].users.tolist() == [0, 1, 2]
    (tmp_path / f"log{suffix}").write_bytes(content[:-6])
    events, cursor = read(tmp_path, dead_letter_file=tmp_path / "_bad")
    assert (events.users.tolist(), cursor.counts.malformed) == ([0, 1], 1)
    assert json.loads((tmp_path / "_bad").read_text())["number"] == 3


def test_csv__a_line_that_is_no_record(tmp_path):
    lines = ["user_id,item_id,timestamp", "1,2", "1,2,3,4", '1,2,"3', '"1"x,2,3', "1,2,3", ""]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    expected = ["expected 3 fields, got 2", "got 4", "unexpected end of data", "',' expected after"]
    why = reasons(tmp_path)
    assert [e in w for e, w in zip(expected, why)] == [True] * len(why) == [True] * 4


def test_csv__windows_lines_and_a_quote_over_two_lines(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"timestamp,item_id,user_id\r\n5,6,7\r\n5,6,8\r\n")
    assert read(tmp_path)[0].users.tolist() == [7, 8]
    (tmp_path / "a.csv").write_bytes(b'timestamp,item_id,user_id\n5,6,"7\n8"\n')
    assert ["unexpected end" in why or "got 1" in why for why in reasons(tmp_path)] == [True] * 2


@pytest.mark.parametrize("header", ["user_id,item_id\n", "user_id,item_id,timestamp,user_id\n"])
def test_csv__refuses_a_header(tmp_path, header):
    (tmp_path / "log.csv").write_text(header)
    with pytest.raises(
        DataError, match=r"log\.csv, line 1: expected one column '(timestamp|user_id)'"
    ):
        list(ClickStream(folder=tmp_path).batches(1))


def test_csv__half_a_header_is_refused(tmp_path):
    (tmp_path / "log.csv").write_text("user_id,it")
    with pytest.raises(DataError, match="line 1: expected one column 'item_id', got user_id, it"):
        list(ClickStream(folder=tmp_path).batches(1))


@pytest.mark.parametrize("reader, record", [(read_json_lines, 2), (read_csv, 1)])
def test_text__no_end_of_line(tmp_path, reader, record):
    path = tmp_path / "log"
    path.write_bytes(b"user_id\n" + b"x" * 5_000_000)
    with pytest.raises(DataError, match=f"log: record {record} has more than 4194304 bytes"):
        list(reader(path, 0, ["user_id"]))


def test_parquet__missing_values_and_its_own_timestamps(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    for name, unit in (("a", "ms"), ("b", "ns")):
        table = arrow.table(
            {
                "user_id": arrow.array([1, None, 3, 4], arrow.uint32()),
                "item_id": arrow.array(["x", "y", "x", "x"]).dictionary_encode(),
                "timestamp": arrow.array(
                    [1500, 2500, None, 3500], arrow.timestamp("ms", tz="UTC")
                ).cast(arrow.timestamp(unit, tz="UTC")),
            }
        )
        arrow.parquet.write_table(table, tmp_path / f"{name}.parquet")
    fields = EventFields(item_type="string")
    why = reasons(tmp_path, fields=fields, allowed_lateness=9.0)
    assert ["user_id" in line for line in why] == [True, False] * 2
    assert ["timestamp" in line for line in why] == [False, True] * 2
    events, _ = read(tmp_path, fields, dead_letter_file=tmp_path / "_bad")
    assert events.rows() == [[1, "x", 1.5]] * 2 + [[4, "x", 3.5]] * 2


def test_parquet__whole_floats_are_ids(tmp_path):
    """Integers of which some are missing leave pandas as floats."""
    arrow = pytest.importorskip("pyarrow")
    table = columns(4) | {"user_id": [0.0, np.nan, 2.0, 2.0**53 - 1]}
    arrow.parquet.write_table(arrow.table(table), tmp_path / "a.parquet")
    (why,) = reasons(tmp_path)
    assert "column 'user_id': missing id" in why
    events, _ = read(tmp_path, dead_letter_file=tmp_path / "_bad")
    assert events.users.tolist() == [0, 2, 2**53 - 1]


@pytest.mark.parametrize(
    "names, message",
    [
        (["user_id", "item_id", "timestamp", "user_id"], "column 'user_id' occurs more than once"),
        (["user_id", "item_id"], "column 'timestamp' is missing"),
    ],
)
def test_parquet__refuses_columns(tmp_path, names, message):
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table([[1]] * len(names), names)
    arrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=f"{message}; columns: {', '.join(names)}"):
        read(tmp_path)


@pytest.mark.parametrize("at", [0, 1, 4, 5, 9, 10])
def test_parquet__goes_on_in_the_middle_of_a_group(tmp_path, at, monkeypatch):
    arrow = pytest.importorskip("pyarrow")
    monkeypatch.setattr("minitower.data.parquet._BLOCK_ROWS", 3)
    arrow.parquet.write_table(arrow.table(columns(10)), tmp_path / "a.parquet", row_group_size=5)
    blocks = list(parquet.read_parquet_clicks(tmp_path / "a.parquet", at, list(columns(10))))
    users = [user for block in blocks for user in block.columns["user_id"].tolist()]
    assert users == list(range(at, 10))
    assert [n - 1 for block in blocks for n in block.numbers.tolist()] == users
    assert [block.stop for block in blocks] == [block.numbers[-1] for block in blocks]


def test_parquet__an_incomplete_file_and_damage_are_errors(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    log = tmp_path / "log.parquet"
    write_events(log, columns(10))
    content = log.read_bytes()
    for cut in (0, 3, 8, len(content) // 2, len(content) - 1):
        log.write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"log\.parquet: not complete: it has no footer"):
            list(ClickStream(folder=tmp_path).batches(1))
    rows = lambda: [r for b in ClickStream(folder=tmp_path).batches(9) for r in b.events.rows()]
    log.write_bytes(content)
    intact, noticed = rows(), 0
    for at in range(4, len(content) - 4, 7):
        log.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        try:
            assert rows() == intact  # what nobody reads was hit
        except DataError as error:
            noticed += str(error).startswith(str(log))
    assert noticed > 20
    arrow.parquet.write_table(arrow.table({"user_id": [1]}), log)
    with pytest.raises(DataError, match="column 'item_id' is missing; columns: user_id"):
        list(ClickStream(folder=tmp_path).batches(1))


@pytest.mark.parametrize(
    "suffix, module",
    [(".parquet", "pyarrow"), (".tfrecord", "google_crc32c"), (".tfrecord", "google.protobuf")],
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, suffix, module):
    tfrecord._crc32c.cache_clear(), tfrecord.example_type.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "minitower\[streams\]"'):
        write_events(tmp_path / f"log{suffix}", columns(1))
