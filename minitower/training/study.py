"""The Optuna side of ``tune``: a study in a file, and one trial of it (extra ``tune``).

Chapter 23.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data import DataError, Dataset
from minitower.data.option_values import Options
from minitower.training.gradient_step import TrainingError
from minitower.training.history import Progress
from minitower.training.recipe import fit_by_options
from minitower.training.search_space import Space

_NAME = "minitower"  # of the study, and of what minitower notes in it


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes:
        number: its number in the study, from 0.
        settings: the searched options and their values.
        state: "done", "pruned" (fell behind), "stopped" (the budget or Ctrl-C ended it) or
            "failed".
        value: the largest value of the metric on validation; None: no epoch was measured.
        epoch: the epoch of that value; 0 without one.
        epochs: the number of epochs that were measured.
        seconds: the duration.
        note: why it failed.
    """

    number: int
    settings: Mapping[str, Any]
    state: str = "done"
    value: float | None = None
    epoch: int = 0
    epochs: int = 0
    seconds: float = 0.0
    note: str = ""


def need_optuna() -> None:
    """Raise ModuleNotFoundError where Optuna is missing; the message names the extra."""
    if find_spec("optuna") is None:
        raise ModuleNotFoundError('tune needs Optuna: pip install "minitower[tune]"')


def open_study(
    path: Path | None, identity: Mapping[str, Any], pruner: str, seed: int, epochs: int
) -> Any:
    """Open the study of a file, or begin it.

    Args:
        path: an SQLite file, made where it is missing; None: in memory.
        identity: what is searched; a study of something else is refused.
        pruner: "median", "hyperband" or "none".
        seed: of the sampler. A study that goes on draws other numbers than it has drawn.
        epochs: of a trial, for the pruner.

    Raises:
        DataError: the file is no study of minitower, cannot be opened, or searched something else.
    """
    import sqlite3

    import optuna

    if path is not None:
        _check_file(path)
    with _quiet(optuna), storage_errors(path, RuntimeError):  # of another version of Optuna
        storage = (
            optuna.storages.InMemoryStorage()
            if path is None
            else optuna.storages.RDBStorage(
                "sqlite://", engine_kwargs={"creator": lambda: sqlite3.connect(path, 60)}
            )
        )
        pruners = {
            "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=2),
            "hyperband": lambda: optuna.pruners.HyperbandPruner(max_resource=max(epochs, 1)),
            "none": optuna.pruners.NopPruner,
        }
        study = optuna.create_study(
            storage=storage,
            study_name=_NAME,
            direction="maximize",
            pruner=pruners[pruner](),
            load_if_exists=True,
        )
        asked = len(study.trials)
        entropy = np.random.SeedSequence([seed, asked]).generate_state(1)
        study.sampler = optuna.samplers.TPESampler(seed=int(entropy[0]))
        noted = study.user_attrs.get(_NAME)
        if noted is None:
            study.set_user_attr(_NAME, dict(identity))
            return study
    for what, value in identity.items():
        if noted.get(what) != json.loads(json.dumps(value)):
            other = "another space" if what == "space" else f"other {what}"
            raise DataError(f"{path}: this study is of {other}; name another file")
    return study


def run_trial(study: Any, data: Dataset, base: Options, space: Space, deadline: float) -> Trial:
    """Train one model with what the study suggests, and tell the study.

    Args:
        study: from :func:`open_study`.
        data: trains on ``data.train`` and measures on ``data.valid``.
        base: all options; those of the space change.
        space: what the study chooses.
        deadline: when training must stop, by ``time.monotonic``.

    Raises:
        KeyboardInterrupt: Ctrl-C; the study holds the epochs that were measured.
    """
    import optuna

    states, metric = optuna.trial.TrialState, base["metric"]
    asked = study.ask()
    found = {name: part.suggest(asked, name) for name, part in space.items()}
    settings = {name: base.known[name].read(value) for name, value in found.items()}
    trial, started = Trial(asked.number, settings), time.monotonic()
    interrupted = False

    def on_progress(progress: Progress) -> None:
        nonlocal trial
        if metric in progress.metrics:
            value = progress.metrics[metric]
            asked.report(value, progress.epoch)
            if trial.value is None or value > trial.value:
                trial = replace(trial, value=value, epoch=progress.epoch)
            trial = replace(trial, epochs=progress.epoch)
            if progress.epoch < progress.epochs and asked.should_prune():
                raise _Stopped("pruned")
        ended = progress.epoch == progress.epochs and progress.step == progress.steps
        if not ended and time.monotonic() >= deadline:
            raise _Stopped("stopped")

    try:
        fit_by_options(base.but(**settings), data, on_progress)
    except _Stopped as reason:
        trial = replace(trial, state=str(reason))
    except KeyboardInterrupt:
        trial, interrupted = replace(trial, state="stopped"), True
    except (DataError, TrainingError) as error:
        trial = replace(trial, state="failed", note=str(error))
    trial = replace(trial, seconds=round(time.monotonic() - started, 3))
    outcome = {name: value for name, value in asdict(trial).items() if name != "settings"}
    asked.set_user_attr(_NAME, outcome)
    # A stopped trial has seen fewer epochs than the others, as a pruned one has.
    whole = states.COMPLETE if trial.state == "done" else states.PRUNED
    failed = trial.value is None or trial.state == "failed"
    state = states.FAIL if failed else whole
    study.tell(asked, trial.value if state == states.COMPLETE else None, state)
    if interrupted:
        raise KeyboardInterrupt
    return trial


def finished_trials(study: Any, base: Options, space: Space) -> tuple[Trial, ...]:
    """All trials of a study that have ended, in their order."""
    trials = []
    for one in study.get_trials(deepcopy=False):
        outcome = one.user_attrs.get(_NAME)
        if outcome is not None and one.state.is_finished():
            settings = {
                name: base.known[name].read(part.used(one.params[name]))
                for name, part in space.items()
            }
            trials.append(Trial(settings=settings, **outcome))
    return tuple(trials)


class _Stopped(Exception):
    """Ends the training of a trial."""


def _check_file(path: Path) -> None:
    """Refuse a file that is no study, before Optuna makes its tables in it."""
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder; name a file" if path.is_dir() else f"{path.parent} is no folder"
        raise DataError(f"{path}: {what}")
    if not path.exists():
        return
    if not path.is_file():
        raise DataError(f"{path}: is no regular file")
    import sqlite3

    with storage_errors(path):
        connection = sqlite3.connect(path, 60)
        try:
            query = "select count(*) from sqlite_master where name in ('studies', 'trials')"
            tables = connection.execute(query).fetchone()[0]
        finally:
            connection.close()
    if tables != 2:
        raise DataError(f"{path}: is no study of minitower; name another file")


@contextmanager
def storage_errors(path: Path | None, *more: type[Exception]) -> Iterator[None]:
    """Turn an error of the file of a study into one line that names it.

    Args:
        path: the file; None: the study is in memory.
        more: further errors to turn.
    """
    if path is None:
        yield
        return
    import sqlite3

    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    of_storage: tuple[type[Exception], ...] = (
        sqlite3.Error, SQLAlchemyError, StorageInternalError, *more
    )  # fmt: skip
    try:
        yield
    except of_storage as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        reason = str(cause).partition("\n")[0]
        raise DataError(f"{path}: the study cannot be read or written: {reason}") from error


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Silence Optuna's remarks on the study that it makes or loads."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
