"""A command and what it says: exit status, stdout, stderr, and the exception behind an error."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from case import Case, Command, Failure, shown
from judge import (
    ERROR,
    STATUSES,
    kind_of,
    line_failures,
    message_failures,
    named,
    place_of,
    stdout_failures,
)

import minitower
import minitower.cli

_ROOT = Path(minitower.__file__).parent.parent
_OUTPUT = ("stdout", "standard output", "output")  # places of what is wrong with stdout


@dataclass
class Said:
    """What came of a command.

    Attributes:
        status: of its exit; None where an exception left ``main``.
        out, err: what was written.
        raised: the exception that left ``main``, by type and place, or "".
        where: the place that raised what was reported as an error.
    """

    status: int | None
    out: str
    err: str
    raised: str = ""
    where: str = ""

    def failures(self, case: Case, argv: Command) -> list[Failure]:
        """What is wrong with it."""
        if self.raised:
            return [Failure(self.raised, self.where, self.err[-300:])]
        where = self.where or f"minitower {' '.join(argv[:1])}"
        if self.status not in STATUSES:
            return [Failure(f"status {self.status}", where, self.err[-300:])]
        failures = stdout_failures(argv, self.out, refused=self.status != 0)
        lines = self.err.split("\n")[:-1] if self.err else []
        for line in lines:
            if not line.startswith(ERROR):
                failures += line_failures(line, where, "remark") if line.strip() else []
        if case.noticed and not self.status and not named(case.places, self.err):
            failures.append(Failure("accepted without a word", where, case.what))
        if self.status in (0, 141):
            return failures
        at = self.err.rfind("\n" + ERROR) + 1 if "\n" + ERROR in self.err else 0
        message = self.err[at:].removesuffix("\n")
        if not message.startswith(ERROR):
            return [*failures, Failure("no error line", where, self.err[-300:])]
        places = (*case.places, *(_OUTPUT if case.stdout != "kept" else ()))
        places += ("budget",) if argv[:1] == ("tune",) else ()  # a busy machine ends no trial
        places += argv if case.room is not None else ()
        if self.status == 130:
            return failures
        return failures + message_failures(message.removeprefix(ERROR), places, where)

    def told(self, argv: Command) -> str:
        """For a person."""
        status = self.raised or f"status {self.status}"
        return f"$ minitower {shown(argv)}\n{self.out[:1500]}{self.err[-1500:]}[{status}]"


class _Stderr(io.TextIOWrapper):
    """Remembers where the exception was raised during whose handling an error is written."""

    where = ""

    def write(self, text: str) -> int:
        error = sys.exception()
        if error is not None and text.startswith(ERROR.strip()):
            self.where = place_of(error.__traceback__)
        return super().write(text)


def said_by(argv: Command, stdout: str, seconds: float) -> Said:
    """Run a command in this process, its streams replaced; see ``Case.stdout``."""
    held, err = io.BytesIO(), io.BytesIO()
    stderr = _Stderr(err, encoding="utf-8", errors="backslashreplace", write_through=True)
    with Path(os.devnull).open("r+b") as nowhere:
        os.dup2(nowhere.fileno(), 0)
        os.dup2(nowhere.fileno(), 1)  # for what libraries write past Python
    usual, stream = (sys.stdout, sys.stderr), _stream(stdout, held)
    sys.stdout, sys.stderr = stream, stderr  # type: ignore[assignment]
    status: int | None = None
    raised = where = ""
    try:
        status = minitower.cli.main(list(argv))
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else int(bool(left.code))
    except Exception as error:
        raised, where = kind_of(error), place_of(error.__traceback__)
        stderr.write(f"{type(error).__name__}: {error}")
    finally:
        sys.stdout, sys.stderr = usual
    try:
        if stream is not None:
            stream.flush()  # as the interpreter does at its end
    except OSError as error:
        raised = raised or f"{type(error).__name__} at exit"
    return Said(status, _text(held), _text(err), raised, where or stderr.where)


def said_by_process(argv: Command, stdout: str, seconds: float) -> Said:
    """Run ``python -m minitower``."""
    environment = os.environ | {"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    options: dict[str, object] = {}
    if stdout == "ascii":
        environment |= {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "minitower", *argv]
    if stdout == "closed":
        command = ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *command]
    with Path("/dev/full" if stdout == "full" else os.devnull).open("wb") as sink:
        where = sink if stdout == "full" else subprocess.PIPE
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=where,
            stderr=subprocess.PIPE,
            env=environment,
            **options,  # type: ignore[call-overload]
        )
    if stdout == "unread":
        started.stdout.close()
        started.stdout = None
    try:
        out, err = started.communicate(timeout=2 * seconds)
    finally:
        started.kill()
    text = err.decode("utf-8", "backslashreplace")
    raised = ""
    if "Traceback (most recent call last)" in text or "Exception ignored" in text:
        raised = f"{text.strip().splitlines()[-1].partition(':')[0][:60]} (process)"
    return Said(started.returncode, (out or b"").decode("utf-8", "backslashreplace"), text, raised)


def _stream(kind: str, held: io.BytesIO) -> io.TextIOBase | None:
    """A stdout of some environment."""
    if kind == "closed":
        return None  # as the interpreter has it
    if kind == "full":
        return Path("/dev/full").open("w", encoding="utf-8")
    if kind == "unread":
        reader, writer = os.pipe()
        os.close(reader)
        return os.fdopen(writer, "w", encoding="utf-8")
    if kind == "ascii":
        return io.TextIOWrapper(held, encoding="ascii", errors="surrogateescape")
    return io.TextIOWrapper(held, encoding="utf-8", errors="strict")


def _text(held: io.BytesIO) -> str:
    return held.getvalue().decode("utf-8", "backslashreplace")
