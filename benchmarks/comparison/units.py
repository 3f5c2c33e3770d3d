"""Units: one arm trained with one setting and seed, in a process of its own, on one thread.

Its line has CPU seconds and figures by epoch. What measures a model does not count.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib.metadata import version
from multiprocessing import get_context
from typing import Any

import minitower as mt

from .arms import ARMS, MINITOWER
from .lines import READING, Line, Lines, Refused
from .recipe import Setting, settings_of_parts
from .splits import CHOOSES, METRICS, is_there, open_split

LIMIT = 1_200
"""CPU seconds of a unit that chooses; it ends at the first epoch after them."""

DISTRIBUTIONS = {"tensorflow": "tensorflow-cpu", "lightfm": "rectools-lightfm"}


class OutOfTime(Exception):
    """The unit has used its CPU seconds."""


class Watch:
    """Counts the CPU seconds of training, and stops while a model is measured.

    Args:
        judge: of a model, the report of a part.
        epochs: to train.
        every: epochs from one measure to the next; the last is always measured.
        limit: CPU seconds, measures included; None: no limit.

    Attributes:
        points: epoch, CPU seconds so far, and figures, for each measure.
    """

    def __init__(self, judge: mt.Evaluator, epochs: int, every: int, limit: float | None) -> None:
        self.judge, self.epochs, self.every, self.limit = judge, epochs, every, limit
        self.points: list[dict[str, float]] = []
        self.epoch, self.cpu = 0, 0.0
        self._begin = self._start = time.process_time()

    def at_start(self, model: Any) -> None:
        """Measure a model that begins at more than random rows, as epoch 0."""
        self.cpu += time.process_time() - self._start
        if self.every < self.epochs or self.epochs == 0:  # else the last epoch alone counts
            self._measure(model)
        self._start = time.process_time()

    def after_epoch(self, model: Any) -> None:
        """Measure a model that has trained one epoch more.

        Raises OutOfTime: the unit ends here.
        """
        self.cpu += time.process_time() - self._start
        self.epoch += 1
        out_of_time = self.limit is not None and time.process_time() - self._begin > self.limit
        if self.epoch % self.every == 0 or self.epoch == self.epochs or out_of_time:
            self._measure(model)
        if out_of_time and self.epoch < self.epochs:
            raise OutOfTime
        self._start = time.process_time()

    def _measure(self, model: Any) -> None:
        report = self.judge(model)
        figures = {name: round(report[name], 6) for name in METRICS}
        self.points.append({"epoch": self.epoch, "cpu": round(self.cpu, 2), **figures})


def todo(
    lines: Lines, kind: str, splits: Iterable[str], arms: Iterable[str], extra: Setting
) -> Iterator[Line]:
    """The units of a kind that the file lacks.

    Args:
        extra: changes to the first setting of each arm, which a search tries besides; {}: none.
    """
    for split in splits:
        for name in arms:
            arm = ARMS[name]
            if not arm.runs_on(split) or not is_there(split):
                continue
            if kind in READING and not arm.tested:
                continue
            if arm.missing:
                print(f'{name}: not installed, skipped; pip install "minitower[peers]"')
                continue
            for setting, seed, epochs in _of_arm(lines, kind, split, name, extra):
                unit = {"kind": kind, "split": split, "arm": name, "setting": setting, "seed": seed}
                if not lines.has(unit):
                    lines.check(unit)
                    yield {**unit, "epochs": epochs}


def _of_arm(
    lines: Lines, kind: str, split: str, name: str, extra: Setting
) -> Iterator[tuple[Setting, int, int]]:
    """Setting, seed and epochs of each unit of an arm."""
    arm = ARMS[name]
    if kind == "search":
        tries = arm.tries(split)
        if extra and tries:
            unknown = sorted(extra.keys() - tries[0].keys())
            if unknown:
                raise Refused(f"{name} has no setting {', '.join(unknown)}")
            tries = [{**tries[0], **extra}]
        for setting in tries:
            yield setting, 0, setting.get("epochs", 1)
        return
    if kind == "parts":
        for setting in settings_of_parts(split) if name == MINITOWER else ():
            for seed in range(arm.seeds):
                yield setting, seed, setting["epochs"]
        return
    setting = lines.chosen(split, name)
    epochs = setting.get("epochs", 1)
    if kind == "habit" and epochs == 1:
        return  # it has no epoch to choose
    if kind == "test":
        epochs = lines.epochs(split, name, setting)
    for seed in range(arm.seeds):
        yield setting, seed, epochs


def run(unit: Line) -> Line:
    """Train and measure: the line of a unit."""
    start = time.perf_counter()
    arm, setting, kind = ARMS[unit["arm"]], unit["setting"], unit["kind"]
    given = {name: setting[name] for name in ("id_rate", "embed_user") if name in setting}
    part = "test" if kind in READING else "valid"
    split = open_split(unit["split"], part, sample=kind == "search", **given)
    arm.start()
    few = {"test": max(1, unit["epochs"]), "parts": max(1, unit["epochs"] // 4)}
    every = few.get(kind, arm.every)
    limit = None if kind in READING else LIMIT
    watch = Watch(split.judge, unit["epochs"], every, limit)
    stopped = False
    try:
        arm.train(split.data, setting, unit["seed"], watch)
    except OutOfTime:
        stopped = True
    best = max(watch.points, key=lambda point: point[CHOOSES])
    return {
        **unit,
        "best_epoch": best["epoch"],
        "figures": {name: best[name] for name in METRICS},
        "cpu": round(watch.cpu, 2),
        "by_epoch": watch.points,
        "out_of_time": stopped,
        "users": len(split.judge.users),
        "seconds": round(time.perf_counter() - start, 1),
        "versions": {
            "python": platform.python_version(),
            "minitower": mt.__version__,
            **{name: version(name) for name in ("numpy", "scipy")},
            **{name: version(DISTRIBUTIONS.get(name, name)) for name in arm.needs},
        },
    }


def run_all(units: list[Line], lines: Lines, jobs: int) -> None:
    """Run units, several at a time, each in a new process; with no jobs, all in this one."""
    if not units:
        return
    print(f"{units[0]['kind']}: {len(units)} units to run", flush=True)
    for done, line in enumerate(map(run, units) if not jobs else _apart(units, jobs), start=1):
        lines.add(line)
        print(f"{done}/{len(units)} {described(line)}", flush=True)


def _apart(units: list[Line], jobs: int) -> Iterator[Line]:
    """The lines of units as they come, each from a process of its own."""
    context = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        waiting = [pool.submit(run, unit) for unit in units]
        try:
            for future in as_completed(waiting):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def described(line: Line) -> str:
    """A line for a person."""
    figures = " ".join(f"{name} {value:.4f}" for name, value in line["figures"].items())
    return (
        f"{line['kind']} {line['split']} {line['arm']} seed {line['seed']}: {figures} at epoch "
        f"{line['best_epoch']} of {line['epochs']}, {line['cpu']:.0f} CPU s "
        f"({line['seconds']:.0f} s in all)"
    )
