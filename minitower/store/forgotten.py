"""The users that a store has forgotten: how a version records them, and which versions hold them.

A version holds neither the id nor a row of a user that it has forgotten. It records the SHA-256
of the id, by which later updates recognize the user's clicks and leave them out. A hash is no
secret: who can guess an id can check the guess.

Chapter 13.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from minitower.data.errors import DataError, listed, show
from minitower.formulas.arrays import Array
from minitower.store.folder import is_sha256
from minitower.store.version_log import Version, VersionLog

NOTE = "forgotten"
"""The name of the record in the notes of a full version."""


@dataclass(frozen=True)
class Forgotten:
    """A set of forgotten users.

    Attributes:
        hashes: of their ids.

    >>> forgotten = Forgotten.of([7]) | Forgotten.of(["ann"])
    >>> forgotten.among(np.array([6, 7])), forgotten.among(np.array(["7", "ann"]))
    (array([False,  True]), array([False,  True]))
    """

    hashes: frozenset[str] = frozenset()

    @staticmethod
    def of(ids: Iterable[int | str]) -> Forgotten:
        """The record of these ids."""
        return Forgotten(frozenset(map(_hash, ids)))

    @staticmethod
    def in_notes(notes: Any) -> Forgotten:
        """The record in the notes of a version.

        Raises:
            DataError: the note is not a record that minitower wrote.
        """
        if not isinstance(notes, Mapping):
            raise DataError(f"notes: expected an object, got {show(notes)}")
        hashes = notes.get(NOTE, [])
        if not isinstance(hashes, list) or not all(map(is_sha256, hashes)):
            raise DataError(f"the note '{NOTE}' was not written by minitower: {show(hashes)}")
        return Forgotten(frozenset(hashes))

    @staticmethod
    def by_store(log: VersionLog) -> Forgotten:
        """The record of all full versions together, also after a rollback."""
        records = (_recorded(log, version) for version in log.versions if version.kind == "full")
        return Forgotten(frozenset[str]().union(*(record.hashes for record in records)))

    def to_notes(self) -> dict[str, list[str]]:
        """The note that :meth:`in_notes` reads; no note without forgotten users."""
        return {NOTE: sorted(self.hashes)} if self.hashes else {}

    def __or__(self, other: Forgotten) -> Forgotten:
        return Forgotten(self.hashes | other.hashes)

    def among(self, ids: Array) -> Array:
        """Which of n ids belong to forgotten users; (n,) bool."""
        if not self.hashes:
            return np.zeros(len(ids), bool)
        listed = ids.tolist()
        forgotten = {id_ for id_ in set(listed) if _hash(id_) in self.hashes}
        return np.fromiter(map(forgotten.__contains__, listed), bool, len(listed))

    def check_absent(self, ids: Array) -> None:
        """Refuse a table that holds a forgotten user.

        Raises:
            DataError: an id is one of a forgotten user.
        """
        if (found := self.among(ids)).any():
            raise DataError(
                f"users: the store has forgotten {np.count_nonzero(found):,} of them, such as "
                f"{show(ids[found][0])}; remove their rows and clicks from the data"
            )


def versions_with_forgotten(log: VersionLog) -> list[int]:
    """Numbers of the versions that hold a user whom the store has forgotten, until they are pruned.

    They are older than the forgetting. An incremental version holds what the full version
    under it holds. A damaged version counts, since its files may hold anything.
    """
    forgotten = Forgotten.by_store(log)
    if not forgotten.hashes:
        return []
    full = [version for version in log.versions if version.kind == "full"]
    holding = {version.number for version in full if _holds(log, version, forgotten)}
    bases = {version.number: log.full(version.number).number for version in log.versions}
    return [number for number, base in bases.items() if base in holding]


def held_text(numbers: list[int]) -> str:
    """The sentence on these versions, for a person."""
    which = (
        f"version {numbers[0]} holds" if len(numbers) == 1 else f"versions {listed(numbers)} hold"
    )
    return f"{which} forgotten users until pruned (minitower store prune)"


def _recorded(log: VersionLog, version: Version) -> Forgotten:
    """The record of one version; empty where the version is damaged or was just pruned."""
    with suppress(DataError):
        return Forgotten.in_notes(log.open(version).content.get("notes", {}))
    return Forgotten()


def _holds(log: VersionLog, version: Version, forgotten: Forgotten) -> bool:
    """Whether the table of a full version has one of the users."""
    others = Forgotten(forgotten.hashes - _recorded(log, version).hashes)
    if not others.hashes:
        return False
    try:
        return bool(others.among(log.open(version).arrays("users", mapped=True)["ids"]).any())
    except (DataError, KeyError):
        return True


def _hash(id_: int | str) -> str:
    kind = "string" if isinstance(id_, str) else "integer"
    return hashlib.sha256(f"{kind} {id_}".encode()).hexdigest()
