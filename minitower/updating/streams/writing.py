"""Writing click logs: a file is there whole, or not at all."""

import csv
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.columns import read_columns
from minitower.data.errors import DataError, Place
from minitower.formulas.arrays import Array
from minitower.updating.streams.events import EventFields
from minitower.updating.streams.parquet import write_parquet
from minitower.updating.streams.tfrecord import write_tfrecord


def write_events(path: str | Path, columns: Any, fields: EventFields | None = None) -> None:
    """Write a click log for a :class:`ClickStream` to read.

    It is written under a name that no stream reads, flushed, and renamed.

    Args:
        path: where to; .jsonl (or .json), .csv, .parquet or .tfrecord says how.
        columns: anything table-like; only the columns of the fields are written.
        fields: what the columns are called.

    Raises:
        DataError: the file is there already (a stream would find it replaced), of no known
            kind, cannot be written, or a value is no part of an event.
    """
    path, fields = Path(path), fields or EventFields()
    if path.suffix not in WRITERS:
        raise DataError(f"{path}: expected a name that ends with {', '.join(WRITERS)}")
    if path.exists():
        raise DataError(f"{path}: already there; logs are added, not replaced")
    events = fields.events(read_columns(columns, Place("events")))
    times = events.timestamps
    whole = bool((times % 1 == 0).all())
    if path.suffix == ".tfrecord" and not whole:
        row = int((times % 1 != 0).argmax())
        raise Place("events", fields.timestamp).error("TFRecord has whole seconds only", row)
    arrays = [events.users, events.items, times.astype(np.int64) if whole else times]
    arrays += [] if events.values is None else [events.values]
    aside = path.with_name(f".{path.name}.tmp")
    try:
        WRITERS[path.suffix](aside, dict(zip(fields.names, arrays)))
        _flush(aside)
        aside.rename(path)
        _flush(path.parent)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        aside.unlink(missing_ok=True)


def _write_json_lines(path: Path, columns: Mapping[str, Array]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for row in zip(*(column.tolist() for column in columns.values())):
            record = {name: value for name, value in zip(columns, row) if value == value}
            file.write(json.dumps(record) + "\n")


def _write_csv(path: Path, columns: Mapping[str, Array]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in zip(*(column.tolist() for column in columns.values())):
            if any(isinstance(value, str) and ("\n" in value or "\r" in value) for value in row):
                raise DataError(f"{path}: CSV is read line by line; an id has an end of line")
            writer.writerow([value if value == value else "" for value in row])


WRITERS: dict[str, Callable[[Path, Mapping[str, Array]], None]] = {
    ".jsonl": _write_json_lines,
    ".json": _write_json_lines,
    ".csv": _write_csv,
    ".parquet": write_parquet,
    ".tfrecord": write_tfrecord,
}


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
