"""Online recall: from a user to a list of items. Chapters 5 and 15."""

import threading
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.columns import as_array
from minitower.data.errors import DataError, Place
from minitower.data.table import Ragged, Table
from minitower.formulas.arrays import Array
from minitower.search.index import ExactIndex, Index, SearchResult, checked_k
from minitower.store.full_version import Store, check_shapes, read_full
from minitower.store.incremental import read_incremental
from minitower.store.lists import Profile, list_blocks, user_query
from minitower.store.version_log import Version, VersionLog, read_current
from minitower.towers.two_tower import TwoTower


class Recommender:
    """A model, its index, and what it needs to know about users and items.

    Any number of threads may recall at the same time, and while one of them reloads.
    Each call answers from one version, the one that is open when the call begins.

    Args:
        model: its user tower makes the query.
        items, users: the encoded tables.
        seen: for each row of `users`, the item rows that the user has seen.
        index: of the item vectors of this very model.

    Attributes:
        store: the parts of the open version.

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
    ) -> None:
        self.store = Store(model, items, users, seen, index)
        check_shapes(self.store)
        self._folder: Path | None = None
        self._reloading = threading.Lock()
        self._unit: tuple[Store, Index] | None = None

    @classmethod
    def open(cls, folder: str | Path) -> "Recommender":
        """The recommender of a store, a folder that :func:`publish` wrote.

        Raises:
            DataError: the folder is not a store, of another format, or damaged; the
                message names the file.
        """
        s = read_current(folder, read_version)
        recommender = cls(s.model, s.items, s.users, s.seen, s.index)
        recommender.store, recommender._folder = s, Path(folder)
        return recommender

    @property
    def version(self) -> Version | None:
        """The open version; None for parts that come from no store."""
        return self.store.version

    def reload(self) -> bool:
        """Change over to the current version of the store, if it is another one.

        Calls that have begun end with the version they began with. An incremental version
        of the open full version opens at once: only its rows are read.

        Returns:
            Whether the current version was another one.

        Raises:
            DataError: the version cannot be opened, or this recommender comes from no store.
                The open version stays open.
        """
        if self._folder is None:
            raise DataError("this recommender was made from parts, without a store to reload")
        with self._reloading:
            if VersionLog.read(self._folder).version() == self.store.version:
                return False
            full = self.store.full or self.store
            read = lambda log, version: read_version(log, version, full)
            self.store = read_current(self._folder, read)
            return True

    def recall(
        self,
        user_id: int | str,
        profile: Profile | None = None,
        k: int = 100,
        exclude_seen: bool = True,
        exclude: Sequence[int | str] = (),
    ) -> SearchResult:
        """The k items of highest score for one user, best first.

        Shapes: ()->(<=k),(<=k). Fewer than k come back when no more are left.

        Args:
            user_id: known or not. Of an unknown user the tower sees default values for all
                fields that the profile does not hold.
            profile: current values of the user's fields. They override the values of a
                known user in the table. For a model with a history, ``"history"`` lists the
                ids of the items that the user clicked since, oldest first. They join the
                stored history, and count as seen.
            k: how many, >= 1.
            exclude_seen: exclude the items that the user has seen; an unknown user has seen
                nothing.
            exclude: ids of more items to exclude, such as those seen since the store was
                published. Unknown ids are no error.

        Returns:
            Item ids, and their scores.

        Raises:
            DataError: the id has another type than the table's; the profile names an unknown
                field or holds a value that cannot be read; k is no integer of at least 1.
        """
        return self.recall_many([user_id], [profile or {}], k, exclude_seen, [exclude])[0]

    def recall_many(
        self,
        user_ids: Sequence[int | str],
        profiles: Sequence[Profile] | None = None,
        k: int = 100,
        exclude_seen: bool = True,
        exclude: Sequence[Sequence[int | str]] | None = None,
    ) -> list[SearchResult]:
        """As :meth:`recall` for many users at once, each with a profile and an exclude list.

        Raises:
            DataError: as :meth:`recall`; or the number of profiles or lists is not that of
                the users.
        """
        store = self.store  # once: reload() may replace it meanwhile
        k = min(checked_k(k), len(store.items))
        users = as_array(user_ids, Place("user_ids"))
        for what, given in (("profiles", profiles), ("exclude", exclude)):
            if given is not None and len(given) != len(users):
                raise DataError(f"{len(given)} {what} for {len(users)} users")
        vectors, excluded = user_query(store, users, profiles or (), exclude_seen, exclude or ())
        found, scores = store.index.search(vectors, k, excluded)
        there = found >= 0
        return [
            (store.items.ids[found[i][there[i]]], scores[i][there[i]]) for i in range(len(users))
        ]

    def recommend(
        self,
        users: Sequence[int | str] | None = None,
        k: int = 10,
        *,
        profiles: Sequence[Profile] | None = None,
        items: Sequence[int | str] | None = None,
        exclude_seen: bool = True,
        exact: bool = True,
        as_pandas: bool = False,
    ) -> Any:
        """A table of the k best items of many users.

        :func:`~minitower.store.lists.list_blocks` makes the same table in bounded memory.

        Args:
            users, k, profiles, items, exclude_seen, exact: as there.
            as_pandas: return a DataFrame.

        Returns:
            Columns of one length: user, item, score, and rank from 1. A user has a row for
            each item, best first. Users keep their order.

        Raises:
            DataError: as there.
            ModuleNotFoundError: pandas is not installed; names the extra.
        """
        blocks = list(list_blocks(
            self.store, users, k, profiles=profiles, items=items, exclude_seen=exclude_seen,
            exact=exact,
        ))  # fmt: skip
        lists = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
        if not as_pandas:
            return lists
        try:
            import pandas
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                'a DataFrame needs pandas: pip install "minitower[frames]"'
            ) from None
        return pandas.DataFrame(lists)

    def similar(self, item_id: int | str, k: int = 10) -> SearchResult:
        """The k items whose vectors have the largest cosine with an item's, best first.

        Shapes: ()->(<=k),(<=k). The item itself is excluded.

        Returns:
            Item ids, and their cosines.

        Raises:
            DataError: the item is unknown, or k is no integer of at least 1.
        """
        store = self.store
        k = min(checked_k(k), len(store.items))
        row = _item_rows(store, [item_id])
        index = store.index if store.model.similarity == "cosine" else self._cosines(store)
        found, scores = index.search(index.vectors[row], k, Ragged.from_counts([1], row))
        there = found[0] >= 0
        return store.items.ids[found[0, there]], scores[0, there]

    def _cosines(self, store: Store) -> Index:
        """The items of a model of inner products at unit length, kept for the open version."""
        if self._unit is None or self._unit[0] is not store:
            vectors = store.index.vectors
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            self._unit = store, ExactIndex(vectors / np.where(lengths > 0, lengths, 1))
        return self._unit[1]

    def names(self, item_ids: Any) -> list[str]:
        """What to call items in front of people: their names, or else their ids.

        Raises:
            DataError: an id is not an item of the open version.
        """
        items = self.store.items
        rows = _item_rows(self.store, item_ids)
        names = items.ids[rows] if items.names is None else items.names[rows]
        return [str(name) for name in names.tolist()]

    def snapshot(self) -> "Recommender":
        """A recommender of the open version, which stays so when this one reloads."""
        return copy(self)


def read_version(log: VersionLog, version: Version, full: Store | None = None) -> Store:
    """A version of any kind.

    Args:
        log: of the store.
        version: which one.
        full: a full version that is open; used if it is the one that is needed.

    Raises:
        DataError: a file is damaged, or parts do not belong together.
    """
    log.check_family("full")
    base = log.full(version.number)
    full = read_full(log, base, full)
    return full if version == base else read_incremental(log, version, full)


def _item_rows(store: Store, item_ids: Any) -> Array:
    rows = store.items.rows_of(item_ids)
    if (rows < 0).any():
        raise DataError(f"unknown item {list(item_ids)[int((rows < 0).argmax())]!r}")
    return rows
