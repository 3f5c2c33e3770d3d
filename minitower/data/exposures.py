"""Exposures: items that a user was shown and did not click. Chapter 8.

Two things in a table of interactions say that an item was shown: a row that is no positive
(``is_click`` is 0), and a list of the items that were shown with a row.
"""

from typing import TYPE_CHECKING

import numpy as np

from minitower.data.columns import sets
from minitower.data.errors import Place
from minitower.data.log import Interactions
from minitower.data.table import Ragged
from minitower.formulas.arrays import Array

if TYPE_CHECKING:
    from minitower.data.interactions import Dataset


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
    found = np.unique(users * m + items)
    clicked = np.unique(data.train.users * m + data.train.items)
    found = np.setdiff1d(found, clicked, assume_unique=True)
    return Ragged.from_counts(np.bincount(found // m, minlength=n), found % m)
