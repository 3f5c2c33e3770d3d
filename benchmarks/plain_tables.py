"""Plain tables: seconds from a million rows on disk to a data set, beside csv.reader alone.

    python benchmarks/plain_tables.py            # CSV and, with pyarrow, Parquet
    python benchmarks/plain_tables.py --quick    # at tiny size

The log has ids of both types, times in milliseconds or as ISO dates, clicks, and a device;
users and items have features. The bound is that of CSV, on one core.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from bounds import Bounds

import minitower as mt
from minitower.data.layouts import Reading
from minitower.data.parquet import write_parquet

MOST_SECONDS = 10.0  # a million rows of CSV
START = 1_650_000_000


def interactions(n: int, dates: bool, rng: np.random.Generator) -> dict[str, Any]:
    """n rows in time order, one in three of them a click."""
    times = START + np.sort(rng.integers(0, 30 * 86_400, n))
    iso = [datetime.fromtimestamp(t, UTC).isoformat() for t in times.tolist()] if dates else None
    return {
        "user_id": rng.integers(0, 1 + n // 20, n),
        "item_id": np.char.add("sku-", rng.zipf(1.3, n).clip(1, 1 + n // 50).astype(str)),
        "timestamp": times * 1000 if iso is None else np.array(iso),
        "is_click": (rng.random(n) < 1 / 3).astype(np.int64),
        "device": rng.choice(["phone", "web", "tv"], n),
    }


def sides(log: dict[str, Any], rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    """The tables of users and items of a log."""
    users, items = np.unique(log["user_id"]), np.unique(log["item_id"])
    tags = np.array(["new|red", "red", "blue|big", "big"])
    return {
        "users": {"user_id": users, "age": rng.integers(18, 80, len(users))},
        "items": {
            "item_id": items,
            "price": np.exp(rng.normal(2, 2, len(items))).round(2),
            "tags": rng.choice(tags, len(items)),
        },
    }


def write_csv(path: Path, table: dict[str, Any]) -> None:
    """Columns as a CSV file."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = zip(*(column.tolist() for column in table.values()))
        csv.writer(file).writerows([list(table), *rows])


def seconds(work: Callable[[], object]) -> float:
    """The time of the processor that one run takes, whatever else the machine does."""
    start = time.process_time()
    work()
    return time.process_time() - start


def csv_reader(path: Path) -> None:
    """csv.reader over the file, alone."""
    with path.open(encoding="utf-8", newline="") as file:
        deque(csv.reader(file), maxlen=0)


def main() -> None:
    """Write the tables, read them, print."""
    quick = "--quick" in sys.argv
    n, rng, bounds = 2_000 if quick else 1_000_000, np.random.default_rng(0), Bounds(not quick)
    print(f"{n:,} rows    seconds to a data set    csv.reader alone")
    with tempfile.TemporaryDirectory() as place:
        for name, dates in (("milliseconds", False), ("ISO dates", True)):
            log = interactions(n, dates, rng)
            tables = {"interactions": log, **sides(log, rng)}
            for suffix, write in ((".csv", write_csv), (".parquet", write_parquet)):
                if suffix == ".parquet" and find_spec("pyarrow") is None:
                    continue
                folder = Path(place, name.split()[0] + suffix)
                folder.mkdir()
                for table, columns in tables.items():
                    write(folder / f"{table}{suffix}", columns)
                how = Reading('is_click = 1 and device != "tv"', split="time:2022-05-10")
                took = seconds(lambda at=folder, how=how: mt.Dataset.from_files(at, how))
                least = ""
                if suffix == ".csv":
                    alone = seconds(lambda at=folder: csv_reader(at / "interactions.csv"))
                    least = f"{alone:20.2f}"
                    bounds.at_most(MOST_SECONDS, took, f"seconds of {n:,} rows of CSV, {name}")
                print(f"{suffix[1:]:8} {name:14} {took:12.2f} {least}")
    bounds.close()


if __name__ == "__main__":
    main()
