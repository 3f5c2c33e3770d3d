"""Valid inputs: twenty users, thirty items, two hundred interactions, and stores made of them."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

import minitower as mt
from minitower.cli import main
from minitower.updating.streams import EventFields, write_events

USERS, ITEMS, CLICKS = 20, 30, 200
FAST = ("--dim", "4", "--hidden", "", "--epochs", "1", "--batch-size", "64")
STEP = ("--batch-size", "64")
RULE = 'is_click = 1 and (device = "phone" or weight >= 1)'
SLOPE = (
    *("--schedule", "cosine", "--warmup-epochs", "0.5", "--final-rate", "0.2"),
    *("--history", "3:sum:own:others", "--history-file", "curve.jsonl", "--validate-every", "1"),
    *("--validation-users", "5", "--weight-decay", "1e-4", "--user-dropout", "0.1"),
    *("--history-dropout", "0.5"),
)
RECALLS: dict[str, Any] = {}
"""What each valid store recalls; filled by ``build``."""

STORES = ("store", "numbers-store", "weighed-store")
NAMES = ["Amélie", "Brazil", "千と千尋", "Z"]  # of items
STREAMED = ".parquet", ".tfrecord"
_EXTRAS = {".parquet": "pyarrow", ".tfrecord": "google_crc32c"}
_FIRST, _DAY = 1_600_000_000, 86_400


def has(suffix: str) -> bool:
    """Whether the extra that a kind of file needs is installed."""
    package = _EXTRAS.get(suffix)
    return package is None or importlib.util.find_spec(package) is not None


def commands() -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Valid commands by name, and what of the world each of them uses."""
    tables = ("users.jsonl", "items.jsonl", "retire.txt")
    listed = ("--users", "users.jsonl", "--items", "items.jsonl", "--retire", "retire.txt")
    aside = ("--dead-letter-file", "aside.jsonl", "--allowed-lateness", "1h")
    check = ("check", "losses.py:loss", "--formula", "in_batch_softmax")
    found = {
        "train": (("train", "atomic", "--out", "out", *FAST), ("atomic",)),
        "train 100k": (("train", "u100k", "--out", "out", *FAST), ("u100k",)),
        "train 1m": (("train", "u1m", "--out", "out", *FAST), ("u1m",)),
        "train split": (("train", "split", "--out", "out", *FAST, "--history", "5"), ("split",)),
        "train tables": (
            ("train", "tables", "--out", "out", *FAST, "--positive", RULE),
            ("tables",),
        ),
        "train parts": (("train", "parts", "--out", "out", *FAST, "--positive", RULE), ("parts",)),
        "train schedule": (("train", "atomic", "--out", "out", *FAST, *SLOPE), ("atomic",)),
        "train tables job": (("train", "--job", "tables.toml"), ("tables", "tables.toml")),
        "inspect": (("inspect", "tables", "--split", "time:2020-09-13T14:00"), ("tables",)),
        "train job": (("train", "--job", "job.toml"), ("atomic", "job.toml")),
        "demo": (("demo", "--data", "atomic", "--no-report", *FAST), ("atomic",)),
        "evaluate": (("evaluate", "store", "later", "-k", "5"), ("store", "later")),
        "recall": (("recall", "store", "u3", "-k", "5"), ("store",)),
        "recall new": (
            ("recall", "store", "nobody", "--profile", "age=30", "gender=F", "history=i1,i2"),
            ("store",),
        ),
        "recall users": (
            ("recall", "store", "--users", "ids.txt", "--items", "retire.txt", "--json"),
            ("store", "ids.txt", "retire.txt"),
        ),
        "recall all": (
            ("recall", "store", "--all-users", "--out", "lists.csv", "-k", "5"),
            ("store",),
        ),
        "recall lists": (
            ("recall", "store", "--users", "ids.txt", "--items", "retire.txt", "--out", "l.jsonl"),
            ("store", "ids.txt", "retire.txt"),
        ),
        "similar": (("similar", "store", "i3", "-k", "5"), ("store",)),
        "recall number": (("recall", "numbers-store", "3", "--include-seen"), ("numbers-store",)),
        "update full": (("update", "store", "clicks", "--full", *STEP), ("store", "clicks")),
        "update tables": (
            ("update", "store", "clicks", "--full", *STEP, *listed),
            ("store", "clicks", *tables),
        ),
        "update csv": (
            (
                *("update", "store", "clicks", "--full", *STEP),
                *("--users", "users.csv", "--items", "items.csv"),
            ),
            ("store", "clicks", "users.csv", "items.csv"),
        ),
        "update incremental": (
            ("update", "store", "clicks", "--incremental", *STEP, *aside),
            ("store", "clicks"),
        ),
        "update forget": (
            ("update", "store", "clicks", "--full", *STEP, "--forget", "forget.csv"),
            ("store", "clicks", "forget.csv"),
        ),
        "update weighed": (
            ("update", "weighed-store", "weighed", "--full", *STEP),
            ("weighed-store", "weighed"),
        ),
        "update weighed incremental": (
            ("update", "weighed-store", "weighed", "--incremental", *STEP, *aside),
            ("weighed-store", "weighed"),
        ),
        "update numbers": (
            ("update", "numbers-store", "numbers", "--full", *STEP),
            ("numbers-store", "numbers"),
        ),
        "list": (("store", "list", "store"), ("store",)),
        "show": (("store", "show", "store", "1"), ("store",)),
        "verify": (("store", "verify", "store"), ("store",)),
        "rollback": (("store", "rollback", "store", "1"), ("store",)),
        "prune": (("store", "prune", "store", "--keep", "1"), ("store",)),
        "publish": (("publish", "store", "--to", "exact:vectors", "-k", "5"), ("store",)),
        "index-bench": (
            ("index-bench", "store", "--only", "exact", "-k", "5", "--plot", "plot.svg"),
            ("store",),
        ),
        "check": (check, ("losses.py",)),
        "vectors": (("vectors", "--out", "golden"), ()),
    }
    if importlib.util.find_spec("optuna") is not None:
        searched = ("--space", "space.toml", "--budget", "4s", "--trials", "1")
        argv = ("tune", "atomic", "--out", "best.toml", *searched, *FAST)
        found["tune"] = argv, ("atomic", "space.toml")
        argv = ("tune", "--job", "tables.toml", "--out", "best.toml", *searched[2:])
        found["tune tables"] = (*argv, "--history", "3"), ("tables", "tables.toml")
    if has(".parquet"):
        found["train parquet"] = (
            ("train", "parquet", "--out", "out", *FAST, "--positive", "is_click = 1"),
            ("parquet",),
        )
        arguments = ("--users", "users.parquet", "--items", "items.parquet")
        uses = ("store", "clicks", "users.parquet", "items.parquet")
        found["update parquet"] = (
            ("update", "store", "clicks", "--full", *STEP, *arguments), uses
        )  # fmt: skip
    return found


def build(world: Path) -> None:
    """Write the world, in a process of its own: libraries start threads, which no fork survives.

    Raises:
        SystemExit: a valid input was refused.
    """
    child = os.fork()
    if not child:
        status = 1
        try:
            _build(world)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("the valid inputs could not be written")
    RECALLS.update(json.loads((world / "recalls.json").read_text()))


def recalled(store: Path) -> list[Any]:
    """What a store recalls for a user, as JSON holds it."""
    user = 3 if store.name == "numbers-store" else "u3"
    ids, scores = mt.Recommender.open(store).recall(user, k=5)
    return [ids.tolist(), [round(float(score), 4) for score in scores]]


def log(seed: int, day: int, user: str = "u{}", item: str = "i{}") -> dict[str, Any]:
    """Interactions of a day, in time order."""
    rng = np.random.default_rng(seed)
    ids = lambda text, n: [text.format(i) for i in rng.integers(0, n, CLICKS).tolist()]
    return {
        "user_id": ids(user, USERS),
        "item_id": ids(item, ITEMS),
        "rating": [float(rating) for rating in rng.integers(1, 6, CLICKS)],
        "timestamp": [_FIRST + day * _DAY + 60 * i for i in range(CLICKS)],
    }


def users() -> dict[str, Any]:
    """The table of users."""
    return {
        "user_id": [f"u{i}" for i in range(USERS)],
        "age": [20.0 + i for i in range(USERS)],
        "gender": ["FM"[i % 2] for i in range(USERS)],
    }


def items() -> dict[str, Any]:
    """The table of items."""
    return {
        "item_id": [f"i{i}" for i in range(ITEMS)],
        "title": [f"{NAMES[i % len(NAMES)]} {i}" for i in range(ITEMS)],
        "genres": [" ".join(["red", "big", "old"][: 1 + i % 3]) for i in range(ITEMS)],
        "price": [0.5 + i for i in range(ITEMS)],
    }


def impressions() -> dict[str, Any]:
    """A plain table of interactions: clicks and what was shown, times in milliseconds."""
    rng, table = np.random.default_rng(2), log(2, 0)
    shown = [[f"i{i}" for i in rng.integers(0, ITEMS, 3).tolist()] for _ in range(CLICKS)]
    return {
        "user_id": table["user_id"],
        "item_id": table["item_id"],
        "timestamp": [1000 * time for time in table["timestamp"]],
        "is_click": [int(rating > 2) for rating in table["rating"]],
        "device": [("phone", "web", None)[int(rating) % 3] for rating in table["rating"]],
        "weight": [rating / 2 for rating in table["rating"]],
        "exposed": shown,
    }


def _plain(folder: str, suffix: str) -> None:
    """Plain tables of one format."""
    Path(folder).mkdir()
    tables = {"interactions": impressions(), "users": users(), "items": items()}
    for name, table in tables.items():
        path = Path(folder, name + suffix)
        if suffix == ".parquet":
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.table(table), path)
        else:
            write_table(path, table)


def _parts() -> None:
    """Plain tables and logs with a folder for each day, as batch jobs write them."""
    shown = impressions()
    half = len(shown["user_id"]) // 2
    for day, rows in ((1, slice(half)), (2, slice(half, None))):
        folder = Path(f"parts/interactions/day={day}")
        folder.mkdir(parents=True)
        write_table(folder / "part-0.csv", {name: column[rows] for name, column in shown.items()})
    write_table(Path("parts/users.csv"), users())
    write_table(Path("parts/items.csv"), items())
    fields = EventFields(value="rating", user_type="string", item_type="string")
    for day, suffix in ((10, ".jsonl"), (11, ".csv")):
        folder = Path(f"days/day={day}")
        folder.mkdir(parents=True)
        kept = {name: column[:50] for name, column in log(day, day).items()}
        write_events(folder / f"part-0{suffix}", kept, fields)


def write_table(path: Path, table: dict[str, Any]) -> None:
    """Columns as a CSV file."""
    cell = lambda v: "|".join(v) if isinstance(v, list) else "" if v is None else v
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = zip(*table.values())
        csv.writer(file).writerows([list(table), *([cell(v) for v in row] for row in rows)])


def _build(world: Path) -> None:
    os.chdir(world)
    types = {"age": "float", "genres": "token_seq", "price": "float", "rating": "float"}
    types["timestamp"] = "float"
    for folder, seed, day in (("atomic", 0, 0), ("later", 1, 50)):
        Path(folder).mkdir()
        for name, table in (("inter", log(seed, day)), ("user", users()), ("item", items())):
            head = "\t".join(f"{column}:{types.get(column, 'token')}" for column in table)
            lines = ["\t".join(map(str, row)) for row in zip(*table.values())]
            Path(folder, f"data.{name}").write_text("\n".join([head, *lines]) + "\n")
    _plain("tables", ".csv")
    if has(".parquet"):
        _plain("parquet", ".parquet")
    _parts()
    _movielens()
    Path("split").mkdir()
    for part, step in (("train", 1), ("valid", 7), ("test", 11)):
        lines = [f"{u} {(u * step) % ITEMS} {(u + step) % ITEMS}" for u in range(USERS)]
        Path(f"split/{part}.txt").write_text("\n".join(lines) + "\n")
    _logs("clicks", EventFields(value="rating", user_type="string", item_type="string"))
    _logs("numbers", EventFields(value="rating"), user="{}", item="{}")
    _tables()
    _weighed()
    Path("forget.txt").write_text("u1\nnobody\n")
    Path("forget.csv").write_text("user_id,asked\nu1,2020-09-20\nnobody,\n")
    Path("forget.jsonl").write_text('{"user_id": "u1"}\n{"user_id": "nobody"}\n')
    Path("retire.txt").write_text("i7\ni8\n")
    Path("ids.txt").write_text("u1\nnobody\n")
    Path("losses.py").write_text(_LOSS)
    Path("job.toml").write_text(_JOB)
    Path("space.toml").write_text(_SPACE)
    _command("train", "atomic", "--out", "store", *FAST, "--history", "5")
    _command("train", "atomic", "--out", "store", *FAST, "--history", "5", "--seed", "1")
    _command("update", "store", "clicks", "--incremental", *STEP)
    _command("train", "u1m", "--out", "numbers-store", *FAST, "--positive", "rating >= 2")
    _command("train", "tables", "--out", "weighed-store", *FAST, "--positive", RULE)
    job = _command("inspect", "tables", "--positive", RULE, "--split", "time:2020-09-13T14:00")
    lines = [line for line in job.splitlines() if not line.startswith(("data", "split", "#"))]
    Path("tables.toml").write_text(_JOB.replace("atomic", "tables").split("split")[0]
                                   + 'split = "time:2020-09-13T14:00"\n'
                                   + "\n".join(lines) + "\n")  # fmt: skip
    answers = {name: recalled(Path(name)) for name in STORES}
    Path("recalls.json").write_text(json.dumps(answers))


def _command(*argv: str) -> str:
    """What a command prints on stdout."""
    said, printed = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(said):
        status = main(argv)
    if status:
        raise SystemExit(f"{argv} ended with {status}: {said.getvalue()}")
    return printed.getvalue()


def _weighed() -> None:
    """Logs of clicks and impressions with weights, in the columns of the plain tables."""
    Path("weighed").mkdir()
    table = {name: column[:60] for name, column in impressions().items() if name != "exposed"}
    table["timestamp"] = [time + 10_000 * _DAY for time in table["timestamp"]]
    write_table(Path("weighed/10.csv"), table)
    rows = [dict(zip(table, row)) for row in zip(*table.values())]
    for row in rows:
        row["timestamp"] += 1000 * _DAY
    Path("weighed/11.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if has(".parquet"):
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows[:40]), "weighed/12.parquet")


def _movielens() -> None:
    """Self-made tables in the two layouts of GroupLens."""
    table = log(0, 0, "{}", "{}")
    table["rating"] = [int(rating) for rating in table["rating"]]
    rows = list(zip(*table.values()))
    flags = lambda i: "|".join("1" if g in (i % 19, (3 * i) % 19) else "0" for g in range(19))
    genres = ["Comedy|Drama", "Action", "Drama"]
    layouts = {
        "u100k/u.data": ["\t".join(map(str, row)) for row in rows],
        "u100k/u.user": [f"{u}|{20 + u}|{'FM'[u % 2]}|artist|1234{u % 3}" for u in range(USERS)],
        "u100k/u.item": [
            f"{i}|Film {i} (1990)|01-Jan-1990||http://x|{flags(i)}" for i in range(ITEMS)
        ],
        "u1m/ratings.dat": ["::".join(map(str, row)) for row in rows],
        "u1m/users.dat": [f"{u}::{'FM'[u % 2]}::25::{u % 4}::12345" for u in range(USERS)],
        "u1m/movies.dat": [f"{i}::Film {i} (1990)::{genres[i % 3]}" for i in range(ITEMS)],
    }
    for name, lines in layouts.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("\n".join(lines) + "\n", encoding="latin-1")


def _logs(folder: str, fields: EventFields, **ids: str) -> None:
    Path(folder).mkdir()
    for day, suffix in enumerate((".jsonl", ".csv", ".parquet", ".tfrecord"), start=10):
        if has(suffix):
            table = log(day, day, **ids)
            kept = {name: column[:50] for name, column in table.items()}
            write_events(Path(folder, f"{day}{suffix}"), kept, fields)


def _tables() -> None:
    for name, table, new in (("users", users(), "u99"), ("items", items(), "i99")):
        table = {column: values[-5:] for column, values in table.items()}
        table[f"{name[:-1]}_id"][-1] = new
        rows = [dict(zip(table, row)) for row in zip(*table.values())]
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        Path(f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        write_table(Path(f"{name}.csv"), table)
        if has(".parquet"):
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.table(table), f"{name}.parquet")


_JOB = """\
data = "atomic"
out = "out"
dim = 4
hidden = []
epochs = 1
batch_size = 64
temperature = 0.1
optimizer = "adagrad"
learning_rate = 0.05
seed = 0
residual = false
objective = "in-batch"
metric = "recall@5"
split = "time:0.1,0.1"
"""

_SPACE = """\
temperature = {low = 0.1, high = 0.5, log = true}
learning_rate = [0.05, 0.1]
"""

_LOSS = """\
from minitower.conformance import FORMULAS

loss = FORMULAS["in_batch_softmax"].compute
"""
