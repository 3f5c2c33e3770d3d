"""What a command prints: rows on stdout for a script, lines and progress on stderr for a person.

Both streams may be closed, full, or of a narrow encoding. Progress is a bar on a terminal with
tqdm, and lines elsewhere.

Chapter 15.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Self, TextIO

from minitower.data.errors import printable, shorten

if TYPE_CHECKING:
    from minitower.training.history import Progress

_LONGEST_LINE = 480  # characters


def say(*messages: str) -> None:
    """Print lines to stderr, for the person at the terminal; a long one loses its middle.

    A stderr that is closed or full stops no work.
    """
    if sys.stderr is None:
        return
    try:
        for message in messages:
            print(shorten(printable(message), _LONGEST_LINE), file=sys.stderr, flush=True)
    except OSError as error:
        drop(sys.stderr)
        if isinstance(error, BrokenPipeError):  # nobody reads any more, as after 2>&1 | head
            raise


def row(*cells: object) -> None:
    """Print one line to stdout, for a script: cells between tabs, safe for a terminal."""
    write("\t".join(printable(str(cell)) for cell in cells) + "\n")


@contextmanager
def escaping_stdout() -> Iterator[None]:
    """In the block, print what the encoding of stdout lacks as an escape, such as \\u8336.

    A file descriptor of 0 to 2 that is closed is opened on the null device. Otherwise the
    next file of the program would get its number, and what libraries print.
    """
    _open_standard_descriptors()
    if not isinstance(sys.stdout, TextIOWrapper):
        yield
        return
    stream, errors = sys.stdout, sys.stdout.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=errors)


def write(output: str) -> None:
    """Write to stdout, all of it, now.

    Raises:
        OSError: stdout cannot be written; the name of the file in the error is "stdout".
    """
    try:
        sys.stdout.write(output)
        sys.stdout.flush()
    except OSError as error:
        raise OSError(error.errno, error.strerror, "stdout") from None


def drop(stream: TextIO) -> None:
    """Send what a stream still holds, and all that follows, to the null device.

    After a write has failed: the end of the program would try again and complain.
    """
    with suppress(OSError, ValueError):  # a stream without a descriptor has nothing to drop
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _open_standard_descriptors() -> None:
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


class _Bar:
    """A bar in a with block, where a terminal and tqdm are there to show it."""

    def __init__(self, what: str, unit: str) -> None:
        self.what, self._unit = what, unit
        self._bar: Any = None
        shown = sys.stderr is not None and sys.stderr.isatty()
        self._wanted = shown and importlib.util.find_spec("tqdm") is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None  # what comes next gets a new bar

    def _drawn(self, done: int, total: int, **postfix: object) -> bool:
        """Draw the bar, where one is wanted; whether it was."""
        if not self._wanted:
            return False
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(total=total, desc=self.what, unit=self._unit, leave=True)
        self._bar.update(done - self._bar.n)
        if postfix:
            at_once = len(postfix) > 2  # with metrics, at the end of an epoch
            self._bar.set_postfix(postfix, refresh=at_once)
        if done == total:
            self._close()
        return True


class ItemsBar(_Bar):
    """The progress of encoding all items, or of other work: an ``on_progress``.

    Without a bar, a line when all of it is done.
    """

    def __init__(self, what: str = "encoding", unit: str = "item") -> None:
        super().__init__(what, unit)

    def __call__(self, done: int, total: int) -> None:
        """Items that are done, and all."""
        if not self._drawn(done, total) and done == total:
            say(f"{self.what}: {total:,} {self._unit}s")


class TrainingBar(_Bar):
    """The progress of one training: an ``on_progress`` for the trainer.

    Without a bar, a line per epoch.

    Args:
        what: what is being trained.
        metric: which measure of the validation to show.
    """

    def __init__(self, what: str, metric: str) -> None:
        super().__init__(what, "step")
        self.metric = metric

    def __call__(self, progress: Progress) -> None:
        """The trainer's callback."""
        shown = {name: f"{v:.4f}" for name, v in progress.metrics.items() if name == self.metric}
        done = (progress.epoch - 1) * progress.steps + progress.step
        about = {"epoch": progress.epoch, "loss": f"{progress.loss:.3f}"}
        drawn = self._drawn(done, progress.epochs * progress.steps, **about, **shown)
        if not drawn and progress.step == progress.steps:
            metrics = "".join(f"  {name} {value}" for name, value in shown.items())
            say(f"{self.what}: epoch {progress.epoch}/{progress.epochs}  "
                f"loss {progress.loss:.4f}{metrics}")  # fmt: skip
