"""Do two checkouts give the same answers, bit for bit?

    python benchmarks/same_answers.py OLD NEW [--only NAME ...]

OLD and NEW are folders that hold a ``minitower/`` each, such as two git worktrees. Both run the
same commands on the same data, on one thread. The script compares parameters and optimizer states
after training with every objective, recall with and without exclusion, full and incremental
updates, reports, and golden vectors. The data are a small simulated world and, where
``MINITOWER_DATA`` names the folder, MovieLens-100K.

Bits depend on the machine and on the number of threads. Therefore both sides run here, now.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

FAST = ["--dim", "16", "--hidden", "16", "--epochs", "2", "--seed", "3"]
RUNS = {
    "in-batch": [],
    "in-batch, half of log q": ["--logq-weight", "0.5"],
    "in-batch, calibrated": ["--correction", "calibrated", "--residual"],
    "in-batch, mixed": ["--correction", "mixed", "--negatives", "shared:64"],
    "in-batch, uncorrected": ["--correction", "none", "--similarity", "inner_product"],
    "in-batch, flattened": ["--positive-exponent", "0.5", "--hidden", ""],
    "cross-batch": ["--objective", "cross-batch", "--bank", "512"],
    "pointwise": ["--objective", "pointwise"],
    "pointwise-squared": ["--objective", "pointwise-squared", "--negatives", "popular:2"],
    "pairwise": ["--objective", "pairwise", "--negatives", "mined:1+uniform:1"],
    "pairwise-hinge": ["--objective", "pairwise-hinge", "--margin", "0.2"],
    "listwise": ["--objective", "listwise", "--batch-size", "256"],
    "masked views": ["--self-supervised", "mask"],
    "dropped views": ["--self-supervised", "dropout", "--self-sampling", "clicks"],
    "complementary views": ["--self-supervised", "complementary", "--mask-per-item"],
    "correlated views": ["--self-supervised", "correlated+dropout"],
    "adam": ["--optimizer", "adam", "--learning-rate", "0.003", "--no-refit"],
    "rowwise-adam": ["--optimizer", "rowwise-adam", "--learning-rate", "0.003"],
    "rowwise-adagrad": ["--optimizer", "rowwise-adagrad"],
    "sgd": ["--optimizer", "sgd", "--learning-rate", "1"],
}
FORMER_FLAGS = {"--logq-weight": "--strength", "--positive-exponent": "--positive-power"}
OPTIMIZERS = {
    "adam": "Adam",
    "rowwise-adam": "RowWiseAdam",
    "rowwise-adagrad": "RowWiseAdagrad",
    "sgd": "SGD",
}
UPDATES = ["in-batch", "cross-batch", "masked views", "rowwise-adam"]

PROBE = """
import json, sys
import numpy as np
import minitower as mt
store, out, optimizer = sys.argv[1:]
found = {}
model = mt.load_model(store)
for name, array in model.parameters.items():
    found["parameter " + name] = np.asarray(array)
optimizer = getattr(mt, optimizer)(0.05)
mt.load_optimizer(store, optimizer)
for name, array in optimizer.state.items():
    found["optimizer " + name] = np.asarray(array)
recommender = mt.Recommender.open(store)
users = [str(n) for n in (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 10**9)]
for k in (1, 10, 200):
    for seen in (True, False):
        answers = recommender.recall_many(users, k=k, exclude_seen=seen)
        for user, (ids, scores) in zip(users, answers):
            found[f"recall {k} {seen} {user} ids"] = ids
            found[f"recall {k} {seen} {user} scores"] = scores
first = recommender.recall("1", k=5)[0]
ids, scores = recommender.recall("1", k=20, exclude=first.tolist())
found["recall without the first ids"], found["recall without the first scores"] = ids, scores
np.savez(out, **found)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(RUNS), default=list(RUNS))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = {"simulated": work / "simulated"}
        write_world(data["simulated"])
        if "MINITOWER_DATA" in os.environ:
            data["ml-100k"] = Path(os.environ["MINITOWER_DATA"]) / "ml-100k"
        logs = work / "logs"
        write_logs(logs)
        sides = args.old.resolve(), args.new.resolve()
        with ThreadPoolExecutor(2) as pool:  # one process a side, at the same time
            jobs = [
                pool.submit(record, side, work / f"side{i}", data, logs, args.only)
                for i, side in enumerate(sides)
            ]
            old, new = (job.result() for job in jobs)
    return compare(old, new)


def write_world(folder: Path) -> None:
    """Atomic files of 300 users, 200 items with two fields, and 12,000 interactions."""
    rng = np.random.default_rng(11)
    folder.mkdir()
    tastes, topics = rng.integers(0, 8, 300), rng.integers(0, 8, 200)
    likely = np.exp(rng.normal(size=200))[None, :] * np.where(tastes[:, None] == topics, 12, 1)
    likely /= likely.sum(1, keepdims=True)
    users = rng.integers(0, 300, 12_000)
    items = [int(rng.choice(200, p=likely[user])) for user in users]
    name = folder.name
    lines = [f"{u + 1}\t{i + 1}\t{t}" for t, (u, i) in enumerate(zip(users, items, strict=True))]
    head = "user_id:token\titem_id:token\ttimestamp:float"
    (folder / f"{name}.inter").write_text("\n".join([head, *lines]) + "\n")
    lines = [f"{u + 1}\t{taste % 3}" for u, taste in enumerate(tastes)]
    (folder / f"{name}.user").write_text("\n".join(["user_id:token\tgroup:token", *lines]) + "\n")
    lines = [
        f"{i + 1}\t{topic}\t{topic * 2} {i % 5}\t{topic % 4}\t{i % 7}"
        for i, topic in enumerate(topics)
    ]
    head = "item_id:token\ttopic:token\ttags:token_seq\tshape:token\tcolor:token"
    (folder / f"{name}.item").write_text("\n".join([head, *lines]) + "\n")


def write_logs(folder: Path) -> None:
    """Two days of clicks, after all interactions, a few of unknown users and items."""
    rng = np.random.default_rng(12)
    folder.mkdir()
    for day in (1, 2):
        with (folder / f"day{day}.jsonl").open("w") as file:
            for second in range(2_500):
                user, item = (int(rng.integers(1, n)) for n in (310, 205))
                time = 1_600_000_000 + 86_400 * day + second
                click = {
                    "user_id": str(user),
                    "item_id": str(item),
                    "timestamp": time,
                    "rating": 5.0,
                }
                print(json.dumps(click), file=file)


def record(
    tree: Path, work: Path, data: dict[str, Path], logs: Path, only: list[str]
) -> dict[str, np.ndarray]:
    """Everything that this checkout learns and answers, by name."""
    work.mkdir()
    found: dict[str, np.ndarray] = {}
    run(tree, "-m", "minitower", "vectors", "--out", str(work / "vectors"))
    for path in sorted((work / "vectors").glob("vectors.*")):
        if path.suffix == ".npz":
            found.update({f"vectors {n}": a for n, a in np.load(path).items()})
        else:
            found[f"vectors {path.name}"] = np.array(path.read_text())
    known = run(tree, "-m", "minitower", "train", "--help")
    for name in only:
        # An old checkout has some flags under their former names.
        flags = [f if f in known else FORMER_FLAGS.get(f, f) for f in RUNS[name]]
        for where, folder in data.items():
            store = str(work / f"{where} {name}")
            label = f"{where}, {name}: "
            run(tree, "-m", "minitower", "train", str(folder), "--out", store, *FAST, *flags)
            found.update(probe(tree, store, name, label + "trained: "))
            report = run(tree, "-m", "minitower", "evaluate", store, str(folder), "--json",
                         "--learned")  # fmt: skip
            found[label + "report"] = np.array(re.sub(r'"seconds": [^,}]*', "", report))
            if name in UPDATES:
                for kind in (["--incremental", "--item-ids"], ["--incremental"], ["--full"]):
                    copy = f"{store} {' '.join(kind)}"
                    subprocess.run(["cp", "-r", store, copy], check=True)
                    run(tree, "-m", "minitower", "update", *kind, "--positive", "all", copy,
                        str(logs))  # fmt: skip
                    found.update(probe(tree, copy, name, label + f"{' '.join(kind)}: "))
    return found


def probe(tree: Path, store: str, name: str, label: str) -> dict[str, np.ndarray]:
    """The parameters, the state of the optimizer, and answers of a store."""
    out = store + ".npz"
    run(tree, "-c", PROBE, store, out, OPTIMIZERS.get(name, "Adagrad"))
    return {label + name: array for name, array in np.load(out).items()}


def run(tree: Path, *arguments: str) -> str:
    """Run Python on this checkout, on one thread."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    env = {**os.environ, **threads, "PYTHONPATH": str(tree), "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, *arguments], env=env, cwd=tree, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{tree}: {' '.join(arguments[:9])}\n{done.stderr[-2000:]}")
    return done.stdout


def compare(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> int:
    """Print what differs; 0 where nothing does."""
    lines = [f"only in OLD: {name}" for name in old.keys() - new.keys()]
    lines += [f"only in NEW: {name}" for name in new.keys() - old.keys()]
    for name in old.keys() & new.keys():
        a, b = old[name], new[name]
        if a.dtype != b.dtype or a.shape != b.shape:
            lines.append(f"{name}: {a.dtype}{a.shape} and {b.dtype}{b.shape}")
        elif a.tobytes() != b.tobytes():
            gap = np.abs(a - b).max() if a.dtype.kind in "fiu" and a.size else "text"
            lines.append(f"{name}: differs by at most {gap}")
    print(*sorted(lines)[:60], sep="\n")
    same = len(old.keys() & new.keys()) - sum("only in" not in line for line in lines)
    print(f"{same:,} answers are equal bit for bit, {len(lines):,} are not")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
