"""Does the history of a user help? MovieLens-1M with features, for known and unknown users.

    MINITOWER_DATA=folder python benchmarks/history.py --out lines.jsonl            # on test
    MINITOWER_DATA=folder python benchmarks/history.py --tune --out tuning.jsonl    # how chosen
    MINITOWER_DATA=folder python benchmarks/history.py --quick                      # tiny

The folder holds MovieLens as RecBole's atomic files (``ml-1m/``; ``--quick`` reads ``ml-100k/``).
Positives are ratings >= 4. Two questions:

    returning   the last tenth of all ratings, by date, is the test, the tenth before it the
                validation: the two-tower with a history beside the same without, on users with
                training clicks. The history of a training click holds other training clicks of
                the user, of which each step reads a few at random; "earlier clicks" reads all
                that came before the click
    unseen      a tenth of the users is held out whole: 80% of their clicks are given as history,
                the last 20% by time are to be found; beside "most popular", ItemKNN and EASE,
                which are given the same histories. Another tenth of users does the tuning

Tuning is on validation, by Recall@20 + NDCG@20, the mean of two seeds. The models with and without
a history have the same number of settings to choose from.

Each unit (a question, a setting, a seed) is one line of the file; a run goes on where the last one
stopped. The table is made of the lines.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from features import OVERRIDES
from scipy import sparse, stats
from timing import table

import minitower as mt
from minitower.data import atomic_files
from minitower.data.log import RawData
from minitower.towers.user_history import read_history_option

SEEDS, TUNING_SEEDS = range(5), range(2)
METRICS = ("recall@20", "ndcg@20")


@dataclass(frozen=True)
class Setting:
    """Everything that is chosen on validation."""

    history: str = "none"
    hidden: tuple[int, ...] = ()
    temperature: float = 0.1
    rate: float = 0.02
    epochs: int = 6
    id_rate: float = 0.01
    embed_user: bool = True
    dim: int = 64
    history_dropout: float = 0.0
    user_dropout: float = 0.0
    weight_decay: float = 0.0


WITH = Setting("1000:others", embed_user=False, temperature=0.3, epochs=2, history_dropout=0.9)

CHOSEN: dict[str, dict[str, Setting]] = {
    "returning": {
        "without": Setting(temperature=0.3, epochs=2, hidden=(128,)),
        "with": replace(WITH, epochs=1, history_dropout=0.0),
        "earlier clicks": Setting("1000", temperature=0.3, id_rate=0.3, epochs=1),
    },
    "unseen": {"with": Setting("50", embed_user=False)},
}

GRIDS: dict[str, list[Setting]] = {
    "returning": [
        *(Setting(temperature=temperature, epochs=3) for temperature in (0.1, 0.2, 0.3, 0.4, 0.6)),
        *(Setting(temperature=0.3, epochs=3, user_dropout=share) for share in (0.2, 0.4)),
        Setting(temperature=0.3, epochs=3, weight_decay=1e-4),
        Setting(temperature=0.3, epochs=3, id_rate=0.3),
        Setting(temperature=0.3, epochs=3, hidden=(128,)),
        *(replace(WITH, epochs=3, history_dropout=share) for share in (0, 0.8, 0.9, 0.95)),
        *(replace(WITH, epochs=3, temperature=temperature) for temperature in (0.2, 0.4)),
        replace(WITH, epochs=3, history="50:others"),
        replace(WITH, epochs=3, history="1000:own:others"),
        replace(WITH, epochs=3, embed_user=True, id_rate=0.3),
        replace(WITH, epochs=3, hidden=(128,)),
        *(replace(WITH, epochs=3, history="1000", history_dropout=share) for share in (0, 0.9)),
        Setting("1000", temperature=0.3, id_rate=0.3, epochs=3),
    ],
    "unseen": [
        Setting("50", embed_user=False),
        Setting("1000", embed_user=False),
        Setting("1000", id_rate=0.5),
        Setting("1000", embed_user=False, temperature=0.15),
        Setting("1000", embed_user=False, hidden=(128,)),
    ],
}


def read(folder: Path, setting: Setting) -> tuple[RawData, dict[str, np.ndarray]]:
    """The columns, and the log of the positives."""
    user = mt.Id("user_id", default_rate=setting.id_rate, embed=setting.embed_user)
    raw = atomic_files.read(folder, overrides={**OVERRIDES[folder.name], "user_id": user})
    liked = raw.interactions["rating"].astype(float) >= 4
    names = ("user_id", "item_id", "timestamp")
    return raw, {name: raw.interactions[name][liked] for name in names}


def returning(folder: Path, setting: Setting, part: str) -> tuple[mt.Dataset, mt.Evaluator]:
    """Split by date; the users with training clicks."""
    raw, log = read(folder, setting)
    data = mt.Dataset.from_columns(
        raw.schema, log, raw.users, raw.items, positive="all", split=mt.TimeSplit(0.1, 0.1)
    )
    return data, mt.Evaluator(data, part, (20,), users=np.unique(data.train.users))


def unseen(folder: Path, setting: Setting, part: str) -> tuple[mt.Dataset, mt.Evaluator]:
    """A tenth of the users held out whole; for tuning another tenth, and this one is not read."""
    raw, log = read(folder, setting)
    users, row = np.unique(log["user_id"].astype(str), return_inverse=True)
    tenth = np.random.default_rng(0).permutation(len(users))[row] % 10
    order = np.lexsort((log["timestamp"].astype(float), row))
    start = np.searchsorted(row[order], np.arange(len(users)))
    place = np.empty(len(row), np.int64)  # of each click among those of its user
    place[order] = np.arange(len(row)) - start[row[order]]
    is_given = place < np.ceil(0.8 * np.bincount(row)[row])
    held_out = tenth == (0 if part == "test" else 1)
    log["part"] = np.where(held_out, np.where(is_given, "valid", "test"), "train")
    if part != "test":
        log = {name: column[tenth > 0] for name, column in log.items()}
        held_out = held_out[tenth > 0]
    data = mt.Dataset.from_columns(
        raw.schema, log, raw.users, raw.items, positive="all", split=mt.GivenSplit("part")
    )
    return data, mt.Evaluator(data, "test", (20,), users=np.unique(data.test.users))


QUESTIONS: dict[str, Callable[..., tuple[mt.Dataset, mt.Evaluator]]] = {
    "returning": returning,
    "unseen": unseen,
}


def epochs(data: mt.Dataset, setting: Setting, seed: int) -> Iterator[mt.TwoTower]:
    """The model after each epoch."""
    history = None if setting.history == "none" else read_history_option(setting.history)
    regularization = mt.Regularization(
        setting.weight_decay,
        user_dropout=setting.user_dropout,
        history_dropout=setting.history_dropout,
    )
    model = mt.TwoTower(
        data.schema, dim=setting.dim, hidden=setting.hidden, history=history, seed=seed
    )
    trainer = mt.Trainer(
        model,
        data,
        objective=mt.InBatchSoftmax(setting.temperature),
        optimizer=mt.Adagrad(setting.rate),
        regularization=regularization,
        seed=seed,
    )
    for _ in range(setting.epochs):
        trainer.fit(1, validate=False)
        yield model


class ItemScorer:
    """The score of an item is the sum of a weight for each item of the user's history.

    Args:
        weights: makes (m,m) weights, from a history's item to a scored one, of the (n,m) clicks.
    """

    def __init__(self, weights: Callable[[Any], np.ndarray]) -> None:
        self.weights = weights

    def vectors(self, data: mt.Dataset) -> tuple[np.ndarray, np.ndarray]:
        """The clicks of each user before the test, and the weights of each item."""
        shape = len(data.users), len(data.items)
        seen, train = data.seen("test"), data.seen("valid")
        given = sparse.csr_array((np.ones(len(seen.values)), seen.values, seen.indptr), shape)
        clicks = sparse.csr_array((np.ones(len(train.values)), train.values, train.indptr), shape)
        return given.toarray(), self.weights(clicks).T


def ease(clicks: Any, strength: float) -> np.ndarray:
    """EASE: H. Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019."""
    gram = (clicks.T @ clicks).toarray()
    inverse = np.linalg.inv(gram + strength * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return weights


def item_knn(clicks: Any, k: int, shrinkage: float) -> np.ndarray:
    """Cosine of the columns of clicks, shrunk; the k nearest items of each item are kept."""
    gram = (clicks.T @ clicks).toarray()
    length = np.sqrt(np.diag(gram))
    cosine = gram / np.maximum(np.outer(length, length) + shrinkage, 1e-9)
    np.fill_diagonal(cosine, 0)
    lowest = -np.sort(-cosine, axis=0)[min(k, len(cosine)) - 1]
    return np.where(cosine >= lowest, cosine, 0)


BASELINES: dict[str, Callable[[], Any]] = {
    "most popular": mt.PopularityScorer,
    "ItemKNN": lambda: ItemScorer(lambda clicks: item_knn(clicks, 50, 0)),
    "EASE": lambda: ItemScorer(lambda clicks: ease(clicks, 1000)),
}
BASELINE_GRID: dict[str, Callable[[], Any]] = {"most popular": mt.PopularityScorer} | {
    f"ItemKNN {k} {s}": lambda k=k, s=s: ItemScorer(lambda clicks: item_knn(clicks, k, s))
    for k in (50, 200, 1000)
    for s in (0, 50)
} | {
    f"EASE {strength}": lambda strength=strength: ItemScorer(lambda c: ease(c, strength))
    for strength in (100, 300, 1000)
}  # fmt: skip


class Lines:
    """The results, one line of JSON for each unit."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.units = path, list[dict[str, Any]]()
        if path is not None and path.exists():
            self.units = [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    def add(self, key: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> None:
        """Measure a unit, unless its line is there."""
        key = json.loads(json.dumps(key))
        if any(all(unit.get(name) == value for name, value in key.items()) for unit in self.units):
            return
        start = time.perf_counter()
        unit = key | measure() | {"seconds": round(time.perf_counter() - start)}
        self.units.append(unit)
        print(json.dumps(unit), flush=True)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(unit) + "\n")


def figures(report: mt.Report) -> dict[str, float]:
    """The metrics of a report, rounded."""
    return {name: round(report[name], 5) for name in METRICS}


def tune(lines: Lines, folder: Path, question: str, grid: list[Setting]) -> None:
    """Every setting of a grid after every epoch, on validation, the mean of two seeds."""
    _, judge = QUESTIONS[question](folder, Setting(), "valid")
    for name, scorer in BASELINE_GRID.items() if question == "unseen" else ():
        key = {"question": question, "part": "valid", "name": name}
        lines.add(key, lambda scorer=scorer: figures(judge(scorer())))
    for setting in grid:

        def measure(setting=setting) -> dict[str, Any]:
            data, judge = QUESTIONS[question](folder, setting, "valid")
            runs = [[judge(m) for m in epochs(data, setting, seed)] for seed in TUNING_SEEDS]
            by_epoch = [
                {name: round(np.mean([r[name] for r in reports]), 5) for name in METRICS}
                for reports in zip(*runs, strict=True)
            ]
            best = max(by_epoch, key=lambda found: sum(found.values()))
            return best | {"epoch": by_epoch.index(best) + 1, "by_epoch": by_epoch}

        lines.add({"question": question, "part": "valid", "setting": asdict(setting)}, measure)


def run(lines: Lines, folder: Path, chosen: dict[str, dict[str, Setting]], seeds: range) -> None:
    """Every chosen setting with every seed, and the baselines, on test."""
    for question, settings in chosen.items():
        _, judge = QUESTIONS[question](folder, Setting(), "test")
        for name, scorer in BASELINES.items():
            key = {"question": question, "part": "test", "name": name, "seed": 0}
            lines.add(key, lambda scorer=scorer, judge=judge: figures(judge(scorer())))
        for name, setting in settings.items():
            for seed in seeds:

                def measure(question=question, setting=setting, seed=seed) -> dict[str, Any]:
                    data, judge = QUESTIONS[question](folder, setting, "test")
                    *_, model = epochs(data, setting, seed)
                    return figures(judge(model)) | {"users": len(judge.users)}

                key = {"question": question, "part": "test", "name": name, "seed": seed}
                lines.add({**key, "setting": asdict(setting)}, measure)


def summary(lines: Lines) -> str:
    """A table of means over seeds, and the differences that are promised."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for unit in lines.units:
        if unit["part"] == "test":
            groups.setdefault((unit["question"], unit["name"]), []).append(unit)
    rows: list[list[object]] = []
    for (question, name), units in groups.items():
        means = [f"{np.mean([u[m] for u in units]):.4f}" for m in METRICS]
        rows.append([question, name, len(units), *means])
    text = [table(["question", "model", "seeds", *METRICS], rows)]
    for arm in ("with", "earlier clicks"):
        pair = [groups.get(("returning", name), []) for name in (arm, "without")]
        for metric in METRICS if len(pair[0]) == len(pair[1]) > 1 else ():
            ours, theirs = ([unit[metric] for unit in units] for units in pair)
            found = stats.ttest_rel(ours, theirs)
            low, high = found.confidence_interval(0.95)
            text.append(
                f"returning, {metric}: {arm} - without {np.mean(ours) - np.mean(theirs):+.4f}, "
                f"95% interval over pairs of a seed {low:+.4f} to {high:+.4f}"
            )
    mean = lambda name, metric: np.mean([u[metric] for u in groups["unseen", name]])
    for name in BASELINES if ("unseen", "with") in groups else ():
        ratios = [mean("with", metric) / mean(name, metric) for metric in METRICS]
        text.append(f"unseen, over {name}: " + ", ".join(f"{r:.2f}" for r in ratios))
    return "\n".join(text)


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing from the file, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tune", choices=list(QUESTIONS))
    parser.add_argument("--out", type=Path, help="file of lines")
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it runs")
    options = parser.parse_args(arguments)
    folder = Path(os.environ.get("MINITOWER_DATA") or "nowhere")
    folder /= "ml-100k" if options.quick else "ml-1m"
    if not folder.is_dir():
        raise SystemExit(f"set MINITOWER_DATA to a folder that holds {folder.name}/")
    lines = Lines(options.out)
    if options.tune:
        tune(lines, folder, options.tune, GRIDS[options.tune])
        return
    chosen, seeds = CHOSEN, SEEDS
    if options.quick:
        tiny = lambda setting: replace(setting, epochs=1, dim=8)
        chosen = {q: {n: tiny(s) for n, s in group.items()} for q, group in CHOSEN.items()}
        seeds = range(2)
    run(lines, folder, chosen, seeds)
    print(summary(lines))


if __name__ == "__main__":
    main()
