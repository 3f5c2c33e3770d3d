"""Sizes of columns in the footer of a Parquet file, read without pyarrow.

pyarrow ends the process where it is asked for the metadata of a damaged column. The footer is a
Thrift struct in the compact protocol, its length (4 bytes, little-endian), and "PAR1".

Reference: apache/parquet-format, parquet.thrift; apache/thrift, thrift-compact-protocol.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

_ROW_GROUPS, _COLUMNS, _META_DATA, _PATH, _UNCOMPRESSED = 4, 1, 3, 3, 6  # ids of fields
_END = 8  # bytes behind the struct


def uncompressed_sizes(path: Path, group: int) -> Iterator[tuple[str, int]]:
    """The name and the uncompressed bytes of every column in a group of rows.

    A column with parts, such as a list, comes once for each of them.

    Raises:
        ValueError: the footer is damaged.
    """
    with path.open("rb") as file:
        file.seek(-_END, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-_END - length, 2)
        content = file.read(length)
    try:
        chunks = _Compact(content).struct()[_ROW_GROUPS][group][_COLUMNS]
        for metadata in (chunk[_META_DATA] for chunk in chunks):
            yield metadata[_PATH][0].decode(), metadata[_UNCOMPRESSED]
    except (AttributeError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise ValueError(f"damaged footer: {error}") from None


class _Compact:
    """Reads values of the compact protocol: a struct is a dict by the ids of its fields."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            fields[number] = kind == 1 if kind in (1, 2) else self._value(kind)
        return fields

    def _value(self, kind: int) -> Any:
        if kind in (1, 2, 3):  # in a list, a boolean is a byte
            return self._byte()
        if kind in (4, 5, 6):
            return self._integer()
        if kind in (7, 8):
            length = 8 if kind == 7 else self._varint()
            self._at += length
            return self._content[self._at - length : self._at]
        if kind in (9, 10):
            head = self._byte()
            size = head >> 4 if head >> 4 < 15 else self._varint()
            return [self._value(head & 15) for _ in range(size)]
        if kind == 12:
            return self.struct()
        raise IndexError(f"no type {kind} in a footer")

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & 128:
            value, shift = value | (byte & 127) << shift, shift + 7
        return value | byte << shift

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
