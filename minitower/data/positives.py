"""The rule of positives: one decision for every reader of data. Chapters 7 and 13."""

from collections.abc import Iterable

import numpy as np

from minitower.data.columns import Columns, numbers
from minitower.data.errors import DataError, show
from minitower.data.rules import parse_rule

CLICKS = ("click", "clicked", "is_click")
KNOWN = (*CLICKS, "rating")
LIKED = 4  # of five stars
_STATE = "state the rule with positive= (--positive), such as 'rating >= 4', or 'all'"


def positive_rule(log: Columns, stated: str | None = None) -> str:
    """Decide the rule of positives: the stated one, or the default of a column of a known name.

    A column click, clicked or is_click must hold 0 and 1 (numbers, booleans or strings); then
    the rule is "is_click = 1" with its name. A column rating must hold numbers in [0, 5], some
    of them 4 or more; then the rule is "rating >= 4". A missing value is no positive. Without
    a column of these names, every interaction is a positive: "all".

    Args:
        log: the columns of the interactions.
        stated: a rule, "all", or None.

    Raises:
        DataError: a column of a known name holds other values, or the log has two such columns.

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
        raise log.place.error(
            f"columns '{known[0]}' and '{known[1]}' could both define positives; {_STATE}"
        )
    try:
        return _stars(log) if known[0] == "rating" else _clicks(log, known[0])
    except DataError as error:
        raise DataError(f"{error}; {_STATE}") from None


def must_be_stated(names: Iterable[str]) -> str | None:
    """Why a table that is read in parts needs a stated rule; None where it does not.

    The default of :func:`positive_rule` needs all values of a column.
    """
    known = [name for name in KNOWN if name in names]
    return f"column '{known[0]}' could define positives; {_STATE}" if known else None


def _clicks(log: Columns, name: str) -> str:
    """The default of a column of clicks. The rule itself reads every value."""
    rule = f"{name} = 1"
    bad = parse_rule(f"{name} != 1").apply(log) & ~parse_rule(f"{name} = 0").apply(log)
    log.at(name).refuse(bad, lambda row: f"{show(log[name][row])} is neither 0 nor 1")
    return rule


def _stars(log: Columns) -> str:
    place = log.at("rating")
    ratings = numbers(log["rating"], place)
    bad = (ratings < 0) | (ratings > 5)
    place.refuse(bad, lambda row: f"{show(log['rating'][row])} is not between 0 and 5")
    if not np.any(ratings >= LIKED):
        raise place.error(f"no rating is {LIKED} or more")
    return f"rating >= {LIKED}"
