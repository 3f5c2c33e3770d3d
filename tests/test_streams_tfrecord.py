"""TFRecord as TensorFlow writes and reads it; no flipped bit goes unnoticed."""

import gzip
import json
import random
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
    """(rows, offsets set aside, bytes unfinished) of a folder with one log."""
    if content is not None:
        (folder / "log.tfrecord").write_bytes(content)
    aside = folder / "_aside"
    aside.unlink(missing_ok=True)
    stream = ClickStream(
        folder=folder,
        fields=FIELDS,
        allowed_lateness=9e9,
        dead_letter_file=aside,
        max_error_rate=1.0,
    )
    batches = list(stream.batches(9))
    wrong = aside.read_text().splitlines() if aside.exists() else []
    left = stream.unfinished(batches[-1].cursor).get("log.tfrecord", 0)
    rows = [row for batch in batches for row in batch.events.rows()]
    return rows, [json.loads(line)["offset"] for line in wrong], left


def starts(content):
    """Where each record begins, and where the last one ends."""
    at = [0]
    while at[-1] < len(content):
        at.append(at[-1] + 16 + struct.unpack_from("<Q", content, at[-1])[0])
    return at


def test_tfrecord__reads_what_tensorflow_wrote(tmp_path):
    assert read(tmp_path, GOLDEN) == (ROWS, [], 0)


def test_tfrecord__writes_what_tensorflow_wrote(tmp_path):
    write_events(tmp_path / "log.tfrecord", LOG, FIELDS)
    assert (tmp_path / "log.tfrecord").read_bytes() == GOLDEN


def test_tfrecord__every_flipped_bit_is_noticed_and_costs_one_record(tmp_path, monkeypatch):
    log, places = tmp_path / "log.tfrecord", starts(GOLDEN)
    for bit in range(8 * len(GOLDEN)):
        monkeypatch.setattr(tfrecord, "BLOCK", 40 if bit % 3 else 1000)
        damaged = bytearray(GOLDEN)
        damaged[bit // 8] ^= 1 << bit % 8
        hit = next(k for k, end in enumerate(places[1:]) if bit // 8 < end)
        log.write_bytes(damaged)
        blocks = list(tfrecord.read_tfrecord(log, 0, FIELDS.names))
        read = [at for block in blocks for at in block.offsets.tolist()]
        wrong = [record.offset for block in blocks for record in block.wrong]
        assert read == [places[1 - hit]]
        assert (hit, wrong, blocks[-1].stop) == (hit, [places[hit]], places[2])


@given(st.integers(0, len(GOLDEN)), st.sampled_from([16, 50, 1000]))
@example(1, 1000)
@example(12, 1000)
def test_tfrecord__a_writer_that_died_costs_its_last_record(tmp_path_factory, cut, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfrecord, "BLOCK", block)
        folder = tmp_path_factory.mktemp("folder")
        before = sum(end <= cut for end in starts(GOLDEN)[1:])
        whole = cut in starts(GOLDEN)
        rows, wrong, left = read(folder, GOLDEN[:cut]) if before else ([], [], cut)
        assert (rows, wrong, left) == (ROWS[:before], [], cut - starts(GOLDEN)[before])
        rows, wrong, left = read(folder, GOLDEN[:cut] + GOLDEN * 3)
        assert sorted(rows, key=str) == sorted(ROWS[:before] + ROWS * 3, key=str)
        assert wrong == ([] if whole else [starts(GOLDEN)[before]])
        assert left == 0


def record(**features):
    """A framed Example with the given lists of values."""
    example = tfrecord._example_type()()
    for name, (kind, values) in features.items():
        getattr(example.features.feature[name], kind).value.extend(values)
    return framed(example.SerializeToString())


def framed(data):
    """A record with right checksums."""
    length = struct.pack("<Q", len(data))
    crc = lambda of: struct.pack("<I", tfrecord._masked_crc(of))
    return length + crc(length) + data + crc(data)


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
    assert read(tmp_path, content + GOLDEN) == (ROWS, [0], 0)
    assert reason in (tmp_path / "_aside").read_text()


def test_tfrecord__reads_a_time_as_text(tmp_path):
    time = ("bytes_list", [b"5"])
    assert read(tmp_path, record(user_id=USER, item_id=ITEM, timestamp=time))[0] == [
        [7, "a", 5.0, None]
    ]


@pytest.mark.parametrize("block", [16, 1000, 1 << 18])
@pytest.mark.parametrize(
    "make", [lambda rng: rng.randbytes(300_000), lambda _: gzip.compress(GOLDEN)]
)
def test_tfrecord__a_file_of_no_records_is_one_that_is_malformed(
    tmp_path, monkeypatch, block, make
):
    """What is appended to it is read all the same."""
    monkeypatch.setattr(tfrecord, "BLOCK", block)
    content = make(random.Random(block))
    assert read(tmp_path, content) == ([], [0], 0)
    assert f"no record begins in the {len(content)} bytes" in (tmp_path / "_aside").read_text()
    log = tmp_path / "log.tfrecord"
    *_, before = tfrecord.read_tfrecord(log, 0, FIELDS.names)
    log.write_bytes(content + GOLDEN)
    after = list(tfrecord.read_tfrecord(log, before.stop, FIELDS.names))
    assert not any(block.wrong for block in after)
    read_at = [offset for block in after for offset in block.offsets.tolist()]
    assert read_at == [len(content) + start for start in starts(GOLDEN)[:2]]


def test_tfrecord__damage_before_a_header_that_is_being_written(tmp_path):
    """Once it is written, its record is read."""
    damaged = bytearray(GOLDEN)
    damaged[20] ^= 1
    second = starts(GOLDEN)[1]
    log = tmp_path / "log.tfrecord"
    for cut in (second, second + 5, second + 11):
        log.write_bytes(damaged[:cut])
        (block,) = tfrecord.read_tfrecord(log, 0, FIELDS.names)
        assert ([wrong.offset for wrong in block.wrong], block.stop) == ([0], second)
        log.write_bytes(damaged)
        (block,) = tfrecord.read_tfrecord(log, block.stop, FIELDS.names)
        assert (block.offsets.tolist(), block.wrong) == ([second], [])


def test_tfrecord__zeros_are_room_for_records(tmp_path):
    assert read(tmp_path, GOLDEN + bytes(300_000)) == (ROWS, [], 300_000)
    assert read(tmp_path, GOLDEN + b"\1" + bytes(300_000)) == (ROWS, [len(GOLDEN)], 0)
    assert read(tmp_path, GOLDEN + b"\0\1" + bytes(300_000)) == (ROWS, [len(GOLDEN)], 0)
    assert read(tmp_path, GOLDEN + bytes(300_000) + b"\1") == (ROWS, [len(GOLDEN)], 0)
    rows, wrong, left = read(tmp_path, GOLDEN + bytes(300_000) + GOLDEN)
    assert (sorted(rows, key=str), wrong, left) == (sorted(ROWS * 2, key=str), [len(GOLDEN)], 0)


def test_tfrecord__an_endless_record(tmp_path):
    (tmp_path / "log.tfrecord").write_bytes(GOLDEN + framed(b"x" * 5_000_000))
    with pytest.raises(DataError, match="more than 4194304 bytes at byte 178"):
        read(tmp_path)


def test_tfrecord__published_checksum():
    """RFC 3720, appendix B.4: the CRC-32C of 32 zeros, masked as record_writer.h masks it."""
    crc = 0x8A9136AA
    assert tfrecord._masked_crc(bytes(32)) == (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32
