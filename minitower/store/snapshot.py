"""The parts of one version of a store, and whether they belong together.

Checksums say that files are as they were written. These checks say that what was written is
a version: shapes agree, and rows point inside their tables. So no later step fails on a part
of another version.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minitower.data.errors import show
from minitower.data.feature_encoder import FeatureEncoder
from minitower.data.schema import Continuous, MultiValued
from minitower.data.table import Ragged, Table
from minitower.formulas.arrays import Array
from minitower.search.index import Index
from minitower.store.version_log import Version
from minitower.towers.two_tower import TwoTower


@dataclass(frozen=True, eq=False)
class Store:
    """The parts of one version of a store, which a Recommender serves.

    Attributes:
        model, items, users, seen, index: as in :class:`Recommender`.
        item_counts: (m,) int64 positives of each item in training: its popularity.
        retired: items that are no longer served and may be reactivated; or None.
        version: its entry in the version log; None for parts that come from no store.
        full: of an incremental version, the full version that it stands on.
        notes: of the version; see :mod:`minitower.store.provenance`.
    """

    model: TwoTower
    items: Table
    users: Table
    seen: Ragged
    index: Index
    item_counts: Array | None = None
    retired: Table | None = None
    version: Version | None = None
    full: "Store | None" = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def check_shapes(store: Store) -> None:
    """Compare the lengths of the parts.

    Raises:
        ValueError: two parts disagree about the number of items or users.
    """
    shape = (len(store.items), store.model.dim)
    if store.index.vectors.shape != shape:
        raise ValueError(f"the index holds vectors {store.index.vectors.shape}, the model {shape}")
    if len(store.seen) != len(store.users):
        raise ValueError(f"seen has {len(store.seen)} rows for {len(store.users)} users")
    for what, part in (("names", store.items.names), ("counts", store.item_counts)):
        if part is not None and part.shape != (len(store.items),):
            raise ValueError(f"there are {what} {part.shape} for {len(store.items)} items")


def check_values(store: Store) -> None:
    """Read every number of the tables and of `seen` once.

    Raises:
        ValueError: a column has another form than its field, or points to a row outside
            its table; names the table and the column.
    """
    schema = store.model.schema
    _check_table("items", store.items, schema.item)
    _check_table("users", store.users, schema.user)
    if store.retired is not None:
        _check_table("retired items", store.retired, schema.item)
    _check_ragged("seen", store.seen, len(store.users), len(store.items))
    if store.item_counts is not None:
        _check_rows("counts", store.item_counts, None)


def checked_notes(notes: Any) -> dict[str, Any]:
    """The notes of a version or a model; checks the entries that minitower reads.

    Raises:
        ValueError: an entry has another form than minitower writes; names the entry.
    """
    if not isinstance(notes, dict):
        raise ValueError(f"notes: expected an object, got {show(notes)}")
    for name in ("reading", "training"):
        if not isinstance(notes.get(name, {}), dict):
            raise ValueError(f"notes: {name}: expected an object, got {show(notes[name])}")
    timestamp, item_name = notes.get("reading", {}).get("timestamp"), notes.get("item_name")
    for name, value in (("timestamp", timestamp), ("item_name", item_name)):
        if not isinstance(value, str | None):
            raise ValueError(f"notes: {name}: expected a string, got {show(value)}")
    return notes


def _check_table(what: str, table: Table, side: FeatureEncoder) -> None:
    ids = table.ids
    if ids.ndim != 1 or not (ids.dtype == np.int64 or ids.dtype.kind == "U"):
        raise ValueError(f"{what}: expected ids (n,) of int64 or strings, got {_form(ids)}")
    for form in side.fields:
        place, column = f"{what}: column '{form.name}'", table.columns.get(form.name)
        if isinstance(column, Ragged) and isinstance(form, MultiValued):
            _check_ragged(place, column, len(ids), side.cardinality(form.name))
            continue
        if not isinstance(column, np.ndarray) or isinstance(form, MultiValued):
            raise ValueError(f"{place}: missing, or of another kind of field")
        is_number = isinstance(form, Continuous) and form.transform != "bucketise"
        dtype = np.dtype(np.float32 if is_number else np.int32)
        if column.shape != ids.shape or column.dtype != dtype:
            raise ValueError(f"{place}: expected {dtype} {ids.shape}, got {_form(column)}")
        if not is_number:
            _check_rows(place, column, side.cardinality(form.name))
        elif not np.isfinite(column).all():
            raise ValueError(f"{place}: not all numbers are finite")


def _check_ragged(place: str, ragged: Ragged, rows: int, below: int) -> None:
    indptr, values = ragged.indptr, ragged.values
    if indptr.dtype != np.int64 or values.dtype != np.int32 or values.ndim != 1:
        raise ValueError(
            f"{place}: expected indptr of int64 and values (n,) of int32, got {_form(indptr)} "
            f"and {_form(values)}"
        )
    if indptr.shape != (rows + 1,) or indptr[0] != 0 or indptr[-1] != len(values):
        raise ValueError(f"{place}: indptr {indptr.shape} does not lead through {rows} rows")
    if (np.diff(indptr) < 0).any():
        raise ValueError(f"{place}: indptr decreases")
    _check_rows(place, values, below)


def _check_rows(place: str, rows: Array, below: int | None) -> None:
    if rows.dtype.kind not in "iu":
        raise ValueError(f"{place}: expected integers, got {rows.dtype}")
    low, high = rows.min(initial=0), rows.max(initial=0)
    if low < 0 or (below is not None and len(rows) and high >= below):
        bound = "of at least 0" if below is None else f"from 0 to {below - 1}"
        raise ValueError(f"{place}: expected numbers {bound}, got {low} to {high}")


def _form(array: Array) -> str:
    return f"{array.dtype} {array.shape}"
