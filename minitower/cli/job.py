"""The options of a training job: flags, and below them the keys of a TOML job file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from minitower.cli.arguments import without
from minitower.data.errors import DataError, show
from minitower.data.files import read_regular
from minitower.data.layouts import Reading
from minitower.data.option_values import Options, read_options
from minitower.data.options import Option, declared
from minitower.search.approximate import ENGINES
from minitower.towers.two_tower import TwoTower
from minitower.training.recipe import TRAINING
from minitower.training.self_supervised import SelfSupervised
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
_MODEL = without(declared(TwoTower), READING)
_VIEWS = {"self_supervised": TRAINING["self_supervised"], **declared(SelfSupervised)}
_FITTING = declared(Trainer.fit, Publishing)
OPTIONS = {**READING, **_MODEL, **TRAINING, **_FITTING}
GROUPS = {
    "the data": READING,
    "the model": _MODEL,
    "self-supervised learning": _VIEWS,
    "the training": without({**TRAINING, **_FITTING}, {*READING, *_VIEWS}),
}
"""The options by subject, as ``--help`` shows them."""

PLACES = ("data", "out")
"""Keys of a job file besides the options: paths, relative to the job file."""

_LARGEST = 1 << 20  # bytes of a job file


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
    for name in PLACES:
        if name in table:
            value = table.pop(name)
            try:
                places[name] = path.parent / Option("place", type=Path).read(value)
            except ValueError as error:
                raise DataError(f"{path}: {name}: {error}, got {show(value)}") from None
    return places, table
