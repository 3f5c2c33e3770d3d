"""``serve``: a store over HTTP. Chapter 15."""

import argparse
from collections.abc import Callable
from functools import wraps
from typing import Any

from minitower.cli.arguments import add_command
from minitower.cli.terminal import row
from minitower.scale.service import serve


def add_commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """Add ``serve`` to the program."""
    a = add(
        "serve",
        description="Answer /recall, /similar, /health and /version of a store over HTTP, as "
        "JSON. Prints the URL. A new version of the store is opened when it is published. SIGTERM "
        "or Ctrl-C stops the service after the running requests. It has no authentication.",
    )

    @wraps(serve)
    def run(**given: Any) -> None:
        serve(**given, on_listening=row)

    add_command(a, run)
