"""Models and stores on disk.

A *model* folder is what training leaves: parameters, configuration, fitted schema.
A *store* is what serving opens: versions of a model, each with the tables of users and
items, what each user has met, and the index of the item vectors that this model made.
They are written together, so a model and an index of another one cannot meet.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from minitower.data.encoding import Features, FittedSchema, Table
from minitower.data.errors import DataError, show
from minitower.data.interactions import Dataset
from minitower.data.named_items import NamedItems
from minitower.data.ragged import Array, Ragged
from minitower.evaluation.encode import check_same_schema, encode, encode_sample
from minitower.search.index import Index, Vectors
from minitower.store.array_files import write_array, write_arrays
from minitower.store.catalogue import Catalogue, Version, changing
from minitower.store.folder import MANIFEST, POINTER, SavedFolder, new_folder, refuse_foreign
from minitower.store.index_files import (
    build_index,
    check_engine,
    read_index,
    wanted_engine,
    write_index,
)
from minitower.store.json_files import is_integer
from minitower.store.store_check import check_shapes, check_values, checked_notes
from minitower.towers.optimizers import Optimizer
from minitower.towers.two_tower import TwoTower


@dataclass(frozen=True, eq=False)
class Store:
    """The parts of one version of a store: what a Recommender is made of.

    Attributes:
        model, items, users, seen, index, item_names: as in :class:`Recommender`.
        item_counts: (m,) int64 positives of each item in training: its popularity.
        retired: items that are gone and may come back; None: none.
        version: which one; None for parts that come from no store.
        full: of an incremental version, the full one it stands on.
        notes: those of the version; see :mod:`minitower.store.provenance`.
    """

    model: TwoTower
    items: Table
    users: Table
    seen: Ragged
    index: Index
    item_names: Array | None = None
    item_counts: Array | None = None
    retired: NamedItems | None = None
    version: Version | None = None
    full: "Store | None" = None
    notes: Mapping[str, Any] = field(default_factory=dict)


def save_model(
    folder: str | Path, model: TwoTower, *, notes: Mapping[str, Any] | None = None
) -> None:
    """Write a model: arrays and JSON, no pickle, complete or not there at all.

    Args:
        folder: where to; a model that is there already is replaced.
        model: the model.
        notes: JSON of the caller's own, such as how the data was read; see
            :func:`load_notes`.

    Raises:
        DataError: the folder holds something else, or cannot be written.
    """
    content: dict[str, Any] = {"notes": dict(notes or {})}
    with new_folder(folder, "model", content) as place:
        _write_model(place, model, content)


def load_model(folder: str | Path, version: int | None = None) -> TwoTower:
    """The model of a model folder or of a store, to train on or to use.

    Args:
        folder: where it is.
        version: of a store, which one; by default the full version that is served, or
            that the one served stands on. It must be a full one: training goes on from
            full versions only, and incremental ones are dropped.

    Raises:
        DataError: the folder is neither, of another format, or damaged; the message
            names the file.
    """
    return read_model(saved_model(folder, version))


def load_notes(folder: str | Path, version: int | None = None) -> dict[str, Any]:
    """The notes that were saved with the model that :func:`load_model` loads.

    Raises:
        DataError: as :func:`load_model`.
    """
    saved = saved_model(folder, version)
    with fitting(saved, MANIFEST):
        return checked_notes(saved.content.get("notes", {}))


def load_optimizer(folder: str | Path, optimizer: Optimizer, version: int | None = None) -> None:
    """Give an optimizer the state and settings that were saved with a full version.

    Its learning rate stays its own.

    Args:
        folder: of the store.
        optimizer: of the kind that was saved; its own state is lost.
        version: as in :func:`load_model`.

    Raises:
        DataError: no state was saved, that of another kind, one that does not fit the
            parameters of the version, or as :func:`load_model`.
    """
    saved = saved_model(folder, version)
    with fitting(saved):
        stated = saved.content.get("optimizer", {"kind": "no optimizer", "step": 0})
        kind, step = str(stated["kind"]), stated["step"]
        if not is_integer(step, 0):
            raise ValueError(f"the optimizer's step cannot be {show(step)}")
    if kind != type(optimizer).__name__:
        raise DataError(f"{saved.folder}: saved with {kind}, not {type(optimizer).__name__}")
    with fitting(saved):
        optimizer.configure(stated.get("settings", {}))
    loaded = optimizer.fresh()
    loaded.state = saved.arrays("optimizer.npz")
    parameters = saved.arrays("parameters.npz", mapped=True)
    with fitting(saved, "optimizer.npz"):
        loaded.check_state(parameters)
    optimizer.state, optimizer.step = loaded.state, step


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
    """Write a full version for :meth:`Recommender.open` to serve; returns it, as opened.

    It is served when this returns, and not before all of it is on the disk and has been
    opened from there. Until then, and if anything goes wrong, the version before it is.

    Args:
        model: trained on this data.
        data: its users, items, and all its positives, which count as seen.
        folder: of the store; made where there is none.
        index: "exact" or an engine ("hnsw", "faiss-flat", "faiss-hnsw", "faiss-ivfpq",
            "scann"), built with its defaults, the recall measured with users of the data;
            or an index that was built from this model's item vectors. None takes the engine
            of the parent; without a parent, "hnsw".
        notes: as in :func:`save_model`.
        metrics: what is known of the model's quality, by name.
        optimizer: that trained the model; its state is saved for :func:`load_optimizer`.
        parent: the number of the full version that training went on from; None: of none.
        item_counts: (m,) clicks of each item, its popularity; None: its training positives
            in the data.
        on_progress: called with the numbers of items encoded, and of all.

    Raises:
        Superseded: the parent is not the full version that is served, or that what is served
            stands on: to publish now would undo, silently, what came since.
        DataError: the model was fitted to other data, the folder holds something else, or
            it cannot be written.
        ValueError: the given index holds other vectors than the model makes, or the state of
            the optimizer is of other parameters.
        ModuleNotFoundError: the library of the engine is not installed; names the extra.
    """
    refuse_foreign(Path(folder).absolute())  # before minutes of building rather than after
    if parent is not None:
        catalogue = Catalogue.read(folder)
        base = catalogue.check_full(parent)
        if index is None:
            saved = catalogue.open(base)
            with fitting(saved, MANIFEST):
                index = wanted_engine(saved.content)
    wanted = "hnsw" if index is None else index
    if isinstance(wanted, str):
        check_engine(wanted)
    check_same_schema(model.schema, data.schema)
    if optimizer is not None:
        optimizer.check_state(model.parameters)
    vectors = _item_vectors(model, data.items, on_progress)
    if isinstance(wanted, str):
        users = None if wanted == "exact" else encode_sample(model.user, data.users)
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
    with changing(folder) as catalogue:
        if parent is not None:
            catalogue.check_full(parent)
        with catalogue.new_version("full", content) as place:
            _write_model(place, model, content)
            write_arrays(place / "items.npz", data.items.to_arrays())
            write_arrays(place / "users.npz", data.users.to_arrays())
            seen = data.seen("all")
            write_arrays(place / "seen.npz", {"indptr": seen.indptr, "values": seen.values})
            write_array(place / "item_vectors.npy", vectors)
            counts = data.item_counts if item_counts is None else item_counts
            write_array(place / "item_counts.npy", counts)
            if data.retired is not None:
                write_arrays(place / "retired.npz", data.retired.to_arrays())
            if data.item_names is not None:
                write_array(place / "item_names.npy", data.item_names)
            content["index"] = write_index(place, index, wanted)
            if optimizer is not None:
                kind = type(optimizer).__name__
                settings = optimizer.settings
                content["optimizer"] = {"kind": kind, "step": optimizer.step, "settings": settings}
                write_arrays(place / "optimizer.npz", optimizer.state)
        catalogue = catalogue.with_version("full", parent)
        store = read_full(catalogue, catalogue.version())
        catalogue.write()
    return store


def read_full(catalogue: Catalogue, version: Version) -> Store:
    """A full version, its large arrays mapped.

    Raises:
        DataError: it is damaged, or its parts do not fit; the message names the file.
    """
    saved = catalogue.open(version)
    model = read_model(saved, mapped=True)
    vectors = saved.array("item_vectors.npy", mapped=True)
    parts = ("items", "users", "seen")
    items, users, seen = (saved.arrays(f"{part}.npz", mapped=True) for part in parts)
    names = saved.array("item_names.npy", mapped=True) if "item_names.npy" in saved else None
    counts = saved.array("item_counts.npy", mapped=True)
    gone = saved.arrays("retired.npz", mapped=True) if "retired.npz" in saved else None
    with fitting(saved):
        index = read_index(saved, vectors)
        tables = Table.from_arrays(items), Table.from_arrays(users)
        retired = None if gone is None else NamedItems.from_arrays(gone)
        store = Store(model, *tables, Ragged(**seen), index, names, counts, retired, version)
        check_shapes(store)
        check_values(store)
        return replace(store, notes=checked_notes(saved.content["notes"]))


@contextmanager
def fitting(saved: SavedFolder, name: str = "") -> Iterator[None]:
    """What goes wrong within is a folder whose parts are intact but do not fit together.

    Args:
        saved: the folder.
        name: the file that does not fit the others, where that is known.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError) and str(saved.folder) in str(error):
            raise  # says already where: a file of the index is damaged
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        what = f"{name}: {what}" if name else what
        raise DataError(f"{saved.folder}: its parts do not fit together: {what}") from error


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


def saved_model(folder: str | Path, version: int | None) -> SavedFolder:
    """The folder that :func:`load_model` reads."""
    if version is None and not (Path(folder) / POINTER).exists():
        return SavedFolder(folder, "model")
    catalogue = Catalogue.read(folder)
    catalogue.check_family("full")
    chosen = catalogue.full() if version is None else catalogue.version(version)
    if chosen.kind != "full":
        raise DataError(f"{folder}: version {version} is not a full one: nothing starts from it")
    return catalogue.open(chosen)


def _write_model(place: Path, model: TwoTower, content: dict[str, Any]) -> None:
    content["config"] = model.config
    content["schema"], arrays = model.schema.to_state()
    write_arrays(place / "schema.npz", arrays)
    write_arrays(place / "parameters.npz", model.parameters)


def read_model(saved: SavedFolder, *, mapped: bool = False) -> TwoTower:
    """The model in a folder that is open."""
    schema = read_schema(saved, mapped=mapped)
    parameters = saved.arrays("parameters.npz", mapped=mapped)
    with fitting(saved):
        return TwoTower(schema, **saved.content["config"], parameters=parameters)


def read_schema(saved: SavedFolder, *, mapped: bool = False) -> FittedSchema:
    """The fitted schema of that model, without its parameters."""
    arrays = saved.arrays("schema.npz", mapped=mapped)
    with fitting(saved):
        return FittedSchema.from_state(saved.content["schema"], arrays)
