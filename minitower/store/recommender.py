"""Online recall: from a user to a list of items."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.columns import as_array
from minitower.data.errors import DataError, Place
from minitower.data.schema import HISTORY
from minitower.data.table import Features, Ragged, Table
from minitower.formulas.arrays import Array
from minitower.search.index import Index, checked_k
from minitower.store.full_version import Store, check_shapes, read_full
from minitower.store.histories import add_given
from minitower.store.incremental import read_incremental
from minitower.store.version_log import Version, VersionLog, read_current
from minitower.towers.two_tower import TwoTower

Answer = tuple[Array, Array]
Profile = Mapping[str, Any]


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
    ) -> Answer:
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
    ) -> list[Answer]:
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
        rows = store.users.rows_of(users)
        vectors, _ = store.model.user(_features(store, rows, profiles or ()))
        if exclude_seen and store.model.history is not None:
            exclude = _with_history(exclude, profiles or ())
        excluded = _excluded(store, rows, exclude_seen, exclude or ())
        found, scores = store.index.search(vectors, k, excluded)
        there = found >= 0
        return [
            (store.items.ids[found[i][there[i]]], scores[i][there[i]]) for i in range(len(rows))
        ]

    def names(self, item_ids: Any) -> list[str]:
        """What to call items in front of people: their names, or else their ids.

        Raises:
            DataError: an id is not an item of the open version.
        """
        store = self.store
        rows = store.items.rows_of(item_ids)
        if (rows < 0).any():
            raise DataError(f"unknown item {list(item_ids)[int((rows < 0).argmax())]!r}")
        items = store.items
        names = items.ids[rows] if items.names is None else items.names[rows]
        return [str(name) for name in names.tolist()]


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


def _features(store: Store, rows: Array, profiles: Sequence[Profile]) -> Features:
    """Features of users: values of the profile, else of the table, else defaults."""
    encoder = store.model.schema.user
    features = store.users.take(np.maximum(rows, 0))
    unknown = rows < 0
    if unknown.any():
        features = encoder.mask(features, dict.fromkeys(features, unknown))
    if store.model.history is not None:
        profiles = add_given(store.model, features, profiles)
    for i, profile in enumerate(profiles):
        if not profile:
            continue
        key = store.model.schema.schema.user_id.name
        if key in profile:
            raise DataError(f"profile: '{key}' is the id, which is given beside the profile")
        encoded = encoder.encode_profile(profile)
        for name in profile:
            old, new = features[name], encoded[name]
            if isinstance(old, Ragged) and isinstance(new, Ragged):
                sets = [old.row(j) if j != i else new.values for j in range(len(old))]
                features[name] = Ragged.from_counts([len(s) for s in sets], np.concatenate(sets))
            elif isinstance(old, np.ndarray) and isinstance(new, np.ndarray):
                old[i] = new[0]
    return features


def _with_history(
    exclude: Sequence[Sequence[int | str]] | None, profiles: Sequence[Profile]
) -> list[list[Any]]:
    """The lists to exclude, with the items of the histories that profiles give."""
    histories = [profile.get(HISTORY) for profile in profiles]
    given = [[] if history is None else list(history) for history in histories]
    exclude = exclude or [()] * len(given)
    given = given or [[]] * len(exclude)
    return [[*ids, *more] for ids, more in zip(exclude, given, strict=True)]


def _excluded(
    store: Store, rows: Array, exclude_seen: bool, exclude: Sequence[Sequence[int | str]]
) -> Ragged | None:
    """Item rows to exclude from each user's answer; None to exclude nothing."""
    nothing = np.empty(0, np.int32)
    seen = [store.seen.row(row) if exclude_seen and row >= 0 else nothing for row in rows.tolist()]
    for i, ids in enumerate(exclude):
        given = as_array(ids, Place("exclude"))
        if len(given):
            more = store.items.rows_of(given)
            seen[i] = np.union1d(seen[i], more[more >= 0])
    counts = [len(items) for items in seen]
    return Ragged.from_counts(counts, np.concatenate(seen)) if any(counts) else None
