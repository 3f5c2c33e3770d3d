"""A person with tables on disk: nothing but commands, from the first table to a list for everybody.

    python benchmarks/practitioner.py           # 2,000 users, 1,000 items, 20 days: some minutes
    python benchmarks/practitioner.py --quick   # tiny sizes: only shows that it runs

The simulated world of `minitower demo` writes what a company has: tables of users and items, and a
log of exposures and clicks for every day, as CSV. From then on the person only runs commands.

    once          inspect, tune, train
    each night    update --full with the log of the day and the new users and items; then recall
                  for everybody, to a CSV file
    one noon      update --incremental with the first half of the day, and recall again
    at the end    serve, a request, stop; rollback

Printed are the wall time of the commands, and the recall of each day's clicks in the lists of the
night before. "Popular" recalls the items with the most clicks so far, and "possible" recalls the
items whose probability of a click is the largest on that day; only the simulation knows it. The
lists of all three hold no item that the user has clicked before.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from bounds import Bounds
from timing import table

from minitower.data.table import Ragged
from minitower.formulas.arrays import Array
from minitower.lab.funnel import Simulation, simulate
from minitower.lab.funnel_features import ids
from minitower.lab.funnel_log import Log

K = 20
WORDS = ("interests", "category", "keywords")


@dataclass(frozen=True)
class Size:
    """How much the person has: the days of the first table, and of all logs."""

    users: int
    items: int
    requests: float
    first: int
    days: int
    tune: tuple[str, ...]
    epochs: int
    seed: int = 0


FULL = Size(2_000, 1_000, 1.0, 14, 20, ("--budget", "60s"), 10)
QUICK = Size(150, 120, 2.0, 2, 4, ("--trials", "1", "--dim", "8", "--hidden", "8"), 1)


@dataclass
class Person:
    """Runs commands in a folder, and keeps the seconds of each."""

    folder: Path
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def run(self, name: str, *arguments: object) -> str:
        """What a command prints on stdout.

        Raises:
            SystemExit: the command failed.
        """
        command = [sys.executable, "-m", "minitower", *map(str, arguments)]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        self.seconds[name].append(time.perf_counter() - start)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command[2:])}: status {done.returncode}\n{done.stderr}")
        return done.stdout

    def timings(self) -> str:
        """Wall time of each command, with the start of Python."""
        rows: list[list[object]] = [
            [name, len(took), float(np.median(took)), sum(took)]
            for name, took in self.seconds.items()
        ]
        return table(["command", "runs", "median, s", "all, s"], rows)


def write(path: Path, columns: dict[str, Array]) -> None:
    """Columns as a CSV file that stands at once: a log never changes under its name."""
    part = path.with_name(path.name + ".tmp")
    with part.open("w", encoding="utf-8", newline="") as file:
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        csv.writer(file).writerows([list(columns), *rows])
    part.rename(path)


def exposures(log: Log) -> dict[str, Array]:
    """One row for each shown item, oldest first."""
    shown = log.exposed.shape[1]
    return {
        "user_id": ids("user", np.repeat(log.users, shown)),
        "item_id": ids("item", log.exposed.ravel()),
        "timestamp": np.repeat(log.timestamps, shown),
        "is_click": log.clicked.ravel().astype(np.int64),
    }


def halves(log: Log) -> tuple[Log, Log]:
    """The requests before noon, and the others."""
    noon = int(np.searchsorted(log.hours, 12))
    parts = (slice(None, noon), slice(noon, None))
    first, second = (
        Log(log.users[p], log.timestamps[p], log.items[p], log.ranked, log.clicked[p])
        for p in parts
    )
    return first, second


def arrived(columns: dict[str, Array], day: Array, days: range) -> dict[str, Array]:
    """The rows of a table of users or items that came on some days."""
    rows = np.isin(day, days)
    return {name: column[rows] for name, column in columns.items()}


def clicks_by_user(log: Log) -> dict[int, list[int]]:
    """Row of a user -> rows of the clicked items."""
    found: dict[int, list[int]] = defaultdict(list)
    request, place = np.nonzero(log.clicked)
    for user, item in zip(log.users[request].tolist(), log.exposed[request, place].tolist()):
        found[user].append(item)
    return found


def read_lists(path: Path) -> dict[int, list[int]]:
    """Row of a user -> rows of the recalled items, best first."""
    found: dict[int, list[int]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found[int(row["user"].split("-")[1])].append(int(row["item"].split("-")[1]))
    return found


class Judge:
    """Knows the clicks of the past, and what the world holds.

    Args:
        world: of the logs.
    """

    def __init__(self, world: Simulation) -> None:
        self.world = world
        self.seen: dict[int, set[int]] = defaultdict(set)
        self.counts = np.zeros(len(world.items["item_id"]), np.int64)

    def learn(self, log: Log) -> None:
        """Take note of the clicks of a log."""
        for user, items in clicks_by_user(log).items():
            self.seen[user].update(items)
            np.add.at(self.counts, items, 1)

    def popular(self, user: int) -> list[int]:
        """The items with the most clicks so far that the user has not clicked."""
        order = np.argsort(-self.counts, kind="stable").tolist()
        return [item for item in order if item not in self.seen[user]][:K]

    def possible(self, users: list[int], day: int) -> Array:
        """(n, K) the items of largest probability of a click on the day."""
        seen = [sorted(self.seen[user]) for user in users]
        barred = Ragged.from_counts(
            np.array([len(items) for items in seen]),
            np.array([item for items in seen for item in items], np.int64),
        )
        return self.world.truth(day).best(users, K, exclude=barred)

    def recalls(self, lists: dict[int, list[int]], log: Log, day: int) -> list[object]:
        """Users with a list who click, the share of such users, and three mean recalls."""
        clicks = clicks_by_user(log)
        users = [user for user in clicks if user in lists]
        if not users:
            raise SystemExit(f"day {day}: no user with a list clicks")
        best = dict(zip(users, self.possible(users, day).tolist(), strict=True))
        mean = lambda of: float(
            np.mean([len({*of(user)} & {*clicks[user]}) / len({*clicks[user]}) for user in users])
        )
        ways = (lists.__getitem__, self.popular, best.__getitem__)
        return [len(users), len(users) / len(clicks), *map(mean, ways)]


def serve(person: Person, user: str) -> list[str]:
    """The items that the service recalls for a user; it is started and stopped."""
    command = [sys.executable, "-m", "minitower", "serve", "store", "--port", "0"]
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=person.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with urlopen(f"{url}/recall?user={user}&k={K}", timeout=60) as response:
                answer: dict[str, Any] = json.loads(response.read())
        finally:
            process.terminate()
    if process.returncode != 0:
        raise SystemExit(f"serve: status {process.returncode} after SIGTERM")
    person.seconds["serve, one request"].append(time.perf_counter() - start)
    return [item["item"] if isinstance(item, dict) else item for item in answer["items"]]


def play(size: Size, folder: Path, bounds: Bounds) -> None:
    """The person's three weeks, and what is printed."""
    world = simulate(size.users, size.items, days=size.days, requests=size.requests, seed=size.seed)
    days = list(world)
    person, judge = Person(folder), Judge(world)
    sides = {
        "users": (world.users, world.world.user_joined),
        "items": (world.items, world.world.item_opened),
    }
    for part in ("data", "logs"):
        (folder / part).mkdir()
    past = Log.join(days[: size.first])
    judge.learn(past)
    write(folder / "data" / "interactions.csv", exposures(past))
    for side, (columns, day) in sides.items():
        write(folder / "data" / f"{side}.csv", arrived(columns, day, range(size.first)))

    job = person.run("inspect", "inspect", "data")
    for name in WORDS:  # what a person edits: these columns hold words between spaces
        job = re.sub(f"^{name} = .*$", f'{name} = "token_seq"', job, flags=re.MULTILINE)
    (folder / "job.toml").write_text(job, "utf-8")
    epochs = ("--epochs", size.epochs)
    if find_spec("optuna"):
        person.run("tune", "tune", "--job", "job.toml", *size.tune, *epochs)
        person.run("train", "train", "--job", "best.toml", "--out", "store")
    else:
        print("tune is skipped: pip install '.[tune]'")
        person.run("train", "train", "--job", "job.toml", *epochs, "--out", "store")

    everybody = ("recall", "store", "--all-users", "-k", K, "--out")
    person.run("recall --all-users", *everybody, "lists.csv")
    lists = read_lists(folder / "lists.csv")
    rows: list[list[object]] = []
    for day in range(size.first, size.days):
        rows.append([day + 1, *judge.recalls(lists, days[day], day)])
        morning, afternoon = halves(days[day])
        write(folder / "logs" / f"day-{day + 1:02}-am.csv", exposures(morning))
        judge.learn(morning)
        if day == size.days - 1:
            before = judge.recalls(lists, afternoon, day)
            person.run("update --incremental", "update", "store", "logs", "--incremental")
            person.run("recall --all-users", *everybody, "noon.csv")
            after = judge.recalls(read_lists(folder / "noon.csv"), afternoon, day)
        write(folder / "logs" / f"day-{day + 1:02}-pm.csv", exposures(afternoon))
        judge.learn(afternoon)
        for side, (columns, first) in sides.items():
            write(folder / f"new-{side}.csv", arrived(columns, first, range(day, day + 1)))
        new = ("--users", "new-users.csv", "--items", "new-items.csv")
        person.run("update --full", "update", "store", "logs", "--full", *new)
        person.run("recall --all-users", *everybody, "lists.csv")
        lists = read_lists(folder / "lists.csv")

    user = min(lists)
    one = ("recall", "store", f"user-{user}", "-k", K, "--json")
    last = person.run("recall one user", *one)
    if find_spec("starlette") and find_spec("uvicorn"):
        served = serve(person, f"user-{user}")
        if served != [json.loads(line)["item"] for line in last.splitlines()]:
            raise SystemExit("the service and the command recall other items")
    else:
        print("serve is skipped: pip install '.[serve]'")
    person.run("store rollback", "store", "rollback", "store")
    if person.run("recall one user", *one) == last:
        raise SystemExit("after the rollback the lists are those of the last version")

    print(f"{size.users:,} users, {size.items:,} items, {size.days} days; recall@{K} by day\n")
    head = ["day", "users", "with a list", "minitower", "popular", "possible"]
    print(table(head, rows))
    print(f"\nafternoon of day {size.days}, by the lists of the night before and of noon")
    print(table(["", *head[1:]], [["night", *before], ["noon", *after]]))
    print(f"\n{person.timings()}")
    mine, popular = (float(np.mean([row[i] for row in rows])) for i in (3, 4))  # type: ignore[arg-type]
    bounds.at_least(1.0, mine / popular, "mean recall over that of the most popular items")


def main() -> None:
    """Play, in a temporary folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    for name in ("days", "users", "items", "seed"):
        parser.add_argument(f"--{name}", type=int, help=f"{name} of the simulated world")
    parser.add_argument("--keep", type=Path, help="new folder to play in, which stays")
    args = parser.parse_args()
    given = {name: getattr(args, name) for name in ("days", "users", "items", "seed")}
    size = replace(
        QUICK if args.quick else FULL, **{k: v for k, v in given.items() if v is not None}
    )
    if size.days <= size.first:
        parser.error(f"--days {size.days}: give at least {size.first + 1}, one day after the first")
    bounds = Bounds(size == FULL)
    if args.keep:
        args.keep.mkdir()
        play(size, args.keep.resolve(), bounds)
    else:
        with tempfile.TemporaryDirectory() as place:
            play(size, Path(place), bounds)
    bounds.close()


if __name__ == "__main__":
    main()
