"""What a command prints: rows on stdout; remarks, and a bar with tqdm, on stderr."""

import importlib.util
import sys
from types import TracebackType
from typing import Any, Self

from minitower.cli.terminal import drop, write
from minitower.data.errors import shorten
from minitower.data.printable import printable
from minitower.training.trainer import Progress

_LONGEST_LINE = 480  # characters


def say(text: str) -> None:
    """Print one line to stderr, for the person at the terminal; a long one loses its middle.

    A stderr that is closed or full stops no work.
    """
    if sys.stderr is None:
        return
    try:
        print(shorten(printable(text), _LONGEST_LINE), file=sys.stderr, flush=True)
    except OSError as error:
        drop(sys.stderr)
        if isinstance(error, BrokenPipeError):  # the reader has gone, as after 2>&1 | head
            raise


def row(*cells: object) -> None:
    """Print one line to stdout, for a script: cells between tabs, safe for a terminal."""
    write("\t".join(printable(str(cell)) for cell in cells) + "\n")


class _Bar:
    """A bar in a with block, where a terminal and tqdm are there to show it."""

    def __init__(self, what: str, unit: str) -> None:
        self.what, self._unit = what, unit
        self._bar: Any = None
        shown = sys.stderr is not None and sys.stderr.isatty()
        self._wanted = shown and importlib.util.find_spec("tqdm") is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None  # what comes next gets a new bar

    def _to(self, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(total=total, desc=self.what, unit=self._unit, leave=True)
        self._bar.update(done - self._bar.n)


class ItemsBar(_Bar):
    """The progress of encoding a catalogue: an ``on_progress`` for ``publish``.

    Without a bar, a line when all of it is done.
    """

    def __init__(self) -> None:
        super().__init__("encoding", "item")

    def __call__(self, done: int, total: int) -> None:
        """Items that are encoded, and all."""
        if self._wanted:
            self._to(done, total)
            if done == total:
                self._close()
        elif done == total:
            say(f"{self.what}: {total:,} items")


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
        if self._wanted:
            self._draw(progress, shown)
        elif progress.step == progress.steps:
            told = "".join(f"  {name} {value}" for name, value in shown.items())
            say(f"{self.what}: epoch {progress.epoch}/{progress.epochs}  "
                f"loss {progress.loss:.4f}{told}")  # fmt: skip

    def _draw(self, progress: Progress, metrics: dict[str, str]) -> None:
        done = (progress.epoch - 1) * progress.steps + progress.step
        self._to(done, progress.epochs * progress.steps)
        shown = {"epoch": progress.epoch, "loss": f"{progress.loss:.3f}", **metrics}
        self._bar.set_postfix(shown, refresh=bool(metrics))
        if done == progress.epochs * progress.steps:
            self._close()
