"""What a store must survive: kill -9, damaged files, new versions while threads recall.

    python benchmarks/store_faults.py               # all four, some six minutes
    python benchmarks/store_faults.py kill          # one part: kill, damage, forge or reload
    python benchmarks/store_faults.py --quick       # fewer rounds

kill    a process that publishes, rolls back and prunes is killed at a random moment, 500
        times; the store must open on the state before what it was doing, or after
damage  10,000 times one bit of one file of a version is flipped, or the file is cut; the
        file must be refused by name
forge   10,000 times a value of CURRENT or of a manifest is changed, and all checksums are
        computed again; the store must open, or be refused with one line
reload  8 threads recall while 100 versions are published and reloaded; no error, and no
        answer that mixes two versions

Stops with an error at the first thing that is wrong.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # processes of one thread can be forked

import argparse
import hashlib
import json
import multiprocessing
import tempfile
import threading
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import minitower as mt
from minitower.store.incremental import publish_incremental
from minitower.store.transaction import prune, rollback
from minitower.store.version_log import VersionLog

USERS, ITEMS = 20, 40
USER_ROWS = "user.user_id.embedding"
JOBS = ["publish", "publish", "publish rows", "publish rows", "rollback", "prune"]


def world(version: int) -> tuple[mt.TwoTower, mt.Dataset]:
    """A model whose every score is version^2 x 2 (1 + j / ITEMS), on items version x 1000 + j."""
    rng, items = np.random.default_rng(version), version * 1000 + np.arange(ITEMS)
    data = mt.Dataset.from_columns(
        mt.Schema(user=[mt.Id("user_id")], item=[mt.Id("item_id")]),
        {
            "user_id": np.concatenate([np.arange(USERS), rng.integers(0, USERS, ITEMS)]),
            "item_id": np.concatenate([rng.choice(items, USERS), items]),
        },
        split=mt.RandomSplit(valid=0, test=0),
    )
    model = mt.TwoTower(data.schema, dim=2, hidden=(), similarity="inner_product")
    rows = data.items.columns["item_id"]
    model.parameters[USER_ROWS][:] = version
    model.parameters["item.item_id.embedding"][rows] = (
        version * (1 + (data.items.ids - items[0]) / ITEMS)
    )[:, None]
    return model, data


def publish(folder: Path, version: int) -> None:
    """A full version; every other one with a graph."""
    optimizer = mt.Adagrad()
    optimizer.state[f"{USER_ROWS}/square"] = np.ones((USERS + 1, 2), np.float32)
    index = ("exact", "hnsw")[version % 2]
    mt.publish_model(*world(version), folder, index=index, optimizer=optimizer)  # type: ignore[arg-type]


def publish_rows(folder: Path, version: int) -> None:
    """An incremental version in which users moved by half."""
    moved = np.full((USERS + 1, 2), version + 0.5, np.float32)
    publish_incremental(folder, {USER_ROWS: (np.arange(USERS + 1), moved)}, parent=version)


# ------------------------------------------------------------------------------- kill


def state(folder: Path) -> list[object]:
    """The number that is served, and all numbers."""
    log = VersionLog.read(folder)
    return [log.current, [version.number for version in log.versions]]


def work(folder: Path, first: str, seed: int, pipe: int) -> None:
    """Change the store until killed; tell what is begun, what it would lead to, what is done."""
    rng, job = np.random.default_rng(seed), first
    while True:
        log = VersionLog.read(folder)
        numbers = [version.number for version in log.versions]
        expected: list[object] = [log.next, [*numbers, log.next]]
        if job == "rollback":
            target = int(rng.choice(numbers))
            expected = [target, numbers]
        if job == "prune":
            nights = [version.number for version in log.versions if version.kind == "full"]
            bases = {nights[-1], log.full().number}
            days = {version.number for version in log.versions if version.parent in bases}
            expected = [log.current, sorted({*nights[-3:], *bases, *days})]
        os.write(pipe, (json.dumps([job, expected]) + "\n").encode())
        if job == "publish":
            publish(folder, log.next)
        elif job == "publish rows":
            publish_rows(folder, log.full().number)
        elif job == "rollback":
            rollback(folder, target)
        else:
            prune(folder, keep=3)
        os.write(pipe, (json.dumps(["", expected]) + "\n").encode())
        job = str(
            rng.choice(["publish", "publish rows", "rollback", "prune"], p=[0.4, 0.3, 0.1, 0.2])
        )


def kill(folder: Path, rounds: int) -> None:
    """Kill a worker at a random moment, look at the store, let the next one do it again."""
    context = multiprocessing.get_context("fork")
    rng, killed_in = np.random.default_rng(), Counter[str]()
    publish(folder, 1)
    job = "publish"
    for _ in range(rounds):
        acknowledged = state(folder)
        reader, writer = os.pipe()
        seed = int(rng.integers(1 << 30))
        worker = context.Process(target=work, args=(folder, job, seed, writer))
        worker.start()
        os.close(writer)
        told = os.read(reader, 1)  # it has begun
        time.sleep(rng.random() * 0.3)
        worker.kill()
        worker.join()
        while part := os.read(reader, 1 << 16):
            told += part
        os.close(reader)
        allowed = [acknowledged]
        for line in told.decode().splitlines():
            name, expected = json.loads(line)
            allowed = [*allowed, expected] if name else [expected]
            job = name or job
        now = state(folder)
        if now not in allowed:
            raise SystemExit(f"killed in {job}: the store is at {now}, not at one of {allowed}")
        log = VersionLog.read(folder)
        for version in log.versions:
            log.verify(version)
        check_answer(*mt.Recommender.open(folder).recall(0, k=1, exclude_seen=False))
        killed_in[job if len(allowed) > 1 else "between two"] += 1
    print(f"kill: {rounds} times, in {dict(killed_in)}: always the state before or after")


# ------------------------------------------------------------------------------- damage


def damage(folder: Path, rounds: int) -> None:
    """Flip a bit or cut a file; opening must refuse it, verifying too."""
    publish(folder, 1)
    publish_rows(folder, 1)
    log = VersionLog.read(folder)
    files = sorted((folder / "versions").rglob("*.*"))
    kept = {path: path.read_bytes() for path in files}
    rng, refused = np.random.default_rng(0), Counter[str]()
    for _ in range(rounds):
        path = files[rng.integers(len(files))]
        content = bytearray(kept[path])
        place = int(rng.integers(len(content)))
        if rng.random() < 0.5:
            content[place] ^= 1 << int(rng.integers(8))
        else:
            del content[place:]
        path.write_bytes(content)
        attempts = [lambda: [log.verify(version) for version in log.versions]]
        if not path.name.startswith("optimizer"):  # which serving does not read
            attempts.append(lambda: [mt.Recommender.open(folder)])
        for attempt in attempts:
            try:
                attempt()
            except mt.DataError as error:
                if path.name not in str(error):
                    raise SystemExit(f"{path}: refused without its name: {error}") from error
            else:
                raise SystemExit(f"{path}: damaged at byte {place}, and not refused")
        path.write_bytes(kept[path])
        refused[path.name] += 1
    mt.Recommender.open(folder)
    print(f"damage: {rounds} times, in {dict(refused)}: always refused by name")


# ------------------------------------------------------------------------------- forge

ODD = [None, True, 0, -1, 1.0, 1e300, 10**18, "", "1", "../x", "\ud800", [], {}, [[]], "full"]


def forge(folder: Path, rounds: int) -> None:
    """Change a value of CURRENT or a manifest as another program would, checksums and all."""
    publish(folder, 1)
    publish_rows(folder, 1)
    manifests = [folder / f"versions/{number:06d}/manifest.json" for number in (1, 2)]
    kept = {path: path.read_bytes() for path in (folder / "CURRENT", *manifests)}
    stated = json.loads(kept[folder / "CURRENT"].rpartition(b"\n")[0])
    rng, outcomes = np.random.default_rng(0), Counter[str]()
    for _ in range(rounds):
        part = int(rng.integers(3))
        pointer = json.loads(json.dumps(stated))
        if part == 2:
            change(pointer, rng)
        else:
            content = json.loads(kept[manifests[part]])
            change(content, rng)
            text = json.dumps(content).encode()
            manifests[part].write_bytes(text)
            pointer["versions"][part]["manifest"] = hashlib.sha256(text).hexdigest()
        text = json.dumps(pointer).encode() + b"\n"
        digest = hashlib.sha256(text).hexdigest().encode()
        (folder / "CURRENT").write_bytes(text + b"\n" + digest)
        try:
            mt.Recommender.open(folder).recall(0, k=1)
            outcomes["opened"] += 1
        except mt.DataError as error:
            if "\n" in str(error):
                raise SystemExit(f"more than one line: {error}") from error
            outcomes["refused"] += 1
        for path, text in kept.items():
            path.write_bytes(text)
    mt.Recommender.open(folder)
    print(f"forge: {rounds} times, {dict(outcomes)}: never another error")


def change(value: Any, rng: np.random.Generator) -> None:
    """Replace or remove one value somewhere within lists and objects of JSON."""
    while True:
        keys = [*value] if isinstance(value, dict) else [*range(len(value))]
        if not keys:
            return
        key = keys[rng.integers(len(keys))]
        if not isinstance(value[key], (dict, list)) or not value[key] or rng.random() < 0.1:
            break
        value = value[key]
    if rng.random() < 0.2:
        del value[key]
    else:
        value[key] = ODD[rng.integers(len(ODD))]


# ------------------------------------------------------------------------------- reload


def check_answer(ids: np.ndarray, scores: np.ndarray) -> None:
    """Items and score must be of one version, and the user's vector of it or of its rows."""
    version, item = divmod(int(ids[0]), 1000)
    unit = 2 * version * (1 + item / ITEMS)
    if not np.isclose(scores[0], [unit * version, unit * (version + 0.5)], rtol=1e-5).any():
        raise SystemExit(f"an answer that mixes versions: items of {version}, score {scores[0]}")


def reload(folder: Path, versions: int) -> None:
    """Threads recall without a break while versions are published, reloaded and pruned."""
    publish(folder, 1)
    recommender = mt.Recommender.open(folder)
    stop, wrong, answers = threading.Event(), list[BaseException](), Counter[int]()

    def recall(thread: int) -> None:
        rng = np.random.default_rng(thread)
        try:
            while not stop.is_set():
                user = int(rng.integers(USERS))
                check_answer(*recommender.recall(user, k=5, exclude_seen=False))
                for answer in recommender.recall_many([user, 999], k=5):
                    check_answer(*answer)
                answers[thread] += 3
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=recall, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    full = 1
    for version in range(2, versions + 1):
        if version % 3:
            publish(folder, version)
            full = version
        else:
            publish_rows(folder, full)
        if not recommender.reload():
            raise SystemExit(f"version {version} was not picked up")
        prune(folder, keep=2)
    stop.set()
    for thread in threads:
        thread.join()
    if wrong:
        raise SystemExit(f"a thread failed: {wrong[0]!r}")
    print(f"reload: {versions} versions under {answers.total():,} answers: none failed or mixed")


def main() -> None:
    rounds = {kill: (20, 500), damage: (300, 10_000), forge: (300, 10_000), reload: (10, 100)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", choices=[run.__name__ for run in rounds])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", ".*a change that was cut off left it")  # as each kill does
    for run, (few, many) in rounds.items():
        if args.part in (None, run.__name__):
            with tempfile.TemporaryDirectory() as place:
                run(Path(place) / "store", few if args.quick else many)


if __name__ == "__main__":
    main()
