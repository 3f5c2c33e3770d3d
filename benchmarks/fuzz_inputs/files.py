"""Cases: a file of data, of clicks or of tables that is damaged, or that is none."""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from case import Case, Change, Command
from values import KINDS_OF_FILE, mutated_bytes, mutated_records, mutated_table, replaced, text
from world import commands, has

_DATA = {  # folder -> its files and what separates their fields
    "atomic": {"data.inter": "\t", "data.user": "\t", "data.item": "\t"},
    "u100k": {"u.data": "\t", "u.user": "|", "u.item": "|"},
    "u1m": {"ratings.dat": "::", "users.dat": "::", "movies.dat": "::"},
    "tables": {"interactions.csv": ",", "users.csv": ",", "items.csv": ","},
    "parts": {
        "interactions/day=1/part-0.csv": ",",
        "interactions/day=2/part-0.csv": ",",
        "users.csv": ",",
    },
    "parquet": {"interactions.parquet": "", "users.parquet": "", "items.parquet": ""},
    "split": {"train.txt": " ", "valid.txt": " ", "test.txt": " "},
}
_TRAIN = {
    "atomic": "train",
    "tables": "train tables",
    "parts": "train parts",
    "parquet": "train parquet",
    "u100k": "train 100k",
    "u1m": "train 1m",
    "split": "train split",
}
_SHARES = {
    "atomic": 0.35,
    "tables": 0.25,
    "parts": 0.1,
    "parquet": 0.1,
    "u100k": 0.05,
    "u1m": 0.05,
    "split": 0.1,
}
_LOGS = {"10.jsonl": "", "11.csv": ",", "12.parquet": "", "13.tfrecord": ""}
_DAYS = {"day=10/part-0.jsonl": "", "day=11/part-0.csv": ","}
_TABLES = {
    "users.jsonl": "",
    "items.jsonl": "",
    "users.csv": ",",
    "items.csv": ",",
    "retire.txt": "\n",
    "forget.txt": "\n",
    "forget.csv": ",",
    "forget.jsonl": "",
}
_WEIGHED = {"10.csv": ",", "11.jsonl": "", "12.parquet": ""}
_ASIDE = (*("aside.jsonl",) * 8, "store/CURRENT", "store/LOCK", "retire.txt", "store/x.jsonl")
_LARGE = 300_000_000  # characters of a cell that compresses well


def make(rng: Random) -> Case:
    """A case of this kind."""
    which = rng.choices(
        (_of_data, _of_logs, _of_tables, _of_weighed, _of_ids), (0.45, 0.27, 0.14, 0.1, 0.04)
    )[0]
    return which(rng)


def _of_data(rng: Random) -> Case:
    known = [name for name in _DATA if name != "parquet" or has(".parquet")]
    folder = rng.choices(known, [_SHARES[name] for name in known])[0]
    name, separator = rng.choice(list(_DATA[folder].items()))
    name_of = _TRAIN[folder]
    steps: list[Command] = [commands()[name_of][0]]
    uses: tuple[str, ...] = (folder,)
    if folder == "atomic" and rng.random() < 0.15:
        steps = [("demo", "--data", "atomic", "--no-report", *steps[0][4:])]
    elif folder == "atomic" and rng.random() < 0.2:
        argv = tuple("atomic" if word == "later" else word for word in commands()["evaluate"][0])
        steps, uses = [argv], (folder, "store")
    elif folder == "tables" and rng.random() < 0.3:
        steps = [("inspect", folder)]
    elif rng.random() < 0.6:  # and what was accepted is recalled
        user = "u3" if folder in ("atomic", "tables", "parts", "parquet") else "3"
        steps.append(("recall", "out", user, "-k", "30", "--include-seen"))
    change, what = _change(rng, Path(folder, name), separator)
    places = (name, folder, "too few to train on")
    return _case(rng, f"{folder}/{name}: {what}", steps, places, uses, change)


def _of_logs(rng: Random) -> Case:
    folder, store = rng.choices(
        (("clicks", "store"), ("numbers", "numbers-store"), ("days", "store")), (0.55, 0.3, 0.15)
    )[0]
    logs = _DAYS if folder == "days" else _LOGS
    name = rng.choice([log for log in logs if has(Path(log).suffix)])
    flags = rng.choice((("--full",), ("--incremental",), ("--full", "--positive", "all")))
    letters: tuple[str, ...] = ()
    if rng.random() < 0.3:
        letters = (rng.choice(_ASIDE).replace("store", store),)
        flags += ("--dead-letter-file", *letters)
        if "--incremental" in flags:
            flags += ("--allowed-lateness", rng.choice(("0", "1h", "90s")))
    if rng.random() < 0.2:
        flags += ("--max-error-rate", "1")
    argv = ("update", store, folder, *flags, "--batch-size", "64")
    change, what = _change(rng, Path(folder, name), logs[name])
    places, uses = (name, folder, "dead_letter_file", *letters), (folder, store, "retire.txt")
    case = _case(rng, f"{folder}/{name}: {what}", [argv], places, uses, change)
    noticed = what.startswith(("dangling", "loop"))  # a share that is not mounted is no quiet night
    return replace(case, noticed=noticed)


def _of_tables(rng: Random) -> Case:
    name = rng.choice((*_TABLES, *(("users.parquet", "items.parquet") * has(".parquet"))))
    flag = f"--{Path(name).stem}"
    argv = ("update", "store", "clicks", "--full", "--batch-size", "64", flag, name)
    change, what = _change(rng, Path(name), _TABLES.get(name, ""))
    places = (name, flag)
    uses = ("store", "clicks", name)
    return _case(rng, f"{name}: {what}", [argv], places, uses, change)


def _of_weighed(rng: Random) -> Case:
    """Logs with weights, for a store that was trained with some."""
    name = rng.choice([log for log in _WEIGHED if has(Path(log).suffix)])
    kind = rng.choice(("--full", "--incremental"))
    argv = ("update", "weighed-store", "weighed", kind, "--batch-size", "64")
    if kind == "--incremental":
        argv += ("--allowed-lateness", "1h")
    letters = rng.random() < 0.3
    argv += ("--dead-letter-file", "aside.jsonl") if letters else ()
    change, what = _change(rng, Path("weighed", name), _WEIGHED[name])
    places, uses = (name, "weighed", *(("aside.jsonl",) * letters)), ("weighed", "weighed-store")
    return _case(rng, f"weighed/{name}: {what}", [argv], places, uses, change)


def _of_ids(rng: Random) -> Case:
    """Lists of users and of items, one id a line, for recall."""
    name, flag = rng.choice((("ids.txt", "--users"), ("retire.txt", "--items")))
    out = rng.choice(("l.csv", "l.jsonl", *(("l.parquet",) * has(".parquet"))))
    files = ("--users", "ids.txt", "--items", "retire.txt")
    argv = ("recall", "store", *files, *rng.choice((("--out", out), ("--json",), ())))
    change, what = _change(rng, Path(name), "\n")
    uses = ("store", "ids.txt", "retire.txt")
    return _case(rng, f"{name}: {what}", [argv], (name, flag), uses, change)


def _case(
    rng: Random,
    what: str,
    steps: list[Command],
    places: tuple[str, ...],
    uses: tuple[str, ...],
    change: Change,
) -> Case:
    """A case, now and then in another environment."""
    case = Case("files", what, tuple(steps), places, uses, (change,), ("aside.jsonl", "x.jsonl"))
    if rng.random() > 0.03:
        return case
    if rng.random() < 0.3:
        room = rng.choice((0, 1000, 4000))
        return replace(case, what=f"{what}; files of {room} bytes", room=room)
    stdout = rng.choice(("closed", "full", "ascii", "unread"))
    return replace(case, what=f"{what}; stdout {stdout}", stdout=stdout)


def _change(rng: Random, path: Path, separator: str) -> tuple[Change, str]:
    """A change of a file of the world, and what it is."""
    if rng.random() < 0.06:
        other = rng.choice(KINDS_OF_FILE)
        return lambda folder: replaced(other, folder / path), f"{other} in its place"
    seed = rng.random()
    suffix = path.suffix
    if suffix == ".parquet" and rng.random() < 0.005:
        return lambda folder: _with_large_cell(folder / path), f"a cell of {_LARGE:,} characters"
    if suffix == ".parquet":
        how: Callable[[Random, bytes], bytes] = mutated_bytes if rng.random() < 0.3 else _parquet
    elif suffix == ".tfrecord":
        how = mutated_bytes if rng.random() < 0.5 else _tfrecord
    elif suffix == ".jsonl":
        how = mutated_bytes if rng.random() < 0.2 else _records
    else:
        how = mutated_bytes if rng.random() < 0.25 else _table(separator)

    def change(folder: Path) -> None:
        again, content = Random(seed), (folder / path).read_bytes()
        for _ in range(again.choice((1, 1, 1, 2, 3))):
            content = _tried(how, again, content) if content else content
        (folder / path).write_bytes(content)

    return change, getattr(how, "__name__", "bytes").strip("_").replace("_", " ")


def _tried(how: Callable[[Random, bytes], bytes], rng: Random, content: bytes) -> bytes:
    """A mutation, or one of bytes where the file is too odd for it already."""
    try:
        return how(rng, content)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        return mutated_bytes(rng, content)


def _table(separator: str) -> Callable[[Random, bytes], bytes]:
    def cells(rng: Random, content: bytes) -> bytes:
        table = content.decode("utf-8", "replace")
        return mutated_table(rng, table, separator).encode("utf-8", "surrogatepass")

    return cells


def _records(rng: Random, content: bytes) -> bytes:
    return mutated_records(rng, content.decode())[0].encode("utf-8", "surrogatepass")


def _parquet(rng: Random, content: bytes) -> bytes:
    try:
        return _odd_parquet(rng, content)
    except (ValueError, OSError):  # already odd, or a name that Parquet cannot hold
        return mutated_bytes(rng, content)


def _odd_parquet(rng: Random, content: bytes) -> bytes:
    """A column of another type, in another number, or of another name."""
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(pa.BufferReader(content))
    at = rng.randrange(len(table.column_names))
    name, n = table.column_names[at], len(table)
    if rng.random() < 0.1:
        table = table.drop_columns([name])
    elif rng.random() < 0.1:
        table = table.rename_columns([rng.choice((c, text(rng))) for c in table.column_names])
    elif rng.random() < 0.05:
        table = table.append_column(name, table[name])
    else:
        table = table.set_column(at, name, _arrow(rng, pa, n))
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression=rng.choice(("snappy", "none", "gzip")))
    return sink.getvalue().to_pybytes()


def _with_large_cell(path: Path) -> None:
    """One row, its first column long; written by another process, whose memory does not count."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # what is not waited for is not counted
    child = os.fork()
    if not child:
        import pyarrow as pa
        from pyarrow import parquet

        table = parquet.read_table(path)
        name, *others = table.column_names
        columns = {name: ["x" * _LARGE], **{other: table[other][:1] for other in others}}
        parquet.write_table(pa.table(columns), path)
        os._exit(0)
    with suppress(ChildProcessError):
        os.waitpid(child, 0)
    signal.signal(signal.SIGCHLD, before)


def _arrow(rng: Random, pa: Any, n: int) -> Any:
    from decimal import Decimal

    choices: tuple[tuple[Any, Any], ...] = (
        (1, pa.int8()),
        (2**40, pa.int64()),
        (-1, pa.int64()),
        (2**64 - 1, pa.uint64()),
        (None, pa.int64()),
        (None, pa.null()),
        (1.5, pa.float64()),
        (float("nan"), pa.float32()),
        (float("inf"), pa.float64()),
        (1.0, pa.float64()),
        (2.0**60, pa.float64()),
        (Decimal("1.50"), pa.decimal128(5, 2)),
        (True, pa.bool_()),
        ("u1", pa.string()),
        ("u1", pa.large_string()),
        ("é" * 300, pa.string()),
        ("", pa.string()),
        ("a\nb\x1b", pa.string()),
        (b"u1", pa.binary()),
        (b"\xff", pa.binary(1)),
        ([1], pa.list_(pa.int64())),
        (["x"], pa.list_(pa.string())),
        ({"a": 1}, pa.struct([("a", pa.int64())])),
        ([("k", 1)], pa.map_(pa.string(), pa.int64())),
        (1, pa.timestamp("ms")),
        (1_700_000_000_000_000, pa.timestamp("us", "UTC")),
        (1, pa.date32()),
        (1, pa.time64("ns")),
        (1, pa.duration("s")),
        (1_700_000_000, pa.float64()),
        (1_700_000_000_000, pa.int64()),
    )
    value, kind = rng.choice(choices)
    column = [value if rng.random() < 0.9 else None for _ in range(n)]
    array = pa.array([None if v is None else v for v in column], kind)
    return array.dictionary_encode() if rng.random() < 0.1 and kind == pa.string() else array


def _tfrecord(rng: Random, content: bytes) -> bytes:
    """Records with good checksums and bad data."""
    from google_crc32c import value as crc

    masked = lambda data: ((crc(data) >> 15 | crc(data) << 17) + 0xA282EAD8) & 0xFFFFFFFF
    frames, at = [], 0
    while at + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        frames.append(content[at + 12 : at + 12 + length])
        at += 16 + length
    if not frames:
        return content
    row = rng.randrange(len(frames))
    frames[row] = mutated_bytes(rng, frames[row])
    framed = b""
    for data in frames:
        length = struct.pack("<Q", len(data))
        framed += (
            length + struct.pack("<I", masked(length)) + data + struct.pack("<I", masked(data))
        )
    return framed
