"""What a recall asks an index for: the vectors of users, and the items to exclude."""

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
    rows = store.users.rows_of(users)
    vectors, _ = store.model.user(_features(store, rows, profiles))
    if exclude_seen and store.model.history is not None:
        exclude = _with_history(exclude, profiles)
    return vectors, _excluded(store, rows, exclude_seen, exclude)


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
    exclude: Sequence[Sequence[int | str]], profiles: Sequence[Profile]
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
