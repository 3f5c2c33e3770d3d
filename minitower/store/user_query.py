"""What a recall asks an index for: the vectors of users, and the items to exclude.

Chapters 5 and 15.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minitower.data.columns import as_array
from minitower.data.errors import DataError, Place
from minitower.data.schema import HISTORY
from minitower.data.table import Features, Ragged
from minitower.formulas.arrays import Array, Vectors
from minitower.store.full_version import Store
from minitower.store.histories import add_given

Profile = Mapping[str, Any]

_USERS = Place("user ids")


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
    rows = store.users.rows_of(users, _USERS)
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
