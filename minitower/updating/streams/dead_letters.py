"""The dead-letter file: bad records as JSON lines, each written once. Chapter 14.

A line has the keys file, sha256 (of the content of that file), number, reason and record.
"""

import json
import os
import stat
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError, show
from minitower.updating.streams.events import BadRecord

_BEGIN = b'{"file": '
_TYPES = {"file": str, "sha256": str, "number": int, "reason": str, "record": str}
_OLD_TYPES = {"file": str, "offset": int, "reason": str, "record": str}
_MAX_CONTENT = 1000  # characters of a record


class DeadLetters:
    """Appends bad records to a file that holds nothing else.

    The file must not exist yet, be empty, or begin with a bad record.

    Args:
        path: the file.

    Raises:
        DataError: the file holds something else, is a link or no regular file, or cannot be
            read. The file is unchanged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._written = self._read()
        except OSError as error:
            raise DataError(
                f"dead-letter file: {show(str(path))} cannot be read: {error.strerror or error}"
            ) from None

    def append(self, name: str, content: str, records: list[BadRecord]) -> None:
        """Append the records that the file does not hold yet, and wait for the disk.

        After a crash a record may be read again. It is known by the content and the number,
        so that it is not written twice.

        Args:
            name, content: of the log that the records come from.
            records: the bad records.

        Raises:
            DataError: the file cannot be written, for example because the disk is full.
        """
        new = [record for record in records if (content, record.number) not in self._written]
        try:
            with self.path.open("a", encoding="ascii") as file:
                if _ends_within_a_line(self.path):  # a line of somebody else
                    file.write("\n")
                for record in new:
                    line = {"file": name, "sha256": content, "number": record.number}
                    line |= {"reason": record.reason, "record": record.content[:_MAX_CONTENT]}
                    file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {error.strerror}") from None

    def _read(self) -> set[tuple[str, int]]:
        """Content and number of the records in the file.

        A process that died may have left half a line at the end. The half is cut off; its
        record is read and written again.
        """
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return set()
        if not stat.S_ISREG(mode):
            what = "a link" if stat.S_ISLNK(mode) else "no regular file"
            raise DataError(f"{self.path}: {what}; name a new file for bad records")
        written, end = set(), 0
        with self.path.open("rb") as file:
            for line in file:
                start, end = end, end + len(line)
                record = _record(line)
                if not line.endswith(b"\n") and (record or _is_half(line)):
                    os.truncate(self.path, start)
                elif record is not None:
                    written.add(record)
                elif not start:
                    raise DataError(
                        f"{self.path}: holds something other than bad records; name a new file "
                        "for them"
                    )
        return written


def _parsed(line: bytes) -> Any:
    """The object of a line that begins like a bad record; None if it is not complete."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _record(line: bytes) -> tuple[str, int] | None:
    """Content and number of a bad record; None for any other line."""
    if not line.startswith(_BEGIN) or (record := _parsed(line)) is None:
        return None
    types = {name: type(value) for name, value in record.items()}
    if types == _OLD_TYPES:  # written before records had numbers
        return record["file"], record["offset"]
    return (record["sha256"], record["number"]) if types == _TYPES else None


def _is_half(line: bytes) -> bool:
    """Whether a line without an end can be the beginning of a bad record."""
    return _parsed(line) is None if line.startswith(_BEGIN) else _BEGIN.startswith(line)


def _ends_within_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        return file.read() not in (b"", b"\n")
