"""TFRecord files of tf.train.Example, without TensorFlow. Chapter 14.

A record is a header, the data, and the masked CRC-32C of the data. The header is the length of
the data (8 bytes, little-endian) and the masked CRC-32C of these 8 bytes. Both checksums are
checked. A damaged header hides where the next record begins: the rest of the file goes to the
dead-letter file.

Reference: tensorflow/core/lib/io/record_writer.h; tensorflow/core/example/example.proto.
"""

import struct
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import count, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minitower.data.errors import DataError
from minitower.data.parquet import RECORD
from minitower.formulas.arrays import Array
from minitower.updating.streams.events import (
    BLOCK_SIZE,
    MAX_RECORD_SIZE,
    BadRecord,
    Block,
    object_rows,
)

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_FRAME_SIZE = 16  # bytes of the header and of the last checksum

_EXAMPLE_PROTO = """
name: "example" package: "minitower" syntax: "proto3"
message_type {
  name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES }
}
message_type {
  name: "FloatList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT }
}
message_type {
  name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 }
}
message_type {
  name: "Feature"
  field { name: "bytes_list" number: 1 type: TYPE_MESSAGE type_name: ".minitower.BytesList" }
  field { name: "float_list" number: 2 type: TYPE_MESSAGE type_name: ".minitower.FloatList" }
  field { name: "int64_list" number: 3 type: TYPE_MESSAGE type_name: ".minitower.Int64List" }
}
message_type {
  name: "Features"
  field {
    name: "feature" number: 1 label: LABEL_REPEATED
    type: TYPE_MESSAGE type_name: ".minitower.Features.FeatureEntry"
  }
  nested_type {
    name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".minitower.Feature" }
  }
}
message_type {
  name: "Example"
  field { name: "features" number: 1 type: TYPE_MESSAGE type_name: ".minitower.Features" }
}
"""


def read_tfrecord(path: Path, skip: int, names: list[str]) -> Iterator[Block]:
    """One Example per record, with at most one value for each name; the third is the time.

    Args:
        path, skip, names: as in :func:`~minitower.updating.streams.text_files.read_json_lines`.

    Raises:
        DataError: a record has more than 4 MB.
        ModuleNotFoundError: protobuf or google-crc32c is not installed.
    """
    parse = example_type().FromString
    from google.protobuf.message import DecodeError

    for part in _parts(path, skip):
        rows, numbers, bad = [], [], []
        for number, record in part:
            if isinstance(record, BadRecord):
                bad.append(record)
                continue
            try:
                rows.append(_row(parse(record).features.feature, names))
                numbers.append(number)
            except (ValueError, DecodeError) as error:
                content = record.decode("utf-8", "backslashreplace")
                bad.append(BadRecord(number, str(error), content))
        columns = object_rows(names, rows, RECORD)
        yield Block(columns, np.array(numbers, np.int64), part[-1][0], bad)


def write_tfrecord(file: BinaryIO, columns: Mapping[str, Array]) -> None:
    """One Example per row: int64 and strings as they are, float64 rounded to 32 bits, no NaN."""
    for row in zip(*(column.tolist() for column in columns.values())):
        example = example_type()()
        for name, value in zip(columns, row):
            if value != value:
                continue  # a missing number
            feature = example.features.feature[name]
            if isinstance(value, str):
                feature.bytes_list.value.append(value.encode())
            elif isinstance(value, int):
                feature.int64_list.value.append(value)
            else:
                feature.float_list.value.append(value)
        data = example.SerializeToString(deterministic=True)
        length = _LENGTH.pack(len(data))
        file.write(length + checksum(length) + data + checksum(data))


def _parts(path: Path, skip: int) -> Iterator[list[tuple[int, bytes | BadRecord]]]:
    """The numbered records behind the first `skip`, about BLOCK_SIZE bytes at once."""
    part: list[tuple[int, bytes | BadRecord]] = []
    size = 0
    for number, record in islice(enumerate(_records(path), start=1), skip, None):
        part.append((number, record))
        size += _FRAME_SIZE + (len(record) if isinstance(record, bytes) else 0)
        if size >= BLOCK_SIZE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _records(path: Path) -> Iterator[bytes | BadRecord]:
    """The data of every record, or why the record is bad."""
    with path.open("rb") as file:
        for number in count(1):
            length, its_checksum = file.read(8), file.read(4)
            if not length:
                return
            if checksum(length) != its_checksum:
                reason = "damaged header: the file is set aside from this record on"
                yield BadRecord(number, reason, "", rest=True)
                return
            (size,) = _LENGTH.unpack(length)
            if size > MAX_RECORD_SIZE:
                raise DataError(
                    f"{path}: record {number} has {size} bytes, more than {MAX_RECORD_SIZE}"
                )
            data, its_checksum = file.read(size), file.read(4)
            if checksum(data) == its_checksum:
                yield data
            elif len(its_checksum) == 4:
                yield BadRecord(number, "the checksum of the data does not match", "")
            else:
                yield BadRecord(number, "the file ends within this record", "", rest=True)
                return


def _row(features: Any, names: list[str]) -> tuple[Any, ...]:
    row = tuple([_value(name, features.get(name)) for name in names])
    if isinstance(row[2], float):
        raise ValueError("a time in a float_list is off by a minute: write an int64_list")
    return row


def _value(name: str, feature: Any) -> Any:
    if feature is None:
        return None
    values = feature.int64_list.value or feature.bytes_list.value or feature.float_list.value
    if len(values) > 1:
        raise ValueError(f"'{name}' has {len(values)} values, expected one")
    value = values[0] if values else None
    return value.decode("utf-8") if isinstance(value, bytes) else value


def checksum(data: bytes) -> bytes:
    """The masked CRC-32C of some bytes, 4 bytes, little-endian."""
    crc = _crc32c()(data)
    return _CHECKSUM.pack(((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _crc32c() -> Any:
    try:
        import google_crc32c
    except ModuleNotFoundError:
        raise _missing("google-crc32c") from None
    return google_crc32c.value


@cache
def example_type() -> Any:
    """The class of tf.train.Example, in a descriptor pool that TensorFlow does not share.

    Raises:
        ModuleNotFoundError: protobuf is not installed.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
    except ModuleNotFoundError:
        raise _missing("protobuf") from None
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(_EXAMPLE_PROTO, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("minitower.Example"))


def _missing(package: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f'TFRecord needs {package}: pip install "minitower[streams]"')
