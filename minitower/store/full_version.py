"""Full versions of a store: a model with everything that serving it needs. Chapter 15.

A full version holds the model, the tables of users and items, the seen items, and the index of
this model's item vectors. No model serves with another model's index.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.feature_encoder import FeatureEncoder
from minitower.data.interactions import Dataset
from minitower.data.schema import Continuous, MultiValued
from minitower.data.table import Features, Ragged, Table
from minitower.evaluation.encode import check_same_schema, encode, encode_sample
from minitower.formulas.arrays import Array, Vectors
from minitower.search.index import Index
from minitower.store.folder import MANIFEST, mismatch_is_data_error
from minitower.store.forgotten import Forgotten
from minitower.store.histories import history_of
from minitower.store.model_files import (
    build_index,
    check_engine,
    checked_notes,
    read_index,
    read_model,
    wanted_engine,
    write_index,
    write_model,
)
from minitower.store.new_folder import check_target, write_array, write_arrays
from minitower.store.transaction import add_version, transaction
from minitower.store.version_log import Version, VersionLog
from minitower.towers.optimizers import Optimizer
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
        ValueError: names a column of another form, or with a row outside its table.
    """
    schema = store.model.encoders
    _check_table("items", store.items, schema.item)
    _check_table("users", store.users, schema.user)
    if store.model.history is not None:
        check_histories(store.model, history_of(store.users.columns), len(store.users))
    if store.retired is not None:
        _check_table("retired items", store.retired, schema.item)
    _check_ragged("seen", store.seen, len(store.users), len(store.items))
    if store.item_counts is not None:
        _check_rows("counts", store.item_counts, None)


def check_histories(model: TwoTower, histories: Ragged, n: int) -> None:
    """Read every click of the histories of n users once.

    Raises:
        ValueError: they have another form, or a row outside the embedding of item ids.
    """
    rows = model.encoders.item.cardinality(model.encoders.schema.item_id.name)
    _check_ragged("histories", histories, n, rows)


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


def publish_model(
    model: TwoTower,
    data: Dataset,
    folder: str | Path,
    *,
    index: str | Index | None = None,
    notes: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    optimizer: Optimizer | None = None,
    parent: int | None = None,
    item_counts: Array | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> Store:
    """Write a full version and make it current; returns it, as opened from the disk.

    The version becomes current after all of it is on the disk and has been opened from
    there. Until then, and if anything fails, the version before it stays current.

    Args:
        model: trained on this data.
        data: its users, items, and all its positives, which count as seen.
        folder: of the store; made if it is missing.
        index: "exact" or an engine ("hnsw", "faiss-flat", "faiss-hnsw", "faiss-ivfpq",
            "scann"), built with defaults, its recall measured with users of the data; or an
            index of this model's item vectors. None: the engine of the parent, else "hnsw".
        notes: as in :func:`save_model`.
        metrics: measures of the model's quality, by name.
        optimizer: that trained the model; its state is saved for :func:`load_optimizer`.
        parent: the number of the full version that training started from; None: from no
            version.
        item_counts: (m,) clicks of each item, its popularity; None: its training positives
            in the data.
        on_progress: called with the number of encoded items and the number of all items.

    Raises:
        VersionConflict: the parent is not the current full version. To publish now would
            silently undo what was published since.
        DataError: the model was fitted to other data, or the data holds users that the store
            has forgotten. Or the folder holds something else, or it cannot be written.
        ValueError: the given index holds other vectors than the model makes, or the state of
            the optimizer is of other parameters.
        ModuleNotFoundError: the library of the engine is not installed; names the extra.
    """
    check_target(Path(folder).absolute())  # before minutes of building, not after
    if parent is not None:
        log = VersionLog.read(folder)
        saved = log.open(log.check_full(parent))
        if index is None:
            with mismatch_is_data_error(saved, MANIFEST):
                index = wanted_engine(saved.content)
    wanted = "hnsw" if index is None else index
    if isinstance(wanted, str):
        check_engine(wanted)
    check_same_schema(model.encoders, data.schema)
    if optimizer is not None:
        optimizer.check_state(model.parameters)
    vectors = _item_vectors(model, data.items, on_progress)
    if isinstance(wanted, str):
        users = None if wanted == "exact" else encode_sample(model.user, model.users(data))
        index = build_index(wanted, vectors, similarity=model.similarity, queries=users)
    elif np.array_equal(wanted.vectors, vectors):
        index = wanted
    else:
        raise ValueError("the index holds other item vectors than the model makes: rebuild it")
    content: dict[str, Any] = {
        "notes": dict(notes or {}),
        "metrics": dict(metrics or {}),
        "parent": parent,
    }
    with transaction(folder) as log:
        if parent is not None:
            log.check_full(parent)
        forgotten = Forgotten.by_store(log)
        forgotten.check_absent(data.users.ids)
        content["notes"] |= (forgotten | Forgotten.in_notes(content["notes"])).to_notes()

        def write(place: Path) -> None:
            write_model(place, model, content, optimizer)
            seen = data.seen("all")
            groups = {
                "items": data.items.to_arrays(),
                "users": model.users(data).to_arrays(),
                "seen": {"indptr": seen.indptr, "values": seen.values},
            }
            if data.retired is not None:
                groups["retired"] = data.retired.to_arrays()
            content["arrays"] |= write_arrays(place, groups)
            counts = data.item_counts if item_counts is None else item_counts
            write_array(place / "item_counts.npy", counts)
            write_array(place / "item_vectors.npy", vectors)
            content["index"] = write_index(place, index, wanted)

        return add_version(log, "full", parent, content, write, read_full)


def read_full(log: VersionLog, version: Version, opened: Store | None = None) -> Store:
    """Open a full version, its large arrays mapped.

    Args:
        log: of the store.
        version: the full version.
        opened: a full version that is open; returned if it is this version.

    Raises:
        DataError: it is damaged, or its parts do not fit; the message names the file.
    """
    if opened is not None and opened.version == version:
        return opened
    saved = log.open(version)
    model = read_model(saved, mapped=True)
    vectors = saved.array("item_vectors.npy", mapped=True)
    items, users, seen = (saved.arrays(p, mapped=True) for p in ("items", "users", "seen"))
    counts = saved.array("item_counts.npy", mapped=True)
    retired_arrays = saved.arrays("retired", mapped=True) if "retired" in saved else None
    if "item_names.npy" in saved:  # release 0.1 kept names outside the table
        items["names"] = saved.array("item_names.npy", mapped=True)
    with mismatch_is_data_error(saved):
        index = read_index(saved, vectors)
        tables = Table.from_arrays(items), Table.from_arrays(users)
        retired = None if retired_arrays is None else Table.from_arrays(retired_arrays)
        store = Store(model, *tables, Ragged(**seen), index, counts, retired, version)
        check_shapes(store)
        check_values(store)
        return replace(store, notes=checked_notes(saved.content["notes"]))


def _item_vectors(
    model: TwoTower, items: Table, on_progress: Callable[[int, int], object] | None
) -> Vectors:
    done = 0

    def tower(features: Features) -> tuple[Array, None]:
        nonlocal done
        vectors, _ = model.item(features)
        done += len(vectors)
        if on_progress is not None:
            on_progress(done, len(items))
        return vectors, None

    return encode(tower, items)
