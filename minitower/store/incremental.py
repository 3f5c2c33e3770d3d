"""Small versions between two full ones: rows of embeddings that moved, on top of the rest.

After the lecture (section 4): during the day only id embeddings move; what is published every
few tens of minutes is the rows that moved since the full version, and the next full version
starts from the full one before it, not from here.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.errors import DataError, show
from minitower.evaluation.encode import encode
from minitower.formulas.arrays import Array
from minitower.search.patched import PatchedIndex
from minitower.store.array_files import write_array, write_arrays
from minitower.store.catalogue import Catalogue, Version, changing
from minitower.store.folder import SavedFolder
from minitower.store.snapshot import Store, fitting, read_full
from minitower.store.store_check import checked_notes
from minitower.towers.two_tower import TwoTower

Rows = Mapping[str, tuple[Array, Array]]


def publish_incremental(
    folder: str | Path,
    rows: Rows,
    *,
    parent: int,
    notes: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    full: Store | None = None,
) -> Store:
    """Write a version that differs from a full one in some rows; returns it, as opened.

    It holds all that moved since the parent, not since the last incremental version:
    every version stands on one full version and on nothing else. Where rows of the item
    tower are among them, the items are encoded anew and the vectors that changed become
    part of the version, so that tower and vectors cannot differ.

    Args:
        folder: of the store.
        rows: by parameter name, such as "user.user_id.embedding", the (r,) distinct rows
            that moved, ascending, and their (r,d) values.
        parent: the number of the full version that they moved away from.
        notes: JSON of the caller's own.
        metrics: as in :func:`publish`.
        full: the full version, where it is open already; otherwise its files are read and
            their checksums computed. Used if it is the one that the store names.

    Raises:
        Superseded: the parent is not the full version that is served, or that what is
            served stands on.
        DataError: rows or values do not fit it, or it cannot be written.
    """
    with changing(folder) as catalogue:
        base = catalogue.check_full(parent)
        full = _opened(catalogue, base, full)
        model = _moved(full.model, rows)
        items, vectors = _changed_items(full, model, rows)
        content: dict[str, Any] = {
            "notes": dict(notes or {}),
            "metrics": dict(metrics or {}),
            "parent": parent,
            "parent_manifest": base.manifest,
        }
        with catalogue.new_version("incremental", content) as place:
            write_arrays(place / "rows.npz", {name: moved for name, (moved, _) in rows.items()})
            write_arrays(place / "values.npz", {name: values for name, (_, values) in rows.items()})
            write_array(place / "items.npy", items)
            write_array(place / "item_vectors.npy", vectors)
        catalogue = catalogue.with_version("incremental", parent)
        store = read_incremental(catalogue, catalogue.version(), full)
        catalogue.write()
    return store


def read_version(catalogue: Catalogue, version: Version, full: Store | None = None) -> Store:
    """A version of any kind.

    Args:
        catalogue: of the store.
        version: which one.
        full: a full version that is open; used if it is the one that is needed.

    Raises:
        DataError: a file is damaged, or parts do not belong together.
    """
    catalogue.check_family("full")
    base = catalogue.full(version.number)
    full = _opened(catalogue, base, full)
    return full if version == base else read_incremental(catalogue, version, full)


def read_incremental(catalogue: Catalogue, version: Version, full: Store) -> Store:
    """An incremental version on top of the full one it branched from.

    Raises:
        DataError: it is damaged, or branched from another version.
    """
    saved = catalogue.open(version)
    base = catalogue.full(version.number)
    if full.version != base or saved.content.get("parent_manifest") != base.manifest:
        raise DataError(
            f"{saved.folder}: branched from another version than {base.number}, and would pair "
            "a tower with the vectors of another"
        )
    rows = read_rows(saved)
    items, vectors = saved.array("items.npy"), saved.array("item_vectors.npy")
    with fitting(saved):
        model = _moved(full.model, rows)
        index = PatchedIndex(full.index, items, vectors) if len(items) else full.index
        notes = checked_notes(saved.content["notes"])
    return replace(full, model=model, index=index, version=version, full=full, notes=notes)


def read_rows(saved: SavedFolder) -> Rows:
    """The rows that an incremental version moves, by parameter.

    Raises:
        DataError: a parameter has rows without values, or values without rows.
    """
    at, values = saved.arrays("rows.npz"), saved.arrays("values.npz")
    with fitting(saved, "values.npz"):
        if unpaired := at.keys() ^ values.keys():
            raise ValueError(f"{show(min(unpaired))} has rows or values, not both")
        return {name: (rows, values[name]) for name, rows in at.items()}


def _opened(catalogue: Catalogue, base: Version, full: Store | None) -> Store:
    return full if full is not None and full.version == base else read_full(catalogue, base)


def _moved(model: TwoTower, rows: Rows) -> TwoTower:
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
        if (np.diff(at, prepend=-1, append=len(table)) < 1).any():
            inside = f"within 0..{len(table) - 1}"
            raise DataError(f"rows of '{name}': not distinct and ascending {inside}")
        if not np.isfinite(values).all():
            raise DataError(f"rows of '{name}': a value is not finite")
        moved.parameters[name] = table.copy()
        moved.parameters[name][at] = values
    return moved


def _changed_items(full: Store, model: TwoTower, rows: Rows) -> tuple[Array, Array]:
    """Rows (c,) and vectors (c,d) of the items whose vectors differ from the full version's."""
    if not any(name.startswith("item.") for name in rows):
        return np.empty(0, np.int64), full.index.vectors[:0]
    # Both on this machine: another one's BLAS may have rounded the stored vectors otherwise.
    before, vectors = encode(full.model.item, full.items), encode(model.item, full.items)
    changed = np.flatnonzero((vectors != before).any(axis=1))
    return changed, vectors[changed]
