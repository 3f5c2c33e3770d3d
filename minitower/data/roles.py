"""The roles of columns in tables of interactions: ids, times, weights, exposures, names. Chapter 3.

A role is found by the name of a column, unless a person states it (``--columns user=uid``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from minitower.data.columns import Columns
from minitower.data.errors import listed
from minitower.data.times import UNITS

_KNOWN = {
    "user": ("userid", "user", "uid", "visitorid", "customerid", "memberid", "accountid"),
    "item": ("itemid", "item", "iid", "productid", "movieid", "articleid", "videoid", "trackid",
             "bookid", "songid", "newsid", "contentid", "sku", "asin"),
    "time": ("timestamp", "time", "ts", "datetime", "date", "eventtime", "clickedat", "createdat",
             "unixtime", "unixtimestamp"),
    "weight": ("weight", "sampleweight"),
    "exposed": ("exposed", "exposures", "impressions", "shown"),
    "title": ("title", "name", "itemname", "productname"),
}  # fmt: skip
"""Role -> names of columns, in small letters and without other characters."""


@dataclass(frozen=True)
class Roles:
    """The column of each role; None: no column.

    Attributes:
        user, item: ids, in the interactions.
        time, unit: times, and the unit of those that are numbers
            (:data:`~minitower.data.times.UNITS`).
        weight: weights of interactions.
        exposed: lists of the items that were shown with an interaction.
        title: names of items, in the table of items.
    """

    user: str | None = None
    item: str | None = None
    time: str | None = None
    unit: str | None = None
    weight: str | None = None
    exposed: str | None = None
    title: str | None = None


def read_pairs(value: Any, what: str) -> Mapping[str, Any]:
    """A table of TOML, or the strings NAME=VALUE of a flag that may be repeated.

    Raises:
        ValueError: the value is neither; `what` is in it.
    """
    if isinstance(value, list):
        return dict(str(pair).partition("=")[::2] for pair in value)
    if not isinstance(value, Mapping):
        raise ValueError(f"expected a table of {what}")
    return value


def read_roles(value: Any) -> dict[str, str | None]:
    """Roles that a person states: a table, or a list of ROLE=COLUMN.

    Raises:
        ValueError: the value is no table, or a role is unknown.

    >>> read_roles(["user=uid", "time=none"])
    {'user': 'uid', 'time': None}
    """
    value, known = read_pairs(value, "roles and their columns"), [f.name for f in fields(Roles)]
    for role, column in value.items():
        if role not in known or not isinstance(column, str) or not column:
            raise ValueError(f"expected ROLE=COLUMN, the role one of {', '.join(known)}")
    if value.get("unit", "seconds") not in (*UNITS, "none"):
        raise ValueError(f"expected the unit one of {', '.join(UNITS)}")
    return {role: None if column == "none" else column for role, column in value.items()}


def find_roles(stated: Mapping[str, str | None], log: Columns, items: Columns | None) -> Roles:
    """The column of each role but the unit: the stated one, or that of a known name.

    Raises:
        DataError: a stated column is missing, two columns could have one role, or the
            interactions have no column of users or of items.
    """
    found: dict[str, str | None] = {}
    for role, known in _KNOWN.items():
        table = items if role == "title" else log
        if role in stated:
            column = stated[role]
            if column is not None and table is not None:
                table[column]  # refuse a missing one
            found[role] = column
            continue
        names = [] if table is None else [name for name in table.arrays if _plain(name) in known]
        if len(names) > 1:
            assert table is not None
            raise table.place.error(
                f"columns {listed(names)} could all be the {role}; state --columns "
                f"{role}={names[0]}, or none"
            )
        found[role] = names[0] if names else None
    for role in ("user", "item"):
        if found[role] is None:
            raise log.place.error(
                f"found no column of {role} ids, such as {role}_id; columns: "
                f"{listed(log.arrays)}; state --columns {role}=COLUMN"
            )
    return Roles(**found)


def _plain(name: str) -> str:
    """A name in small letters and digits only."""
    return re.sub("[^a-z0-9]", "", name.lower())


def side_key(side: str, key: str, columns: Columns) -> str:
    """The id column of the table of users or items.

    Args:
        side: "user" or "item".
        key: the id column of the interactions.
        columns: of the side's table.

    Raises:
        DataError: no column, or more than one, could hold the ids.
    """
    if key in columns:
        return key
    names = [name for name in columns.arrays if _plain(name) in ("id", *_KNOWN[side])]
    if len(names) != 1:
        raise columns.place.error(
            f"found no column '{key}' of {side} ids; columns: {listed(columns.arrays)}"
        )
    return names[0]
