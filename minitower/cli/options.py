"""How one option is read, from the text of a flag or from a value of a job file.

Every reader takes either and raises a ValueError that says what it expected.
"""

import argparse
import math
import os
import re
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from minitower.data import (
    DataError,
    Field,
    GivenSplit,
    LastSplit,
    RandomSplit,
    Split,
    TimeSplit,
)
from minitower.data.errors import show
from minitower.data.schema import field_from_json
from minitower.evaluation.evaluator import ACCURACY
from minitower.formulas.arguments import TEMPERATURES
from minitower.towers.two_tower import MAX_HIDDEN, MAX_WIDTH

T = TypeVar("T")
Override = Field | str | None

_INT32, _INT64 = 2**31 - 1, 2**63 - 1
_DIGITS = re.compile(r"-?[0-9]{1,99}")
_NEGATIVES = ("uniform", "popular", "mined", "shared")
_MAX_BUCKETS = 2**16


def argument(read: Callable[[Any], T]) -> Callable[[str], T]:
    """A reader as the ``type`` of a flag that is not an option of a job."""

    def parse(value: str) -> T:
        try:
            return read(value)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{error}, got {show(value)}") from None

    return parse


def text(value: Any) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("expected text")
    return value


def path(value: Any) -> Path:
    """A path that a file system can hold: not empty, no NUL, encodable."""
    try:
        if isinstance(value, str) and value and "\0" not in value:
            os.fsencode(value)
            return Path(value)
    except UnicodeEncodeError:
        pass
    raise ValueError("expected a path")


def integer(low: int = -_INT64, high: int = _INT64) -> Callable[[Any], int]:
    """A reader of an int between two bounds, both included, or of its digits.

    >>> integer(1, 9)("7"), integer()(-3)
    (7, -3)
    """
    if high < _INT64:
        wanted = f"an integer from {low:,} to {high:,}"
    else:
        wanted = "an integer" if low == -_INT64 else f"an integer of at least {low:,}"

    def read(value: Any) -> int:
        if isinstance(value, str) and _DIGITS.fullmatch(value):
            value = int(value)
        if type(value) is not int:
            raise ValueError(f"expected {wanted}")
        if not low <= value <= high:
            small = "" if -_INT64 <= value <= _INT64 else ", and of at most 64 bits"
            raise ValueError(f"expected {wanted}{small}")
        return value

    return read


def number(value: Any) -> float:
    """A finite number, or its digits."""
    if isinstance(value, str) or type(value) in (int, float):
        try:
            if math.isfinite(float(value)):
                return float(value)
        except (ValueError, OverflowError):
            pass
    raise ValueError("expected a number")


def temperature(value: Any) -> float:
    """A number that the softmax takes as its temperature."""
    (low, high), found = TEMPERATURES, number(value)
    if not low <= found <= high:
        raise ValueError(f"expected a number from {low:g} to {high:g}")
    return found


def positive(value: Any) -> float:
    """A number above 0."""
    if (found := number(value)) <= 0:
        raise ValueError("expected a number above 0")
    return found


def share(*, zero: bool = True, one: bool = True) -> Callable[[Any], float]:
    """A reader of a number from 0 to 1.

    Args:
        zero, one: whether these two are among them.

    >>> share()("1"), share(one=False)(0.25)
    (1.0, 0.25)
    """
    wanted = f"a number {'from' if zero else 'above'} 0 {'to' if one else 'and below'} 1"

    def read(value: Any) -> float:
        try:
            found = number(value)
        except ValueError:
            found = -1.0
        if not 0 <= found <= 1 or (found == 0 and not zero) or (found == 1 and not one):
            raise ValueError(f"expected {wanted}")
        return found

    return read


def flag(value: Any) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise ValueError("expected true or false")
    return value


def widths(value: Any) -> tuple[int, ...]:
    """Integers: a list, or "128,64"; the empty text holds no integer.

    >>> widths("128,64"), widths([]), widths("")
    ((128, 64), (), ())
    """
    parts = value.split(",") if isinstance(value, str) and value else value or []
    try:
        return tuple(map(integer(1, MAX_HIDDEN), parts))
    except (TypeError, ValueError):
        raise ValueError(f"expected integers from 1 to {MAX_HIDDEN:,}, such as 128,64") from None


def one_of(*names: str) -> Callable[[Any], str]:
    """A reader of one of these words."""

    def read(value: Any) -> str:
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return str(value)

    return read


def metric(value: Any) -> str:
    """The name of a measure with its cut-off, such as "recall@20"."""
    name, _, k = str(value).partition("@")
    try:
        integer(1)(k)
    except ValueError:
        name = ""
    if name not in ACCURACY:
        raise ValueError(f"expected NAME@K, the name one of {', '.join(ACCURACY)}")
    return str(value)


def moment(text: str) -> float:
    """Seconds since 1970: a number, or a date in ISO 8601, UTC without a zone; -inf for "start".

    >>> moment("2022-05-01"), moment("1e9"), moment("start")
    (1651363200.0, 1000000000.0, -inf)
    """
    if text == "start":
        return -math.inf
    try:
        return number(text)
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expected seconds since 1970 or a date such as 2022-05-01") from None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def split(value: Any) -> str:
    """The text of a split, after a look whether :func:`parse_split` can read it."""
    parse_split(value)
    return str(value)


def parse_split(value: Any, seed: int = 0) -> Split:
    """A split as options write it: kind, or kind:valid,test, or given:column.

    >>> parse_split("last:1,2")
    LastSplit(valid=1, test=2)
    >>> parse_split("time")
    TimeSplit(valid=0.1, test=0.1)
    """
    kind, _, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if kind == "given" and rest:
        return GivenSplit(rest)
    sizes = rest.split(",") if rest else []
    try:
        if kind == "last" and len(sizes) in (0, 2):
            return LastSplit(*map(integer(high=_INT32), sizes))
        if kind in ("time", "random") and len(sizes) in (0, 2):
            valid, test = map(number, sizes or (0.1, 0.1))
            return TimeSplit(valid, test) if kind == "time" else RandomSplit(valid, test, seed)
    except DataError:
        raise
    except ValueError:
        pass
    raise ValueError(
        "expected time, random, last or given:COLUMN, with sizes such as time:0.1,0.1 or last:1,1"
    )


def negatives(value: Any) -> str:
    """The text of negatives, after a look whether :func:`parse_negatives` can read it."""
    parse_negatives(value)
    return str(value)


def parse_negatives(value: Any) -> list[tuple[str, int]]:
    """Kinds of negatives and how many of each.

    >>> parse_negatives("uniform:5+mined:5")
    [('uniform', 5), ('mined', 5)]
    >>> parse_negatives("none")
    []
    """
    if value == "none":
        return []
    parts = [part.partition(":") for part in value.split("+")] if isinstance(value, str) else []
    try:
        if parts and all(kind in _NEGATIVES for kind, _, _ in parts):
            return [(kind, integer(0)(k)) for kind, _, k in parts]
    except ValueError:
        pass
    raise ValueError(
        "expected none, uniform:K, popular:K, mined:K, shared:N, or several such as "
        "uniform:5+mined:5"
    )


def overrides(value: Any) -> dict[str, Override]:
    """What columns are read as: a table, or the COLUMN=TYPE of every flag.

    >>> overrides(["genre=token_seq", "zip=none"])
    {'genre': 'token_seq', 'zip': None}
    """
    if isinstance(value, list):
        pairs = [str(item).partition("=")[::2] for item in value]
    elif isinstance(value, dict):
        pairs = list(value.items())
    else:
        raise ValueError("expected a table of columns and their types")
    return {name: _override(name, kind) for name, kind in pairs}


def _override(name: str, kind: Any) -> Override:
    if isinstance(kind, str) and kind.startswith("{"):
        try:
            kind = tomllib.loads(f"field = {kind}")["field"]
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"column '{name}': {error}") from None
    if isinstance(kind, dict):
        field = field_from_json({"name": name, **kind})
        for option, most in (("dim", MAX_WIDTH), ("buckets", _MAX_BUCKETS)):
            if (getattr(field, option, None) or 0) > most:
                raise ValueError(f"column '{name}': {option} must be at most {most:,}")
        return field
    if not name or kind not in ("token", "token_seq", "float", "none"):
        raise ValueError("expected COLUMN=TYPE, the type one of token, token_seq, float, none")
    return None if kind == "none" else str(kind)
