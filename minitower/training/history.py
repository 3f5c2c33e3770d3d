"""What training reports: its progress after each step, and the history of its epochs. Chapter 4."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from minitower.data import DataError


@dataclass(frozen=True)
class Progress:
    """The state of training, passed to ``on_progress`` after every step.

    Attributes:
        epoch, epochs: the running epoch, counted from 1, and the number of epochs.
        step, steps: the same of the steps within the epoch.
        loss: mean over the epoch so far.
        metrics: of the validation, after the last step of an epoch; else empty.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Epoch:
    """One finished epoch.

    Attributes:
        epoch: counted from 1.
        loss: mean per pair of the objective alone.
        metrics: of the validation; empty without one.
        seconds: duration of the training, without the validation.
        self_supervised: mean per step of the self-supervised loss times alpha, or 0.
        learning_rate: mean per step.
    """

    epoch: int
    loss: float
    metrics: dict[str, float]
    seconds: float
    self_supervised: float = 0.0
    learning_rate: float = 0.0

    def to_json(self) -> str:
        """One line of JSON, with the metrics beside the other numbers.

        >>> Epoch(1, 2.5, {"recall@20": 0.25}, 0.5, 0.0, 0.05).to_json()
        '{"epoch": 1, "loss": 2.5, "self_supervised": 0.0, "learning_rate": 0.05, "seconds": 0.5, \
"recall@20": 0.25}'
        """
        own = {
            "epoch": self.epoch,
            "loss": self.loss,
            "self_supervised": self.self_supervised,
            "learning_rate": self.learning_rate,
            "seconds": self.seconds,
        }
        return json.dumps(own | self.metrics, default=float)  # numbers of NumPy


@dataclass(frozen=True)
class History:
    """All finished epochs, and the number of the epoch whose parameters the model has."""

    epochs: list[Epoch]
    best_epoch: int


class HistoryFile:
    """A file that gets one line of JSON per epoch, as the epoch ends.

    Lines are appended: each training begins again with epoch 1, and nothing is overwritten.

    Args:
        path: of the file; None: write nothing.
    Raises DataError: the file cannot be written, or holds something else.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)
        if self.path is not None and self.path.is_fifo():  # would wait for a reader
            raise DataError(f"history: {path} is no regular file; name another file")
        self._append("")  # fails before training, not after the first epoch
        if self.path is not None and self.path.is_file():
            with self.path.open("rb") as file:
                if file.read(1) not in (b"", b"{"):
                    raise DataError(f"history: {path} holds no history; name another file")

    def add(self, epoch: Epoch) -> None:
        """Append the line of an epoch."""
        self._append(epoch.to_json() + "\n")

    def _append(self, text: str) -> None:
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise DataError(f"history: cannot write {self.path}: {error.strerror}") from None
