"""Split the positives into train, valid and test. Chapters 1 and 16."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minitower.data.columns import Columns
from minitower.data.errors import DataError, show
from minitower.data.options import Option, option
from minitower.data.rules import parse_rule
from minitower.data.times import parse_moment
from minitower.formulas.arguments import LONGEST_ARRAY
from minitower.formulas.arrays import Array

PARTS = ("train", "valid", "test")  # a label is an index into this

_DATES = ("test_from", "validation_from")
_COUNT = Option("interactions of a user", high=LONGEST_ARRAY, type=int)
_SHARE = Option("share of the interactions", type=float)


@dataclass(frozen=True)
class TimeSplit:
    """Split by time, at the same moment for all users: by shares, or by dates.

    By shares, the last `test` share of all interactions is the test, and the `valid` share before
    it the validation. Interactions of one moment stay together, in the earlier part.

    By dates, interactions at `test_from` and later are the test, and those before it from
    `validation_from` on the validation. Without `validation_from`, the validation is the last
    `valid` share of the interactions before `test_from`.

    Args:
        valid, test: shares in [0, 1), together below 1; `test` is for splits without dates.
        test_from, validation_from: ISO dates such as "2022-05-01", UTC unless they have a time
            zone, or seconds since 1970; the second one is the earlier one.

    >>> times = np.array([10.0, 20.0, 30.0, 40.0])
    >>> TimeSplit(test_from=40, validation_from="1970-01-01T00:00:20").labels(times, times)
    array([0, 1, 1, 2], dtype=int8)
    """

    valid: float = 0.1
    test: float = 0.1
    test_from: str | float | None = None
    validation_from: str | float | None = None

    def __post_init__(self) -> None:
        _check_shares(self.valid, self.test)
        end, start = (_moment(name, getattr(self, name)) for name in _DATES)
        if start is not None and (end is None or start > end):
            raise DataError(
                "TimeSplit: validation_from needs a test_from that is not earlier; "
                f"got {show(self.validation_from)} and {show(self.test_from)}"
            )

    def labels(self, users: Array, timestamps: Array | None) -> Array:
        """(n,) int8: 0 train, 1 valid, 2 test."""
        if timestamps is None:
            raise DataError(f"{self} needs a column of timestamps in the interactions")
        end, start = (_moment(name, getattr(self, name)) for name in _DATES)
        labels: Array = np.zeros(len(timestamps), np.int8)
        before = timestamps if end is None else timestamps[timestamps < end]
        ordered = np.sort(before)
        n_train, n_test = _sizes(len(before), self.valid, self.test if end is None else 0)
        if start is not None:
            labels[timestamps >= start] = 1
        elif len(before):
            labels[timestamps > ordered[n_train - 1]] = 1
        if end is not None:
            labels[timestamps >= end] = 2
        else:
            labels[timestamps > ordered[len(before) - n_test - 1]] = 2
        return labels


@dataclass(frozen=True)
class LastSplit:
    """Hold out the last `test` interactions of each user, and the `valid` before them.

    Order is by time, or by row without times. Every user keeps at least one interaction in
    training; a user with few interactions has none in validation first.

    Args:
        valid, test: interactions per user, >= 0.
    """

    valid: int = 1
    test: int = 1

    def __post_init__(self) -> None:
        for name in ("valid", "test"):
            option(f"LastSplit: {name}", getattr(self, name), 0, LONGEST_ARRAY)

    def labels(self, users: Array, timestamps: Array | None) -> Array:
        """(n,) int8: 0 train, 1 valid, 2 test."""
        n = len(users)
        order = np.lexsort((users,) if timestamps is None else (timestamps, users))
        counts = np.bincount(users)
        ends = np.cumsum(counts)
        grouped = users[order]
        from_end = ends[grouped] - 1 - np.arange(n)
        held_out = counts[grouped] - 1
        labels = np.zeros(n, np.int8)
        labels[order[from_end < np.minimum(self.valid + self.test, held_out)]] = 1
        labels[order[from_end < np.minimum(self.test, held_out)]] = 2
        return labels


@dataclass(frozen=True)
class RandomSplit:
    """Split at random over all interactions.

    Args:
        valid, test: shares in [0, 1), together below 1.
        seed: of the random split.
    """

    valid: float = 0.1
    test: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        _check_shares(self.valid, self.test)
        option("RandomSplit: seed", self.seed, 0)

    def labels(self, users: Array, timestamps: Array | None) -> Array:
        """(n,) int8: 0 train, 1 valid, 2 test."""
        n = len(users)
        n_train, n_test = _sizes(n, self.valid, self.test)
        labels = np.repeat(np.array([0, 1, 2], np.int8), [n_train, n - n_train - n_test, n_test])
        np.random.default_rng(self.seed).shuffle(labels)
        return labels


@dataclass(frozen=True)
class GivenSplit:
    """Split by a column that holds "train", "valid" or "test"."""

    column: str

    def read(self, columns: Columns) -> Array:
        """(n,) int8: 0 train, 1 valid, 2 test.

        Raises:
            DataError: the column holds another value.
        """
        values = columns[self.column]
        labels = np.full(len(values), -1, np.int8)
        for label, part in enumerate(PARTS):
            labels[values == part] = label
        message = lambda row: f"expected train, valid or test, got {show(values[row])}"
        columns.at(self.column).refuse(labels < 0, message)
        return labels


Split = TimeSplit | LastSplit | RandomSplit | GivenSplit


def parse_split(value: Any, seed: int = 0) -> Split:
    """Read a split as options write it: a kind, kind:valid,test, or given:column.

    A part of time is a share below 1, or the moment from which it begins: an ISO date, or
    seconds since 1970.

    Args:
        value: the option.
        seed: of a random split.

    Raises:
        ValueError: the value does not read like a split; says what was expected.

    >>> parse_split("last:1,2")
    LastSplit(valid=1, test=2)
    >>> parse_split("time")
    TimeSplit(valid=0.1, test=0.1, test_from=None, validation_from=None)
    >>> parse_split("time:2022-05-01").test_from
    '2022-05-01'
    """
    kind, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind == "given" and rest:
        return GivenSplit(rest)
    sizes = rest.split(",") if rest else []
    if kind == "time" and 1 <= len(sizes) <= 2 and not _is_share(sizes[-1]):
        valid = sizes[0] if len(sizes) == 2 else "0.1"
        try:
            if _is_share(valid):
                return TimeSplit(_SHARE.read(valid), test_from=sizes[-1])
            return TimeSplit(test_from=sizes[-1], validation_from=valid)
        except DataError as error:
            raise ValueError(str(error)) from None
    if len(sizes) in (0, 2):
        try:
            if kind == "last":
                return LastSplit(*map(_COUNT.read, sizes))
            if kind in ("time", "random"):
                valid, test = map(_SHARE.read, sizes or ("0.1", "0.1"))
                return TimeSplit(valid, test) if kind == "time" else RandomSplit(valid, test, seed)
        except DataError:
            raise
        except ValueError:
            pass
    raise ValueError(
        "expected time, random, last or given:COLUMN, with sizes such as time:0.1,0.1 or last:1,1, "
        "or a date such as time:2022-05-01"
    )


def part_labels(
    log: Columns, users: Array, times: Array | None, positive: str, split: Split | None
) -> Array:
    """The part of each interaction of a log.

    Args:
        log: the columns of the interactions.
        users, times: (n,) the row of the user, and the time, of each interaction.
        positive: the rule of positives, or "all".
        split: None puts all of them into training.

    Returns:
        (n,) int8: 0 train, 1 valid, 2 test, -1 no positive.

    Raises:
        DataError: training would be empty; or as the rule and the split.
    """
    keep = np.ones(len(log), bool) if positive == "all" else parse_rule(positive).apply(log)
    if not keep.any():
        raise log.place.error(f"no interaction passes the rule '{positive}'")
    labels: Array = np.full(len(log), -1, np.int8)
    if split is None:
        labels[keep] = 0
    elif isinstance(split, GivenSplit):
        labels[keep] = split.read(log)[keep]
    else:
        labels[keep] = split.labels(users[keep], None if times is None else times[keep])
    if not (labels == 0).any():
        raise log.place.error(f"the split {split} leaves no positive for training")
    return labels


def _moment(name: str, value: str | float | None) -> float | None:
    """A date or a number of seconds; None stays None."""
    if value is None:
        return None
    try:
        if isinstance(value, bool):
            raise ValueError("expected a date such as 2022-05-01, or seconds since 1970")
        return parse_moment(value if isinstance(value, str) else repr(float(value)))
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"TimeSplit: {name}: {error}, got {show(value)}") from None


def _is_share(text: str) -> bool:
    """Whether a number below 1 is written here."""
    try:
        return float(text) < 1
    except ValueError:
        return False


def _check_shares(valid: float, test: float) -> None:
    # Each share first: the sum of huge ones overflows. This refuses NaN, too.
    if not (0 <= valid < 1 and 0 <= test < 1 and valid + test < 1):
        raise DataError(
            f"the shares of valid and test must be in [0, 1) and leave some for training; "
            f"got {show(valid)} and {show(test)}"
        )


def _sizes(n: int, valid: float, test: float) -> tuple[int, int]:
    """Interactions in train (at least one) and in test."""
    n_train = max(1, n - round(n * (valid + test)))
    return n_train, min(round(n * test), n - n_train)
