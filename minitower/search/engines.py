"""Engines: adapters to the libraries that search points on the unit sphere. Chapters 5 and 20.

An engine builds, searches, saves and opens an index of its library. Everything that all
engines share stands in :mod:`minitower.search.approximate`.

Each engine has one number that trades time for recall, its search effort: `ef` of a graph,
`nprobe` of lists, leaves of a tree.
"""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

from minitower.formulas.arrays import Rows
from minitower.search.index import SearchResult
from minitower.search.points import Points


class VerifiedFolder(Protocol):
    """A folder of verified files, such as a version of a store.

    The keys of `files` are the names.
    """

    folder: Path
    files: dict[str, Any]

    def path(self, name: str) -> Path:
        """The path of a file, after its checksum has been verified."""
        ...


class Engine(ABC):
    """An adapter to a library.

    Attributes:
        name: in :data:`~minitower.search.approximate.ENGINES` and in manifests.
        module: the module to import.
        missing: what to say where it is not installed.
        pooled: True if the engine scores again a pool in proportion to the size of the
            list. Then a shorter list has a lower recall.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    missing: ClassVar[str]
    pooled: ClassVar[bool] = False

    @classmethod
    def library(cls) -> Any:
        """The library, imported.

        Raises:
            ModuleNotFoundError: it is not installed; names the extra.
        """
        try:
            return importlib.import_module(cls.module)
        except ImportError:
            raise ModuleNotFoundError(cls.missing, name=cls.module) from None

    @classmethod
    @abstractmethod
    def build(cls, points: Points, *, seed: int) -> Self:
        """Index points (m,w). Further keywords are options of the engine."""

    def effort_ladder(self, k: int) -> Sequence[int]:
        """The search efforts to try for a list of k, ascending; (0,) without a choice."""
        return (0,)

    @abstractmethod
    def search(self, points: Points, size: int, effort: int) -> SearchResult:
        """Rows (n,size) int64, best first, -1 where none was found; and scores, float32."""

    def points(self, rows: Rows) -> Points | None:
        """The points (n,w) that the engine holds at these rows; None if it cannot say."""
        return None

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the files of the engine.

        Raises:
            OSError: a file cannot be written.
        """

    @classmethod
    @abstractmethod
    def open(cls, saved: VerifiedFolder, shape: tuple[int, int]) -> Self:
        """The engine that `save` wrote, for (m,w) points.

        Raises:
            DataError: this release of the library cannot read the file, or the file holds
                other points.
        """


def doubling(first: int, last: int) -> Sequence[int]:
    """first, 2 first, 4 first, ..., and the last.

    >>> doubling(3, 20)
    [3, 6, 12, 20]
    """
    steps = []
    while first < last:
        steps.append(first)
        first *= 2
    return [*steps, last]
