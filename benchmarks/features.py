"""Real films, real features: recall against "most popular", for old users and for new ones.

    MINITOWER_DATA=folder python benchmarks/features.py              # all, on test
    MINITOWER_DATA=folder python benchmarks/features.py ml-100k      # one data set
    MINITOWER_DATA=folder python benchmarks/features.py --quick      # one epoch, on validation

The folder holds MovieLens as RecBole's atomic files (``ml-100k/``, ``ml-1m/``). Three questions,
each answered as a ratio to "most popular" on the same users:

    last five   each user's last five ratings are the test, in time order; the setting is that of
                benchmarks/jobs/*.toml, which ``minitower demo --job`` runs in one command
    new users   users that are in no training row are recalled from their profile alone, their id
                being the default row: one tenth of them, or ten times a tenth where one would be
                too few to tell
    one moment  the last tenth of all ratings, in time, is the test: most of its users are new, and
                what is popular has changed

Settings were chosen on the validation part of each split.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from bounds import Bounds
from timing import table

import minitower as mt
from minitower.data import Field, atomic_files
from minitower.data.log import RawData
from minitower.towers.schedules import Schedule

JOBS = Path(__file__).parent / "jobs"
K = (10, 50, 100)
PROMISED = {"last five": 1.5, "new users": 1.0}
"""What the ratio to "most popular" must be at every k."""
OVERRIDES: dict[str, atomic_files.Overrides] = {
    "ml-100k": {
        "age": mt.Continuous("age", transform="bucketise", buckets=6),
        "zip_code": None,
    },
    "ml-1m": {
        "age": "token",
        "occupation": "token",
        "release_year": "token",
        "genre": "token_seq",
        "zip_code": None,
    },
}
# Thirty users an occupation are too few to tell its taste from theirs, and the profile of 943 users
# needs strong dropout.
FEW_USERS: dict[str, atomic_files.Overrides] = {
    "ml-100k": {
        "age": mt.Continuous("age", transform="bucketise", buckets=6, default_rate=0.7),
        "gender": mt.Categorical("gender", default_rate=0.7),
        "occupation": None,
    }
}


@dataclass(frozen=True)
class Setting:
    """What is trained, and how long."""

    hidden: tuple[int, ...]
    temperature: float
    epochs: int
    correction: str = "yi"
    batch_size: int = 1024
    default_rate: float = 0.01
    optimizer: Callable[[Schedule], mt.Optimizer] | None = None
    rate: float = 0.0
    folds: int = 1


NEW_USERS = {
    "ml-100k": Setting((128,), 0.15, 8, "yi", 1024, 0.5, mt.RowWiseAdam, 0.005, folds=10),
    "ml-1m": Setting((128,), 0.1, 8, default_rate=0.1),
}
ONE_MOMENT = Setting((128,), 0.1, 8, default_rate=0.1)


def read(folder: Path, default_rate: float, **more: Field | str | None) -> RawData:
    """The columns; the user's id is forgotten in training at the given rate."""
    user = mt.Id("user_id", default_rate=default_rate)
    overrides = {**OVERRIDES[folder.name], "user_id": user, **more}
    return atomic_files.read(folder, overrides=overrides)


def dataset(raw: RawData, split: mt.Split, **more: np.ndarray) -> mt.Dataset:
    """All ratings are positives."""
    log = {name: raw.interactions[name] for name in ("user_id", "item_id", "timestamp")} | more
    return mt.Dataset.from_columns(raw.schema, log, raw.users, raw.items, split=split)


def by_user(raw: RawData, fold: int) -> np.ndarray:
    """Eight tenths of the users train, one validates, one tests, with all they rated."""
    users, row = np.unique(raw.interactions["user_id"].astype(str), return_inverse=True)
    tenth = (np.random.default_rng(0).integers(0, 10, len(users)) - fold) % 10
    return np.array(["test", "valid"] + ["train"] * 8)[tenth][row]


def job(name: str) -> Setting:
    """The setting of a job file."""
    options = tomllib.loads((JOBS / f"{name}.toml").read_text("utf-8"))
    return Setting(
        tuple(options["hidden"]),
        options["temperature"],
        options["epochs"],
        options.get("correction", "yi"),
        options.get("batch_size", 1024),
    )


def measure(folds: Iterable[mt.Dataset], setting: Setting, part: str) -> list[object]:
    """Train, keep the best epoch on validation, and divide by "most popular".

    Recall is the mean over the users of all folds.
    """
    users, known, ours, theirs = 0, 0, np.zeros(len(K)), np.zeros(len(K))
    for data in folds:
        optimizer = None
        if setting.optimizer is not None:
            steps = setting.epochs * -(-len(data.train) // setting.batch_size)
            optimizer = setting.optimizer(mt.cosine_decay(setting.rate, steps))
        model = mt.TwoTower(data.schema, hidden=setting.hidden)
        trainer = mt.Trainer(
            model,
            data,
            objective=mt.InBatchSoftmax(setting.temperature, setting.correction),
            optimizer=optimizer,
            batch_size=setting.batch_size,
        )
        trainer.fit(setting.epochs)
        judge = mt.Evaluator(data, part, K)
        report, popular = judge(model), judge(mt.PopularityScorer())
        n = len(judge.users)
        users, known = users + n, known + int(np.isin(judge.users, data.train.users).sum())
        ours += [n * report[f"recall@{k}"] for k in K]
        theirs += [n * popular[f"recall@{k}"] for k in K]
    figures = [f"{a / users:.4f}/{b / users:.4f}" for a, b in zip(ours, theirs)]
    return [users, f"{known / users:.0%}", *figures, *(float(r) for r in ours / theirs)]


def run(folder: Path, quick: bool) -> tuple[str, dict[str, list[float]]]:
    """The three questions on one data set: a table, and the ratios of each row."""
    new, old, moment = NEW_USERS[folder.name], job(folder.name), ONE_MOMENT
    if quick:
        new, old, moment = (replace(s, epochs=1, folds=1) for s in (new, old, moment))
    part = "valid" if quick else "test"
    profiles = read(folder, new.default_rate, **FEW_USERS.get(folder.name, {}))
    last, latest = read(folder, old.default_rate), read(folder, moment.default_rate)
    by_users = (
        dataset(profiles, mt.GivenSplit("part"), part=by_user(profiles, fold))
        for fold in range(new.folds)
    )
    rows: list[list[object]] = [
        ["last five", *measure([dataset(last, mt.LastSplit(2, 5))], old, part)],
        ["new users", *measure(by_users, new, part)],
        ["one moment", *measure([dataset(latest, mt.TimeSplit())], moment, part)],
    ]
    head = ["split", "users", "with history", *(f"recall@{k}/popular" for k in K)]
    text = f"{folder.name}, {part}\n" + table([*head, *(f"ratio@{k}" for k in K)], rows)
    return text, {str(row[0]): [float(str(r)) for r in row[-len(K) :]] for row in rows}


def main(arguments: list[str] | None = None) -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="?", choices=list(OVERRIDES))
    parser.add_argument("--quick", action="store_true", help="one epoch, on validation")
    options = parser.parse_args(arguments)
    root = Path(os.environ.get("MINITOWER_DATA") or "nowhere")
    bounds = Bounds(binding=not options.quick)
    for name in [options.name] if options.name else OVERRIDES:
        if not (root / name).is_dir():
            raise SystemExit(f"set MINITOWER_DATA to a folder that holds {name}/")
        text, ratios = run(root / name, options.quick)
        print(text, end="\n\n", flush=True)
        for row, bound in PROMISED.items():
            bounds.at_least(bound, min(ratios[row]), f"{name}, {row}, over most popular")
    bounds.close()


if __name__ == "__main__":
    main()
