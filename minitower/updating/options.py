"""The options of a full and of an incremental update. Chapter 13."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from minitower.data import DataError
from minitower.data.options import Option, checked, checked_path, declared
from minitower.updating.streams.stream import MaxErrorRate, MinErrors


def read_moment(value: Any) -> float:
    """Seconds since 1970 of a number, a date in ISO 8601 (UTC without a zone), or "start".

    >>> read_moment("2022-05-01"), read_moment("1e9"), read_moment("start")
    (1651363200.0, 1000000000.0, -inf)
    """
    if value == "start":
        return -math.inf
    if (number := _finite(value)) is not None:
        return number
    try:
        date = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("expected seconds since 1970 or a date such as 2022-05-01") from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def read_duration(value: Any) -> float:
    """Seconds of a time such as 90s, 20m or 2h.

    >>> read_duration("20m")
    1200.0
    """
    number, unit = _finite(str(value)[:-1]), {"s": 1, "m": 60, "h": 3600}.get(str(value)[-1:])
    if number is None or unit is None or not 0 < number * unit < math.inf:
        raise ValueError("expected a time such as 90s, 20m or 2h")
    return number * unit


def read_lateness(value: Any) -> float:
    """A duration as above, or a number of seconds, which may be 0."""
    number = _finite(value)
    return read_duration(value) if number is None else number


def _finite(value: Any) -> float | None:
    """The finite number that a value stands for, or None."""
    try:
        return float(value) if math.isfinite(float(value)) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _path(value: Any) -> Path:
    if not value:
        raise ValueError("expected a path")
    return checked_path("path", value)


def _list_of(side: str) -> Option:
    return Option(
        f"{side} that are new or have changed, with all columns: .jsonl, .csv or .parquet",
        parse=_path,
        metavar="FILE",
    )


def _ids_of(side: str, what: str) -> Option:
    return Option(
        f"{side}s to {what}: one id a line, or a table with the column of {side} ids: .csv, "
        ".jsonl or .parquet",
        parse=_path,
        metavar="FILE",
    )


@dataclass(frozen=True, kw_only=True)
class UpdateOptions:
    """Options of both updates.

    `training` holds options of the training step by name, such as ``{"learning_rate": 0.1}``;
    all others are those that the version was trained with. `positive` is the rule of
    positives, such as "rating >= 4", or "all"; None takes the version's.

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
        Option(
            "file to append malformed and late records to, another file for each kind of update; "
            "without it such records are an error",
            metavar="FILE",
        ),
    ] = None
    max_error_rate: MaxErrorRate = 0.01
    min_errors: MinErrors = 100
    max_clock_skew: Annotated[
        float,
        Option(
            "a click dated further ahead of now is malformed (default: 24h)",
            0,
            parse=read_duration,
            metavar="TIME",
        ),
    ] = 86400.0
    reset_optimizer: Annotated[bool, Option("start with an optimizer without state")] = False

    def __post_init__(self) -> None:
        for option in declared(type(self)).values():
            value = getattr(self, option.parameter)
            if option.type in (int, float) and value is not None and option.name != "after":
                checked(option.check, value)


@dataclass(frozen=True, kw_only=True)
class FullUpdateOptions(UpdateOptions):
    """Options of :func:`~minitower.updating.full_update.full_update`.

    `users` and `items` also take columns, `retire` and `forget` also lists of ids.
    """

    users: Annotated[Any, _list_of("users")] = None
    items: Annotated[Any, _list_of("items")] = None
    retire: Annotated[Any, _ids_of("item", "retire after this update")] = None
    forget: Annotated[Any, _ids_of("user", "forget")] = None
    validate: Annotated[
        float | None,
        Option(
            "share of the clicks, the newest, to validate on and not to train on (default: 0)",
            0,
            below=1,
            metavar="SHARE",
        ),
    ] = None
    at_least: Annotated[
        float | None,
        Option("refuse a model whose --metric on these clicks is below this value"),
    ] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.at_least is not None and self.validate is None:
            raise DataError("at_least needs clicks to measure on: set validate, too")


@dataclass(frozen=True, kw_only=True)
class IncrementalOptions(UpdateOptions):
    """Options of :func:`~minitower.updating.incremental_session.incremental_update`."""

    allowed_lateness: Annotated[
        float | None,
        Option(
            "how far out of time order clicks may arrive, such as 90s or 2h; later clicks are "
            "left to the next full update (default: 0 while following; else all clicks of the "
            "logs are sorted, and none is late)",
            0,
            parse=read_lateness,
            metavar="TIME",
        ),
    ] = None
    every: Annotated[
        float,
        Option(
            "time between publications while following, such as 90s or 2h (default: 20m)",
            above=0,
            parse=read_duration,
            metavar="TIME",
        ),
    ] = 1200.0
    follow: Annotated[bool, Option("wait for more clicks; stop by Ctrl-C")] = False
    item_ids: Annotated[bool, Option("also move the embeddings of item ids")] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.training:
            if name not in INCREMENTAL_TRAINING:
                raise DataError(f"training option '{name}' belongs to the full update")


INCREMENTAL_TRAINING = (
    *("objective", "temperature", "correction", "logq_weight"),
    *("mask_known", "log_sum_weight", "decoupled", "bank"),
    *("optimizer", "learning_rate", "batch_size", "seed"),
    *("weight_decay", "max_norm", "user_dropout", "history_dropout"),
)
"""Training options that an incremental update has: it draws no negatives."""
