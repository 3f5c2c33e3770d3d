"""Which log a file is: SHA-256 of its bytes, or quickly of its two ends."""

import hashlib
from pathlib import Path

EMPTY = hashlib.sha256().hexdigest()
_ENDS = 4096  # bytes at either end, for the quick check
_CHUNK = 1 << 20  # bytes read at once


class RunningHash:
    """The SHA-256 of the first bytes of a file; it moves forward and reads each byte once."""

    def __init__(self) -> None:
        self.size = 0
        self._digest = hashlib.sha256()

    def copy(self) -> "RunningHash":
        """One that moves on by itself."""
        other = RunningHash()
        other.size, other._digest = self.size, self._digest.copy()
        return other

    def of(self, path: Path, size: int) -> str:
        """The hash of the first `size` bytes, which may not be fewer than in the last call."""
        with path.open("rb") as file:
            file.seek(self.size)
            while data := file.read(min(_CHUNK, size - self.size)):
                self._digest.update(data)
                self.size += len(data)
        return self._digest.hexdigest()


def content_hash(path: Path) -> str:
    """The SHA-256 of a whole file."""
    return RunningHash().of(path, path.stat().st_size)


def ends_hash(path: Path, size: int) -> str:
    """The SHA-256 of the first and the last 4096 of the first `size` bytes."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(min(size, _ENDS)))
        file.seek(max(0, size - _ENDS))
        digest.update(file.read(min(size, _ENDS)))
    return digest.hexdigest() if size else EMPTY
