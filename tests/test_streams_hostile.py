"""Hostile content of a log is a malformed record or one line of an error, in bounded memory."""

import json
import re
import struct
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest

from minitower.data import DataError
from minitower.data.parquet import read_parts, uncompressed_sizes
from minitower.updating.streams import ClickStream, EventFields, tfrecord

GOOD = b'{"user_id": 1, "item_id": 2, "timestamp": 3}\n'
HEADER = b"user_id,item_id,timestamp\n"
TEXT = EventFields(user_type="string", item_type="string", value="rating")


def read(folder, fields=None, **options):
    """The events of a folder, and why records were set aside."""
    bad = folder / "_bad"
    bad.unlink(missing_ok=True)
    options = {
        "dead_letter_file": bad,
        "max_error_rate": 1.0,
        "allowed_lateness": 1e11,
        **options,
    }
    batches = list(ClickStream(folder=folder, fields=fields or EventFields(), **options).batches(9))
    lines = bad.read_text().splitlines() if bad.exists() else []
    rows = [row for batch in batches for row in batch.events.rows()]
    return rows, [(r["number"], r["reason"]) for r in map(json.loads, lines)]


def refused(folder, fields=None):
    """The error that a folder is refused with: one line that names the file."""
    with pytest.raises(DataError) as caught:
        read(folder, fields)
    (line,) = str(caught.value).splitlines()
    assert len(line) < 500
    return line


# Text


@pytest.mark.parametrize(
    "header, message",
    [
        (b"user_id,item\r_id,timestamp\n", "line 1: not the header of a CSV file: new-line"),
        (b"user_id,item_id,%s\n" % (b"x" * 200_000), "line 1: not the header .* field limit"),
        (b'user_id,"%s\n' % (b"x" * 200_000), "line 1: not the header .* field limit"),
        (b"user_id,%s\n" % b",".join([b"x" * 50] * 3000), "expected one column 'item_id', got"),
        (b"user_id,a\x1b[1m,\xe2\x80\xa8,b\n", "got user_id, a.x1b.1m, .u2028, b$"),
        (b"x" * 5_000_000, "record 1 has more than 4194304 bytes"),
    ],
)
def test_csv__a_hostile_header(tmp_path, header, message):
    (tmp_path / "log.csv").write_bytes(header)
    assert re.search(rf"log\.csv.*{message}", refused(tmp_path))


@pytest.mark.parametrize(
    "line",
    [
        b'1,2,"%s"' % (b"3" * 200_000),
        b"1,2,%s" % (b"3" * 200_000),
        b'"1\r",2,3',
        b"1\r,2,3",
        b'1,2,"3\x00"',
        b'"' * 3001,
        b"," * 100_000,
    ],
)
def test_csv__a_hostile_line_is_set_aside_alone(tmp_path, line):
    (tmp_path / "log.csv").write_bytes(HEADER + b"1,2,3\n" + line + b"\n4,5,6\n")
    rows, wrong = read(tmp_path)
    assert rows == [[1, 2, 3.0], [4, 5, 6.0]]
    assert [number for number, _ in wrong] == [2]


@pytest.mark.parametrize("depth", [*range(900, 1010, 5), 5000, 200_000])
@pytest.mark.parametrize("name", ["user_id", "timestamp", "other"])
def test_json_lines__nested_deeply(tmp_path, depth, name):
    """Deeper than values can be read, or shown once they were."""
    record = json.loads(GOOD) | {name: 0}
    line = json.dumps(record).replace(f'"{name}": 0', f'"{name}": {"[" * depth}{"]" * depth}')
    (tmp_path / "log.jsonl").write_bytes(GOOD + line.encode() + b"\n" + GOOD)
    rows, wrong = read(tmp_path)
    assert [number for number, _ in wrong] == [2] or (name == "other" and depth < 1000)
    assert len(rows) == 3 - len(wrong)


@pytest.mark.parametrize("digits", [300, 4301, 5000, 100_000])
@pytest.mark.parametrize("name", ["user_id", "timestamp", "rating"])
def test_json_lines__an_integer_of_many_digits(tmp_path, digits, name):
    record = {"user_id": "a", "item_id": "b", "timestamp": 1, "rating": 1}
    line = json.dumps(record | {name: 0}).replace(f'"{name}": 0', f'"{name}": {"7" * digits}')
    good = json.dumps(record).encode() + b"\n"
    (tmp_path / "log.jsonl").write_bytes(good + line.encode() + b"\n" + good)
    rows, wrong = read(tmp_path, TEXT)
    assert rows == [["a", "b", 1.0, 1.0]] * 2
    assert [number for number, _ in wrong] == [2]


@pytest.mark.parametrize("name", ["a\nb.jsonl", "a\x1b[1m.jsonl", "a\u2028.jsonl"])
def test_names__that_cannot_be_printed(tmp_path, name):
    (tmp_path / name).write_bytes(GOOD)
    assert "cannot be printed" in refused(tmp_path)


# TFRecord


@pytest.mark.parametrize("length", [(1 << 22) + 1, 1 << 31, 1 << 40, (1 << 63) + 5, (1 << 64) - 1])
def test_tfrecord__a_hostile_length_is_refused_at_once(tmp_path, length):
    pytest.importorskip("google_crc32c"), pytest.importorskip("google.protobuf")
    head = struct.pack("<Q", length)
    content = head + tfrecord.checksum(head) + b"x" * 100
    (tmp_path / "log.tfrecord").write_bytes(content)
    assert f"record 1 has {length} bytes, more than 4194304" in refused(tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"\x0a\xff\xff\xff\xff\x0f", b"\x0b" * 1000, b"\x0a\x03\x0a\x01\x0a" * 99, b"\xff" * 9999],
)
def test_tfrecord__protobuf_garbage_is_malformed(tmp_path, data):
    pytest.importorskip("google_crc32c"), pytest.importorskip("google.protobuf")
    head = struct.pack("<Q", len(data))
    crc = tfrecord.checksum
    (tmp_path / "log.tfrecord").write_bytes(head + crc(head) + data + crc(data))
    rows, wrong = read(tmp_path)
    assert (rows, [number for number, _ in wrong]) == ([], [1])


# Parquet


@pytest.fixture
def arrow():
    """The module pyarrow."""
    pytest.importorskip("pyarrow.parquet")
    return pytest.importorskip("pyarrow")


def write(arrow, path, **columns):
    """A log in Parquet whose three columns are [1, 2, 3] where none is given."""
    table = {"user_id": [1, 2, 3], "item_id": [1, 2, 3], "timestamp": [1, 2, 3]} | columns
    arrow.parquet.write_table(arrow.table(table), path)


def odd(arrow):
    """Columns of three values that are no numbers and no strings."""
    yield arrow.array([{"a": 1}] * 3)
    yield arrow.array([[1], [2, 3], []])
    yield arrow.array([[1, 2]] * 3, arrow.list_(arrow.int64(), 2))
    yield arrow.array([[("a", 1)]] * 3, arrow.map_(arrow.string(), arrow.int64()))
    yield arrow.array([1, 2, 3], arrow.decimal128(9))
    yield arrow.array([b"1", b"\xff", b"3"])
    yield arrow.array([b"1", b"2", b"3"], arrow.binary(1))
    yield arrow.array([b"1", b"2", b"3"], arrow.large_binary())
    yield arrow.array([1, 2, 3], arrow.time32("s"))
    yield arrow.array([1, 2, 3], arrow.time64("ns"))
    yield arrow.array([1, 2, 3], arrow.date32())
    yield arrow.array([1, 2, 3], arrow.duration("ns"))
    yield arrow.array([1, None, 3], arrow.duration("s"))
    yield (
        arrow.array(["1", "2", "3"])
        .dictionary_encode()
        .cast(arrow.dictionary(arrow.int8(), arrow.binary()))
    )


@pytest.mark.parametrize("column", ["user_id", "item_id", "timestamp", "rating"])
@pytest.mark.parametrize("fields", [EventFields(value="rating"), TEXT], ids=["integer", "text"])
def test_parquet__other_types_are_refused(arrow, tmp_path, column, fields):
    values = list(odd(arrow))
    if column != "timestamp":
        values.append(arrow.array([1, 2, 3], arrow.timestamp("ns")))  # is an integer to NumPy
    for value in values:
        write(arrow, tmp_path / "log.parquet", **{"rating": [1, 2, 3], column: value})
        assert f"column '{column}': expected numbers or strings, got " in refused(tmp_path, fields)


def test_parquet__types_that_are_read(arrow, tmp_path):
    texts = ["a", None, "ä" * 256]
    types = [arrow.string(), arrow.large_string(), arrow.dictionary(arrow.int8(), arrow.string())]
    for kind in types:
        write(arrow, tmp_path / "a.parquet", user_id=arrow.array(texts).cast(kind))
        rows, wrong = read(tmp_path, EventFields(user_type="string"))
        assert rows == [["a", 1, 1.0], ["ä" * 256, 3, 3.0]]
        assert wrong[0][0] == 2
        assert "'user_id': expected a string, got None" in wrong[0][1]
    for kind in (arrow.int8(), arrow.uint64(), arrow.float32(), arrow.float16()):
        write(arrow, tmp_path / "a.parquet", user_id=arrow.array([1, 2, 3]).cast(kind))
        assert [row[0] for row in read(tmp_path)[0]] == [1, 2, 3]
    write(arrow, tmp_path / "a.parquet", user_id=arrow.nulls(3), timestamp=[True] * 3)
    assert len(read(tmp_path)[1]) == 3


@pytest.mark.parametrize("unit, second", [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_parquet__timestamps_of_any_unit(arrow, tmp_path, unit, second):
    """No value wraps into another time."""
    far = min(2**62, 10**12 * second)
    times = arrow.array([17 * 10**8 * second + second // 2, far, None], arrow.timestamp(unit))
    write(arrow, tmp_path / "a.parquet", timestamp=times)
    rows, wrong = read(tmp_path)
    times = [time for _, _, time in rows]
    assert times[0] == 17e8 + (0.5 if second > 1 else 0)
    if unit == "ns":  # 2262 is the last year
        assert times[1:] == [2**62 // 1000 / 1e6]
    else:
        assert [number for number, _ in wrong] == [2, 3]


def test_parquet__texts_that_are_no_utf8_are_malformed(arrow, tmp_path):
    raw = arrow.array([b"a", b"\xff\xfe", b"c"])
    text = arrow.Array.from_buffers(arrow.string(), 3, raw.buffers())
    write(arrow, tmp_path / "a.parquet", user_id=text)
    rows, wrong = read(tmp_path, EventFields(user_type="string"))
    assert [row[0] for row in rows] == ["a", "c"]
    assert [number for number, _ in wrong] == [2]


@pytest.mark.parametrize("size", [257, 1024, 1025, 100_000])
@pytest.mark.parametrize("letter", ["x", "€"])
def test_parquet__a_long_text_is_malformed_wherever_it_is_cut(arrow, tmp_path, size, letter):
    write(arrow, tmp_path / "a.parquet", user_id=["a", letter * size, "b"])
    rows, wrong = read(tmp_path, EventFields(user_type="string"))
    assert [row[0] for row in rows] == ["a", "b"]
    assert wrong[0][0] == 2
    assert "characters, more than 256" in wrong[0][1]


def memory_of(arrow, work):
    """Bytes that were allocated at most, by pyarrow and by Python."""
    usual = arrow.default_memory_pool()
    pool = arrow.proxy_memory_pool(usual)
    arrow.set_memory_pool(pool)
    tracemalloc.start()
    try:
        work()
        return pool.max_memory() + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        arrow.set_memory_pool(usual)


@pytest.mark.parametrize("column", ["user_id", "timestamp"])
def test_parquet__a_huge_cell_is_refused_before_it_is_decoded(arrow, tmp_path, column):
    write(arrow, tmp_path / "a.parquet", **{column: ["1", "2", "x" * 40_000_000]})
    peak = memory_of(arrow, lambda: refused(tmp_path))
    message = refused(tmp_path)
    assert f"a.parquet, column '{column}': 40,000," in message
    assert "bytes in 3 rows, expected at most 1,040 a row" in message
    assert peak < 5_000_000
    with pytest.raises(DataError, match="expected at most 65,536 a row"):
        list(read_parts(tmp_path / "a.parquet", 0, [column]))


def test_parquet__a_wide_column_that_nobody_reads_is_no_matter(arrow, tmp_path):
    write(arrow, tmp_path / "a.parquet", image=["", "", "x" * 5_000_000])
    assert len(read(tmp_path)[0]) == 3


def test_parquet__one_long_text_in_many_rows_is_decoded_once(arrow, tmp_path):
    n = 2000
    rows = np.arange(n)
    users = arrow.DictionaryArray.from_arrays(np.zeros(n, np.int32), ["x" * 200_000])
    write(arrow, tmp_path / "a.parquet", user_id=users, item_id=rows, timestamp=rows)
    fields = EventFields(user_type="string")
    stream = ClickStream(
        folder=tmp_path, fields=fields, dead_letter_file=tmp_path / "_a", max_error_rate=1.0
    )
    counts = []
    work = lambda: counts.extend(b.cursor.counts for b in stream.batches(9))
    assert memory_of(arrow, work) < 20_000_000
    assert counts[-1].malformed == n


def test_parquet__a_footer_says_the_size_of_every_column(arrow, tmp_path):
    columns = {"a": ["x" * k for k in range(99)], "b": [[1, 2]] * 99, "c": np.arange(99)}
    options = {"row_group_size": 40, "store_schema": True}
    arrow.parquet.write_table(arrow.table(columns), tmp_path / "a.parquet", **options)
    metadata = arrow.parquet.read_metadata(tmp_path / "a.parquet")
    for group in range(metadata.num_row_groups):
        chunks = [metadata.row_group(group).column(i) for i in range(metadata.num_columns)]
        expected = [
            (chunk.path_in_schema.partition(".")[0], chunk.total_uncompressed_size)
            for chunk in chunks
        ]
        assert list(uncompressed_sizes(tmp_path / "a.parquet", group)) == expected
    content = (tmp_path / "a.parquet").read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for at in range(start, len(content) - 4, 5):
        (tmp_path / "b.parquet").write_bytes(content[:at] + b"\xff" + content[at + 1 :])
        with suppress(ValueError, OSError):
            list(uncompressed_sizes(tmp_path / "b.parquet", 0))
