"""What one malformed input is, and what can be wrong with how minitower took it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = {"files": 0.3, "flags": 0.22, "toml": 0.1, "python": 0.26, "store": 0.12}
"""The kinds of cases and their shares."""

SECONDS = 10.0  # that a step of a case may take
BYTES = 1 << 30  # that its process may hold at its peak
LENGTH = 500  # characters of a message

Command = tuple[str, ...]  # the arguments of `minitower`
Call = Callable[[], object]
Change = Callable[[Path], None]  # of the folder that a case runs in


@dataclass(frozen=True)
class Case:
    """An input and how to hand it over.

    Attributes:
        kind: a key of ``KINDS``.
        what: the mutation, in a few words.
        steps: commands and Python calls, run in this order until one is refused.
        places: names of the mutated place: file, key, flag, column or argument. The message of
            a refusal must contain one of them.
        uses: folders and files of the world to copy into the folder of the case.
        changes: what is then done to these.
        may_write: names of files that a step may write, also when it is refused.
        stdout: "kept", or an environment: "closed", "full" (a disk), "ascii", "unread" (a pipe).
        room: the bytes that a file may have: a full disk; None is no bound.
        process: run commands as ``python -m minitower`` instead of in the forked process.
        wrong_type: whether a TypeError or an AttributeError is a fair answer, see ``calls.py``.
        noticed: whether the input must be refused, or a place of it named on stderr.
        accepted: whether the input is valid and must be accepted.
        seconds: that it may take; None: as all others.
    """

    kind: str
    what: str
    steps: tuple[Command | Call, ...]
    places: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    may_write: tuple[str, ...] = ()
    stdout: str = "kept"
    room: int | None = None
    process: bool = False
    wrong_type: bool = False
    noticed: bool = False
    accepted: bool = False
    seconds: float | None = None


@dataclass(frozen=True)
class Failure:
    """An invariant that did not hold.

    Attributes:
        what: which one, such as "KeyError" or "no place named".
        where: the innermost line of minitower that raised, or the command.
        detail: the message, the traceback or the names of files.
    """

    what: str
    where: str
    detail: str = ""


@dataclass(frozen=True)
class Outcome:
    """How a case ended.

    Attributes:
        status: "accepted" or "refused".
        failures: what was wrong with it.
        said: what a person would have read: of a replay.
        seconds, peak: how long it took, and bytes at the peak of its process.
    """

    status: str
    failures: tuple[Failure, ...] = ()
    said: str = ""
    seconds: float = 0.0
    peak: int = 0


def shown(step: Command | Call) -> str:
    """A step for people: a command as typed, shortened, or the name of a call."""
    if callable(step):
        return getattr(step, "__name__", "call")
    return " ".join(word if len(word) < 60 else f"{word[:57]}..." for word in map(repr, step))


def brief(value: Any, length: int = 60) -> str:
    """A value on one short line."""
    try:
        text = repr(value)
    except Exception as error:  # some odd values cannot even be shown
        text = f"<{type(value).__name__}: {type(error).__name__}>"
    text = " ".join(re.sub(r" at 0x\w+", "", text).split())
    return text if len(text) <= length else f"{text[: length - 3]}..."
