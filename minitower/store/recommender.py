"""From a user to a list of items: what serving does, at any hour, with what it has."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.columns import as_array
from minitower.data.encoding import Features, Table
from minitower.data.errors import DataError, Place
from minitower.data.ragged import Ragged
from minitower.formulas.arrays import Array
from minitower.search.index import Index, checked_k
from minitower.store.catalogue import Catalogue, Version, served
from minitower.store.incremental import read_version
from minitower.store.snapshot import Store
from minitower.store.store_check import check_shapes
from minitower.towers.two_tower import TwoTower

Answer = tuple[Array, Array]
Profile = Mapping[str, Any]


class Recommender:
    """A model, its index, and what it needs to know about users and items.

    Any number of threads may recall at the same time, and while one of them reloads.
    Each call answers from one version, the one that is open when it begins.

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
        self._store = Store(model, items, users, seen, index, item_names)
        check_shapes(self._store)
        self._folder: Path | None = None
        self._reloading = threading.Lock()

    @classmethod
    def open(cls, folder: str | Path) -> "Recommender":
        """The recommender of a store, a folder that :func:`publish` wrote.

        Raises:
            DataError: the folder is not a store, of another format, or damaged; the
                message names the file.
        """
        s = served(folder, read_version)
        recommender = cls(s.model, s.items, s.users, s.seen, s.index, s.item_names)
        recommender._store, recommender._folder = s, Path(folder)
        return recommender

    def reload(self) -> bool:
        """Open the version that the store now serves, if it is another one, and change over.

        Calls that have begun end with the version they began with. An incremental version
        of the full one that is open opens at once: only its rows are read.

        Returns:
            Whether there was another one.

        Raises:
            DataError: it cannot be opened, or this recommender comes from no store. What
                was open stays open.
        """
        if self._folder is None:
            raise DataError("this recommender was made from parts, there is no store to reload")
        with self._reloading:
            if Catalogue.read(self._folder).version() == self._store.version:
                return False
            full = self._store.full or self._store
            read = lambda catalogue, version: read_version(catalogue, version, full)
            self._store = served(self._folder, read)
            return True

    @property
    def store(self) -> Store:
        """What is open now, all of one version."""
        return self._store

    @property
    def version(self) -> Version | None:
        """Which version is open; None if it comes from no store."""
        return self._store.version

    @property
    def model(self) -> TwoTower:
        """The model that is open now."""
        return self._store.model

    @property
    def items(self) -> Table:
        """The items of the version that is open now."""
        return self._store.items

    @property
    def users(self) -> Table:
        """The users of the version that is open now."""
        return self._store.users

    @property
    def seen(self) -> Ragged:
        """What each of these users has met."""
        return self._store.seen

    @property
    def index(self) -> Index:
        """The index that is open now."""
        return self._store.index

    @property
    def item_names(self) -> Array | None:
        """What these items are called."""
        return self._store.item_names

    def recall(
        self,
        user_id: int | str,
        profile: Profile | None = None,
        k: int = 100,
        exclude_seen: bool = True,
        exclude: Sequence[int | str] = (),
    ) -> Answer:
        """The k items of highest score for one user, best first.

        Shapes: ()->(<=k),(<=k). Fewer than k come back when no more are left.

        Args:
            user_id: known or not. For one that is not known the tower sees default
                values wherever the profile is silent.
            profile: values of the user's fields as of now. They override what the
                table says about a known user.
            k: how many, >= 1.
            exclude_seen: leave out what the user has met; an unknown one has met nothing.
            exclude: ids of more items to leave out, such as those met since the store was
                published. Unknown ones are no error.

        Returns:
            Item ids, and their scores.

        Raises:
            DataError: the id is of another type than the table's, the profile names a
                field that is not there or holds a value that cannot be read, or k
                is no whole number of at least 1.
        """
        return self.recall_many([user_id], [profile or {}], k, exclude_seen, [exclude])[0]

    def recall_many(
        self,
        user_ids: Sequence[int | str],
        profiles: Sequence[Profile] | None = None,
        k: int = 100,
        exclude_seen: bool = True,
        exclude: Sequence[Sequence[int | str]] | None = None,
    ) -> list[Answer]:
        """As :meth:`recall`, for many users at once; one profile and one exclude for each.

        Raises:
            DataError: as :meth:`recall`; or profiles or exclude are not as many as users.
        """
        store = self._store  # once: reload() may put another one here meanwhile
        k = min(checked_k(k), len(store.items))
        users = as_array(user_ids, Place("user_ids"))
        for what, given in (("profiles", profiles), ("exclude", exclude)):
            if given is not None and len(given) != len(users):
                raise DataError(f"{len(given)} {what} for {len(users)} users")
        rows = store.users.rows_of(users)
        vectors, _ = store.model.user(_features(store, rows, profiles or ()))
        left_out = _left_out(store, rows, exclude_seen, exclude or ())
        found, scores = store.index.search(vectors, k, left_out)
        there = found >= 0
        return [
            (store.items.ids[found[i][there[i]]], scores[i][there[i]]) for i in range(len(rows))
        ]

    def names(self, item_ids: Any) -> list[str]:
        """What to call items in front of people: their names, or else their ids.

        Raises:
            DataError: one of them is not an item of the version that is open.
        """
        store = self._store
        rows = store.items.rows_of(item_ids)
        if (rows < 0).any():
            raise DataError(f"there is no item {list(item_ids)[int((rows < 0).argmax())]!r}")
        names = store.items.ids if store.item_names is None else store.item_names
        return [str(name) for name in names[rows].tolist()]


def _features(store: Store, rows: Array, profiles: Sequence[Profile]) -> Features:
    """Features of users: the table's, or defaults, below those of the profiles."""
    encoder = store.model.schema.user
    features = store.users.take(np.maximum(rows, 0))
    unknown = rows < 0
    if unknown.any():
        features = encoder.mask(features, dict.fromkeys(features, unknown))
    key = store.model.schema.schema.user_id.name
    for i, profile in enumerate(profiles):
        if key in profile:
            raise DataError(f"profile: '{key}' is the id, which is given beside the profile")
        told = encoder.encode_profile(profile) if profile else {}
        for name in profile:
            own, new = features[name], told[name]
            if isinstance(own, Ragged) and isinstance(new, Ragged):
                sets = [own.row(j) if j != i else new.values for j in range(len(own))]
                features[name] = Ragged.from_counts([len(s) for s in sets], np.concatenate(sets))
            elif isinstance(own, np.ndarray) and isinstance(new, np.ndarray):
                own[i] = new[0]
    return features


def _left_out(
    store: Store, rows: Array, exclude_seen: bool, exclude: Sequence[Sequence[int | str]]
) -> Ragged | None:
    """Item rows to leave out of each user's answer; None where there are none at all."""
    nothing = np.empty(0, np.int32)
    met = [store.seen.row(row) if exclude_seen and row >= 0 else nothing for row in rows.tolist()]
    for i, ids in enumerate(exclude):
        excluded = as_array(ids, Place("exclude"))
        if len(excluded):
            more = store.items.rows_of(excluded)
            met[i] = np.union1d(met[i], more[more >= 0])
    counts = [len(items) for items in met]
    return Ragged.from_counts(counts, np.concatenate(met)) if any(counts) else None
