"""The options of a full and of an incremental update: defaults, domains and help in one place."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minitower.data import DataError


def _option(default: Any, help: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata=_about(help, metavar))


def _about(help: str, metavar: str | None = None) -> dict[str, Any]:
    return {"help": help, "metavar": metavar}


_LIST = "{} that are new or have changed, with all columns: .jsonl or .parquet"


@dataclass(frozen=True, kw_only=True)
class UpdateOptions:
    """Options of both updates. The command line has a flag for each; its --help is made of them.

    Raises:
        DataError: an option is outside its domain.
    """

    positive: str | None = _option(
        None, "rule of positives, such as 'rating >= 4', or 'all'; by default the version's", "RULE"
    )
    training: Mapping[str, Any] = field(default_factory=dict)
    """Options of the training step by name, such as ``{"learning_rate": 0.1}``; the others are
    those that the version was trained with."""
    after: float | None = _option(
        None,
        "learn only clicks after this time: seconds since 1970, a date, or 'start' for all; for a "
        "version that does not record which clicks it has learned",
        "TIME",
    )
    dead_letter_file: str | Path | None = field(
        default=None,
        metadata=_about(
            "file to append malformed and late records to, another file for each kind of update; "
            "without it such records are an error",
            "FILE",
        ),
    )
    max_error_rate: float = _option(
        0.01, "fail if a larger share of the records goes to the dead-letter file", "SHARE"
    )
    min_errors: int = _option(100, "records that may go there before the share counts", "N")
    max_clock_skew: float = _option(
        86400.0, "a click dated further ahead of now is malformed (default: 24h)", "TIME"
    )
    reset_optimizer: bool = _option(False, "start with an optimizer without state")


@dataclass(frozen=True, kw_only=True)
class FullUpdateOptions(UpdateOptions):
    """Options of :func:`~minitower.updating.full_update.full_update`.

    `users` and `items` also take columns, `retire` also a list of ids.
    """

    users: Any = field(default=None, metadata=_about(_LIST.format("users"), "FILE"))
    items: Any = field(default=None, metadata=_about(_LIST.format("items"), "FILE"))
    retire: Any = field(
        default=None, metadata=_about("items to retire after this update, one id a line", "FILE")
    )
    validate: float | None = _option(
        None, "share of the clicks, the newest, to validate on instead of training (default: 0)",
        "SHARE",
    )  # fmt: skip
    at_least: float | None = _option(
        None, "refuse a model whose --metric on these clicks is below this value", "VALUE"
    )

    def __post_init__(self) -> None:
        if self.validate is not None and not 0 <= self.validate < 1:
            raise DataError(f"validate must be a share in [0, 1), got {self.validate}")
        if self.at_least is not None and self.validate is None:
            raise DataError("at_least needs clicks to measure on: set validate, too")


@dataclass(frozen=True, kw_only=True)
class IncrementalOptions(UpdateOptions):
    """Options of :func:`~minitower.updating.incremental_job.incremental_update`."""

    allowed_lateness: float = _option(
        0.0,
        "how far out of time order clicks may arrive, such as 90s or 2h; later clicks are left to "
        "the next full update (default: 0)",
        "TIME",
    )
    every: float = _option(
        1200.0, "time between publications while following, such as 90s or 2h (default: 20m)",
        "TIME",
    )  # fmt: skip
    follow: bool = _option(False, "wait for more clicks; stop by Ctrl-C")
    item_ids: bool = _option(False, "also move the embeddings of item ids")

    def __post_init__(self) -> None:
        if not self.every > 0 or math.isinf(self.every):
            raise DataError(f"every must be more than 0 seconds, got {self.every}")
        for name in self.training:
            if name not in INCREMENTAL_TRAINING:
                raise DataError(f"training option '{name}' belongs to the full update")


INCREMENTAL_TRAINING = (
    *("objective", "temperature", "correction", "strength", "bank"),
    *("optimizer", "learning_rate", "batch_size", "seed"),
)
"""Training options that an incremental update has: it draws no negatives."""


@contextmanager
def input_errors() -> Iterator[None]:
    """Raise a ValueError of the block as a DataError: options are the user's input."""
    try:
        yield
    except DataError:
        raise
    except ValueError as error:
        raise DataError(str(error)) from None
