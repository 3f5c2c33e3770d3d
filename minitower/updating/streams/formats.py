"""The formats of click logs by the suffix of the name, and how a log is written."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from minitower.data.columns import read_columns
from minitower.data.errors import DataError, Place
from minitower.data.files import new_file
from minitower.formulas.arrays import Array
from minitower.updating.streams.events import EventFields
from minitower.updating.streams.parquet import read_parquet_clicks, write_parquet
from minitower.updating.streams.records import Block
from minitower.updating.streams.text_files import (
    read_csv,
    read_json_lines,
    write_csv,
    write_json_lines,
)
from minitower.updating.streams.tfrecord import read_tfrecord, write_tfrecord

READERS: dict[str, Callable[[Path, int, list[str]], Iterator[Block]]] = {
    ".jsonl": read_json_lines,
    ".json": read_json_lines,
    ".csv": read_csv,
    ".parquet": read_parquet_clicks,
    ".tfrecord": read_tfrecord,
}
WRITERS: dict[str, Callable[[BinaryIO, Mapping[str, Array]], None]] = {
    ".jsonl": write_json_lines,
    ".json": write_json_lines,
    ".csv": write_csv,
    ".parquet": write_parquet,
    ".tfrecord": write_tfrecord,
}


def write_events(path: str | Path, columns: Any, fields: EventFields | None = None) -> None:
    """Write a click log for a :class:`ClickStream`; it appears complete or not at all.

    Args:
        path: the new file; the suffix .jsonl (or .json), .csv, .parquet or .tfrecord decides
            on the format.
        columns: anything table-like; only the columns of the fields are written.
        fields: the columns of the log.

    Raises:
        DataError: the file exists already, since a log never changes; the suffix is unknown;
            the file cannot be written; or a value is no part of an event.
    """
    path, fields = Path(path), fields or EventFields()
    if path.suffix not in WRITERS:
        raise DataError(f"{path}: expected a name that ends with {', '.join(WRITERS)}")
    if path.exists():
        raise DataError(f"{path}: already there; a log never changes, choose a new name")
    events = fields.events(read_columns(columns, Place("events")))
    times = events.timestamps
    fractions = times % 1 != 0
    if path.suffix == ".tfrecord" and fractions.any():
        place = Place("events", fields.timestamp)
        raise place.error("TFRecord holds whole seconds only", int(fractions.argmax()))
    times = times if fractions.any() else times.astype(np.int64)
    arrays = [events.users, events.items, times]
    arrays += [] if events.values is None else [events.values]
    with new_file(path) as file:
        try:
            WRITERS[path.suffix](file, dict(zip(fields.names, arrays)))
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
