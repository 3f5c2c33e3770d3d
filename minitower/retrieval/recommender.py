"""From a user to a list of items: what serving does, at any hour, with what it has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.encoding import Features, Table
from minitower.data.errors import DataError
from minitower.data.ragged import Array, Ragged
from minitower.retrieval.index import Index
from minitower.retrieval.snapshot import load_store
from minitower.towers.two_tower import TwoTower


class Recommender:
    """A model, its index, and what it needs to know about users and items.

    Args:
        model: its user tower makes the query.
        items, users: the encoded tables.
        seen: for each row of `users`, the item rows they have met.
        index: of the item vectors of this very model.
        item_names: (m,) text to show to people, or None.

    Raises:
        ValueError: the parts do not belong together.
    """

    def __init__(
        self,
        model: TwoTower,
        items: Table,
        users: Table,
        seen: Ragged,
        index: Index,
        item_names: Array | None = None,
    ) -> None:
        shape = (len(items), model.dim)
        if index.vectors.shape != shape:
            raise ValueError(f"the index holds vectors {index.vectors.shape}, the model {shape}")
        if len(seen) != len(users):
            raise ValueError(f"seen has {len(seen)} rows for {len(users)} users")
        if item_names is not None and len(item_names) != len(items):
            raise ValueError(f"there are {len(item_names)} names for {len(items)} items")
        self.model, self.items, self.users = model, items, users
        self.seen, self.index, self.item_names = seen, index, item_names

    @classmethod
    def open(cls, folder: str | Path) -> "Recommender":
        """The recommender of a store, a folder that :func:`publish` wrote.

        Raises:
            DataError: the folder is not a store, of another version, or damaged.
        """
        return cls(**vars(load_store(folder)))

    def recall(
        self,
        user_id: int | str,
        profile: Mapping[str, Any] | None = None,
        k: int = 100,
        exclude_seen: bool = True,
    ) -> tuple[Array, Array]:
        """The k items of highest score for one user, best first.

        Shapes: ()->(<=k),(<=k). Fewer than k come back when no more are left.

        Args:
            user_id: known or not. For one that is not known the tower sees default
                values wherever the profile is silent.
            profile: values of the user's fields as of now. They override what the
                table says about a known user.
            k: how many, >= 1.
            exclude_seen: leave out what the user has met; an unknown one has met nothing.

        Returns:
            Item ids, and their scores.

        Raises:
            DataError: the id is of another type than the table's, the profile names a
                field that is not there or holds a value that cannot be read, or k < 1.
        """
        if k < 1:
            raise DataError(f"k must be at least 1, got {k}")
        row = int(self.users.rows_of([user_id])[0])
        vector, _ = self.model.user(self._features(row, profile or {}))
        met = self.seen.row(row) if exclude_seen and row >= 0 else np.empty(0, np.int32)
        rows, scores = self.index.search(vector, k, Ragged.from_counts([len(met)], met))
        found = rows[0] >= 0
        return self.items.ids[rows[0][found]], scores[0][found]

    def names(self, item_ids: Any) -> list[str]:
        """What to call items in front of people: their names, or else their ids.

        Raises:
            DataError: one of them is not an item of this store.
        """
        rows = self.items.rows_of(item_ids)
        if (rows < 0).any():
            raise DataError(f"there is no item {list(item_ids)[int((rows < 0).argmax())]!r}")
        names = self.items.ids if self.item_names is None else self.item_names
        return [str(name) for name in names[rows].tolist()]

    def _features(self, row: int, profile: Mapping[str, Any]) -> Features:
        """One user's features: the table's, or defaults, below those of the profile."""
        encoder = self.model.schema.user
        key = self.model.schema.schema.user_id.name
        if key in profile:
            raise DataError(f"profile: '{key}' is the id, which is given beside the profile")
        features = encoder.encode_profile(profile)
        if row < 0:
            return features
        return {**self.users.take(np.array([row])), **{name: features[name] for name in profile}}
