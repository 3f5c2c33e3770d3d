"""The file of records set aside: JSON lines of file, offset, reason and record, each once."""

import json
import os
import stat
from pathlib import Path

from minitower.data.errors import DataError
from minitower.updating.streams.blocks import Wrong

_BEGIN = b'{"file": '
_TYPES = {"file": str, "offset": int, "reason": str, "record": str}


class Aside:
    """Appends records to a file, and to nobody else's file.

    The file must not exist yet, be empty, or begin with a record of this form.

    Args:
        path: the file.

    Raises:
        DataError: the file is another one, no regular file, a link, or cannot be read. It
            was not touched.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._before = self._read()
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None

    def append(self, name: str, records: list[Wrong]) -> None:
        """Append the records of a file that are not there yet, and wait for the disk.

        Raises:
            DataError: the disk is full, or the like.
        """
        new = [record for record in records if (name, record.offset) not in self._before]
        try:
            with self.path.open("a", encoding="ascii") as file:
                if _ends_within_a_line(self.path):  # that somebody else wrote
                    file.write("\n")
                for record in new:
                    line = {"file": name, "offset": record.offset, "reason": record.reason}
                    file.write(json.dumps(line | {"record": record.record[:1000]}) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {error.strerror}") from None

    def _read(self) -> set[tuple[str, int]]:
        """File and offset of the records that are there.

        A process that died leaves half a line at the end: it is cut off, to be written again.
        """
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return set()
        if not stat.S_ISREG(mode):
            what = "a link" if stat.S_ISLNK(mode) else "no regular file"
            raise DataError(f"{self.path}: {what}; set records aside in a new file")
        found, end = set(), 0
        with self.path.open("rb") as file:
            for line in file:
                begun, end = end, end + len(line)
                record = _record(line)
                if not line.endswith(b"\n") and (record or _is_half(line)):
                    os.truncate(self.path, begun)
                elif record is not None:
                    found.add(record)
                elif not begun:
                    raise DataError(
                        f"{self.path}: holds something other than records set aside; name a new "
                        "file for them"
                    )
        return found


def _record(line: bytes) -> tuple[str, int] | None:
    """File and offset of a record set aside; None for any other line."""
    if not line.startswith(_BEGIN):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if {name: type(value) for name, value in record.items()} != _TYPES:
        return None
    return record["file"], record["offset"]


def _is_half(line: bytes) -> bool:
    """Whether a line without an end is the beginning of a record, and nothing that is whole."""
    if not line.startswith(_BEGIN):
        return _BEGIN.startswith(line)
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def _ends_within_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 1))
        return file.read() not in (b"", b"\n")
