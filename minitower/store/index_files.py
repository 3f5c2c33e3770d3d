"""The index of a version: built by the name of an engine, written, and read back.

The vectors are an array of their own. The engine writes its own files beside it: `index.hnsw`,
`index.faiss`, or those of ScaNN.
"""

import warnings
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError, show
from minitower.search.approximate import ENGINES, ApproximateIndex
from minitower.search.index import ExactIndex, Index, Vectors
from minitower.store.folder import SavedFolder


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
    return index.save(place) | {"library": _release(index.engine.module)}


def read_index(saved: SavedFolder, vectors: Vectors) -> ExactIndex | ApproximateIndex:
    """The index of a version. Without hnswlib, exact search stands in for HNSW, with a warning.

    Raises:
        DataError: the files hold other vectors, or the library cannot read them.
        ModuleNotFoundError: the library is not installed; names the extra.
    """
    stated = index_statement(saved.content)
    if stated["engine"] == "exact":
        return ExactIndex(vectors)
    try:
        return ApproximateIndex.open(saved, vectors, stated)
    except ModuleNotFoundError as error:
        return exact_instead(vectors, error)


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
    try:
        return ApproximateIndex.build(engine, vectors, **options)
    except ModuleNotFoundError as error:
        return exact_instead(vectors, error)


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


def exact_instead(vectors: Vectors, error: ModuleNotFoundError) -> ExactIndex:
    """Exact search where hnswlib is missing.

    Raises:
        ModuleNotFoundError: `error`, if another library is missing.
    """
    if error.name != "hnswlib":
        raise error
    warnings.warn(f"{error}; exact search serves until then", stacklevel=1)
    return ExactIndex(vectors)


def _release(module: str) -> str | None:
    try:
        return version("faiss-cpu" if module == "faiss" else module)
    except PackageNotFoundError:
        return None
