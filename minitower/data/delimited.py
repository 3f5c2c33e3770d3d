"""Read files of separated fields: fast, with the line of every error."""

from pathlib import Path

import numpy as np

from minitower.data.errors import DataError, Place
from minitower.data.files import read_regular
from minitower.formulas.arrays import Array

_REFUSED = {
    "\r": "a carriage return without a line feed; end lines with LF or CRLF",
    "\0": "a zero character; the file is damaged, or has another encoding",
}


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Decode a whole file. All line ends become LF; those at the end are removed.

    Raises:
        DataError: the file is not a regular file, cannot be opened, is empty, or cannot be
            decoded; or it holds a zero character, or a carriage return without a line feed.
    """
    raw = read_regular(path)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: cannot be decoded as {encoding} ({error.reason})"
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").rstrip("\n")
    if not text:
        raise DataError(f"{path}: the file is empty")
    for character, what in _REFUSED.items():
        at = text.find(character)
        if at >= 0:
            line = text.count("\n", 0, at) + 1
            raise DataError(f"{path}, line {line}: {what}")
    return text


def split_fields(text: str, separator: str, n_fields: int, place: Place) -> list[Array]:
    """Split lines of equally many fields into columns.

    Raises:
        DataError: a line has more or fewer fields.
    """
    if len(separator) > 1:  # one byte is faster to find: the unit separator of ASCII
        text, separator = text.replace(separator, "\x1f"), "\x1f"
    raw = np.frombuffer(text.encode(), np.uint8)
    newline, stop = ord("\n"), ord(separator)
    stops = raw[(raw == newline) | (raw == stop)]
    line_ends = np.append(np.flatnonzero(stops == newline), len(stops))
    fields_in_line = np.diff(line_ends, prepend=-1)
    wrong = fields_in_line != n_fields
    if wrong.any():
        row = int(wrong.argmax())
        raise place.error(f"expected {n_fields} fields, got {fields_in_line[row]}", row)
    fields = np.array(text.replace("\n", separator).split(separator), object)
    return list(fields.reshape(-1, n_fields).T)
