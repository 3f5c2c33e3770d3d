"""The options of a full and of an incremental update: defaults, domains and help in one place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from minitower.data import DataError
from minitower.data.options import Option, declared
from minitower.data.options import input_errors as input_errors
from minitower.towers.optimizers import Optimizer
from minitower.training.objectives import CrossBatchSoftmax, InBatchSoftmax

_NUMBER = Option("number", type=float)


def read_moment(value: Any) -> float:
    """Seconds since 1970: a number, or a date in ISO 8601, UTC without a zone; -inf for "start".

    Raises:
        ValueError: the value is neither.

    >>> read_moment("2022-05-01"), read_moment("1e9"), read_moment("start")
    (1651363200.0, 1000000000.0, -inf)
    """
    if value == "start":
        return -math.inf
    try:
        return float(_NUMBER.read(value))
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("expected seconds since 1970 or a date such as 2022-05-01") from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def read_duration(value: Any) -> float:
    """Seconds of a time such as 90s, 20m or 2h.

    Raises:
        ValueError: the value is no such time, or not above 0.

    >>> read_duration("20m")
    1200.0
    """
    unit = {"s": 1, "m": 60, "h": 3600}.get(value[-1:])
    try:
        seconds = float(_NUMBER.read(value[:-1]) * (unit or 0))
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise ValueError("expected a time such as 90s, 20m or 2h")
    return seconds


def read_lateness(value: Any) -> float:
    """Seconds: a duration as above, or a number, which may be 0."""
    try:
        return float(_NUMBER.read(value))
    except ValueError:
        return read_duration(value)


def _file(help: str) -> Option:
    return Option(help, metavar="FILE")


_LIST = "{} that are new or have changed, with all columns: .jsonl or .parquet"


@dataclass(frozen=True, kw_only=True)
class UpdateOptions:
    """Options of both updates.

    Attributes:
        positive: the rule of positives, such as 'rating >= 4', or 'all'; None: the version's.
        training: options of the training step by name, such as ``{"learning_rate": 0.1}``; the
            others are those that the version was trained with.

    Raises:
        DataError: an option is outside its domain.
    """

    positive: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    after: Annotated[
        float | None,
        Option(
            "learn only clicks after this time: seconds since 1970, a date, or 'start' for all; "
            "for a version that does not record which clicks it has learned",
            parse=read_moment,
            metavar="TIME",
        ),
    ] = None
    dead_letter_file: Annotated[
        Path | str | None,
        _file(
            "file to append malformed and late records to, another file for each kind of update; "
            "without it such records are an error"
        ),
    ] = None
    max_error_rate: Annotated[
        float,
        Option(
            "fail if a larger share of the records goes to the dead-letter file", metavar="SHARE"
        ),
    ] = 0.01
    min_errors: Annotated[
        int, Option("records that may go there before the share counts", 0, metavar="N")
    ] = 100
    max_clock_skew: Annotated[
        float,
        Option(
            "a click dated further ahead of now is malformed (default: 24h)",
            parse=read_duration,
            metavar="TIME",
        ),
    ] = 86400.0
    reset_optimizer: Annotated[bool, Option("start with an optimizer without state")] = False


@dataclass(frozen=True, kw_only=True)
class FullUpdateOptions(UpdateOptions):
    """Options of :func:`~minitower.updating.full_update.full_update`.

    `users` and `items` also take columns, `retire` also a list of ids.
    """

    users: Annotated[Path | Any, _file(_LIST.format("users"))] = None
    items: Annotated[Path | Any, _file(_LIST.format("items"))] = None
    retire: Annotated[Path | Any, _file("items to retire after this update, one id a line")] = None
    validate: Annotated[
        float | None,
        Option(
            "share of the clicks, the newest, to validate on instead of training (default: 0)",
            low=0,
            below=1,
            metavar="SHARE",
        ),
    ] = None
    at_least: Annotated[
        float | None,
        Option(
            "refuse a model whose --metric on these clicks is below this value", metavar="VALUE"
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.validate is not None and not 0 <= self.validate < 1:
            raise DataError(f"validate must be a share in [0, 1), got {self.validate}")
        if self.at_least is not None and self.validate is None:
            raise DataError("at_least needs clicks to measure on: set validate, too")


@dataclass(frozen=True, kw_only=True)
class IncrementalOptions(UpdateOptions):
    """Options of :func:`~minitower.updating.incremental_job.incremental_update`."""

    allowed_lateness: Annotated[
        float,
        Option(
            "how far out of time order clicks may arrive, such as 90s or 2h; later clicks are "
            "left to the next full update (default: 0)",
            parse=read_lateness,
            metavar="TIME",
        ),
    ] = 0.0
    every: Annotated[
        float,
        Option(
            "time between publications while following, such as 90s or 2h (default: 20m)",
            parse=read_duration,
            metavar="TIME",
        ),
    ] = 1200.0
    follow: Annotated[bool, Option("wait for more clicks; stop by Ctrl-C")] = False
    item_ids: Annotated[bool, Option("also move the embeddings of item ids")] = False

    def __post_init__(self) -> None:
        if not self.every > 0 or math.isinf(self.every):
            raise DataError(f"every must be more than 0 seconds, got {self.every}")
        for name in self.training:
            if name not in INCREMENTAL_TRAINING:
                raise DataError(f"training option '{name}' belongs to the full update")


INCREMENTAL_TRAINING = (
    *("objective", "optimizer", "batch_size", "seed"),
    *declared(InBatchSoftmax, CrossBatchSoftmax, Optimizer),
)
"""Training options that an incremental update has: it draws no negatives."""
