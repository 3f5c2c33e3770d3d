"""Incremental versions of a store: the embedding rows that moved since a full version.

After the lecture (section 4): during the day only id embeddings move. Every few tens of
minutes the rows that moved since the full version are published. The next full version starts
from the full version before it, not from an incremental one.

Chapters 13 and 15.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.errors import DataError, show
from minitower.data.schema import HISTORY
from minitower.data.table import Ragged
from minitower.evaluation.encode import encode
from minitower.formulas.arrays import Array
from minitower.search.patched import PatchedIndex
from minitower.store.folder import SavedFolder, mismatch_is_data_error
from minitower.store.full_version import Store, check_histories, read_full
from minitower.store.histories import GrownHistories, history_of, replaced
from minitower.store.model_files import checked_notes
from minitower.store.new_folder import write_array, write_arrays
from minitower.store.transaction import add_version, transaction
from minitower.store.version_log import Version, VersionLog
from minitower.towers.two_tower import TwoTower

Rows = Mapping[str, tuple[Array, Array]]
"""By parameter name, such as "user.user_id.embedding", the (r,) distinct rows that moved,
ascending, and their (r,d) values."""

Moved = tuple[Rows, GrownHistories | None]
"""What an incremental version changes: rows, and the histories that have grown."""


def publish_incremental(
    folder: str | Path,
    rows: Rows,
    *,
    parent: int,
    histories: GrownHistories | None = None,
    notes: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    full: Store | None = None,
) -> Store:
    """Write a version that differs from a full one in some rows; returns it, as opened.

    The version holds all rows that moved since the parent, not since the last incremental
    version: it stands on one full version and on nothing else. If rows of the item tower
    moved, the items are encoded again. The changed vectors become part of the version, so
    tower and vectors always agree.

    Args:
        folder: of the store.
        rows: those that moved since the parent.
        parent: the number of the full version that the rows moved away from.
        histories: those that have grown since then; None: no history has grown.
        notes: JSON of the caller's own.
        metrics: as in :func:`publish`.
        full: the open full version; its files were verified when it was opened and are not
            read again. Without it, or if the store names another one, they are read.

    Raises:
        VersionConflict: the parent is not the current full version.
        DataError: rows or values do not fit the model, or the store cannot be written.
    """
    with transaction(folder) as log:
        base = log.check_full(parent)
        full = read_full(log, base, full)
        model = _with_rows(full.model, rows)
        items, vectors = _changed_items(full, model, rows)
        content: dict[str, Any] = {
            "notes": dict(notes or {}),
            "metrics": dict(metrics or {}),
            "parent": parent,
            "parent_manifest": base.manifest,
        }

        def write(place: Path) -> None:
            content["arrays"] = write_arrays(place, _groups((rows, histories)))
            write_array(place / "items.npy", items)
            write_array(place / "item_vectors.npy", vectors)

        read = lambda log, version: read_incremental(log, version, full)
        return add_version(log, "incremental", parent, content, write, read)


def read_incremental(log: VersionLog, version: Version, full: Store) -> Store:
    """Open an incremental version on top of the full version that it branched from.

    Raises:
        DataError: the version is damaged, or branched from another full version.
    """
    saved = log.open(version)
    base = log.full(version.number)
    if full.version != base or saved.content.get("parent_manifest") != base.manifest:
        raise DataError(
            f"{saved.folder}: branched from another version than {base.number}, and would pair "
            "a tower with the vectors of another"
        )
    rows, histories = read_moved(saved)
    items, vectors = saved.array("items.npy"), saved.array("item_vectors.npy")
    with mismatch_is_data_error(saved):
        model = _with_rows(full.model, rows)
        index = PatchedIndex(full.index, items, vectors) if len(items) else full.index
        notes = checked_notes(saved.content["notes"])
        store = replace(full, model=model, index=index, version=version, full=full, notes=notes)
        return store if histories is None else with_grown(store, histories)


def read_moved(saved: SavedFolder) -> Moved:
    """What an incremental version changes.

    Raises:
        DataError: a parameter has rows without values, or values without rows; or an array is
            missing.
    """
    at, values = saved.arrays("rows"), saved.arrays("values")
    with mismatch_is_data_error(saved, "values"):
        if unpaired := at.keys() ^ values.keys():
            raise ValueError(f"{show(min(unpaired))} has rows or values, not both")
    rows = {name: (rows, values[name]) for name, rows in at.items()}
    if "histories" not in saved:
        return rows, None
    arrays = saved.arrays("histories")
    with mismatch_is_data_error(saved, "histories"):
        return rows, (arrays["users"], Ragged(arrays["indptr"], arrays["values"]))


def same_moved(one: Moved, other: Moved) -> bool:
    """Whether two versions change the same rows and histories to the same values."""
    groups, others = _groups(one), _groups(other)
    return groups.keys() == others.keys() and all(
        arrays.keys() == others[group].keys()
        and all(np.array_equal(array, others[group][name]) for name, array in arrays.items())
        for group, arrays in groups.items()
    )


def _groups(moved: Moved) -> dict[str, dict[str, Array]]:
    """Groups of arrays by name, as a version holds them."""
    rows, histories = moved
    groups = {
        "rows": {name: at for name, (at, _) in rows.items()},
        "values": {name: values for name, (_, values) in rows.items()},
    }
    if histories is not None:
        users, clicks = histories
        groups["histories"] = {"users": users, "indptr": clicks.indptr, "values": clicks.values}
    return groups


def with_grown(store: Store, grown: GrownHistories) -> Store:
    """The version with the histories that have grown.

    Raises:
        ValueError: the rows are not distinct rows of the table of users, in ascending order, or
            the histories have another form.
    """
    users, (rows, histories) = store.users, grown
    if not _are_ascending(rows, len(users)):
        raise ValueError(f"histories: rows not distinct and ascending within {len(users)} users")
    check_histories(store.model, histories, len(rows))
    column = replaced(history_of(users.columns), rows, histories)
    return replace(store, users=replace(users, columns={**users.columns, HISTORY: column}))


def _with_rows(model: TwoTower, rows: Rows) -> TwoTower:
    """The model with some rows of some parameters replaced; the others are shared."""
    moved = copy(model)
    moved.parameters = dict(model.parameters)
    for name, (at, values) in rows.items():
        if name not in model.parameters:
            raise DataError(f"rows: the model has no parameter '{name}'")
        table = model.parameters[name]
        at, values = np.asarray(at), np.asarray(values)
        if at.ndim != 1 or at.dtype.kind not in "iu" or values.shape != (len(at), *table.shape[1:]):
            raise DataError(
                f"rows of '{name}': expected (r,) integers and values (r, *{table.shape[1:]}), got "
                f"{at.dtype} {at.shape} and {values.shape}"
            )
        if not _are_ascending(at, len(table)):
            inside = f"within 0..{len(table) - 1}"
            raise DataError(f"rows of '{name}': not distinct and ascending {inside}")
        if not np.isfinite(values).all():
            raise DataError(f"rows of '{name}': a value is not finite")
        moved.parameters[name] = table.copy()
        moved.parameters[name][at] = values
    return moved


def _are_ascending(rows: Array, below: int) -> bool:
    """Whether rows are distinct integers from 0 to below - 1, in ascending order."""
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        return False
    return bool((np.diff(rows, prepend=-1, append=below) >= 1).all())


def _changed_items(full: Store, model: TwoTower, rows: Rows) -> tuple[Array, Array]:
    """Rows (c,) and vectors (c,d) of the items whose vectors the moved rows change."""
    if not any(name.startswith("item.") for name in rows):
        return np.empty(0, np.int64), full.index.vectors[:0]
    # Encode both on this machine: the BLAS of another one may have rounded the stored vectors.
    before, vectors = encode(full.model.item, full.items), encode(model.item, full.items)
    changed = np.flatnonzero((vectors != before).any(axis=1))
    return changed, vectors[changed]
