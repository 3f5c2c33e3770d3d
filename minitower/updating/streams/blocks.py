"""What a reader of files hands on: some whole records, and where the next one begins."""

from dataclasses import dataclass, field

from minitower.data.columns import Columns
from minitower.data.errors import Place
from minitower.formulas.arrays import Array

BLOCK = 1 << 18  # bytes read at once
LONGEST = 1 << 22  # bytes of one record
RECORD = Place("record", single=True)  # in errors; where it is, is said beside them


def listed(names: list[str]) -> str:
    """Names of columns for an error message: on one line, shortened where they are many."""
    text = repr(", ".join(names))[1:-1]
    return text if len(text) <= 200 else f"{text[:197]}..."


@dataclass(frozen=True)
class Wrong:
    """A record that is no event.

    Args:
        offset: where it begins.
        reason: what is wrong with it.
        record: its text, as far as it has one.
    """

    offset: int
    reason: str
    record: str


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive records of one file.

    Args:
        columns: those that can be read, by the names that were asked for.
        offsets: (n,) where each of them begins: bytes, in Parquet rows.
        stop: the offset of the record after them.
        size: the bytes of the file that may never change again.
        wrong: the others.
    """

    columns: Columns
    offsets: Array
    stop: int
    size: int
    wrong: list[Wrong] = field(default_factory=list)
