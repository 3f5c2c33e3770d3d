"""Forget users: take everything that is theirs out of a full version, before it is trained on.

What the model learned from their clicks about items and about values of features stays.

Chapter 13.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace

import numpy as np

from minitower.data import DataError
from minitower.data.columns import Columns
from minitower.data.errors import show
from minitower.data.feature_encoder import FeatureEncoders
from minitower.formulas.arrays import Array
from minitower.store.forgotten import Forgotten
from minitower.store.full_version import Store
from minitower.towers.optimizers import Optimizer
from minitower.towers.two_tower import TwoTower
from minitower.updating.base import UpdateBase
from minitower.updating.entity_lists import EntityLists

PARTS_BY_USER = ("seen",)
"""Parts of a full version with a row for each user, besides the table, which holds histories."""


def forget(base: UpdateBase, lists: EntityLists) -> tuple[UpdateBase, EntityLists, int]:
    """Forget the listed users, and those that the store has forgotten and this version holds.

    A rollback brings back a version from before a user was forgotten. So the store's record
    counts, not the version's alone.

    Returns:
        The base and the lists without these users, and the number of dropped users.

    Raises:
        DataError: no user would remain.
    """
    forgotten = base.forgotten | Forgotten.of(lists.forget.tolist())
    unknown = lists.forget[base.full.users.rows_of(lists.forget) < 0]
    unknown = unknown[~base.forgotten.among(unknown)]
    if len(unknown):
        what = f"{len(unknown):,} ids belong to no user of version {base.version.number}"
        base.emit("forgotten", f"{what}, such as {show(unknown[0])}; recorded all the same")
    dropped = 0
    if forgotten != Forgotten.in_notes(base.full.notes):
        mask = forgotten.among(base.full.users.ids)
        if dropped := int(np.count_nonzero(mask)):
            full, optimizer = without_users(base.full, base.optimizer, mask)
            base = replace(base, full=full, optimizer=optimizer)
            base.emit("forgotten", f"{dropped:,} users forgotten")
    users = lists.users
    if users is not None:
        key = base.fields.user_id
        listed = forgotten.among(users[key])
        if listed.any():
            base.emit(
                "ignored", f"users: {np.count_nonzero(listed):,} rows of forgotten users ignored"
            )
            arrays = {name: array[~listed] for name, array in users.arrays.items()}
            users = None if listed.all() else Columns(arrays, users.place)
    return replace(base, forgotten=forgotten), replace(lists, users=users), dropped


def without_users(full: Store, optimizer: Optimizer, mask: Array) -> tuple[Store, Optimizer]:
    """A full version and its optimizer without the users where a mask (n,) bool holds.

    Their rows leave the table, each part by user, the vocabulary of ids, the embedding of ids
    and its optimizer state. The other rows keep their values and move up.

    Raises:
        DataError: no user would remain.
    """
    if mask.all():
        raise DataError("all users would be forgotten; train a new store")
    key = full.model.encoders.schema.user_id.name
    state, arrays = full.model.encoders.to_state()
    rows = full.model.encoders.user.vocabulary(key).encode(full.users.ids[mask])
    rows = rows[rows > 0]  # row 0 is the default embedding
    vocabulary = f"user.vocabulary.{key}"
    arrays[vocabulary] = np.delete(arrays[vocabulary], rows - 1)
    schema = FeatureEncoders.from_state(state, arrays)

    table = f"user.{key}.embedding"
    parameters = dict(full.model.parameters)
    if table in parameters:  # absent where the tower does not read the id
        parameters[table] = np.delete(parameters[table], rows, axis=0)
    model = TwoTower(schema, **full.model.config, parameters=parameters)
    optimizer = copy(optimizer)
    optimizer.state = {
        slot: np.delete(array, rows, axis=0) if slot.rpartition("/")[0] == table else array
        for slot, array in optimizer.state.items()
    }
    kept = np.flatnonzero(~mask)
    users = full.users.rows(kept)
    users.columns[key] = schema.user.vocabulary(key).encode(users.ids)
    by_user = {name: getattr(full, name).take(kept) for name in PARTS_BY_USER}
    return replace(full, model=model, users=users, **by_user), optimizer
