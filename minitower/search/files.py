"""What an engine is loaded from: files that somebody has verified."""

from pathlib import Path
from typing import Any, Protocol


class Files(Protocol):
    """A folder of files, such as a version of a store.

    Attributes:
        folder: where the files are.
        files: their names.
    """

    folder: Path
    files: dict[str, Any]

    def path(self, name: str) -> Path:
        """The path of a file, once its content is known to be intact."""
        ...
