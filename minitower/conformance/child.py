"""A process that answers each line on its stdin with one line on its stdout. Chapter 17."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from threading import Event, Timer
from typing import Self

from minitower.conformance.formula import Unusable

LONGEST_LINE = 2**24
"""Bytes of the longest answer that is read."""

STDERR_SHOWN = 2000
"""Bytes of the end of stderr that :meth:`Child.stderr` returns."""


class TimedOut(Unusable):
    """No line was printed in time."""


class Child:
    """A command that runs as long as it answers. A context manager, which ends it.

    Args:
        command: the program and its arguments; no shell reads them.
        timeout: seconds that an answer may take.

    Attributes:
        running: whether the process is alive, as far as is known.

    >>> with Child(["cat"], timeout=10) as child:
    ...     child.start()
    ...     child.ask("one line")
    'one line'
    """

    def __init__(self, command: Sequence[str], timeout: float) -> None:
        self.command, self.timeout = tuple(command), timeout
        self.running = False
        self._process: subprocess.Popen[bytes]
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._stderr.close()

    def __str__(self) -> str:
        return shlex.join(self.command)

    def start(self) -> None:
        """Start the process. One that runs is killed first.

        Raises:
            OSError: the program is missing, or cannot be run.
        """
        self.kill()
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,  # so that a shell is killed with what it started
        )
        self.running = True

    def ask(self, line: str) -> str:
        """Write a line, and return the line that answers it. After an error the process is dead.

        Raises:
            TimedOut: the answer took too long.
            Unusable: the process ended, or its line is too long.
        """
        answer = self._exchange(line.encode() + b"\n")
        if not answer.endswith(b"\n"):
            if len(answer) == LONGEST_LINE:
                self.kill()
                raise Unusable(f"printed a line of more than {LONGEST_LINE:,} bytes")
            raise Unusable(f"{self._ended()} before it printed a line{self._last_words()}")
        return answer.decode(errors="replace").rstrip("\r\n")

    def end(self) -> None:
        """Close stdin, and wait for the process to end.

        Raises:
            TimedOut: the process did not end.
            Unusable: the process printed more, or its exit status is not 0.
        """
        rest = self._exchange(None)
        if rest:
            self.kill()
            raise Unusable(f"printed more than one line a case: {shown(rest.decode('latin-1'))}")
        ended = self._ended()
        if self._process.returncode:
            raise Unusable(f"{ended} after its last answer{self._last_words()}")

    def kill(self) -> None:
        """Kill the process, and what it started. Nothing happens where it is dead."""
        if not self.running:
            return
        self._kill_group()
        self._process.wait()
        self._close()

    def stderr(self) -> str:
        """The end of what the process, now dead, and those before it wrote to stderr."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - STDERR_SHOWN))
        return self._stderr.read().decode(errors="replace").strip()

    def _exchange(self, data: bytes | None) -> bytes:
        """Write data, or close stdin, and read a line. A timer kills what takes too long."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = Event()

        def stop() -> None:
            late.set()
            self._kill_group()

        timer = Timer(self.timeout, stop)
        timer.daemon = True
        timer.start()
        try:
            with suppress(OSError):  # the process has ended; its stdout says how
                if data is None:
                    self._process.stdin.close()
                else:
                    self._process.stdin.write(data)
                    self._process.stdin.flush()
            answer = self._process.stdout.readline(LONGEST_LINE)
        finally:
            timer.cancel()
        if late.is_set():
            self.kill()
            what = "did not end after its last answer" if data is None else "printed no line"
            hint = "" if data is None else "; flush stdout after each line"
            raise TimedOut(f"{what} within {self.timeout:g} s{hint}{self._last_words()}")
        return answer

    def _ended(self) -> str:
        """How the process ended, which has closed its stdout."""
        try:
            status = self._process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            return "closed stdout"
        self._kill_group()  # what it started may go on
        self._close()
        if status >= 0:
            return f"ended with status {status}"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
        return f"was killed by signal {-status}"

    def _last_words(self) -> str:
        last = self.stderr().rpartition("\n")[2].strip()
        return f"; the last line of its stderr: {shown(last)}" if last else ""

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError, PermissionError):  # it has ended
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def _close(self) -> None:
        self.running = False
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream is not None:
                    stream.close()


def shown(text: str) -> str:
    """A text of others in quotes, shortened.

    >>> shown("a" * 90)[-6:]
    "a...'"
    """
    text = " ".join(text.split())
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
