"""Models and stores on disk.

A *model* folder is what training leaves: parameters, configuration, fitted schema.
A *store* is what serving opens: a model, the tables of users and items, what each
user has met, and the index of the item vectors that this model made. They are
written together, so a model and an index of another one cannot meet.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from minitower.data.encoding import FittedSchema, Table
from minitower.data.errors import DataError
from minitower.data.interactions import Dataset
from minitower.data.ragged import Array, Ragged
from minitower.retrieval.encode import check_same_schema, encode
from minitower.retrieval.folder import SavedFolder, new_folder, write_array, write_arrays
from minitower.retrieval.hnsw import HnswIndex
from minitower.retrieval.index import ExactIndex, Index
from minitower.towers.two_tower import TwoTower

_SAMPLE = 1000  # users that the index's recall is measured with


@dataclass(frozen=True, eq=False)
class Store:
    """The parts of a store: what a Recommender is made of."""

    model: TwoTower
    items: Table
    users: Table
    seen: Ragged
    index: Index
    item_names: Array | None


def save_model(
    folder: str | Path, model: TwoTower, *, notes: Mapping[str, Any] | None = None
) -> None:
    """Write a model: arrays and JSON, no pickle, complete or not there at all.

    Args:
        folder: where to; a model or a store that is there already is replaced.
        model: the model.
        notes: JSON of the caller's own, such as how the data was read; see
            :func:`load_notes`.

    Raises:
        DataError: the folder holds something else, or cannot be written.
    """
    content: dict[str, Any] = {"notes": dict(notes or {})}
    with new_folder(folder, "model", content) as place:
        _write_model(place, model, content)


def load_model(folder: str | Path) -> TwoTower:
    """The model of a model folder or of a store.

    Raises:
        DataError: the folder is neither, of another version, or damaged; the message
            names the file.
    """
    return _read_model(SavedFolder(folder, "model", "store"))


def load_notes(folder: str | Path) -> dict[str, Any]:
    """The notes that were saved beside a model or a store.

    Raises:
        DataError: as :func:`load_model`.
    """
    notes: dict[str, Any] = SavedFolder(folder, "model", "store").content.get("notes", {})
    return notes


def publish(
    model: TwoTower,
    data: Dataset,
    folder: str | Path,
    *,
    index: Literal["hnsw", "exact"] | Index = "hnsw",
    notes: Mapping[str, Any] | None = None,
) -> Store:
    """Write a store for :meth:`Recommender.open` to serve from; returns what it wrote.

    Args:
        model: trained on this data.
        data: its users, items, and all its positives, which count as seen.
        folder: where to; a store or a model that is there already is replaced.
        index: "hnsw" builds one with defaults, its recall measured with users of the
            data; "exact"; or one built from this model's item vectors by hand.
        notes: as in :func:`save_model`.

    Raises:
        DataError: the model was fitted to other data, or as :func:`save_model`.
        ValueError: the given index holds other vectors than the model makes.
    """
    check_same_schema(model.schema, data.schema)
    vectors = encode(model.item, data.items)
    if index == "hnsw":
        index = _hnsw(model, data, vectors)
    elif index == "exact":
        index = ExactIndex(vectors)
    elif isinstance(index, str):
        raise ValueError(f"index must be hnsw, exact or an index, got {index!r}")
    elif not np.array_equal(index.vectors, vectors):
        raise ValueError("the index holds other item vectors than the model makes: rebuild it")
    store = Store(model, data.items, data.users, data.seen("all"), index, data.item_names)
    content: dict[str, Any] = {"notes": dict(notes or {})}
    with new_folder(folder, "store", content) as place:
        _write_model(place, model, content)
        write_arrays(place / "items.npz", data.items.to_arrays())
        write_arrays(place / "users.npz", data.users.to_arrays())
        seen = store.seen
        write_arrays(place / "seen.npz", {"indptr": seen.indptr, "values": seen.values})
        write_array(place / "item_vectors.npy", vectors)
        if data.item_names is not None:
            write_array(place / "item_names.npy", data.item_names)
        if isinstance(index, HnswIndex):
            content["hnsw"] = index.save(place / "index.hnsw")
    return store


def load_store(folder: str | Path) -> Store:
    """Read what :func:`publish` wrote.

    Raises:
        DataError: the folder is not a store, of another version, or damaged; the
            message names the file.
    """
    saved = SavedFolder(folder, "store")
    model = _read_model(saved)
    vectors = saved.array("item_vectors.npy")
    items, users, seen = (saved.arrays(f"{part}.npz") for part in ("items", "users", "seen"))
    names = saved.array("item_names.npy") if "item_names.npy" in saved else None
    graph = saved.path("index.hnsw") if "index.hnsw" in saved else None
    with _fitting(saved):
        index: Index = ExactIndex(vectors)
        if graph is not None:
            index = HnswIndex.load(graph, vectors, saved.content["hnsw"])
        tables = Table.from_arrays(items), Table.from_arrays(users)
        return Store(model, *tables, Ragged(**seen), index, names)


@contextmanager
def _fitting(saved: SavedFolder) -> Iterator[None]:
    """What goes wrong within is a folder whose parts are intact but do not fit together."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{saved.folder}: its parts do not fit together: {what}") from error


def _hnsw(model: TwoTower, data: Dataset, vectors: Any) -> HnswIndex:
    rows = np.random.default_rng(0).permutation(len(data.users))[:_SAMPLE]
    users = encode(model.user, data.users, np.sort(rows))
    return HnswIndex.build(vectors, similarity=model.similarity, queries=users)


def _write_model(place: Path, model: TwoTower, content: dict[str, Any]) -> None:
    content["config"] = model.config
    content["schema"], arrays = model.schema.to_state()
    write_arrays(place / "schema.npz", arrays)
    write_arrays(place / "parameters.npz", model.parameters)


def _read_model(saved: SavedFolder) -> TwoTower:
    arrays, parameters = saved.arrays("schema.npz"), saved.arrays("parameters.npz")
    with _fitting(saved):
        schema = FittedSchema.from_state(saved.content["schema"], arrays)
        model = TwoTower(schema, **saved.content["config"])
    if _shapes(parameters) != _shapes(model.parameters):
        path = saved.folder / "parameters.npz"
        raise DataError(f"{path}: its names, shapes and types are not those of the model")
    model.parameters = parameters
    return model


def _shapes(parameters: Mapping[str, Array]) -> dict[str, Any]:
    return {name: (array.shape, array.dtype) for name, array in parameters.items()}
