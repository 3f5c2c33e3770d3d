"""What a reader of log files hands on: blocks of records, the bad ones apart.

The records of a file are numbered from 1, the bad ones included. The header of a CSV file is
no record; an empty line is.
"""

from dataclasses import dataclass, field

import numpy as np

from minitower.data.columns import Columns
from minitower.data.errors import Place
from minitower.formulas.arrays import Array
from minitower.updating.streams.events import object_columns

BLOCK_SIZE = 1 << 18
"""Bytes of a block, about."""

MAX_RECORD_SIZE = 1 << 22
"""Bytes of one record."""

RECORD = Place("record", single=True)
"""The place in the reason of a bad record; file and number stand beside the reason."""


@dataclass(frozen=True)
class BadRecord:
    """A record that is no event.

    Args:
        number: of the record in its file.
        reason: what is wrong.
        content: the record as text, where it can be read as text.
        rest: the whole rest of the file is set aside with this record.
    """

    number: int
    reason: str
    content: str
    rest: bool = False


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive records of one file.

    Args:
        columns: the good records, by the names of the requested columns.
        numbers: (n,) int64, the number of each good record.
        stop: the number of the last record, good or bad.
        bad: the bad records.
    """

    columns: Columns
    numbers: Array
    stop: int
    bad: list[BadRecord] = field(default_factory=list)

    @staticmethod
    def empty(names: list[str]) -> "Block":
        """A block without records."""
        return Block(object_columns(names, [], RECORD), np.empty(0, np.int64), 0)
