"""Search for the settings of training that are best on validation, with Optuna. Chapter 23.

Every trial trains a model of its own with :func:`minitower.training.recipe.fit_by_options`.
Optuna chooses what to try (TPE, seeded), and a pruner ends trials that fall behind. A file keeps
all of it, so that a search can be stopped and resumed. The test part is never read.

Reference: J. Bergstra, R. Bardenet, Y. Bengio, B. Kegl, Algorithms for hyper-parameter
    optimization, NIPS 2011 (TPE); T. Akiba et al., Optuna, KDD 2019.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from minitower.data import DataError, Dataset
from minitower.data.errors import show
from minitower.data.log import Interactions
from minitower.data.option_values import Options, read_options
from minitower.data.options import Option, checked, declared, option
from minitower.formulas.arguments import choice
from minitower.towers.two_tower import TwoTower
from minitower.training.recipe import TRAINING
from minitower.training.search_space import Space, default_space, read_space, start
from minitower.training.spectral_start import start_model
from minitower.training.study import (
    Trial,
    finished_trials,
    need_optuna,
    open_study,
    run_trial,
    storage_errors,
)
from minitower.training.trainer import Trainer
from minitower.training.validation import Validation

KNOWN = {**declared(TwoTower, start_model), **TRAINING, **declared(Trainer.fit)}
"""The options of a training, by name."""

FAILURES = 10
"""Trials that may fail one after the other before the search ends."""

_UNITS = {"s": 1, "m": 60, "h": 3600}
_LONGEST = 1e7  # seconds, 115 days


def read_budget(value: Any) -> float:
    """Seconds: a number, or a string such as "90s", "20m" or "1.5h".

    Raises:
        ValueError: the value is no time above 0.

    >>> read_budget("20m")
    1200.0
    """
    found = value
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)([smh])", value)
        found = float(match[1]) * _UNITS[match[2]] if match else math.nan
    number = isinstance(found, int | float) and not isinstance(found, bool)
    if not number or not 0 < found <= _LONGEST:
        raise ValueError("expected a time such as 90s, 20m or 1.5h, at most 10,000,000 s")
    return float(found)


Budget = Annotated[
    str,
    Option("time to search: seconds, minutes or hours", parse=read_budget, metavar="TIME"),
]
Trials = Annotated[int | None, Option("at most this many trials in this run", 1, metavar="N")]
Pruner = Annotated[
    Literal["median", "hyperband", "none"],
    Option("what ends a trial that falls behind, after an epoch"),
]


@dataclass(frozen=True)
class Tuning:
    """The result of a search.

    Attributes:
        metric: the metric on validation.
        trials: all finished trials of the study, in their order.
        base: the options that no trial changes.
        interrupted: whether Ctrl-C ended the search.
    """

    metric: str
    trials: tuple[Trial, ...]
    base: Options
    interrupted: bool = False

    @property
    def ranked(self) -> list[Trial]:
        """Best first; those without a value last."""
        worst = -math.inf
        return sorted(self.trials, key=lambda t: -(worst if t.value is None else t.value))

    @property
    def best(self) -> Trial:
        """The trial of the largest value, the first of equal ones.

        Raises:
            DataError: no trial has finished an epoch.
        """
        for trial in self.ranked[:1]:
            if trial.value is not None:
                return trial
        notes = [trial.note for trial in self.trials if trial.note]
        why = f"the last has failed, {notes[-1]}" if notes else "give the search a larger budget"
        raise DataError(f"no trial has finished an epoch: {why}")

    @property
    def options(self) -> Options:
        """All options of the best trial, for :func:`minitower.training.recipe.fit_by_options`."""
        return self.base.but(**self.best.settings)


def tune(
    data: Dataset,
    options: Mapping[str, Any] | None = None,
    *,
    space: Mapping[str, Any] | None = None,
    budget: Budget | float = "20m",
    trials: Trials = None,
    study: Path | str | None = None,
    pruner: Pruner = "median",
    on_trial: Callable[[Trial, Tuning], object] | None = None,
) -> Tuning:
    """Search for the options whose model is best on validation.

    The first trial takes the options as they are. With one thread of BLAS the same seed and
    number of trials give the same search. Ctrl-C ends the search, and what has been measured
    counts.

    Args:
        data: trains on ``data.train`` and measures on ``data.valid``.
        options: options of ``train`` by name that no trial changes, such as {"epochs": 5}.
        space: what to search (:mod:`minitower.training.search_space`); None: its default, without
            what `options` fix.
        budget: seconds, or a string such as "20m", of this call. A trial that runs at its end
            is stopped, and the epochs that it has finished count.
        trials: the largest number of trials of this call; None: as many as the budget allows.
        study: SQLite file that keeps the trials; a later call resumes. None: nothing is kept.
        pruner: "median" ends a trial below the median of the others at the same epoch.
        on_trial: called after every trial with the trial and the search so far.

    Raises:
        ModuleNotFoundError: Optuna is missing.
        DataError: there is nothing to validate on; an option or the space is wrong; the study
            is of another search, or its file fails; or :data:`FAILURES` trials have failed in
            a row.

    Properties: reads_no_test, same_seed_same_search, goes_on_from_its_file,
        first_trial_is_the_start, best_is_reproduced
    """
    need_optuna()
    base = options if isinstance(options, Options) else _read(options)
    searched = default_space(base) if space is None else read_space(space, base.known)
    for name in searched:
        if name in base.given:
            raise DataError(f"{name} is both fixed and searched: leave it out of one of the two")
    deadline = time.monotonic() + _seconds(budget)
    most = math.inf if trials is None else option("trials", trials, 1)
    checked(choice, "pruner", pruner, ("median", "hyperband", "none"))
    nothing = Interactions(np.empty(0, np.int64), np.empty(0, np.int64))
    data = replace(data, test=nothing, remake=None)  # no trial can read the test part
    if not Validation(data, base["metric"]).can_measure:
        raise DataError("tune measures on validation, but that part has nothing new to find")
    path = None if study is None else Path(study)
    opened = open_study(path, _identity(data, base, searched), pruner, base["seed"], base["epochs"])
    made = failures = 0
    interrupted = False

    def result() -> Tuning:
        return Tuning(base["metric"], finished_trials(opened, base, searched), base, interrupted)

    try:
        if not opened.trials:
            with storage_errors(path):
                opened.enqueue_trial(start(searched, base))
        while time.monotonic() < deadline and made < most:
            with storage_errors(path):
                trial = run_trial(opened, data, base, searched, deadline)
            made, failures = made + 1, failures + 1 if trial.state == "failed" else 0
            if on_trial is not None:
                on_trial(trial, result())
            if failures == FAILURES:
                raise DataError(f"{failures} trials in a row have failed, the last: {trial.note}")
    except KeyboardInterrupt:
        interrupted = True
    return result()


def _identity(data: Dataset, base: Options, space: Space) -> dict[str, Any]:
    """What a study searches: it goes on only with the same."""
    state, arrays = data.schema.to_state()
    parts = [(p.users, p.items, p.timestamps, p.weights) for p in (data.train, data.valid)]
    pairs = [array for part in parts for array in part if array is not None]
    content = hashlib.sha256(json.dumps(state, sort_keys=True, default=str).encode())
    for array in (*(arrays[name] for name in sorted(arrays)), *pairs):
        content.update(np.ascontiguousarray(array).tobytes())
    fixed = {name: base[name] for name in KNOWN if name in base and name not in space}
    return {
        "data": content.hexdigest(),
        "space": {name: part.to_json() for name, part in space.items()},
        "options": json.loads(json.dumps(fixed, default=str)),
    }


def _read(options: Mapping[str, Any] | None) -> Options:
    return read_options(KNOWN, {}, ("options", options or {}))


def _seconds(budget: Any) -> float:
    try:
        return read_budget(budget)
    except ValueError as error:
        raise DataError(f"budget: {error}, got {show(budget)}") from None
