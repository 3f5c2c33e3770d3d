"""Lists for many users: the k best items of each, in blocks of bounded size. Chapter 15."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from minitower.data.columns import as_array
from minitower.data.errors import DataError, Place
from minitower.data.table import string_array
from minitower.formulas.arrays import Array
from minitower.search.index import ExactIndex, Index, among, checked_k
from minitower.store.full_version import Store
from minitower.store.user_query import Profile, user_query

Lists = dict[str, Array]
"""Columns of one length: user, item, score, and rank from 1."""

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
