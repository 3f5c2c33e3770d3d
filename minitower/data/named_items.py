"""Items and what to call them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from minitower.data.table import Table
from minitower.formulas.arrays import Array


@dataclass(frozen=True, eq=False)
class NamedItems:
    """Encoded items, such as those that are gone and may come back.

    Args:
        table: n items.
        names: (n,) text to show to people; None: there is none.
    """

    table: Table
    names: Array | None = None

    def take(self, rows: Array) -> NamedItems:
        """Some of them."""
        names = None if self.names is None else self.names[rows]
        return NamedItems(Table(self.table.ids[rows], self.table.take(rows)), names)

    def with_more(self, more: NamedItems) -> NamedItems:
        """These, and others behind them; one without a name is called by its id."""
        names = None
        if self.names is not None or more.names is not None:
            parts = (part.table.ids.astype(str) if part.names is None else part.names
                     for part in (self, more))  # fmt: skip
            names = np.concatenate([*parts])
        rows = len(self.table) + np.arange(len(more.table))
        return NamedItems(self.table.updated(rows, more.table), names)

    def to_arrays(self) -> dict[str, Array]:
        """Flat arrays that :meth:`from_arrays` reads back."""
        return self.table.to_arrays() | ({} if self.names is None else {"names": self.names})

    @staticmethod
    def from_arrays(arrays: Mapping[str, Array]) -> NamedItems:
        """What :meth:`to_arrays` wrote."""
        return NamedItems(Table.from_arrays(arrays), arrays.get("names"))
