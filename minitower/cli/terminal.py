"""What a command prints: rows on stdout for a script, lines on stderr for a person.

Both streams may be closed, full, or of a narrow encoding.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

from minitower.data.errors import shorten
from minitower.data.printable import printable

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


def write(text: str) -> None:
    """Write to stdout, all of it, now.

    Raises:
        OSError: stdout refuses the text; the name of the file in the error is "stdout".
    """
    try:
        sys.stdout.write(text)
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
