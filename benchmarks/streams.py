"""Reading click streams: events a second, beside the least that each format costs.

    python benchmarks/streams.py            # all formats
    python benchmarks/streams.py window     # batches of a long window

The least: json.loads and csv.reader over the lines alone, pyarrow reading the columns,
google-crc32c and protobuf over the records of a TFRecord file. They check nothing, sort
nothing and keep no cursor.
"""

from __future__ import annotations

import csv
import json
import struct
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import google_crc32c
import numpy as np
import pyarrow.parquet as parquet
from bounds import Bounds
from timing import interleave, milliseconds, ratio, table

from minitower.updating.streams import ClickStream, write_events
from minitower.updating.streams.tfrecord import example_type

BOUNDS = {".jsonl": 2.0, ".csv": 6.0, ".parquet": 6.0, ".tfrecord": 7.0}


def consume(iterator: Iterator[object]) -> None:
    """Run it to its end."""
    deque(iterator, maxlen=0)


def json_lines(path: Path) -> None:
    """json.loads of each line."""
    with path.open("rb") as file:
        consume(map(json.loads, file))


def csv_rows(path: Path) -> None:
    """csv.reader over the lines."""
    with path.open(newline="") as file:
        consume(csv.reader(file))


def parquet_columns(path: Path) -> None:
    """The columns as NumPy arrays, on one thread."""
    read = parquet.read_table(path, use_threads=False)
    consume(column.to_numpy() for column in read.columns)


def examples(path: Path) -> None:
    """Both checksums and the message of each record."""
    message = example_type()
    content, at = path.read_bytes(), 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        google_crc32c.value(content[at : at + 8])
        data = content[at + 12 : at + 12 + length]
        google_crc32c.value(data)
        message.FromString(data)
        at += 16 + length


FLOORS: dict[str, Callable[[Path], None]] = {
    ".jsonl": json_lines,
    ".csv": csv_rows,
    ".parquet": parquet_columns,
    ".tfrecord": examples,
}


def log(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """n clicks, up to 50 seconds out of order, ten a second."""
    times = 1_700_000_000 + np.arange(n) // 10 + rng.integers(0, 50, n)
    return {"user_id": rng.integers(0, 10**9, n), "item_id": rng.zipf(1.5, n), "timestamp": times}


def formats(quick: bool, bounds: Bounds) -> str:
    """Each format against its floor."""
    n, rows = 2_000 if quick else 100_000, []
    columns = log(n, np.random.default_rng(0))
    for suffix, floor in FLOORS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"log{suffix}"
            write_events(path, columns)
            stream = ClickStream(folder=folder, allowed_lateness=60.0)
            contenders = {
                "stream": lambda stream=stream: consume(stream.batches(1024)),
                "floor": lambda floor=floor, path=path: floor(path),
            }
            seconds = interleave(contenders, rounds=1 if quick else 7, warmup=0 if quick else 1)
            times = ratio(seconds, "stream", "floor")
            per_second = n / milliseconds(seconds, "stream")
            rows.append([suffix, int(per_second), int(n / milliseconds(seconds, "floor")), times])
            bounds.at_most(BOUNDS[suffix], times, f"{suffix} over its floor")
    return table(["format", "thousand events/s", "floor", "stream over floor"], rows)


def windows(quick: bool, bounds: Bounds) -> str:
    """A window of many events against a short one: what sorting and cutting cost."""
    n = 2_000 if quick else 200_000
    with tempfile.TemporaryDirectory() as folder:
        write_events(Path(folder) / "log.parquet", log(n, np.random.default_rng(0)))
        held = {
            f"{w:,} s": ClickStream(folder=folder, allowed_lateness=w) for w in (60, 600, n // 20)
        }
        contenders = {
            name: lambda stream=stream: consume(stream.batches(1024))
            for name, stream in held.items()
        }
        seconds = interleave(contenders, rounds=1 if quick else 5, warmup=0 if quick else 1)
    rows = [[name, int(n / milliseconds(seconds, name))] for name in held]
    longest = list(held)[-1]
    bounds.at_most(5.0, ratio(seconds, longest, next(iter(held))), "the longest window")
    return table(["window, ten events/s", "thousand events/s"], rows)


def main(arguments: list[str]) -> None:
    """Print what was asked for, or all."""
    quick = "--quick" in arguments
    bounds = Bounds(binding=not quick)
    for name, part in {"formats": formats, "window": windows}.items():
        if name in arguments or not set(arguments) - {"--quick"}:
            print(part(quick, bounds), end="\n\n")
    bounds.close()


if __name__ == "__main__":
    main(sys.argv[1:])
