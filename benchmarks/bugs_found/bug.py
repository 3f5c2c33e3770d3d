"""A wrong loss or metric that was found in a public repository."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_BUGS: list[Bug] = []


@dataclass(frozen=True)
class Bug:
    """Where an implementation stands, what is wrong with it, and the same arithmetic.

    Attributes:
        loss: a transcription with the arguments of the formula; it imports nothing of the project.
        repository: owner and name at GitHub.
        file, commit: the version that was read.
        says: what is wrong, in one sentence.
        thread: the report, as "issues/7" or "pull/7" of the repository; "" without one.
        now: what became of it.
        formula: what it should be.
        framework: "torch" or "numpy".
        given, allow: as of :func:`minitower.conformance.check`.
    """

    loss: Callable[..., Any]
    repository: str
    file: str
    commit: str
    says: str
    formula: str
    thread: str = ""
    now: str = ""
    framework: str = "torch"
    given: dict[str, float] = field(default_factory=dict)
    allow: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the transcription, by which results know the bug."""
        return self.loss.__name__

    @property
    def source(self) -> str:
        """The address of the version that was read."""
        return f"https://github.com/{self.repository}/blob/{self.commit}/{self.file}"


def found(repository: str, file: str, commit: str, **about: Any) -> Callable[[Any], Any]:
    """Record a transcription as a bug that was found there."""

    def record(loss: Callable[..., Any]) -> Callable[..., Any]:
        _BUGS.append(Bug(loss, repository, file, commit, **about))
        return loss

    return record


def bugs() -> list[Bug]:
    """Every recorded bug, in the order of the files; the losses import PyTorch."""
    for module in ("bugs_softmax", "bugs_pairs", "bugs_metrics"):
        importlib.import_module(module)
    return list(_BUGS)
