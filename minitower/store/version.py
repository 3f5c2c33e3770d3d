"""One version of a store, as the store's pointer states it."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal, get_args

from minitower.data.errors import show
from minitower.store.json_files import is_integer, is_sha256

Kind = Literal["full", "incremental", "index"]


@dataclass(frozen=True)
class Version:
    """A line of the catalogue.

    Attributes:
        number: 1, 2, ...; never given twice.
        kind: "full", or "incremental" on top of its parent; or "index", item vectors by
            themselves, in a store of their own.
        parent: the full version it began from, if any.
        published: UTC, ISO 8601.
        manifest: the SHA-256 of its manifest.
    """

    number: int
    kind: Kind
    parent: int | None
    published: str
    manifest: str


def versions_of(stated: Any) -> tuple[Version, ...]:
    """The versions that JSON states.

    Raises:
        ValueError: they are not as a store writes them: a type or a range is wrong, numbers do
            not ascend, or an incremental version does not stand on an earlier full one.
    """
    if not isinstance(stated, list):
        raise ValueError(f"versions: expected a list, got {show(stated)}")
    versions = tuple(_version(entry) for entry in stated)
    full, last = set[int | None](), 0
    for version in versions:
        if version.number <= last:
            raise ValueError(f"version {version.number} stands behind version {last}")
        if version.kind == "incremental" and version.parent not in full:
            raise ValueError(f"version {version.number} stands on no earlier full version")
        last = version.number
        if version.kind == "full":
            full.add(last)
    return versions


def _version(stated: Any) -> Version:
    names = [field.name for field in fields(Version)]
    if not isinstance(stated, dict) or stated.keys() != {*names}:
        raise ValueError(f"a version: expected {', '.join(names)}, got {show(stated)}")
    number, parent = stated["number"], stated["parent"]
    counted = is_integer(number, 1)
    holds = {
        "number": counted,
        "kind": stated["kind"] in get_args(Kind),
        "parent": parent is None or (counted and is_integer(parent, 1) and parent < number),
        "published": _is_time(stated["published"]),
        "manifest": is_sha256(stated["manifest"]),
    }
    for name, held in holds.items():
        if not held:
            raise ValueError(f"version {show(number)}: {name} cannot be {show(stated[name])}")
    return Version(**stated)


def _is_time(stated: Any) -> bool:
    try:
        return datetime.fromisoformat(stated).isoformat(timespec="seconds") == str(stated)
    except (TypeError, ValueError):
        return False
