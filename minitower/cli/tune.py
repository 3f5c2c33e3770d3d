"""``tune``: search for good settings, and write the best as a job file for ``train``.

Chapter 23.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from minitower.cli.arguments import without
from minitower.cli.terminal import row, say
from minitower.cli.train import UNPUBLISHED, Publishing, read_job, read_toml
from minitower.data.errors import DataError
from minitower.data.files import write_file
from minitower.data.job_file import toml
from minitower.data.layouts import Reading
from minitower.data.option_values import Options
from minitower.data.options import Option, checked_path, declared
from minitower.data.source import open_folder
from minitower.towers.user_history import NO_HISTORY
from minitower.training import tune as search
from minitower.training.search_space import read_space
from minitower.training.study import Trial, need_optuna


def tune(
    data: Annotated[Path | None, Option("folder of data", metavar="DATA")] = None,
    *,
    job: Annotated[Path | None, Option("TOML job file of what is fixed; may name data")] = None,
    space: Annotated[
        Path | None,
        Option(
            "TOML file of what is searched: a list of values for an option, or a table such as "
            "{low = 0.03, high = 0.3, log = true} (default: temperature, learning rate, dim, "
            "hidden, regularization, negatives)"
        ),
    ] = None,
    budget: search.Budget = "20m",
    trials: search.Trials = None,
    pruner: search.Pruner = "median",
    out: Annotated[Path, Option("job file of the best; the study stands beside it")] = Path(
        "best.toml"
    ),
    typed: Annotated[Mapping[str, Any], UNPUBLISHED],
) -> None:
    """Train many models, each with other settings, and write the best as a job file.

    The models learn from the training part and are measured on the validation part; the test part
    is never read. Print a table of all trials, best first, and write the best settings as a job
    file for train --job. What flags or --job set is fixed; the rest of the space is searched. The
    study beside the job file (best.toml, best.db) lets the same command go on later; Ctrl-C keeps
    what is there.
    """
    need_optuna()
    places, table = ({}, {}) if job is None else read_toml(job)
    folder = data or places.get("data")
    if folder is None:
        raise DataError("tune: name a folder of data, or a job file with the key 'data'")
    if job is not None:
        table = without(table, declared(Publishing))
    options = read_job(typed, (str(job), table))
    searched = None
    if space is not None:
        paths, searched = read_toml(space)
        read_space({**paths, **searched}, options.known, str(space))
    study = _study_file(out)
    source = open_folder(folder, options.make(Reading))
    say(*source.remarks)
    metric = options["metric"]

    nothing_lost = not study.exists()

    def on_trial(trial: Trial, so_far: search.Tuning) -> None:
        nonlocal nothing_lost
        found = trial.note if trial.value is None else f"{metric} {trial.value:.4f}"
        best = so_far.ranked[0]
        nothing_lost = nothing_lost and best.value is None
        than = "" if best.value is None else f"; best: trial {best.number}, {best.value:.4f}"
        say(f"trial {trial.number} {trial.state}: {found or 'no epoch'}{than}")

    try:
        result = search.tune(
            source.data, options, space=searched, budget=budget, trials=trials, study=study,
            pruner=pruner, on_trial=on_trial,
        )  # fmt: skip
        if result.interrupted and all(trial.value is None for trial in result.trials):
            raise KeyboardInterrupt
        first = result.best
    except (DataError, KeyboardInterrupt):
        if nothing_lost:  # the next try may be another search
            study.unlink(missing_ok=True)
        raise
    _print_table(result)
    write_file(out, _job(result, folder, out).encode())
    say(
        f"{out}: trial {first.number}, {metric} {first.value:.4f} on validation; "
        f"train it with: minitower train --job {out}"
    )
    if result.interrupted:
        raise KeyboardInterrupt


def _study_file(out: Path) -> Path:
    """The study beside the job file.

    Raises:
        DataError: the job file could not be written, or would replace one of something else.
    """
    checked_path("--out", out)
    study = out.with_suffix(".db")
    if study == out:
        raise DataError(f"{out}: the study takes the name; name the job file .toml")
    if out.is_dir() or not out.parent.is_dir():
        raise DataError(f"{out}: is a folder, or its folder is missing; name a file for the job")
    if out.exists() and not study.exists():
        raise DataError(f"{out}: exists, and {study} does not: name another file with --out")
    return study


def _print_table(result: search.Tuning) -> None:
    names = list(result.trials[0].settings) if result.trials else []
    row("trial", result.metric, "epoch", "epochs", "seconds", "state", *names)
    for trial in result.ranked:
        value = "" if trial.value is None else f"{trial.value:.6f}"
        settings = (_cell(trial.settings[name]) for name in names)
        row(
            trial.number, value, trial.epoch, trial.epochs, f"{trial.seconds:.1f}", trial.state,
            *settings,
        )  # fmt: skip


def _cell(value: Any) -> Any:
    if value is None:  # the one option whose value None a space can hold
        return NO_HISTORY
    return ",".join(map(str, value)) if isinstance(value, tuple) else value


def _job(result: search.Tuning, folder: Path, out: Path) -> str:
    """The best trial as TOML: the data, what was fixed, and what was found."""
    best: Options = result.options
    reading = best.make(Reading).to_job(out.parent)
    given = {name: best[name] for name in best if name in best.given and name not in reading}
    if "history" in given:
        given["history"] = str(given["history"] or NO_HISTORY)
    data = os.path.relpath(folder.absolute(), out.absolute().parent)
    about = f"trial {result.best.number} of minitower tune, {result.metric} {result.best.value:.6f}"
    return f"# {about} on validation\n{toml({'data': data, **reading, **given})}"
