"""Lists for users: what a recall asks an index for, and the k best items in blocks.

A recall needs the vectors of users, and the items to exclude. Chapters 5 and 15.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from minitower.data.columns import as_array
from minitower.data.errors import DataError, Place
from minitower.data.schema import HISTORY
from minitower.data.table import Features, Ragged, string_array
from minitower.formulas.arrays import Array, Vectors
from minitower.search.index import ExactIndex, Index, among, checked_k
from minitower.store.full_version import Store
from minitower.store.histories import add_given

Profile = Mapping[str, Any]
"""Current values of the fields of a user."""

Lists = dict[str, Array]
"""Columns of one length: user, item, score, and rank from 1."""

_USER_IDS = Place("user ids")
_ROWS = 1 << 17  # rows of lists in one block
_USERS = 4096  # users in one block
_PROFILES = 256  # users in one block, where profiles are given


def list_blocks(
    store: Store,
    users: Sequence[int | str] | None = None,
    k: int = 10,
    *,
    profiles: Sequence[Profile] | None = None,
    items: Sequence[int | str] | None = None,
    exclude_seen: bool = True,
    exact: bool = True,
    on_progress: Callable[[int, int], object] | None = None,
) -> Iterator[Lists]:
    """The k best items of many users, a block of users at a time.

    A block has at most 131,072 rows, or the rows of one user.

    Args:
        store: the open version, ``recommender.store``.
        users: ids, known or not; None: all users of the store.
        k: the length of a list, >= 1. A list is shorter where fewer items are left.
        profiles: one for each user, as in :meth:`Recommender.recall`.
        items: ids of the allowed items; None allows all. Unknown ids are no error.
        exclude_seen: as in :meth:`Recommender.recall`.
        exact: True scores every allowed item. That is faster for many users, up to some
            hundred thousand items. False asks the index of the store, as `recall` does.
        on_progress: called with the number of users that are done, and of all.

    Raises:
        DataError: before the first block. k, an id or a profile is refused as in `recall`;
            or the store knows no allowed item; or `items` are given with `exact=False`.
    """
    index, allowed = _candidates(store, items, exact)
    k = min(checked_k(k), len(index.vectors))
    ids = store.users.ids if users is None else as_array(users, Place("users"))
    if profiles is not None and len(profiles) != len(ids):
        raise DataError(f"{len(profiles)} profiles for {len(ids)} users")
    size = max(1, min(_USERS if profiles is None else _PROFILES, _ROWS // k))
    for start in range(0, max(len(ids), 1), size):  # without users, one block without rows
        block = slice(start, start + size)
        part, given = ids[block], () if profiles is None else profiles[block]
        vectors, excluded = user_query(store, part, given, exclude_seen)
        if excluded is not None and allowed is not None:
            excluded = among(excluded, allowed)
        rows, scores = index.search(vectors, k, excluded)
        there = rows >= 0
        best = rows[there] if allowed is None else allowed[rows[there]]
        listed = np.repeat(part, there.sum(axis=1))
        yield {
            "user": string_array(listed.tolist()) if listed.dtype == object else listed,
            "item": store.items.ids[best],
            "score": scores[there],
            "rank": np.nonzero(there)[1] + 1,
        }
        if on_progress is not None:
            on_progress(start + len(part), len(ids))


def _candidates(
    store: Store, items: Sequence[int | str] | None, exact: bool
) -> tuple[Index, Array | None]:
    """The index to search, and the item row of each of its vectors; None: the same row."""
    if items is None:
        return (ExactIndex(store.index.vectors) if exact else store.index), None
    if not exact:
        raise DataError("a list of allowed items needs exact search; set exact to True")
    rows = np.unique(store.items.rows_of(items, Place("items")))
    allowed = rows[rows >= 0]
    if not len(allowed):
        raise DataError(f"the store knows none of the {len(items)} allowed items")
    return ExactIndex(store.index.vectors[allowed]), allowed


def user_query(
    store: Store,
    users: Array,
    profiles: Sequence[Profile],
    exclude_seen: bool,
    exclude: Sequence[Sequence[int | str]] = (),
) -> tuple[Vectors, Ragged | None]:
    """The vectors (n,d) of users, and the item rows to exclude for each; None: no rows.

    Args:
        store: the version that answers.
        users: (n,) ids, known or not.
        profiles: one for each user, or an empty sequence.
        exclude_seen: exclude what each user has seen.
        exclude: ids of further items, a list for each user, or an empty sequence.
    """
    rows = store.users.rows_of(users, _USER_IDS)
    vectors, _ = store.model.user(_features(store, rows, profiles))
    excluded = [("exclude", exclude)]
    if exclude_seen and store.model.history is not None:
        histories = [profile.get(HISTORY) for profile in profiles]
        excluded.append(("profile: history", [() if h is None else h for h in histories]))
    return vectors, _excluded(store, rows, exclude_seen, excluded)


def _features(store: Store, rows: Array, profiles: Sequence[Profile]) -> Features:
    """Features of users: values of the profile, else of the table, else defaults."""
    encoder = store.model.encoders.user
    features = store.users.take(np.maximum(rows, 0))
    unknown = rows < 0
    if unknown.any():
        features = encoder.mask(features, dict.fromkeys(features, unknown))
    if store.model.history is not None:
        profiles = add_given(store.model, features, profiles)
    for i, profile in enumerate(profiles):
        if not profile:
            continue
        key = store.model.encoders.schema.user_id.name
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


def _excluded(
    store: Store,
    rows: Array,
    exclude_seen: bool,
    lists: Sequence[tuple[str, Sequence[Sequence[int | str]]]],
) -> Ragged | None:
    """Item rows to exclude from each user's answer; None to exclude nothing.

    Args:
        store, rows, exclude_seen: as of :func:`user_query`.
        lists: lists of ids, one for each user or none, by the name of the argument.
    """
    nothing = np.empty(0, np.int32)
    seen = [store.seen.row(row) if exclude_seen and row >= 0 else nothing for row in rows.tolist()]
    for name, of_users in lists:
        for i, ids in enumerate(of_users):
            given = as_array(ids, Place(name))
            if len(given):
                more = store.items.rows_of(given, Place(name))
                seen[i] = np.union1d(seen[i], more[more >= 0])
    counts = [len(items) for items in seen]
    return Ragged.from_counts(counts, np.concatenate(seen)) if any(counts) else None
