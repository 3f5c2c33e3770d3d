"""Runs: which there are, one of them, and the file that keeps what they gave.

A unit is one model: trained, judged, and written as one line of JSON. Whatever is in the file is
not run again, so a run can be stopped at any time. Trials (one world, validation) come before
tests (other worlds or seeds), whose setting they choose.
"""

from __future__ import annotations

import importlib
import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from claim import Claim
from tasks import available, open_task

from minitower import __version__

SEEDS = range(1, 11)
COUNT = {"gowalla-split": 3, "living": 10}  # of seeds; elsewhere five
TRIAL_SEED = 0


@dataclass(frozen=True)
class Unit:
    """One model to train. ``setting`` is a sorted tuple of names and values."""

    claim: str
    task: str
    arm: str
    seed: int
    trial: bool
    setting: tuple[tuple[str, float], ...]

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes it the same unit in another run."""
        setting = self.setting if self.trial else ()
        return self.claim, self.task, self.arm, self.seed, setting


def load_claim(name: str) -> Claim:
    """The claim that the module of this name states."""
    claim: Claim = importlib.import_module(name).CLAIM
    return claim


class Results:
    """The lines of a results file, and the way to add one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        text = path.read_text() if path.exists() else ""
        self.lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def add(self, line: dict[str, Any]) -> None:
        """Keep a line: in memory, and at the end of the file."""
        self.lines.append(line)
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def keys(self) -> set[tuple[Any, ...]]:
        """Of all units that were run."""
        return {_unit(line).key for line in self.lines}

    def of(self, claim: str, task: str, arm: str, trial: bool) -> list[dict[str, Any]]:
        """The lines of an arm, by seed."""
        claim, arm = load_claim(claim).arms[arm].same_as or (claim, arm)
        wanted = (claim, task, arm, trial)
        found = [x for x in self.lines if (x["claim"], x["task"], x["arm"], x["trial"]) == wanted]
        return sorted(found, key=lambda line: line["seed"])


def _unit(line: Mapping[str, Any]) -> Unit:
    names = ("claim", "task", "arm", "seed", "trial")
    return Unit(*(line[name] for name in names), tuple(sorted(line["setting"].items())))


def trials(
    names: Iterable[str], tasks: Iterable[str], results: Results, quick: bool, upon: bool
) -> Iterator[Unit]:
    """Every setting of every arm, on validation; when quick, two of them.

    Those of arms upon another one's setting come after that one's.
    """
    for name, task, arm in _arms(names, tasks):
        own = load_claim(name).arms[arm]
        if own.trials_of is None and (own.upon is not None) == upon:
            first = {} if own.upon is None else _chosen(results, own.upon[0], task, own.upon[1])
            for setting in own.trials[: 2 if quick else None]:
                whole = tuple(sorted({**first, **setting}.items()))
                yield Unit(name, task, arm, TRIAL_SEED, True, whole)


def tests(
    names: Iterable[str], tasks: Iterable[str], results: Results, quick: bool
) -> Iterator[Unit]:
    """Every arm with the setting that its trials chose, over the seeds."""
    for name, task, arm in _arms(names, tasks):
        own = load_claim(name).arms[arm]
        setting = tuple(sorted(_chosen(results, name, task, own.trials_of or arm).items()))
        count = 2 if quick else COUNT.get(task, 5)
        for seed in SEEDS[: min(count, own.seeds or count)]:
            yield Unit(name, task, arm, seed, False, setting)
        for line in results.of(name, task, arm, False):
            if tuple(sorted(line["setting"].items())) != setting:
                raise SystemExit(
                    f"{results.path}: {name}, {arm} on {task} was tested with {line['setting']}, "
                    f"and its trials now choose {dict(setting)}: remove those lines"
                )


def _chosen(results: Results, claim: str, task: str, arm: str) -> dict[str, float]:
    tried = results.of(claim, task, arm, True)
    if not tried:
        raise SystemExit(f"{claim}: run its arm {arm!r} on {task} first, or beside this one")
    setting: dict[str, float] = max(tried, key=lambda line: line["figures"]["valid"])["setting"]
    return setting


def _arms(names: Iterable[str], tasks: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    for task in tasks:
        for name in names:
            if task in load_claim(name).tasks and available(task):
                for arm in load_claim(name).arms_on(task):
                    if load_claim(name).arms[arm].same_as is None:
                        yield name, task, arm


def run(unit: Unit, quick: bool) -> dict[str, Any]:
    """Train and judge: the line of a unit."""
    start = time.perf_counter()
    claim = load_claim(unit.claim)
    task: Any = open_task(unit.task, unit.seed, quick)
    opened = time.perf_counter()
    arm = claim.arms[unit.arm]
    model, epochs, best_epoch = task.train(arm, dict(unit.setting), unit.seed)
    trained = time.perf_counter()
    if unit.trial:
        figures = {"valid": task.validate(model)}
    else:
        figures = (claim.measure or _judged)(task, model)
    return {
        **asdict(replace(unit, setting=())),
        "setting": dict(unit.setting),
        "figures": {n: round(value, 6) for n, value in figures.items() if not np.isnan(value)},
        "epochs": epochs,
        "best_epoch": best_epoch,
        "seconds": {
            "data": round(opened - start, 1),
            "training": round(trained - opened, 1),
            "all": round(time.perf_counter() - start, 1),
        },
        "versions": {
            "minitower": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def _judged(task: Any, model: Any) -> dict[str, float]:
    figures: dict[str, float] = task.judge(model)
    return figures


def run_all(units: Iterable[Unit], results: Results, jobs: int, quick: bool) -> None:
    """Run what the file does not have yet, several at a time."""
    have = results.keys()
    todo = sorted((u for u in units if u.key not in have), key=lambda u: (u.task, u.seed))
    if not todo:
        return
    print(f"{len(todo)} models to train", flush=True)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        waiting = {pool.submit(run, unit, quick): unit for unit in todo}
        for done, future in enumerate(as_completed(waiting), start=1):
            line = future.result()
            results.add(line)
            figure = next(iter(line["figures"].items()))
            print(
                f"{done}/{len(todo)} {line['claim']} {line['task']} {line['arm']} "
                f"seed {line['seed']} {line['setting']}: {figure[0]} {figure[1]:.4f} "
                f"({line['seconds']['all']} s)",
                flush=True,
            )
