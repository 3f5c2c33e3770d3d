"""Split the positives into train, valid and test."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitower.data.columns import Columns, numbers, scalars
from minitower.data.errors import DataError, show
from minitower.data.options import Option, option
from minitower.formulas.arguments import LONGEST_ARRAY
from minitower.formulas.arrays import Array

PARTS = ("train", "valid", "test")  # a label is an index into this

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
}
_COUNT = Option("interactions of a user", high=LONGEST_ARRAY, type=int)
_SHARE = Option("share of the interactions", type=float)
_RULE = re.compile(r"\s*([^<>=!]+?)\s*(>=|<=|==|!=|=|>|<)\s*(.*?)\s*")


@dataclass(frozen=True)
class Rule:
    """The rule of positives, such as rating >= 4. :func:`parse_rule` makes it."""

    column: str
    operator: str
    value: str

    @property
    def number(self) -> float | None:
        """The value as a number, booleans as 1 and 0; None for another string."""
        if self.value.lower() in ("true", "false"):
            return float(self.value.lower() == "true")
        try:
            return float(self.value)
        except ValueError:
            return None

    def apply(self, columns: Columns) -> Array:
        """(n,) bool: the rows that pass. A missing value never passes.

        Raises:
            DataError: the column is missing, or the rule orders strings.
        """
        values, place = columns[self.column], columns.at(self.column)
        compare = _OPERATORS[self.operator]
        if values.dtype.kind in "biuf" or compare not in (operator.eq, operator.ne):
            values = numbers(values, place)
            missing = np.isnan(values)
        else:
            values, missing = scalars(values, place)
        wanted = self.value if values.dtype == object else self.number
        if wanted is None:
            raise place.error(f"the rule compares numbers with {self.value!r}")
        passed: Array = compare(values, wanted) & ~missing
        return passed


def parse_rule(text: str) -> Rule:
    """Read a rule: a column, one of >= > <= < = == !=, and a number or a string.

    Raises:
        DataError: the string is no rule.

    >>> parse_rule("rating >= 4")
    Rule(column='rating', operator='>=', value='4')
    """
    match = _RULE.fullmatch(text)
    if match is None or not match[3]:
        raise DataError(f"cannot read the rule {show(text)}; write it like 'rating >= 4'")
    value = match[3]
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        value = value[1:-1]
    return Rule(match[1], match[2], value)


@dataclass(frozen=True)
class TimeSplit:
    """Split by time, at the same moment for all users.

    The last `test` share of all interactions is the test, and the `valid` share before it the
    validation. Interactions of one moment stay together, in the earlier part.

    Args:
        valid, test: shares in [0, 1), together below 1.
    """

    valid: float = 0.1
    test: float = 0.1

    def __post_init__(self) -> None:
        _check_shares(self.valid, self.test)

    def labels(self, users: Array, timestamps: Array | None) -> Array:
        """(n,) int8: 0 train, 1 valid, 2 test."""
        if timestamps is None:
            raise DataError(f"{self} needs a column of timestamps in the interactions")
        n = len(timestamps)
        ordered = np.sort(timestamps)
        n_train, n_test = _sizes(n, self.valid, self.test)
        labels: Array = np.zeros(n, np.int8)
        labels[timestamps > ordered[n_train - 1]] = 1
        labels[timestamps > ordered[n - n_test - 1]] = 2
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

    Args:
        value: the option.
        seed: of a random split.

    Raises:
        ValueError: the value does not read like a split; says what was expected.

    >>> parse_split("last:1,2")
    LastSplit(valid=1, test=2)
    >>> parse_split("time")
    TimeSplit(valid=0.1, test=0.1)
    """
    kind, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind == "given" and rest:
        return GivenSplit(rest)
    sizes = rest.split(",") if rest else []
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
        "expected time, random, last or given:COLUMN, with sizes such as time:0.1,0.1 or last:1,1"
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
        raise log.place.error(f"{split} leaves no positive for training")
    return labels


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
