"""``train``: options from flags and from a TOML job file, then read, train, index and publish.

Chapter 4.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from minitower.cli.arguments import without
from minitower.cli.terminal import ItemsBar, TrainingBar, row, say
from minitower.data.errors import DataError, show
from minitower.data.files import read_regular
from minitower.data.layouts import Reading
from minitower.data.option_values import Options, read_options
from minitower.data.options import Option, checked, declared
from minitower.data.source import open_folder
from minitower.evaluation.evaluator import Evaluator, NothingToFind, PopularityScorer
from minitower.evaluation.report import Report
from minitower.search.approximate import ENGINES, ApproximateIndex
from minitower.store.full_version import publish_model
from minitower.store.model_files import check_engine
from minitower.store.new_folder import check_target
from minitower.store.provenance import provenance
from minitower.towers.schedules import EpochSchedule
from minitower.towers.two_tower import TwoTower
from minitower.training.recipe import TRAINING, fit_by_options
from minitower.training.self_supervised import SelfSupervised
from minitower.training.spectral_start import start_model
from minitower.training.trainer import Trainer


@dataclass(frozen=True)
class Publishing:
    """What ``train`` publishes."""

    refit: Annotated[
        bool,
        Option(
            "after measuring, train once more on all interactions for the epochs that validation "
            "chose, and publish that model"
        ),
    ] = True
    index: Annotated[
        str, Option("index of the item vectors; updates keep it", choices=("exact", *ENGINES))
    ] = "hnsw"


READING = declared(Reading)
_MODEL = without(declared(TwoTower, start_model), READING)
_VIEWS = {"self_supervised": TRAINING["self_supervised"], **declared(SelfSupervised)}
_FITTING = declared(Trainer.fit, EpochSchedule, Publishing)
OPTIONS = {**READING, **_MODEL, **TRAINING, **_FITTING}
GROUPS = {
    "the data": READING,
    "the model": _MODEL,
    "self-supervised learning": _VIEWS,
    "the training": without({**TRAINING, **_FITTING}, {*READING, *_VIEWS}),
}
"""The options by subject, as ``--help`` shows them."""

UNPUBLISHED = {title: without(group, declared(Publishing)) for title, group in GROUPS.items()}
"""The options of commands that train, but publish nothing."""

PLACES = ("data", "out", "history_file")
"""Keys of a job file besides the options: paths, relative to the job file."""

_TABLES = ("users", "items")  # options that are paths, relative to the job file, too

_LARGEST = 1 << 20  # bytes of a job file


def train(
    data: Annotated[Path | None, Option("folder of data", metavar="DATA")] = None,
    *,
    job: Annotated[
        Path | None, Option("TOML job file; may name data, out and history_file")
    ] = None,
    out: Annotated[Path | None, Option("where to write (default: model)", metavar="FOLDER")] = None,
    history_file: Annotated[
        Path | None, Option("append a line of JSON to this file after each epoch")
    ] = None,
    typed: Annotated[Mapping[str, Any], GROUPS],
) -> None:
    """Read a folder of data, train, and write a model to a folder.

    The data is plain tables: interactions.csv or .parquet, and perhaps users.* and items.*; a
    table may be a folder of files. Or it is RecBole atomic files (.inter, .user, .item),
    MovieLens-100K or -1M, or split files (train.txt, test.txt). Train; measure on the test part;
    train once more on everything; build the index. Write everything that recall and update need
    to a folder, and print its path. A TOML job file, such as 'minitower inspect' prints, may hold
    options under the names of the flags, with underscores; flags win.
    """
    places, table = ({}, {}) if job is None else read_toml(job)
    folder, out = data or places.get("data"), out or places.get("out") or Path("model")
    history_file = history_file or places.get("history_file")
    if folder is None:
        raise DataError("train: name a folder of data, or a job file with the key 'data'")
    options = read_job(typed, (str(job), table))
    publishing = options.make(Publishing)
    check_target(out)  # before an hour of training, not after it
    check_engine(publishing.index)
    reading, metric = options.make(Reading), options["metric"]
    source = open_folder(folder, reading)
    say(*source.remarks)
    with TrainingBar("training", metric) as bar:
        trainer, epochs = fit_by_options(options, source.data, bar, history=history_file)
    report = _report(trainer)
    if publishing.refit and (len(source.data.valid) or len(source.data.test)):
        with TrainingBar("training on everything", metric) as bar:
            trainer = checked(trainer.refit, on_progress=bar)
    notes = provenance(trainer, report=report, files=source.files)
    notes["reading"] = source.how.to_json() | notes["reading"]
    notes["training"]["metric"] = metric
    with ItemsBar() as items_bar:
        store = publish_model(
            trainer.model,
            trainer.data,
            out,
            index=publishing.index,
            notes=notes,
            metrics=epochs.epochs[epochs.best_epoch - 1].metrics,
            optimizer=trainer.optimizer,
            on_progress=items_bar,
        )
    if isinstance(store.index, ApproximateIndex):
        tuning = store.index.tuning
        say(
            f"index: {store.index.name} finds {tuning.recall:.1%} of the exact top "
            f"{tuning.k} at effort {tuning.effort}"
        )
    row(out)


def _report(trainer: Trainer) -> Report | None:
    """Print recall on the test part beside that of "most popular"; None without a test."""
    try:
        evaluator = Evaluator(trainer.data, "test")
    except NothingToFind:
        return None
    report, popular = evaluator(trainer.model), evaluator(PopularityScorer())
    k = next(iter(report.k[1:]), report.k[0])
    recalls = [r[f"recall@{k}"] for r in (report, popular)]
    say(f"test: recall@{k} {recalls[0]:.4f}, most popular {recalls[1]:.4f}")
    return report


def read_job(typed: Mapping[str, Any], *files: tuple[str, Mapping[str, Any]]) -> Options:
    """The options of a job, as :func:`~minitower.data.option_values.read_options` reads them."""
    return read_options(OPTIONS, typed, *files)


def read_toml(path: Path) -> tuple[dict[str, Path], dict[str, Any]]:
    """The places and the options of a job file.

    Raises:
        DataError: the file cannot be opened or is not TOML, or a place is not a path; names
            the line or the key.
    """
    content = read_regular(path, _LARGEST)
    try:
        table = tomllib.loads(content.decode())
        repr(table)  # the error about a value shows the value
    except RecursionError:
        raise DataError(f"{path}: brackets or keys are nested too deeply") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {error}") from None
    except ValueError:
        raise DataError(f"{path}: an integer has too many digits") from None
    places = {}
    for name in (*PLACES, *_TABLES):
        if name in table:
            value = table.pop(name)
            try:
                place = path.parent / Option("place", type=Path).read(value)
            except ValueError as error:
                raise DataError(f"{path}: {name}: {error}, got {show(value)}") from None
            if name in PLACES:
                places[name] = place
            else:
                table[name] = str(place)
    return places, table
