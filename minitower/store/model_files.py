"""The model and the optimizer in a folder: what training leaves and goes on from.

A model folder holds parameters, configuration and the fitted schema. A full version of a
store holds the same, and more.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError, show
from minitower.data.feature_encoder import FeatureEncoders
from minitower.store.folder import (
    MANIFEST,
    POINTER,
    SavedFolder,
    mismatch_is_data_error,
    new_folder,
)
from minitower.store.formats import is_integer, write_arrays
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
    content["schema"], schema = model.schema.to_state()
    content["arrays"] = {
        "schema": write_arrays(place, "schema", schema),
        "parameters": write_arrays(place, "parameters", model.parameters),
    }
    if optimizer is not None:
        kind, settings = type(optimizer).__name__, optimizer.settings
        content["optimizer"] = {"kind": kind, "step": optimizer.step, "settings": settings}
        content["arrays"]["optimizer"] = write_arrays(place, "optimizer", optimizer.state)


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
