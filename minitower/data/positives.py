"""Which interactions are positives: one decision for every reader of data."""

import sys
import warnings
from collections.abc import Iterable

import numpy as np

from minitower.data.columns import Columns, numbers
from minitower.data.errors import DataError, show
from minitower.data.splits import parse_rule

CLICKS = ("click", "clicked", "is_click")
KNOWN = (*CLICKS, "rating")
LIKED = 4  # of five stars
_STATE = "state the rule with positive= (--positive), such as 'rating >= 4', or 'all'"


def positive_rule(log: Columns, stated: str | None = None) -> str:
    """Decide the rule of positives: the stated one, or the default of a column of a known name.

    A column click, clicked or is_click that holds 0 and 1 (numbers, booleans, or "0" and "1"
    of a file) makes "is_click = 1" of its name. A column rating that holds numbers in [0, 5],
    some of them 4 or more, makes "rating >= 4". Either may have missing values, which are no
    positives. Without such a column every interaction is a positive: "all".

    Args:
        log: the columns of the interactions.
        stated: a rule, "all", or None.

    Raises:
        DataError: a column of a known name is not of this form, or there are two of them.

    >>> from minitower.data.columns import read_columns
    >>> from minitower.data.errors import Place
    >>> positive_rule(read_columns({"user_id": [1, 2], "is_click": [0, 1]}, Place("log")))
    'is_click = 1'
    """
    if stated is not None:
        return stated
    known = [name for name in KNOWN if name in log]
    if not known:
        return "all"
    if len(known) > 1:
        raise log.place.error(f"both '{known[0]}' and '{known[1]}' may say what is liked; {_STATE}")
    try:
        return _stars(log) if known[0] == "rating" else _clicks(log, known[0])
    except DataError as error:
        raise DataError(f"{error}; {_STATE}") from None


def must_be_stated(names: Iterable[str]) -> str | None:
    """Why a table that is read part by part needs a stated rule; None where it needs none.

    The default of :func:`positive_rule` looks at all values of a column.
    """
    known = [name for name in KNOWN if name in names]
    return f"the column '{known[0]}' may say what is liked; {_STATE}" if known else None


def warn_of_default(rule: str) -> None:
    """Warn the caller of the package that nobody stated this rule."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").startswith("minitower."):
        level, frame = level + 1, frame.f_back
    said = f"positives: where {rule}; state positive={rule!r}, or another rule, or 'all'"
    warnings.warn(said, UserWarning, stacklevel=level)


def _clicks(log: Columns, name: str) -> str:
    """A rule is asked about every value, so that the default reads the column as the rule does."""
    rule = f"{name} = 1"
    wrong = parse_rule(f"{name} != 1").apply(log) & ~parse_rule(f"{name} = 0").apply(log)
    if wrong.any():
        row = int(wrong.argmax())
        raise log.at(name).error(f"{show(log[name][row])} is neither 0 nor 1", row)
    return rule


def _stars(log: Columns) -> str:
    place = log.at("rating")
    ratings = numbers(log["rating"], place)
    wrong = (ratings < 0) | (ratings > 5)
    if wrong.any():
        row = int(wrong.argmax())
        raise place.error(f"{show(log['rating'][row])} is not between 0 and 5", row)
    if not np.any(ratings >= LIKED):
        raise place.error(f"no rating is {LIKED} or more")
    return f"rating >= {LIKED}"
