"""The invariants: what minitower may say, and what it must leave as it was."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from types import FrameType, TracebackType

from case import LENGTH, Case, Command, Failure
from world import STORES

import minitower
from minitower.training.gradient_step import TrainingError
from minitower.updating.validation_gate import UpdateRefused

STATUSES = (0, 1, 2, 130, 141)  # of a command
# What a Python call may raise.
FAIR = (ValueError, TrainingError, UpdateRefused, OSError, ModuleNotFoundError)
UNFAIR = (UnicodeError, IndexError, RecursionError)  # even where they are ValueErrors, too
ERROR = "minitower: error: "  # what the one line begins with

# Commands that print before they know that they must fail: a report, a verdict for each version.
PRINTS_FIRST = ("check", "verify", "index-bench")
# Commands that change the store they are given; after any other, it is as it was.
CHANGES_STORE = ("update", "rollback", "prune", "train")

_PACKAGE = Path(minitower.__file__).parent

Snapshot = dict[str, tuple[str, object]]


def snapshot(folder: Path) -> Snapshot:
    """What a folder holds, byte for byte; nothing is opened that could block."""
    found: Snapshot = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            mode = path.lstat().st_mode
            content: object = None
            if stat.S_ISLNK(mode):
                content = path.readlink()
            elif stat.S_ISREG(mode) and path.stat().st_size < 1 << 27:
                content = path.read_bytes()
            found[str(path.relative_to(folder))] = (oct(stat.S_IFMT(mode)), content)
    return found


def message_failures(text: str, places: Iterable[str], where: str) -> list[Failure]:
    """What is wrong with the message of a refusal."""
    failures = line_failures(text, where)
    if not named(places, text):
        expected = ", ".join(places)[:200]
        failures.append(Failure("no place named", where, f"{text[:300]}  [expected: {expected}]"))
    return failures


def line_failures(text: str, where: str, what: str = "message") -> list[Failure]:
    """Whether a text is one line, short, and without control characters."""
    failures = []
    if len(text.splitlines()) != 1:
        failures.append(Failure(f"{what} of {len(text.splitlines())} lines", where, text[:300]))
    if len(text) >= LENGTH:
        failures.append(Failure(f"long {what}", where, f"{len(text)} characters: {text[:200]}"))
    if (controls := control_characters(text.replace("\n", ""))) and not failures:
        failures.append(Failure(f"control characters in {what}", where, f"{controls}: {text!r}"))
    return failures


def control_characters(text: str) -> str:
    """Those that a terminal would obey, and the line ends of Unicode; escaped."""
    found = {c for c in text if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs")}
    return " ".join(sorted(map(repr, found)))


OTHER_OUTPUT = "--help", "--json", "--all-users", "--users", "--out"
"""Flags of ``recall`` that print something else; the command line takes their beginnings too."""


def stdout_failures(argv: Command, out: str, refused: bool) -> list[Failure]:
    """Whether stdout holds what a script wants and nothing else."""
    where = f"minitower {' '.join(argv[:1])}"
    flags = {word.partition("=")[0] for word in argv}
    failures = []
    if refused and out and not any(command in argv[:2] for command in PRINTS_FIRST):
        failures.append(Failure("stdout of a refusal", where, out[:200]))
    if controls := control_characters(out.replace("\n", "").replace("\t", "")):
        failures.append(Failure("control characters on stdout", where, controls))
    prints_other = "-h" in flags or any(
        len(word) > 2 and other.startswith(word) for word in flags for other in OTHER_OUTPUT
    )
    if argv[:1] == ("recall",) and not refused and not prints_other:
        lines = out.split("\n")[:-1]
        if any(line.count("\t") != 2 for line in lines):
            failures.append(Failure("recall: not three fields in a line", where, out[:300]))
    return failures


def folder_failures(
    case: Case, step: object, before: Snapshot, after: Snapshot, refused: bool
) -> list[Failure]:
    """Whether a step has left what it must not touch, and no litter."""
    argv = step if isinstance(step, tuple) else ()
    where = f"minitower {' '.join(argv[:1])}" if argv else "call"
    may_write = {Path(name).name for name in case.may_write}
    inputs = {Path(name).parts[0] for name in case.uses}
    if not refused and (not argv or any(command in argv[:2] for command in CHANGES_STORE)):
        inputs -= {*STORES}
    failures = []
    for name, content in before.items():
        path = Path(name)
        mine = path.name in ("file", "precious")  # of the user, beside or inside a store
        if path.name in may_write or (not mine and not refused and path.parts[0] not in inputs):
            continue
        if after.get(name) != content and not _same_versions(name, content, after.get(name)):
            what = "changed" if name in after else "gone"
            failures.append(Failure(f"input {what}", where, name))
    for name in after.keys() - before.keys():
        path = Path(name)
        if {*path.parts} & {*may_write, "LOCK", "__pycache__"}:
            continue
        is_litter = path.name.startswith(".minitower") or path.name.endswith((".new", ".tmp"))
        if refused and _same_versions(name, None, after[name]):
            continue
        if is_litter or (refused and after[name][1] is not None):
            failures.append(Failure("file left behind", where, name))
    return failures


def _same_versions(name: str, before: object, after: object) -> bool:
    """Whether a CURRENT names the same versions before and after; none is a store without any.

    Publishing lists its number there, as unfinished, before it writes a folder of that number.
    A change that fails, as on a full disk, leaves it there; readers do not look at it.
    """
    if Path(name).name != "CURRENT":
        return False
    return _versions(before) == _versions(after) is not None


def _versions(entry: object) -> dict[str, object] | None:
    """What a file of a snapshot states beside unfinished numbers; None: it is no CURRENT."""
    if entry is None:
        return {"versions": [], "current": None, "next": 1, "unfinished": []}
    _, content = entry  # type: ignore[misc]
    text, _, digest = (content if isinstance(content, bytes) else b"").rpartition(b"\n")
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return None
    return json.loads(text) | {"unfinished": []}


def raised_failures(error: BaseException, case: Case) -> list[Failure]:
    """Whether a Python call raised what it may, with a message that helps."""
    where = place_of(error.__traceback__)
    if case.wrong_type and isinstance(error, TypeError | AttributeError):
        return []
    if not isinstance(error, FAIR) or isinstance(error, UNFAIR):
        return [Failure(kind_of(error), where, str(error)[:300])]
    if isinstance(error, ModuleNotFoundError):
        return line_failures(str(error), where)
    text = str(error)
    if isinstance(error, OSError) and error.filename is not None:  # as long as the caller's path
        text = text.replace(repr(error.filename), repr(error.filename[-100:]))
    if case.wrong_type:
        return line_failures(text, where)
    return message_failures(text, case.places, where)


def kind_of(error: BaseException) -> str:
    """The type of an exception, by its public name."""
    kinds = (kind.__name__ for kind in type(error).__mro__)
    return next(kind for kind in kinds if not kind.startswith("_"))


def place_of(trace: TracebackType | None) -> str:
    """The innermost line of minitower in a traceback."""
    found = "outside minitower"
    while trace is not None:
        found = _in_package(trace.tb_frame.f_code, trace.tb_lineno) or found
        trace = trace.tb_next
    return found


def place_in(frame: FrameType | None) -> str:
    """The innermost line of minitower that runs."""
    while frame is not None:
        if found := _in_package(frame.f_code, frame.f_lineno):
            return found
        frame = frame.f_back
    return "outside minitower"


def _in_package(code: object, line: int) -> str:
    path = Path(code.co_filename)  # type: ignore[attr-defined]
    if not path.is_relative_to(_PACKAGE):
        return ""
    return f"{path.relative_to(_PACKAGE.parent)}:{line} {code.co_name}"  # type: ignore[attr-defined]


def named(places: Iterable[str], text: str) -> bool:
    """Whether a text names one of the places."""
    return any(_names(place, text) for place in places)


def _names(place: str, text: str) -> bool:
    """Whether a text holds a name as a word of its own; case, "-" and "_" do not count."""
    plain = lambda words: re.sub(r"[-_\s]+", " ", words).strip().lower()
    name = plain(place)
    if not name:  # nothing that could be written
        return bool(place)
    pattern = re.escape(name[:200])
    pattern += r"(?!\w)" if len(name) < 200 else ""  # a long name may be cut
    return re.search(rf"(?<!\w){pattern}", plain(text)) is not None
