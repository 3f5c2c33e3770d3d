"""Connecting to Milvus: clients, errors, and the properties of collections."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from minitower.data.errors import DataError
from minitower.search.tuning import TuningResult

# pymilvus pings every ten seconds. Milvus Lite takes the pings for an attack and hangs up: in the
# middle of a long build, which then begins again.
_PATIENT: dict[str, Any] = {"grpc_options": {"grpc.keepalive_time_ms": 3_600_000}}


def is_lite(uri: str) -> bool:
    """Whether a URI is the path of a Milvus Lite, by the rule of pymilvus."""
    return uri.endswith(".db")


def connected(uri: str, token: str = "") -> Any:
    """A client.

    Raises:
        OSError: the server cannot be reached, or another process holds the file.
        DataError: the file was written by Milvus Lite 2.
        ModuleNotFoundError: pymilvus is not installed; names the extra.
    """
    try:
        from pymilvus import MilvusClient

        if is_lite(uri):
            import milvus_lite  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError('Milvus is missing: pip install "minitower[milvus]"') from None
    try:
        with milvus_errors(uri):
            return MilvusClient(uri, token=token, timeout=10, **(_PATIENT if is_lite(uri) else {}))
    except OSError:
        if is_lite(uri):
            _open_lite(uri)  # gives the reason; pymilvus does not
        raise


def released(uri: str) -> None:
    """End the Milvus Lite of a path, for everybody in this process."""
    if is_lite(uri):
        from milvus_lite.server_manager import server_manager_instance

        server_manager_instance.release_server(uri)


@contextmanager
def milvus_errors(uri: str) -> Iterator[None]:
    """Turn an error of Milvus within the block into an OSError of one line."""
    from pymilvus import MilvusException

    try:
        yield
    except MilvusException as error:
        raise OSError(f"{uri}: Milvus: {' '.join(str(error.message).split())}") from None


def silence_loggers() -> None:
    """Silence the pymilvus, milvus_lite and grpc loggers for the rest of this process."""
    with suppress(ModuleNotFoundError):
        import pymilvus  # noqa: F401  (the import sets up its logger)
    for library in ("pymilvus", "pymilvus.milvus_client", "milvus_lite", "grpc"):
        logging.getLogger(library).setLevel(logging.CRITICAL)


def _open_lite(path: str) -> None:
    import milvus_lite

    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise OSError(f"{path}: the folder {folder} is missing; create it")
    if Path(path).is_file():
        raise DataError(f"{path}: is a file of Milvus Lite 2; Milvus Lite 3 cannot read it")
    try:
        milvus_lite.MilvusLite(path).close()
    except milvus_lite.DataDirLockedError:
        raise OSError(f"{path}: another process holds it: Milvus Lite serves only one") from None
    except (milvus_lite.MilvusLiteError, OSError) as error:
        raise OSError(f"{path}: Milvus Lite cannot open it: {error}") from None


def collections(client: Any, name: str) -> dict[int, str]:
    """The collections of an alias, by number."""
    found = (re.fullmatch(rf"{name}_(\d{{6}})", each) for each in client.list_collections())
    return {int(match[1]): match[0] for match in found if match}


def properties_of(version: int | None, tuning: TuningResult | None = None) -> dict[str, str]:
    """The properties of a collection: the version of the model, and the measured recall."""
    content = {"version": version, "measured": tuning and asdict(tuning)}
    return {"minitower": json.dumps(content)}


def read_properties(uri: str, described: dict[str, Any]) -> tuple[int | None, TuningResult | None]:
    """The version and the recall that :func:`properties_of` wrote.

    Raises:
        DataError: another release of minitower wrote them in another form.
    """
    try:
        content = json.loads(described["properties"]["minitower"])
        measured = content.get("measured")
        return content["version"], measured and TuningResult(**measured)
    except (AttributeError, KeyError, TypeError, ValueError):
        name = described["collection_name"]
        raise DataError(
            f"{uri}: another release of minitower made {name}; publish it again with this one"
        ) from None
