"""Real films, real features: recall against "most popular", for old users and for new ones.

    MINITOWER_DATA=folder python benchmarks/features.py              # all, on test
    MINITOWER_DATA=folder python benchmarks/features.py ml-100k      # one data set
    MINITOWER_DATA=folder python benchmarks/features.py --quick      # one epoch, on validation

The folder holds MovieLens as RecBole's atomic files (``ml-100k/``, ``ml-1m/``). Three questions,
each answered as a ratio to "most popular" on the same users:

    last five   each user's last five ratings are the test, in time order; the setting is that of
                benchmarks/jobs/*.toml, which ``minitower demo --job`` runs in one command
    new users   a tenth of the users are in no training row; they are recalled from age, gender
                and occupation alone, their id being the default row
    one moment  the last tenth of all ratings, in time, is the test: most of its users are new, and
                what is popular has changed

Settings were chosen on the validation part of each split.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from timing import table

import minitower as mt
from minitower.data import atomic_files

JOBS = Path(__file__).parent / "jobs"
K = (10, 50, 100)
AGE = mt.Continuous("age", transform="bucketise", buckets=6)
OVERRIDES: dict[str, atomic_files.Overrides] = {
    "ml-100k": {"age": AGE, "zip_code": None},
    "ml-1m": {
        "age": "token",
        "occupation": "token",
        "release_year": "token",
        "genre": "token_seq",
        "zip_code": None,
    },
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


def read(folder: Path, default_rate: float) -> atomic_files.RawData:
    """The columns; the user's id is forgotten in training at the given rate."""
    user = mt.Id("user_id", default_rate=default_rate)
    return atomic_files.read(folder, overrides={**OVERRIDES[folder.name], "user_id": user})


def dataset(raw: atomic_files.RawData, split: mt.Split, **more: np.ndarray) -> mt.Dataset:
    """All ratings are positives."""
    log = {name: raw.interactions[name] for name in ("user_id", "item_id", "timestamp")} | more
    return mt.Dataset.from_columns(raw.schema, log, raw.users, raw.items, split=split)


def by_user(raw: atomic_files.RawData) -> np.ndarray:
    """Eight tenths of the users train, one validates, one tests, with all they rated."""
    users, row = np.unique(raw.interactions["user_id"].astype(str), return_inverse=True)
    parts = np.array(["train"] * 8 + ["valid", "test"])
    return parts[np.random.default_rng(0).integers(0, 10, len(users))][row]


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


def measure(data: mt.Dataset, setting: Setting, part: str) -> list[object]:
    """Train, keep the best epoch on validation, and divide by "most popular"."""
    model = mt.TwoTower(data.schema, hidden=setting.hidden)
    trainer = mt.Trainer(
        model,
        data,
        objective=mt.InBatchSoftmax(setting.temperature, setting.correction),
        batch_size=setting.batch_size,
    )
    trainer.fit(setting.epochs)
    judge = mt.Evaluator(data, part, K)
    report, popular = judge(model), judge(mt.PopularityScorer())
    known = np.isin(judge.users, data.train.users).mean()
    figures = [f"{report[f'recall@{k}']:.4f}/{popular[f'recall@{k}']:.4f}" for k in K]
    ratios = [report[f"recall@{k}"] / popular[f"recall@{k}"] for k in K]
    return [len(judge.users), f"{known:.0%}", *figures, *ratios]


def run(folder: Path, quick: bool) -> str:
    """The three questions on one data set."""
    new = Setting((128,), 0.1, 8, default_rate=0.1)
    old = job(folder.name)
    part = "valid" if quick else "test"
    rows: list[list[object]] = []
    for name, setting in (("last five", old), ("new users", new), ("one moment", new)):
        raw = read(folder, setting.default_rate)
        if name == "new users":
            data = dataset(raw, mt.GivenSplit("part"), part=by_user(raw))
        else:
            data = dataset(raw, mt.LastSplit(2, 5) if name == "last five" else mt.TimeSplit())
        setting = Setting(**{**vars(setting), "epochs": 1}) if quick else setting
        rows.append([name, *measure(data, setting, part)])
    head = ["split", "users", "with history", *(f"recall@{k}/popular" for k in K)]
    return f"{folder.name}, {part}\n" + table([*head, *(f"ratio@{k}" for k in K)], rows)


def main(arguments: list[str] | None = None) -> None:
    """Print a table for each data set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="?", choices=list(OVERRIDES))
    parser.add_argument("--quick", action="store_true", help="one epoch, on validation")
    options = parser.parse_args(arguments)
    root = Path(os.environ.get("MINITOWER_DATA") or "nowhere")
    for name in [options.name] if options.name else OVERRIDES:
        if not (root / name).is_dir():
            raise SystemExit(f"set MINITOWER_DATA to a folder that holds {name}/")
        print(run(root / name, options.quick), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
