"""The model, the optimizer and the index in a folder. Chapter 15.

A model folder holds parameters, configuration and the fitted schema. A full version of a
store holds the same, and more, such as the index. The vectors of an index are an array of
their own. The engine writes its files beside it: `index.hnsw`, `index.faiss`, or those of ScaNN.
"""

import warnings
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError, show
from minitower.data.feature_encoder import FeatureEncoders
from minitower.formulas.arrays import Vectors
from minitower.search.approximate import ENGINES, ApproximateIndex
from minitower.search.index import ExactIndex, Index
from minitower.store.folder import (
    MANIFEST,
    POINTER,
    SavedFolder,
    is_integer,
    mismatch_is_data_error,
)
from minitower.store.new_folder import new_folder, write_arrays
from minitower.store.version_log import VersionLog
from minitower.towers.optimizers import Optimizer
from minitower.towers.two_tower import TwoTower


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
        write_model(place, model, content)


def load_model(folder: str | Path, version: int | None = None) -> TwoTower:
    """The model of a model folder or of a store, to train on or to use.

    Args:
        folder: where it is.
        version: of a store, the number of a full version; by default the current full
            version. Training goes on from full versions only: what incremental versions
            moved is dropped.

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
    with mismatch_is_data_error(saved, MANIFEST):
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
    with mismatch_is_data_error(saved):
        stated = saved.content.get("optimizer", {"kind": "no optimizer", "step": 0})
        kind, step = str(stated["kind"]), stated["step"]
        if not is_integer(step, 0):
            raise ValueError(f"the optimizer's step cannot be {show(step)}")
    if kind != type(optimizer).__name__:
        raise DataError(f"{saved.folder}: saved with {kind}, not {type(optimizer).__name__}")
    with mismatch_is_data_error(saved):
        optimizer.configure(stated.get("settings", {}))
    loaded = optimizer.fresh()
    loaded.state = saved.arrays("optimizer")
    parameters = saved.arrays("parameters", mapped=True)
    with mismatch_is_data_error(saved, "optimizer"):
        loaded.check_state(parameters)
    optimizer.state, optimizer.step = loaded.state, step


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


def saved_model(folder: str | Path, version: int | None) -> SavedFolder:
    """The folder that :func:`load_model` reads."""
    if version is None and not (Path(folder) / POINTER).exists():
        return SavedFolder(folder, "model")
    log = VersionLog.read(folder)
    log.check_family("full")
    chosen = log.full() if version is None else log.version(version)
    if chosen.kind != "full":
        raise DataError(f"{folder}: version {version} is not a full one: nothing starts from it")
    return log.open(chosen)


def write_model(
    place: Path, model: TwoTower, content: dict[str, Any], optimizer: Optimizer | None = None
) -> None:
    """Write a model, and perhaps its optimizer, to a new folder with this content."""
    content["config"] = model.config
    content["schema"], schema = model.encoders.to_state()
    groups = {"schema": schema, "parameters": model.parameters}
    if optimizer is not None:
        kind, settings = type(optimizer).__name__, optimizer.settings
        content["optimizer"] = {"kind": kind, "step": optimizer.step, "settings": settings}
        groups["optimizer"] = optimizer.state
    content["arrays"] = write_arrays(place, groups)


def read_model(saved: SavedFolder, *, mapped: bool = False) -> TwoTower:
    """The model in a folder that is open."""
    schema = read_schema(saved, mapped=mapped)
    parameters = saved.arrays("parameters", mapped=mapped)
    with mismatch_is_data_error(saved):
        return TwoTower(schema, **saved.content["config"], parameters=parameters)


def read_schema(saved: SavedFolder, *, mapped: bool = False) -> FeatureEncoders:
    """The fitted schema of that model, without its parameters."""
    arrays = saved.arrays("schema", mapped=mapped)
    with mismatch_is_data_error(saved):
        return FeatureEncoders.from_state(saved.content["schema"], arrays)


def write_index(place: Path, index: Index, wanted: str | Index) -> dict[str, Any]:
    """Write an index into a new version; returns what the manifest states.

    Args:
        place: the folder of the version.
        index: the index.
        wanted: the requested engine or index. It differs from `index` where hnswlib is missing.

    Raises:
        OSError: a file cannot be written.
    """
    if not isinstance(index, ApproximateIndex):
        return {"engine": "exact", "wanted": wanted if isinstance(wanted, str) else "exact"}
    module = index.engine.module
    try:
        release = metadata.version("faiss-cpu" if module == "faiss" else module)
    except metadata.PackageNotFoundError:
        release = None
    return index.save(place) | {"library": release}


def read_index(saved: SavedFolder, vectors: Vectors) -> ExactIndex | ApproximateIndex:
    """The index of a version. Without hnswlib, exact search stands in for HNSW, with a warning.

    Raises:
        DataError: the files hold other vectors, or the library cannot read them.
        ModuleNotFoundError: the library is not installed; names the extra.
    """
    stated = index_statement(saved.content)
    if stated["engine"] == "exact":
        return ExactIndex(vectors)
    return _or_exact(vectors, lambda: ApproximateIndex.open(saved, vectors, stated))


def wanted_engine(content: Mapping[str, Any]) -> str:
    """The engine that was requested for a version: the next full version keeps it."""
    stated = index_statement(content)
    return str(stated.get("wanted", stated["engine"]))


def index_statement(content: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest of a version states of its index."""
    if "index" in content:
        stated: dict[str, Any] = content["index"]
        return stated
    # Versions written before there was a choice of engines, of models and of vectors by id.
    if "hnsw" in content:
        old = content["hnsw"]
        measured, effort, of_model = dict(old["measured"]), old["ef"], True
        measured["effort"] = measured.pop("ef")
        del measured["exact_answers"]
        engine, similarity = "hnsw", old["similarity"]
    elif "backend" in content and content["backend"] != "exact":
        measured, of_model = content["measured"], False
        engine, effort, similarity = content["backend"], measured["effort"], "cosine"
    else:
        return {"engine": "exact"}
    return {
        "engine": engine,
        "similarity": similarity,
        "rescore": of_model,
        "effort": effort,
        "tuning": measured,
    }


def build_index(engine: str, vectors: Vectors, **options: Any) -> Index:
    """The index of an engine, or of `exact`.

    Without hnswlib, exact search stands in for `hnsw`, with a warning.

    Args:
        engine: "exact", or a key of `ENGINES`.
        vectors: items (m,d).
        options: as in :meth:`ApproximateIndex.build`.
    """
    if engine == "exact":
        return ExactIndex(vectors)
    return _or_exact(vectors, lambda: ApproximateIndex.build(engine, vectors, **options))


def check_engine(engine: str) -> None:
    """Refuse an index that cannot be built here, before minutes of training or encoding.

    Raises:
        DataError: the engine is unknown.
        ModuleNotFoundError: its library is not installed, and is not hnswlib, which exact
            search replaces; names the extra.
    """
    if engine == "exact":
        return
    if not isinstance(engine, str) or engine not in ENGINES:
        known = ", ".join(("exact", *ENGINES))
        raise DataError(f"index must be one of {known}, got {show(engine)}")
    if engine != "hnsw":
        ENGINES[engine].library()


def _or_exact(
    vectors: Vectors, make: Callable[[], ApproximateIndex]
) -> ExactIndex | ApproximateIndex:
    """An approximate index; exact search where hnswlib is missing.

    Raises:
        ModuleNotFoundError: another library is missing.
    """
    try:
        return make()
    except ModuleNotFoundError as error:
        if error.name != "hnswlib":
            raise
        warnings.warn(f"{error}; exact search serves until then", stacklevel=1)
        return ExactIndex(vectors)
