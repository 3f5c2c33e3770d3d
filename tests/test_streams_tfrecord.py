"""TFRecord as TensorFlow writes and reads it; no flipped bit goes unnoticed."""

import gzip
import json
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minitower.data import DataError
from minitower.updating.streams import ClickStream, EventFields, tfrecord, write_events

pytest.importorskip("google_crc32c", reason="not installed: pip install '.[streams]'")
pytest.importorskip("google.protobuf", reason="not installed: pip install '.[streams]'")

FIELDS = EventFields(item_type="string", value="rating")
# Two records that TensorFlow 2.21 wrote.
GOLDEN = bytes.fromhex(
    "54000000000000005f5145870a520a120a076974656d5f696412070a050a03c3a9310a120a067261"
    "74696e67120812060a04000090400a160a0974696d657374616d7012091a070a0580e2cfaa060a10"
    "0a07757365725f696412051a030a0107d92c15403e00000000000000d9d240e70a3c0a100a076974"
    "656d5f696412050a030a01620a160a0974696d657374616d7012091a070a0581e2cfaa060a100a07"
    "757365725f696412051a030a0108570787f9"
)
ROWS = [[7, "é1", 1.7e9, 4.5], [8, "b", 1.7e9 + 1, None]]
LOG = dict(zip(FIELDS.names, map(list, zip(*ROWS))))


def read(folder, content=None):
    """(rows, numbers of bad records, broken) of a folder with one log."""
    if content is not None:
        (folder / "log.tfrecord").write_bytes(content)
    bad = folder / "_bad"
    bad.unlink(missing_ok=True)
    options = {"allowed_lateness": 9e9, "dead_letter_file": bad, "max_error_rate": 1.0}
    batches = list(ClickStream(folder=folder, fields=FIELDS, **options).batches(9))
    records = bad.read_text().splitlines() if bad.exists() else []
    rows = [row for batch in batches for row in batch.events.rows()]
    broken = batches[-1].cursor.broken if batches else {}
    return rows, [json.loads(line)["number"] for line in records], broken


def starts(content):
    """Where each record begins, and where the last one ends."""
    at = [0]
    while at[-1] < len(content):
        at.append(at[-1] + 16 + struct.unpack_from("<Q", content, at[-1])[0])
    return at


def test_tfrecord__reads_what_tensorflow_wrote(tmp_path):
    assert read(tmp_path, GOLDEN) == (ROWS, [], {})


def test_tfrecord__writes_what_tensorflow_wrote(tmp_path):
    write_events(tmp_path / "log.tfrecord", LOG, FIELDS)
    assert (tmp_path / "log.tfrecord").read_bytes() == GOLDEN


def test_tfrecord__every_flipped_bit_is_noticed(tmp_path, monkeypatch):
    """In the data it costs one record; in the header, this record and all that follow."""
    log, places = tmp_path / "log.tfrecord", starts(GOLDEN)
    for bit in range(8 * len(GOLDEN)):
        monkeypatch.setattr(tfrecord, "BLOCK_SIZE", 40 if bit % 3 else 1000)
        damaged = bytearray(GOLDEN)
        damaged[bit // 8] ^= 1 << bit % 8
        hit = next(k for k, end in enumerate(places[1:]) if bit // 8 < end)
        in_header = bit // 8 < places[hit] + 12
        log.write_bytes(damaged)
        blocks = list(tfrecord.read_tfrecord(log, 0, FIELDS.names))
        read = [number for block in blocks for number in block.numbers.tolist()]
        bad = [(record.number, record.rest) for block in blocks for record in block.bad]
        assert read == ([1, 2][:hit] if in_header else [2 - hit])
        assert bad == [(hit + 1, in_header)]


@given(st.integers(0, len(GOLDEN)), st.sampled_from([16, 50, 1000]))
@example(1, 1000)
@example(12, 1000)
def test_tfrecord__a_file_that_ends_within_a_record(tmp_path_factory, cut, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "BLOCK_SIZE", block)
        whole = sum(end <= cut for end in starts(GOLDEN)[1:])
        bad = [] if cut in starts(GOLDEN) else [whole + 1]
        broken = {"log.tfrecord": whole + 1} if bad else {}
        folder = tmp_path_factory.mktemp("folder")
        assert read(folder, GOLDEN[:cut]) == (ROWS[:whole], bad, broken)


@pytest.mark.parametrize("garbage", [b"\1", bytes(300_000), b"x" * 300_000, gzip.compress(GOLDEN)])
def test_tfrecord__garbage_is_set_aside_from_there_on(tmp_path, garbage):
    """Nobody knows where the next record begins; it is said, and not read again."""
    assert read(tmp_path, GOLDEN + garbage + GOLDEN) == (ROWS, [3], {"log.tfrecord": 3})
    assert "set aside from this record on" in (tmp_path / "_bad").read_text()
    assert read(tmp_path, garbage) == ([], [1], {"log.tfrecord": 1})


@pytest.mark.parametrize("skip", range(7))
def test_tfrecord__skips_records_good_and_bad(tmp_path, monkeypatch, skip):
    monkeypatch.setattr(tfrecord, "BLOCK_SIZE", 40)
    damaged = bytearray(GOLDEN)
    damaged[20] ^= 1
    (tmp_path / "log").write_bytes(damaged + GOLDEN + damaged)
    blocks = list(tfrecord.read_tfrecord(tmp_path / "log", skip, FIELDS.names))
    numbers = [number for block in blocks for number in block.numbers.tolist()]
    assert numbers == [number for number in (2, 3, 4, 6) if number > skip]
    bad = [record.number for block in blocks for record in block.bad]
    assert bad == [number for number in (1, 5) if number > skip]
    assert [block.stop for block in blocks[-1:]] == [6] * (skip < 6)
    assert len(blocks) <= 6 - skip


def record(**features):
    """A framed Example with the given lists of values."""
    example = tfrecord.example_type()()
    for name, (kind, values) in features.items():
        getattr(example.features.feature[name], kind).value.extend(values)
    return framed(example.SerializeToString())


def framed(data):
    """A record with right checksums."""
    length = struct.pack("<Q", len(data))
    return length + tfrecord.checksum(length) + data + tfrecord.checksum(data)


USER, ITEM = ("int64_list", [7]), ("bytes_list", [b"a"])
TIME = ("int64_list", [5])


@pytest.mark.parametrize(
    "content, reason",
    [
        (framed(b"\xff\xff"), "Error parsing message"),
        (framed(b""), "'user_id': expected an integer, got None"),
        (record(user_id=USER, item_id=ITEM), "'timestamp': missing timestamp"),
        (record(user_id=("int64_list", [1, 2]), item_id=ITEM, timestamp=TIME), "has 2 values"),
        (record(user_id=("int64_list", []), item_id=ITEM, timestamp=TIME), "got None"),
        (record(user_id=USER, item_id=("bytes_list", [b"\xff"]), timestamp=TIME), "can't decode"),
        (
            record(user_id=USER, item_id=ITEM, timestamp=("float_list", [5.0])),
            "write an int64_list",
        ),
    ],
)
def test_tfrecord__a_record_that_is_no_event(tmp_path, content, reason):
    assert read(tmp_path, content + GOLDEN) == (ROWS, [1], {})
    assert reason in (tmp_path / "_bad").read_text()


def test_tfrecord__reads_a_time_as_text(tmp_path):
    time = ("bytes_list", [b"5"])
    assert read(tmp_path, record(user_id=USER, item_id=ITEM, timestamp=time))[0] == [
        [7, "a", 5.0, None]
    ]


def test_tfrecord__an_endless_record(tmp_path):
    (tmp_path / "log.tfrecord").write_bytes(GOLDEN + framed(b"x" * 5_000_000))
    with pytest.raises(DataError, match="record 3 has 5000000 bytes, more than 4194304"):
        read(tmp_path)


def test_tfrecord__published_checksum():
    """RFC 3720, appendix B.4: the CRC-32C of 32 zeros, masked as record_writer.h masks it."""
    crc = 0x8A9136AA
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32
    assert tfrecord.checksum(bytes(32)) == masked.to_bytes(4, "little")
