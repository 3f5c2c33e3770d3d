"""Histories of users in a store: in the table of users, in an increment, and in a profile.

The table of users of a store holds a column of histories if its model reads them: the latest
clicks of each user, as rows of the embedding of item ids. An incremental version holds the
histories that have grown since its full version.

Chapters 3 and 15.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minitower.data.histories import read_history
from minitower.data.schema import HISTORY
from minitower.data.table import Features, Ragged, Table
from minitower.formulas.arrays import Array
from minitower.towers.two_tower import TwoTower

GrownHistories = tuple[Array, Ragged]
"""(u,) distinct rows of the table of users, ascending, and the history of each."""

_NOBODY: GrownHistories = np.empty(0, np.int64), Ragged.from_counts([], [])


def history_of(users: Features) -> Ragged:
    """The column of histories.

    Raises:
        ValueError: the users have none.
    """
    column = users.get(HISTORY)
    if not isinstance(column, Ragged):
        raise ValueError(f"users: the model reads the column '{HISTORY}', which is missing")
    return column


def without_history(users: Table, model: TwoTower) -> tuple[Table, Ragged | None]:
    """The table as a data set holds it, and the histories apart; None: the model reads none."""
    if model.history is None:
        return users, None
    columns = {name: column for name, column in users.columns.items() if name != HISTORY}
    return replace(users, columns=columns), history_of(users.columns)


def with_grown(users: Table, grown: GrownHistories) -> Table:
    """The table with the histories that have grown.

    Raises:
        ValueError: the rows are not distinct rows of the table, in ascending order, or their
            number is not that of the histories.
    """
    rows, histories = grown
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or len(rows) != len(histories):
        raise ValueError(f"histories: {len(histories)} for rows {rows.dtype} {rows.shape}")
    ends = histories.indptr
    if ends.dtype.kind not in "iu" or ends[0] != 0 or (np.diff(ends) < 0).any():
        raise ValueError(f"histories: indptr {ends.dtype} {ends.shape} does not ascend from 0")
    if ends[-1] != len(histories.values):
        raise ValueError(f"histories: indptr ends at {ends[-1]} of {len(histories.values)} clicks")
    if (np.diff(rows, prepend=-1, append=len(users)) < 1).any():
        raise ValueError(f"histories: rows not distinct and ascending within {len(users)} users")
    histories = _replaced(history_of(users.columns), *grown)
    return replace(users, columns={**users.columns, HISTORY: histories})


def same_histories(one: GrownHistories | None, other: GrownHistories | None) -> bool:
    """Whether the same users have the same histories; None is as nobody's."""
    one, other = ((_NOBODY if grown is None else grown) for grown in (one, other))
    pairs = (one[0], other[0]), (one[1].indptr, other[1].indptr), (one[1].values, other[1].values)
    return all(np.array_equal(a, b) for a, b in pairs)


def add_given(
    model: TwoTower, features: Features, profiles: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Append the clicks that profiles give to the histories, in place.

    An item that both hold counts once, as the newest.

    Args:
        model: reads a history.
        features: of the users, with their histories.
        profiles: of all users, or none.

    Returns:
        The profiles without their histories.

    Raises:
        DataError: a given history is no list of item ids.
    """
    assert model.history is not None
    known, last = history_of(features), model.history.last
    rows, given = list[int](), list[Array]()
    for i, profile in enumerate(profiles):
        if HISTORY in profile:
            clicks = read_history(model.encoders.item, profile[HISTORY], last)
            before = known.row(i)
            before = before[(before > 0) & ~np.isin(before, clicks)]
            rows.append(i)
            given.append(np.concatenate([before, clicks])[-last:])
    if rows:
        histories = Ragged.from_counts([len(one) for one in given], np.concatenate(given))
        features[HISTORY] = _replaced(known, np.array(rows), histories)
    return [{n: v for n, v in profile.items() if n != HISTORY} for profile in profiles]


def _replaced(histories: Ragged, rows: Array, by: Ragged) -> Ragged:
    source = np.arange(len(histories))
    source[rows] = len(histories) + np.arange(len(rows))
    counts = np.concatenate([histories.counts, by.counts])
    return Ragged.from_counts(counts, np.concatenate([histories.values, by.values])).take(source)
