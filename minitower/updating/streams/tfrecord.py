"""TFRecord files of tf.train.Example, without TensorFlow.

A record is its length (8 bytes, little-endian), the masked CRC-32C of the length, the
data, and the masked CRC-32C of the data. Both are checked. After a damaged record reading
goes on at the next length whose checksum holds, or at the end of the file.

Reference: tensorflow/core/lib/io/record_writer.h; tensorflow/core/example/example.proto.
"""

import struct
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.errors import DataError
from minitower.formulas.arrays import Array
from minitower.updating.streams.blocks import BLOCK, LONGEST, RECORD, Block, Wrong
from minitower.updating.streams.events import object_columns

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_AROUND = _HEADER.size + _FOOTER.size
_SHORT = bytes(5)  # the upper bytes of every length that is read

# Field 1, 2, ... of every message: name, label and type; the order is the wire format.
_MESSAGES = {
    "BytesList": ["value repeated bytes"],
    "FloatList": ["value repeated float"],
    "Int64List": ["value repeated int64"],
    "Feature": [
        "bytes_list optional BytesList",
        "float_list optional FloatList",
        "int64_list optional Int64List",
    ],
    "Features": ["feature repeated Features.FeatureEntry"],
    "Features.FeatureEntry": ["key optional string", "value optional Feature"],  # of the map
    "Example": ["features optional Features"],
}


def read_tfrecord(path: Path, offset: int, names: list[str]) -> Iterator[Block]:
    """An Example per record, with at most one value for each name; the third is the time.

    Raises:
        DataError: a record has more than 4 MB.
        ModuleNotFoundError: protobuf or google-crc32c is not installed; says how to.
    """
    parse = _example_type().FromString
    from google.protobuf.message import DecodeError

    for frames, stop in _frames(path, offset):
        rows, kept, wrong = [], [], []
        for at, data, reason in frames:
            try:
                if reason:
                    raise ValueError(reason)
                rows.append(_row(parse(data).features.feature, names))
                kept.append(at)
            except (ValueError, DecodeError) as error:
                wrong.append(Wrong(at, str(error), data.decode("utf-8", "backslashreplace")))
        columns = object_columns(names, rows, RECORD)
        yield Block(columns, np.array(kept, np.int64), stop, stop, wrong)


def write_tfrecord(path: Path, columns: Mapping[str, Array]) -> None:
    """An Example per row: int64 and text as they are, float64 rounded to 32 bits, no NaN."""
    example_type = _example_type()
    with path.open("wb") as file:
        for row in zip(*(column.tolist() for column in columns.values())):
            example = example_type()
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
            length = struct.pack("<Q", len(data))
            file.write(length + _FOOTER.pack(_masked_crc(length)))
            file.write(data + _FOOTER.pack(_masked_crc(data)))


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


def _frames(path: Path, offset: int) -> Iterator[tuple[list[tuple[int, bytes, str]], int]]:
    """(offset, data, what is wrong with it) of whole records, and where the next one begins.

    A damaged record ends where the next header holds: its own length may be what is
    damaged, or a writer died here and its successor began a record. Where none does, it
    ends with the file; but zeros to the end are room for what is still to be written.
    """
    with path.open("rb") as file:
        file.seek(offset)
        buffer, at, ended = b"", 0, False  # the buffer begins at byte `offset`
        lost, reason = -1, ""  # where a damaged record began whose end is not yet found
        written = False  # whether there is more than zeros in it
        endless = False  # whether the record at `at` is too long to be one
        while not ended:
            data = file.read(BLOCK)
            ended = len(data) < BLOCK
            buffer, offset, at = buffer[at:] + data, offset + at, 0
            frames: list[tuple[int, bytes, str]] = []
            while at + _HEADER.size <= len(buffer):
                if lost >= 0:
                    start, at = at, _next_header(buffer, at)
                    written = written or any(buffer[start:at])
                    if at + _HEADER.size > len(buffer):
                        break
                    frames.append((lost, b"", reason))
                    lost = -1
                if not _header_holds(buffer, at):
                    lost, reason = offset + at, "the checksum of the length does not hold"
                    written = buffer[at] != 0
                    at += 1
                    continue
                end = at + _AROUND + _HEADER.unpack_from(buffer, at)[0]
                if end > len(buffer):
                    endless = end - at > LONGEST
                    break
                data = buffer[at + _HEADER.size : end - _FOOTER.size]
                if _masked_crc(data) == _FOOTER.unpack_from(buffer, end - _FOOTER.size)[0]:
                    frames.append((offset + at, data, ""))
                    at = end
                    continue
                reason = "the checksum of the data does not hold"
                if end + _HEADER.size <= len(buffer):
                    lost = offset + at
                    at += _HEADER.size
                elif ended:
                    frames.append((offset + at, b"", reason))
                    at = end
                else:
                    break
            if ended and lost >= 0 and (written or any(buffer[at:])):
                at = len(buffer)
                behind = f"no record begins in the {offset + at - lost} bytes from here on"
                frames.append((lost, b"", f"{reason}, and {behind}"))
                lost = -1
            if frames:
                yield frames, offset + at if lost < 0 else lost
            if endless:
                raise DataError(
                    f"{path}: a record of more than {LONGEST} bytes at byte {offset + at}"
                )


def _next_header(buffer: bytes, start: int) -> int:
    """Where the next header holds, or from where on it may once more has been read."""
    last = len(buffer) - _HEADER.size
    at = start
    while at <= last:
        at = buffer.find(_SHORT, at + 3) - 3
        if at < 0 or at > last:
            break
        if _header_holds(buffer, at):
            return at
        at += 1
    return max(start, last + 1)


def _header_holds(buffer: bytes, at: int) -> bool:
    return bool(_masked_crc(buffer[at : at + 8]) == _HEADER.unpack_from(buffer, at)[1])


def _masked_crc(data: bytes) -> int:
    crc: int = _crc()(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _crc() -> Any:
    try:
        import google_crc32c
    except ModuleNotFoundError:
        raise _missing("google-crc32c") from None
    return google_crc32c.value


@cache
def _example_type() -> Any:
    """The class of tf.train.Example, described here, in a pool that TensorFlow does not share."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ModuleNotFoundError:
        raise _missing("protobuf") from None
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example", package="minitower", syntax="proto3")
    for message, fields in _MESSAGES.items():
        outer, _, name = message.rpartition(".")
        within = file.message_type[-1].nested_type if outer else file.message_type
        described = within.add(name=name)
        described.options.map_entry = bool(outer)
        for number, text in enumerate(fields, start=1):
            name, label, kind = text.split()
            added = described.field.add(name=name, number=number)
            added.label = kinds.Label.Value(f"LABEL_{label.upper()}")
            if kind in _MESSAGES:
                added.type, added.type_name = kinds.TYPE_MESSAGE, f".minitower.{kind}"
            else:
                added.type = kinds.Type.Value(f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("minitower.Example"))


def _missing(package: str) -> ModuleNotFoundError:
    return ModuleNotFoundError(f'TFRecord needs {package}: pip install "minitower[streams]"')
