"""How to reach a Milvus, what it says when it cannot be reached, and what collections say."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError
from minitower.search.vector_index import Measured

# Milvus Lite takes the pings of pymilvus, one in ten seconds, for an attack: it hangs up in the
# middle of whatever takes longer, such as building an index, which is then begun twice.
_PATIENT: dict[str, Any] = {"grpc_options": {"grpc.keepalive_time_ms": 3_600_000}}


def is_lite(uri: str) -> bool:
    """Whether it is the path of a Milvus Lite, as pymilvus tells it."""
    return uri.endswith(".db")


def connected(uri: str, token: str = "") -> Any:
    """A client.

    Raises:
        OSError: the server cannot be reached, or another process holds the file.
        DataError: it is a file of Milvus Lite 2.
        ModuleNotFoundError: pymilvus is not installed; says how to.
    """
    try:
        from pymilvus import MilvusClient

        if is_lite(uri):
            import milvus_lite  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError('Milvus is missing: pip install "minitower[milvus]"') from None
    try:
        with told(uri):
            return MilvusClient(uri, token=token, timeout=10, **(_PATIENT if is_lite(uri) else {}))
    except OSError:
        if is_lite(uri):
            _open_lite(uri)  # says why, which pymilvus does not
        raise


def released(uri: str) -> None:
    """End the Milvus Lite of a path, for everybody in this process."""
    if is_lite(uri):
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(uri)


@contextmanager
def told(uri: str) -> Iterator[None]:
    """What Milvus reports within the block is one clear error."""
    from pymilvus import MilvusException

    try:
        yield
    except MilvusException as error:
        raise OSError(f"{uri}: Milvus: {' '.join(str(error.message).split())}") from None


def silenced() -> None:
    """Let Milvus not log, for the rest of this process, a page for each error that is told."""
    with suppress(ModuleNotFoundError):
        import pymilvus  # noqa: F401  (which sets up its log when it is imported)
    for library in ("pymilvus", "pymilvus.milvus_client", "milvus_lite", "grpc"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _open_lite(path: str) -> None:
    import milvus_lite

    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise OSError(f"{path}: there is no folder {folder}")
    if Path(path).is_file():
        raise DataError(f"{path}: is a file, as Milvus Lite 2 wrote them; 3 cannot read it")
    try:
        milvus_lite.MilvusLite(path).close()
    except milvus_lite.DataDirLockedError:
        raise OSError(f"{path}: another process holds it: Milvus Lite serves only one") from None
    except (milvus_lite.MilvusLiteError, OSError) as error:
        raise OSError(f"{path}: Milvus Lite cannot open it: {error}") from None


def collections(client: Any, name: str) -> dict[int, str]:
    """The collections of a name, by number."""
    found = (re.fullmatch(rf"{name}_(\d{{6}})", each) for each in client.list_collections())
    return {int(match[1]): match[0] for match in found if match}


def statement(version: int | None, measured: Measured | None = None) -> dict[str, str]:
    """The properties of a collection: of which version of the model it is, and how good."""
    said = {"version": version, "measured": measured and asdict(measured)}
    return {"minitower": json.dumps(said)}


def stated(uri: str, described: dict[str, Any]) -> tuple[int | None, Measured | None]:
    """What :func:`statement` wrote.

    Raises:
        DataError: another release of minitower did, and otherwise.
    """
    try:
        said = json.loads(described["properties"]["minitower"])
        measured = said.get("measured")
        return said["version"], measured and Measured(**measured)
    except (AttributeError, KeyError, TypeError, ValueError):
        name = described["collection_name"]
        raise DataError(f"{uri}: another release of minitower made {name}") from None
