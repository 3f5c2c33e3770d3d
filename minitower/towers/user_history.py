"""The history of a user: the items that the user clicked last, as an input of the user tower.

    h_u(t) = (1/|S|) sum_{i in S} E_i,    S: the last k items that u clicked before t

E is the embedding of item ids, the item tower's own: a step moves its rows from both sides,
and the gradients are summed. A user whom training never saw is served by a history, and a
recommendation changes after a click without any training.

Chapter 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np

from minitower.data.histories import kept
from minitower.data.schema import HISTORY
from minitower.data.table import Ragged
from minitower.formulas.arguments import choice, shown, strict_integer
from minitower.formulas.arrays import Array
from minitower.towers.layers import Gradients, RowGradient, add_gradients, embedding_bag

MAX_LAST = 1000
"""Bound on the clicks of a history: a step reads this many rows for each of its users."""

DEFAULT = f"user.{HISTORY}.embedding"
"""The parameter whose row 0 stands for an empty history."""


@dataclass(frozen=True)
class UserHistory:
    """What the user tower reads of a user's clicks.

    A user without clicks has the row 0 of a table of its own, `user.history.embedding`. It is
    learned: training sees users before their first click, and empties 1% of the histories. Row
    0 of the item table stands for unknown items; if both shared it, the items nobody knows would
    be the best match of the users nobody knows.

    Args:
        last: k, the length of the longest history, 1 to 1,000.
        pool: "mean" or "sum" of the rows.
        table: "item" reads the item tower's embedding of ids. "own" learns a second embedding
            of item ids.
        clicks: which clicks of a user a training click is predicted from, where the log has time
            stamps. "earlier": those before it, as when serving. "others": all but itself (leave
            one out). Serving reads the latest clicks in both. "others" fits where the order of
            a user's clicks says little, such as ratings in one session of a list of films.
    Raises ValueError: an argument is outside its domain.

    Reference: K. Mao et al., SimpleX, CIKM 2021, section 3.2; P. Covington et al., Deep Neural
        Networks for YouTube Recommendations, RecSys 2016, section 3.2.
    """

    last: int = 50
    pool: Literal["mean", "sum"] = "mean"
    table: Literal["item", "own"] = "item"
    clicks: Literal["earlier", "others"] = "earlier"

    def __post_init__(self) -> None:
        strict_integer("last", self.last, 1, MAX_LAST)
        choice("pool", self.pool, ("mean", "sum"))
        choice("table", self.table, ("item", "own"))
        choice("clicks", self.clicks, ("earlier", "others"))

    def to_json(self) -> dict[str, Any]:
        """The arguments by name, for the configuration of a model."""
        return asdict(self)

    def __str__(self) -> str:
        """The option that :func:`read_history_option` reads."""
        return ":".join(map(str, asdict(self).values()))


NO_HISTORY = "none"
"""The option of a user tower that reads no history."""

_NAMES = {"item": "table", "own": "table", "earlier": "clicks", "others": "clicks"}


def read_history_option(value: Any) -> UserHistory | None:
    """Read an option such as 50, "50:sum" or "50:mean:own:others"; "none" is no history.

    Raises:
        ValueError: says what was expected.

    >>> read_history_option("20:sum")
    UserHistory(last=20, pool='sum', table='item', clicks='earlier')
    """
    if value == NO_HISTORY:
        return None
    last, *words = str(value).split(":")
    try:
        if isinstance(value, bool) or not (last.isascii() and last.isdigit()):
            raise ValueError
        given: dict[str, Any] = {}
        for word in words:
            name = _NAMES.get(word, "pool")
            if name in given:
                raise ValueError
            given[name] = word
        return UserHistory(int(last[:9]), **given)
    except ValueError:
        raise ValueError(
            f"expected {NO_HISTORY}, or clicks from 1 to {MAX_LAST:,}, and perhaps :mean or :sum, "
            ":item or :own, :earlier or :others, such as 50:sum"
        ) from None


def as_history(value: UserHistory | Mapping[str, Any] | None) -> UserHistory | None:
    """A history, or the arguments of one from a configuration.

    Raises:
        ValueError: the value is neither.
    """
    if value is None or isinstance(value, UserHistory):
        return value
    if not isinstance(value, Mapping) or value.keys() - {f.name for f in fields(UserHistory)}:
        raise ValueError(
            f"history must be a UserHistory, such as UserHistory(50), got {shown(value)}"
        )
    return UserHistory(**value)


class HistoryInput:
    """The history's part of the input of a user tower. It holds names and sizes.

    Args:
        how: the settings.
        table: name of the embedding of item ids.
        rows, width: shape of that embedding.
    """

    def __init__(self, how: UserHistory, table: str, rows: int, width: int) -> None:
        self.pool, self.width = how.pool, width
        shared = how.table == "item"
        self.table = table if shared else DEFAULT
        self.shape = (1 if shared else rows), width

    def __call__(
        self, parameters: dict[str, Array], histories: Ragged
    ) -> tuple[Array, Callable[[Array], Gradients]]:
        """Pool the histories of a batch.

        Shapes: n histories->(n,w)

        Args:
            parameters: of the model, of both towers.
            histories: rows of the embedding of item ids; row 0 is no item.
        """
        known = histories.values > 0
        if not known.all():
            histories = kept(histories, known)
        value, back = embedding_bag(histories, parameters[self.table], pool=self.pool)
        empty = histories.counts == 0
        value[empty] = parameters[DEFAULT][0]

        def backward(dy: Array) -> Gradients:
            gradients: Gradients = {self.table: back(dy)}
            if not empty.any():
                return gradients
            row_0 = RowGradient(np.zeros(1, np.int64), dy[empty].sum(axis=0, keepdims=True))
            return add_gradients(gradients, {DEFAULT: row_0})

        return value, backward
