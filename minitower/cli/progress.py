"""The progress of long work: a bar on a terminal with tqdm, else lines on stderr."""

from __future__ import annotations

import importlib.util
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from minitower.cli.terminal import say

if TYPE_CHECKING:
    from minitower.training.trainer import Progress


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
            metrics = "".join(f"  {name} {value}" for name, value in shown.items())
            say(f"{self.what}: epoch {progress.epoch}/{progress.epochs}  "
                f"loss {progress.loss:.4f}{metrics}")  # fmt: skip

    def _draw(self, progress: Progress, metrics: dict[str, str]) -> None:
        done = (progress.epoch - 1) * progress.steps + progress.step
        self._to(done, progress.epochs * progress.steps)
        shown = {"epoch": progress.epoch, "loss": f"{progress.loss:.3f}", **metrics}
        self._bar.set_postfix(shown, refresh=bool(metrics))
        if done == progress.epochs * progress.steps:
            self._close()
