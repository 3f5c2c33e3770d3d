"""Exposures: items that a user was shown and did not click. Chapter 8.

Two things in a table of interactions say that an item was shown: a row that is no positive
(``is_click`` is 0), and a list of the items that were shown with a row. A CSV file writes such a
list as a string; the known ids say which character separates the ids of a list.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minitower.data.columns import sets
from minitower.data.errors import Place, show
from minitower.data.log import Interactions
from minitower.data.table import Ragged
from minitower.formulas.arrays import Array, distinct

if TYPE_CHECKING:
    from minitower.data.interactions import Dataset

_SEPARATORS = ("|", ";", ",", None)  # None: spaces
_TRIED = 1000  # strings that decide on the separator
_WANTED = "expected the ids of items with '|' between them"


def exposed_items(
    pairs: Interactions, labels: Array, lists: tuple[Array, Place] | None, data: "Dataset"
) -> Ragged:
    """The distinct items that each user was shown and did not click, in the time of training.

    Rows of validation and test do not count, nor do rows later than the user's last positive
    in training. Ids that are no item of the data set are left out.

    Args:
        pairs: all interactions, as rows of the tables.
        labels: their parts, as :func:`~minitower.data.splits.part_labels` returns them.
        lists: the column of lists, and its place; None: no such column.
        data: the data set that was made of them.

    Returns:
        A list of item rows for each user, ascending.
    """
    n, m = len(data.users), len(data.items)
    shown = labels < 0
    if pairs.timestamps is not None:
        until = np.full(n, -np.inf)
        train = labels == 0
        np.maximum.at(until, pairs.users[train], pairs.timestamps[train])
        shown &= pairs.timestamps <= until[pairs.users]
    users, items = pairs.users[shown], pairs.items[shown]
    if lists is not None:
        rows = np.flatnonzero(shown | (labels == 0))
        column, place = lists
        counts, members, place = sets(column[rows], " ", place.inside(rows.tolist()))
        listed = data.items.rows_of(members)
        owners = np.repeat(pairs.users[rows], counts)
        users = np.concatenate([users, owners[listed >= 0]])
        items = np.concatenate([items, listed[listed >= 0]])
    found = distinct(users * m + items)
    clicked = distinct(data.train.users * m + data.train.items)
    found = np.setdiff1d(found, clicked, assume_unique=True)
    return Ragged.from_counts(np.bincount(found // m, minlength=n), found % m)


def id_lists(column: Array, known: Array, place: Place) -> tuple[Array, int]:
    """Lists of the known ids in strings. Values that are lists already stay as they are.

    The separator is a bar, a semicolon, a comma or spaces: whichever finds the most known ids.

    Args:
        column: (n,) objects.
        known: the ids of all items.
        place: of the column.

    Returns:
        (n,) objects, lists and other values; and the number of ids that were dropped, because
        they are unknown.

    Raises:
        DataError: a list stands in brackets, or no id of the column is known.

    >>> lists, dropped = id_lists(np.array(["7|8", "9"], object), np.array([7, 8]), Place("log"))
    >>> lists.tolist(), dropped
    ([[7, 8], []], 1)
    """
    ids = {str(value): value for value in known.tolist()}
    strings = [value for value in column.tolist() if isinstance(value, str) and value]
    split = _splitter(strings[:_TRIED], ids)
    rows = np.empty(len(column), object)
    dropped = found = 0
    for row, value in enumerate(column.tolist()):
        if isinstance(value, str):
            if value.startswith(("[", "(", "{")) and value not in ids:
                raise place.error(f"{_WANTED}, got {show(value)}", row)
            parts = split(value)
            value = [ids[part] for part in parts if part in ids]
            found, dropped = found + len(value), dropped + len(parts) - len(value)
        rows[row] = value
    if dropped and not found:
        raise place.error(f"no item of the data is here; {_WANTED}, got {show(strings[0])}")
    return rows, dropped


def _splitter(strings: list[str], ids: dict[str, int | str]) -> Callable[[str], list[str]]:
    """The split of a string that finds the most known ids."""

    def split_at(separator: str | None) -> Callable[[str], list[str]]:
        return lambda text: [p for part in text.split(separator) if (p := part.strip())]

    splits = [split_at(separator) for separator in _SEPARATORS]
    return max(splits, key=lambda split: sum(p in ids for text in strings for p in split(text)))
